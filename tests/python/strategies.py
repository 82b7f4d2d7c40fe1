"""Random histories for the tests that compare the models with the oracle.

`histories()` is the Hypothesis strategy; `bulk_history(seed, clusters)` makes one large history of
the same parts, for a comparison that costs one build. Both give `(landing, config, as_of)`.

Times are drawn around boundaries on purpose: the same second, one second off every window, deadline
and maturity, both clock changes of 2026, the session gap, and the dates at which configuration
changes. Ids come from small pools, so that duplicates, corrections and orphans happen.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from oracle import EVENT_TYPES, Row, Unparsable, hours

Landing = dict[str, list[Row]]
History = tuple[Landing, dict[str, list[Row]], datetime | None]
Pick = Callable[[Sequence[Any]], Any]

NOW = datetime(2026, 11, 20)  # a run's clock after everything that is drawn
LATE = datetime(2026, 11, 5)  # everything drawn has matured by then
FAR_FUTURE = datetime(2990, 1, 1)  # ahead of any run's clock
SPRING_CHANGE = datetime(2026, 3, 29, 1)  # clocks go forward in Europe
AUTUMN_CHANGE = datetime(2026, 10, 25, 1)  # and back
PRICE_CHANGE = datetime(2026, 3, 29)
RATE_CHANGE = datetime(2026, 10, 25)
RULES_CHANGE = datetime(2026, 3, 29, 1)
START = datetime(2026, 1, 1)


def dated(rows: Sequence[Row]) -> list[Row]:
    """Configuration rows with an owner, from the start of the year unless they say otherwise."""
    return [{"owner": "team", "effective_from": START, **row} for row in rows]


def task_type(name: str, definition: str, within: str, window: str, rule: str, **more: Any) -> Row:
    return {
        "task_type": name,
        "definition": definition,
        "resolve_within_hours": Decimal(within),
        "reopen_window_hours": Decimal(window),
        "reopen_rule": rule,
        "threshold_profile": "default",
        **more,
    }


CONFIG: dict[str, list[Row]] = {
    "task_types": dated(
        [
            task_type("support", "resolved_not_reopened", "2", "1", "any"),
            task_type(
                "support", "resolved_not_reopened", "3", "2", "last", effective_from=RULES_CHANGE
            ),
            task_type("support_last", "resolved_not_reopened", "72", "24", "last"),
            task_type("support_at_once", "resolved_not_reopened", "1", "0", "any"),
            task_type("booking", "booked_and_paid", "48", "24", "any"),
            task_type("booking_last", "booked_and_paid", "2", "0.5", "last"),
            task_type("question", "question_not_repeated", "72", "24", "any"),
            task_type("question_last", "question_not_repeated", "1", "0.5", "last"),
        ]
    ),
    "agent_scopes": dated(
        [
            {
                "agent_name": agent,
                "task_type": served,
                "launched_at": launched_at,
                "baseline_from": START,
                "holdout_share": Decimal("0.15"),
                "holdout_unit": "customer",
            }
            for agent, served, launched_at in [
                ("atlas", "support", datetime(2026, 2, 1)),
                ("boreas", "support", SPRING_CHANGE),
                ("atlas", "booking", datetime(2026, 2, 1)),
                ("boreas", "booking", datetime(2026, 2, 1)),
                ("boreas", "question", AUTUMN_CHANGE),
                ("atlas", "question_last", datetime(2026, 2, 1)),
            ]
        ]
    ),
    "escalation_reasons": dated(
        [
            {"reason": "missing_tool", "reason_class": "capability_gap"},
            {"reason": "customer_requested", "reason_class": "customer_preference"},
            {"reason": "identity_check", "reason_class": "policy_required"},
            {
                "reason": "identity_check",
                "reason_class": "planned",
                "effective_from": RULES_CHANGE,
            },
        ]
    ),
    "survey_scales": dated(
        [
            {"survey_source": "email_csat", "scale_min": Decimal(1), "scale_max": Decimal(5)},
            {"survey_source": "chat_thumbs", "scale_min": Decimal(0), "scale_max": Decimal(1)},
        ]
    ),
    "channels": dated(
        [
            {"channel": "chat", "kind": "sync"},
            {"channel": "email", "kind": "async"},
        ]
    ),
    "model_prices": dated(
        [
            {
                "model": "large",
                "input_usd_per_mtok": Decimal("3"),
                "cached_input_usd_per_mtok": Decimal("0.3"),
                "output_usd_per_mtok": Decimal("15"),
            },
            {
                "model": "large",
                "input_usd_per_mtok": Decimal("2"),
                "cached_input_usd_per_mtok": Decimal("0.2"),
                "output_usd_per_mtok": Decimal("10"),
                "effective_from": PRICE_CHANGE,
            },
            {
                "model": "small",
                "input_usd_per_mtok": Decimal("0.4"),
                "cached_input_usd_per_mtok": None,
                "output_usd_per_mtok": Decimal("1.6"),
            },
            {
                "model": "late",
                "input_usd_per_mtok": Decimal("1"),
                "cached_input_usd_per_mtok": Decimal("0.5"),
                "output_usd_per_mtok": Decimal("4"),
                "effective_from": AUTUMN_CHANGE,
            },
        ]
    ),
    "labour_rates": dated(
        [
            {
                "tier": "tier_1",
                "usd_per_hour": Decimal("28"),
                "default_handle_minutes": Decimal("9"),
            },
            {
                "tier": "tier_1",
                "usd_per_hour": Decimal("31"),
                "default_handle_minutes": Decimal("8"),
                "effective_from": RATE_CHANGE,
            },
            {
                "tier": "tier_2",
                "usd_per_hour": Decimal("41"),
                "default_handle_minutes": Decimal("16"),
                "effective_from": SPRING_CHANGE,
            },
        ]
    ),
    "leading_indicators": dated(
        [
            {
                "indicator": "tool_call_accuracy",
                "kpi": "task_completion_rate",
                "diagnosis_order": 1,
                "direction": "low",
            }
        ]
    ),
    "thresholds": dated(
        [
            {
                "threshold_profile": "default",
                "kpi": "task_completion_rate",
                "direction": "low",
                "unit": "pp",
                "warning": Decimal(5),
                "critical": Decimal(10),
                "catastrophic": Decimal(20),
                "sustained_periods": 2,
            }
        ]
    ),
}

SECOND = timedelta(seconds=1)
GAP = timedelta(minutes=30)
STEPS = (timedelta(0), SECOND, 60 * SECOND, GAP - SECOND, GAP, GAP + SECOND)
OPENINGS = (SPRING_CHANGE, AUTUMN_CHANGE, PRICE_CHANGE, RATE_CHANGE)
OPENING_SHIFTS = (timedelta(0), -SECOND, SECOND, -GAP, timedelta(hours=-2), timedelta(hours=-30))
TASK_TYPES = (
    "support",
    "support_last",
    "support_at_once",
    "booking",
    "booking_last",
    "question",
    "question_last",
)
REASONS = (None, *("customer_requested",) * 3, "missing_tool", "identity_check", "unheard_of")
LIKELY_EVENTS = {
    "support": ("resolved", "resolved", "reopened"),
    "booking": (
        "booking_confirmed",
        "payment_processed",
        "booking_confirmed",
        "payment_processed",
        "booking_cancelled",
        "payment_reversed",
    ),
    "question": ("question_asked", "question_answered", "question_asked", "question_answered"),
}
OTHER_EVENTS = ("message", "message", "closed", "handed_off", *EVENT_TYPES)
SPOILED: dict[str, tuple[Row, ...]] = {
    "interactions": (
        {"task_type": None},
        {"opened_at": None},
        {"opened_at": Unparsable("yesterday")},
        {"is_spam": Unparsable("maybe")},
        {"assigned_arm": "robot"},
        {"assignment_kind": "guessed"},
        {"opened_at": FAR_FUTURE},
    ),
    "events": (
        {"event_type": None},
        {"interaction_id": None},
        {"occurred_at": Unparsable("2026-13-01")},
        {"handle_seconds": Unparsable("long")},
        {"event_type": "exploded"},
        {"actor_kind": "cat"},
        {"evidence": "hearsay"},
        {"handle_seconds": -1.0},
        {"occurred_at": FAR_FUTURE},
        {"interaction_id": "nowhere"},
        {"occurred_at": START},
    ),
    "surveys": (
        {"survey_source": None},
        {"score": Unparsable("good")},
        {"survey_kind": "exit"},
        {"responded_at": FAR_FUTURE},
        {"responded_at": START},
        {"survey_source": "fax", "score": 3.0},
        {"survey_source": "fax", "score": None},
        {"survey_source": "email_csat", "score": 5.5},
        {"survey_source": "chat_thumbs", "score": -1.0},
        {"interaction_id": "nowhere"},
        {"sent_at": START, "responded_at": None},
    ),
    "spans": (
        {"operation": None},
        {"started_at": Unparsable("soon")},
        {"input_tokens": Unparsable("many")},
        {"operation": "dream"},
        {"output_tokens": -1},
        {"reported_cost_usd": Decimal("-0.01")},
        {"ended_at": FAR_FUTURE},
    ),
    "evaluations": (
        {"value": None},
        {"value": Unparsable("high")},
        {"evaluator_kind": "oracle"},
        {"turn_index": -1},
        {"evaluated_at": FAR_FUTURE},
    ),
    "releases": (
        {"released_at": None},
        {"change_type": "mood"},
        {"expected_direction": "sideways"},
        {"released_at": FAR_FUTURE},
        {"decide_by": FAR_FUTURE},
    ),
    "costs": (
        {"amount_usd": None},
        {"amount_usd": Unparsable("1,5,0")},
        {"component": "lunch"},
        {"amount_usd": Decimal("-1")},
        {"occurred_at": FAR_FUTURE},
    ),
}


def chance(pick: Pick, one_in: int) -> bool:
    """True once in so many draws; the simplest draw is False."""
    return pick(range(one_in)) == one_in - 1


def windows(name: str, opened_at: datetime) -> tuple[timedelta, timedelta]:
    """The windows that apply to a task type, for drawing times near them."""
    rows = [row for row in CONFIG["task_types"] if row["task_type"] == name]
    if not rows:
        return timedelta(hours=72), timedelta(hours=24)
    applying = [row for row in rows if row["effective_from"] <= opened_at] or rows[:1]
    row = applying[-1]
    return hours(row["resolve_within_hours"]), hours(row["reopen_window_hours"])


def around(time: datetime) -> list[datetime]:
    return [time, time - SECOND, time + SECOND]


class Cluster:
    """One group of interactions that may follow up each other, with all that happens in it."""

    def __init__(self, pick: Pick, landing: Landing, name: str, max_interactions: int) -> None:
        self.pick = pick
        self.landing = landing
        self.name = name
        self.opened: dict[str, datetime] = {}
        self.task_type = pick((*TASK_TYPES, "undecided"))
        base = pick(OPENINGS) + pick(OPENING_SHIFTS)
        within, window = windows(self.task_type, base)
        deadline, matures_at = base + within, base + within + window
        self.grid = [
            *(base + step for step in STEPS),
            *around(base + window),
            *around(deadline),
            *around(matures_at),
            *around(matures_at + window),
        ]
        self.steps = (*STEPS, window, window - SECOND, window + SECOND, within)
        self.previous = base
        self.ids = [f"{name}i{number}" for number in range(pick(range(1, max_interactions + 1)))]

    def fill(self) -> None:
        pick = self.pick
        for number in range(len(self.ids)):
            self.interaction(number)
        if chance(pick, 6):  # a correction
            self.interaction(pick(range(len(self.ids))))
        for number in range(pick((0, 1, 2, 3, 5, 8, 12))):
            self.event(number)
        for number in range(pick((0, 0, 1, 2))):
            self.survey(number)
        for number in range(pick((0, 0, 2, 5))):
            self.span(number)
        for number in range(pick((0, 0, 1, 2))):
            self.cost(number)
        if chance(pick, 6):
            self.evaluation()
        for _ in range(pick((0, 0, 1, 2))):
            self.release()

    def add(self, entity: str, row: Row) -> None:
        if chance(self.pick, 15):
            row = row | self.pick(SPOILED[entity])
        self.landing[entity].append(row)

    def time(self) -> datetime:
        """Next to the previous time, or somewhere on the grid."""
        if chance(self.pick, 2):
            self.previous = self.pick(self.grid)
        else:
            self.previous += self.pick(self.steps)
        return min(self.previous, LATE)

    def time_in(self, interaction_id: str | None) -> datetime:
        """A time that lies mostly inside the interaction."""
        time, opened_at = self.time(), self.opened.get(interaction_id)
        if opened_at is None or chance(self.pick, 8):
            return time
        return max(time, opened_at)

    def key(self, letter: str, number: int) -> str:
        """Mostly a new key; sometimes an earlier one, which makes the row a correction."""
        if number and chance(self.pick, 10):
            number = self.pick(range(number))
        return f"{self.name}{letter}{number}"

    def interaction(self, number: int) -> None:
        pick = self.pick
        opened_at = self.grid[0] if number == 0 else pick(self.grid)
        self.opened[self.ids[number]] = opened_at
        parents = (None, self.ids[0], *self.ids, "nowhere") if number else (None, None, *self.ids)
        self.add(
            "interactions",
            {
                "interaction_id": self.ids[number],
                "opened_at": opened_at,
                "assigned_arm": pick(("ai", "ai", "human")),
                "task_type": self.task_type if chance(pick, 2) or number == 0 else pick(TASK_TYPES),
                "channel": pick(("email", "chat", "pigeon")),
                "assignment_kind": pick((None, "randomised", "routed")),
                "customer_id": pick((None, "c1", "c2")),
                "tier": pick(("tier_1", "tier_1", "tier_2", "tier_9", None)),
                "parent_interaction_id": pick(parents),
                "agent_name": pick((None, None, "atlas", "boreas", "stranger")),
                "agent_version": pick((None, None, "v1")),
                "is_spam": pick((None, False, False, chance(pick, 6))),
                "is_test": pick((None, False, False, chance(pick, 6))),
                "source_system": pick((None, "desk")),
            },
        )

    def event(self, number: int) -> None:
        pick = self.pick
        interaction_id = pick((self.ids[0],) * 4 + tuple(self.ids))
        likely = LIKELY_EVENTS.get(self.task_type.split("_")[0], EVENT_TYPES)
        event_type = pick(OTHER_EVENTS) if chance(pick, 4) else pick(likely)
        self.add(
            "events",
            {
                "event_id": self.key("e", number),
                "interaction_id": interaction_id,
                "occurred_at": self.time_in(interaction_id),
                "event_type": event_type,
                "actor_kind": pick(("ai",) * 8 + ("customer",) * 4 + ("system", "human")),
                "actor_id": pick((None, "someone")),
                "reason": pick(REASONS),
                "question_key": pick(("q1", "q1", "q1", "q2", None)),
                "evidence": pick((None, None, "assumed", "confirmed", "verified")),
                "handle_seconds": pick((None, None, None, 0.0, 90.5, 300.0)),
            },
        )

    def survey(self, number: int) -> None:
        pick = self.pick
        interaction_id = pick(self.ids)
        sent_at = self.time_in(interaction_id)
        opened_at = self.opened[interaction_id]
        answers = [sent_at, sent_at + GAP, *around(max(sent_at, opened_at + timedelta(days=3)))]
        source = pick(("email_csat", "chat_thumbs"))
        scores = (1.0, 2.0, 3.7, 5.0) if source == "email_csat" else (0.0, 1.0)
        responded_at = pick((None, *answers))
        self.add(
            "surveys",
            {
                "survey_id": self.key("v", number),
                "interaction_id": interaction_id,
                "survey_kind": pick(("post_interaction", "post_interaction", "in_conversation")),
                "survey_source": source,
                "sent_at": sent_at,
                "responded_at": responded_at,
                "score": pick((None, *scores)) if responded_at is not None else None,
            },
        )

    def span(self, number: int) -> None:
        pick = self.pick
        interaction_id = pick((self.ids[0], *self.ids, None, "nowhere"))
        span_id = self.key("s", number)
        above = [f"{self.name}s{earlier}" for earlier in range(int(span_id.rsplit("s", 1)[1]))]
        started_at = pick(self.grid[: len(STEPS)]) if chance(pick, 2) else self.time()
        input_tokens = pick((None, 100, 1_000, 123_457))
        cached = None if input_tokens is None else pick((None, 1, input_tokens))
        self.add(
            "spans",
            {
                "span_id": span_id,
                "started_at": started_at,
                "operation": pick(("inference", "inference", "tool", "retrieval", "handoff")),
                "trace_id": pick((None, f"{self.name}t1", f"{self.name}t2")),
                "parent_span_id": pick((None, "nowhere", *above)),
                "interaction_id": interaction_id,
                "agent_name": pick((None, "atlas", "boreas")),
                "agent_version": pick((None, "v1")),
                "name": pick((None, "search")),
                "ended_at": pick((None, started_at, started_at + SECOND)),
                "error_type": pick((None, "timeout")),
                "model": pick(("large", "small", "late", "unpriced", None)),
                "input_tokens": input_tokens,
                "cached_input_tokens": cached,
                "output_tokens": pick((None, 7, 50_001)),
                "reported_cost_usd": pick((None, None, None, Decimal("0.0123456789"))),
            },
        )

    def cost(self, number: int) -> None:
        pick = self.pick
        self.add(
            "costs",
            {
                "cost_id": self.key("c", number),
                "occurred_at": self.time(),
                "component": pick(("platform", "human", "telephony", "evaluation", "other")),
                "amount_usd": pick((Decimal("1.25"), Decimal(0), Decimal("0.0000000001"))),
                "interaction_id": pick((*self.ids, None, "nowhere")),
                "agent_name": pick((None, "atlas")),
            },
        )

    def evaluation(self) -> None:
        pick = self.pick
        self.add(
            "evaluations",
            {
                "evaluation_id": self.key("j", 0),
                "evaluated_at": self.time(),
                "indicator": "tool_call_accuracy",
                "value": pick((1.0, 0.25)),
                "interaction_id": pick((*self.ids, None, "nowhere")),
                "span_id": pick((None, f"{self.name}s0")),
                "evaluator_kind": pick((None, "llm", "human")),
                "evaluator_name": pick((None, "judge")),
                "evaluator_version": pick((None, "r1")),
                "turn_index": pick((None, 0, 3)),
            },
        )

    def release(self) -> None:
        pick = self.pick
        self.add(
            "releases",
            {
                "agent_name": pick(("atlas", "boreas")),
                "agent_version": pick(("v1", f"{self.name}v2", f"{self.name}v3")),
                "released_at": pick((*around(self.grid[0]), datetime(2026, 2, 1))),
                "change_type": pick((None, "prompt", "tool")),
                "summary": pick((None, "shorter answers")),
                "target_kpi": pick((None, "csat")),
                "expected_direction": pick((None, "up")),
                "min_effect": pick((None, 0.02)),
                "decide_by": pick((None, LATE)),
            },
        )


def build_history(
    pick: Pick, clusters: int, max_interactions: int
) -> tuple[Landing, datetime | None]:
    """Landing rows of some clusters, and a time at which to look at them."""
    landing: Landing = {entity: [] for entity in SPOILED}
    times: list[datetime] = [LATE]
    for number in range(clusters):
        cluster = Cluster(pick, landing, f"h{number}", max_interactions)
        cluster.fill()
        times += cluster.grid
    if chance(pick, 2):  # a late interaction moves the watermark past every maturity
        landing["interactions"].append(
            {
                "interaction_id": "late",
                "opened_at": LATE,
                "assigned_arm": "human",
                "task_type": "undecided",
                "channel": "email",
            }
        )
    return landing, None if chance(pick, 2) else pick(times)


@st.composite
def histories(draw: st.DrawFn, max_clusters: int = 2, max_interactions: int = 3) -> History:
    """A small random history: landing rows, configuration, and `as_of` or None."""

    def pick(options: Sequence[Any]) -> Any:
        return draw(st.sampled_from(options))

    clusters = pick(range(1, max_clusters + 1))
    landing, as_of = build_history(pick, clusters, max_interactions)
    return landing, CONFIG, as_of


def bulk_history(seed: int, clusters: int, max_interactions: int = 4) -> History:
    """A large history from the same parts; the same seed gives the same rows."""
    landing, as_of = build_history(random.Random(seed).choice, clusters, max_interactions)
    return landing, CONFIG, as_of
