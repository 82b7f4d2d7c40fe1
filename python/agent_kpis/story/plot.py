"""The plot of the story: dates, rates and sizes. Everything else in this package only tells it.

A shop's support team launches the agent `atlas`. Three weeks later 60% of its requests never reach
a human and everybody is pleased; what customers asked for was done in 36% of them, where the
humans of the holdout manage 66% of the same kinds of request. Satisfaction is 8 points lower.

Rates are shares (0 to 1), satisfaction is in points (0 to 100), days are UTC dates at midnight.
"""

from datetime import date, timedelta

import numpy as np

# --- Time -------------------------------------------------------------------------------------
START = date(2026, 1, 5)  # a Monday
WEEKS = 26
END = START + timedelta(weeks=WEEKS)  # nothing that happens at or after it is in the data
LAUNCH = date(2026, 2, 16)
PRAISE = LAUNCH + timedelta(days=21)  # "60% of tickets without a human"
DISILLUSION = LAUNCH + timedelta(days=42)  # by now satisfaction is seen to be down

AGENT = "atlas"
RESOLVE_WITHIN_HOURS = 72  # as in seeds/task_types.csv, the same for all five
REOPEN_WINDOW_HOURS = 24

# --- Volume -----------------------------------------------------------------------------------
ELIGIBLE_A_WEEK = 560  # tier 1, in the agent's scope
TIER_2_A_WEEK = 168  # hard cases routed to specialists, before and after the launch
SPAM, TEST, UNDEFINED = 240, 110, 75  # in all; `gift_card` is the task type nobody defined
WEEKDAY_SHARE = [0.17, 0.165, 0.16, 0.155, 0.15, 0.11, 0.09]  # Monday first
HOUR_WEIGHT = [1, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 10, 10, 11, 11, 10, 9, 8, 7, 6, 5, 3, 2]
CUSTOMERS = 5_500
HOLDOUT_PER_20 = 3  # 15% of the customers stay with humans

TASKS = ["account_access", "order_status", "refund_request", "booking_change", "policy_question"]
BASIS = ["resolution", "resolution", "resolution", "booking", "answer"]
UNDEFINED_TASK = "gift_card"
TASK_MIX = [0.20, 0.26, 0.14, 0.20, 0.20]
TIER_2_MIX = [0.00, 0.00, 0.85, 0.15, 0.00]  # what makes the crude comparison flatter the agent
CHANNELS = ["chat", "voice", "email", "web_form"]
CHANNEL_MIX = [0.55, 0.10, 0.25, 0.10]
SYNC = np.array([True, True, False, False])
SOURCES = ["chat_platform", "phone", "helpdesk", "helpdesk"]

# --- Who handles ------------------------------------------------------------------------------
BASELINE, HOLDOUT, ATLAS, TIER_2, EXTRA = range(5)
GROUPS = ["baseline", "holdout", "atlas", "tier_2", "extra"]
TIER_1_HUMANS, AI, SPECIALISTS = range(3)
CREW = np.array([TIER_1_HUMANS, TIER_1_HUMANS, AI, SPECIALISTS, TIER_1_HUMANS])  # by group

# --- What becomes of a request ----------------------------------------------------------------
OUTCOMES = ["completed", "escalated", "reopened", "resolved_late", "abandoned", "excluded"]
COMPLETED, ESCALATED, REOPENED, LATE, ABANDONED, EXCLUDED = range(6)
# by crew, then task type
COMPLETION = np.array(
    [
        [0.72, 0.70, 0.52, 0.64, 0.68],
        [0.42, 0.40, 0.20, 0.30, 0.42],
        [0.10, 0.10, 0.10, 0.10, 0.10],
    ]
)
ESCALATION = np.array(
    [
        [0.10, 0.10, 0.22, 0.14, 0.12],
        [0.36, 0.36, 0.55, 0.44, 0.35],
        [0.26, 0.26, 0.26, 0.26, 0.26],
    ]
)
# how the rest divides into reopened, resolved late, abandoned; by crew
REST = np.array([[0.40, 0.30, 0.30], [0.45, 0.15, 0.40], [0.14, 0.72, 0.14]])
RESOLVED_AFTER_HANDOFF = 0.82  # by whoever took it over, in time and for good

# Over two weeks in which everybody waits for the carriers' systems: live conversations take 2.5
# times as long, whoever leads them.
SLOW_FROM = date(2026, 6, 15)
SLOW_TO = date(2026, 7, 3)
SLOW = 2.5
# One week in which the payment provider fails: both arms lose as much.
DIP_FROM = date(2026, 4, 6)
DIP_TO = date(2026, 4, 13)
DIP = 0.06
# Release 1.2.0 moves the tools to a new order service and gets the arguments wrong. For four days
# failed calls still fall back on the old service; then that is switched off. 1.3.0 mends it.
BROKEN_FROM = date(2026, 4, 23)
FALL_FROM = BROKEN_FROM + timedelta(days=4)
MENDED = date(2026, 5, 21)
FALL = np.array([0.06, 0.24, 0.14, 0.22, 0.00])  # lost completion by task type
FALL_TO = {ESCALATED: 0.50, ABANDONED: 0.32, REOPENED: 0.18}
# One week in which atlas hardly hands anything over: it keeps what it cannot do.
SILENT_FROM = date(2026, 6, 8)
SILENT_TO = date(2026, 6, 15)
SILENT_ESCALATION = 0.015
SILENT_TO_OUTCOME = {ABANDONED: 0.75, REOPENED: 0.25}

FOLLOW_UP_SHARE = 0.35  # of undone resolutions: a new ticket instead of a reopened one
CHAINED_FOLLOW_UPS = 0.12  # of those: followed up again before anybody resolved the first
REOPENED_AFTER_WINDOW = 0.03  # of completed ones
FOLLOWED_UP_AFTER_WINDOW = 0.03
REPEAT_CONTACT = 0.05  # of completed questions: asked again on another day
CONTAMINATED = 6  # holdout interactions in which atlas said something
LOST_PARENTS = 3  # interactions whose parent is not in the data

# --- Why atlas hands over ---------------------------------------------------------------------
PHASES = {
    "early": (LAUNCH, LAUNCH + timedelta(weeks=6)),
    "middle": (LAUNCH + timedelta(weeks=6), LAUNCH + timedelta(weeks=13)),
    "late": (LAUNCH + timedelta(weeks=13), END),
}
REASONS = {  # reason: share in each phase; `policy` is the task type's own policy reason
    "customer_requested": (0.53, 0.36, 0.19),
    "agent_unable_to_answer": (0.12, 0.21, 0.34),
    "missing_tool": (0.06, 0.14, 0.20),
    "low_confidence": (0.08, 0.08, 0.06),
    "policy": (0.10, 0.10, 0.10),
    "tool_error": (0.03, 0.03, 0.03),
    "threat_or_harm": (0.01, 0.01, 0.01),
    "scheduled_callback": (0.04, 0.04, 0.04),
    "queue_overflow": (0.02, 0.02, 0.02),  # mapped to no class
    None: (0.01, 0.01, 0.01),
}
BROKEN_REASONS = {"tool_error": 0.11, "missing_tool": 0.11}  # of the hand-offs while the tool fails
HUMAN_REASONS = {
    "specialist_needed": 0.55,
    "refund_over_limit": 0.15,
    "customer_requested": 0.15,
    "scheduled_callback": 0.08,
    "identity_check": 0.04,
    None: 0.03,
}
AFTER_FAILURE = 0.15  # of atlas' `customer_requested`: only after two turns had failed
REASON_CLASSES = {  # as in seeds/escalation_reasons.csv
    "agent_unable_to_answer": "capability_gap",
    "missing_tool": "capability_gap",
    "low_confidence": "capability_gap",
    "specialist_needed": "capability_gap",
    "customer_requested": "customer_preference",
    "refund_over_limit": "policy_required",
    "identity_check": "policy_required",
    "threat_or_harm": "safety",
    "tool_error": "system_failure",
    "scheduled_callback": "planned",
}

# --- Satisfaction -----------------------------------------------------------------------------
# Points by crew and outcome. Mixed by the rates above: 82 for the humans of tier 1, 74 for atlas.
CSAT_POINTS = np.array(
    [
        [88.0, 75.0, 67.0, 72.0, 63.0],
        [88.0, 70.7, 57.0, 66.0, 57.0],
        [84.0, 70.0, 58.0, 66.0, 56.0],
    ]
)
CSAT_HAPPY = np.array([0.02, 0.03, 0.05, 0.21, 0.69])  # chances of 1 to 5; 88 points
CSAT_UNHAPPY = np.array([0.18, 0.16, 0.18, 0.24, 0.24])  # 55 points
RESPONSE = np.array([0.30, 0.28, 0.26])  # by crew; the same for every outcome
# The angrier, the sooner: chance that an answer comes on the next day, by score 1 to 5.
ANSWER_TODAY = np.array([0.34, 0.30, 0.26, 0.21, 0.18])
LAST_ANSWER_DAY = 27
THUMBS_ASKED, THUMBS_ANSWERED = 0.30, 0.45  # of chats; of those asked

# --- The agent's steps ------------------------------------------------------------------------
TURNS = [0.35, 0.40, 0.25]  # one, two, three turns
TOOLS = ["customer_record", "order_lookup", "refund_api", "booking_api", "calendar", "voucher"]
INDEXES = ["help_centre", "orders_faq", "refund_policy", "booking_rules", "policy_library", "gifts"]
TOOL_SHARE = np.array([0.65, 0.85, 0.80, 0.85, 0.15, 0.10])  # of the turns, by task type
RETRIEVAL_SHARE = np.array([0.35, 0.15, 0.30, 0.20, 0.90, 0.50])
GUARDRAIL_SHARE, PARENT_SHARE = 0.40, 0.25
TOOL_ERRORS, OTHER_ERRORS = 0.010, 0.002
BROKEN_TOOL_ERRORS = 0.08
TOOL_ACCURACY, BROKEN_TOOL_ACCURACY = 0.95, 0.78
CONFIDENCE = (0.62, 0.50)  # stated, where the request is completed and where not
LARGE, SMALL, UNPRICED = "atlas-large", "atlas-small", "atlas-preview"
UNPRICED_SHARE = 0.006  # of the interactions: a model that nobody has priced
REPORTED_SHARE = 0.02  # of the answers: the provider states the cost
PRICE_CHANGE = date(2026, 5, 1)
PRICES = {  # as in seeds/model_prices.csv: USD per million tokens read, read from cache, written
    (LARGE, "before"): (3.00, 0.30, 15.00),
    (LARGE, "after"): (2.00, 0.20, 10.00),
    (SMALL, "before"): (0.40, 0.10, 1.60),
    (SMALL, "after"): (0.40, 0.10, 1.60),
}
JUDGE_SWITCH = date(2026, 5, 4)  # from here a new rubric, which does not track satisfaction
JUDGE = "reply-judge"
JUDGE_VERSIONS = ["rubric-1", "rubric-2"]

# --- Money ------------------------------------------------------------------------------------
PLATFORM_A_MONTH = 2_900.00  # atlas
HELPDESK_A_MONTH = 1_250.00  # nobody's in particular
EVALUATION_A_WEEK = 38.50
TELEPHONY_A_CALL = 0.42
HANDLE_MISSING = 0.14  # of the interactions with a human: no handling time recorded
OUTSOURCED = 60  # interactions whose human work came as an invoice

RELEASES = [
    {
        "agent_version": "1.0.0",
        "released_at": LAUNCH,
        "change_type": "model",
        "summary": "First version.",
        "target_kpi": "task_completion_rate",
        "expected_direction": "up",
        "min_effect": 0.05,
        "decide_by": date(2026, 3, 16),
    },
    {
        "agent_version": "1.1.0",
        "released_at": date(2026, 3, 23),
        "change_type": "prompt",
        "summary": "Warmer opening and closing sentences.",
        "target_kpi": "task_completion_rate",
        "expected_direction": "up",
        "min_effect": 0.10,
        "decide_by": date(2026, 4, 20),
    },
    {
        "agent_version": "1.2.0",
        "released_at": BROKEN_FROM,
        "change_type": "tool",
        "summary": "Tools call the new order service; the old one stays as fallback for four days.",
        "target_kpi": "task_completion_rate",
        "expected_direction": "up",
        "min_effect": 0.05,
        "decide_by": MENDED,
    },
    {
        "agent_version": "1.3.0",
        "released_at": MENDED,
        "change_type": "tool",
        "summary": "Arguments of the order service mended.",
        "target_kpi": "task_completion_rate",
        "expected_direction": "up",
        "min_effect": 0.05,
        "decide_by": date(2026, 6, 18),
    },
]

# --- What is wrong with the data --------------------------------------------------------------
CORRECTED = {  # rows that a later row with the same key supersedes
    "interactions": 40,
    "events": 120,
    "surveys": 80,
    "spans": 60,
    "evaluations": 60,
    "releases": 1,
    "costs": 12,
}


# --- Days and seconds -------------------------------------------------------------------------
DAY, HOUR = 86_400, 3_600


def seconds(day: date) -> int:
    """Seconds since 1970 at UTC midnight of `day`."""
    return (day - date(1970, 1, 1)).days * DAY


def between(at: np.ndarray, first: date, end: date) -> np.ndarray:
    """Which of the times (seconds since 1970) lie on or after `first` and before `end`."""
    return (at >= seconds(first)) & (at < seconds(end))
