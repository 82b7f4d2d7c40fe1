"""The oracle against answers known from the acceptance list, and against its own invariants."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings

from oracle import (
    CONTRACT,
    Result,
    Row,
    Unparsable,
    compute,
    find_roots,
    kpis,
    lower_median,
)
from strategies import CONFIG, LATE, NOW, bulk_history, dated, histories, task_type

OPENED = datetime(2026, 4, 6, 10)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
AGES = timedelta(days=30)

RULES = {
    **CONFIG,
    "task_types": dated(
        [
            task_type("ticket", "resolved_not_reopened", "72", "24", "any"),
            task_type("ticket_last", "resolved_not_reopened", "72", "24", "last"),
            task_type("booking", "booked_and_paid", "72", "24", "any"),
            task_type("question", "question_not_repeated", "72", "24", "any"),
        ]
    ),
    "channels": dated(
        [
            {"channel": "voice", "kind": "sync"},
            {"channel": "email", "kind": "async"},
        ]
    ),
}
_numbers = count()


def interaction(key: str = "i", **more: object) -> Row:
    return {
        "interaction_id": key,
        "opened_at": OPENED,
        "assigned_arm": "ai",
        "task_type": "ticket",
        "channel": "email",
        "tier": "tier_1",
        **more,
    }


def event(kind: str, after: timedelta = HOUR, actor: str = "ai", key: str = "i", **more) -> Row:
    return {
        "event_id": f"e{next(_numbers):06}",
        "interaction_id": key,
        "occurred_at": OPENED + after,
        "event_type": kind,
        "actor_kind": actor,
        **more,
    }


def span(key: str, **more: object) -> Row:
    return {
        "span_id": key,
        "started_at": OPENED,
        "operation": "inference",
        "interaction_id": "i",
        "model": "large",
        **more,
    }


def judge(*events: Row, as_of: datetime = OPENED + AGES, **landing: list[Row]) -> Result:
    """The result for one interaction, or for the given ones."""
    rows = {"interactions": [interaction()], "events": list(events)} | landing
    return compute(rows, RULES, as_of, NOW)


def fact(*events: Row, as_of: datetime = OPENED + AGES, **more: object) -> Row:
    rows = [interaction(**more)]
    return judge(*events, as_of=as_of, interactions=rows).interactions["i"]


# --- Screening ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "change", "reason"),
    [
        ("interactions", {"task_type": None, "opened_at": Unparsable("x")}, "missing_required"),
        ("interactions", {"is_spam": Unparsable("maybe")}, "unparsable_value"),
        ("interactions", {"assigned_arm": "robot"}, "unknown_value"),
        ("interactions", {"opened_at": NOW + timedelta(days=1)}, None),
        ("interactions", {"opened_at": NOW + timedelta(days=1, seconds=1)}, "future_time"),
        ("events", {"event_type": "exploded", "handle_seconds": -1.0}, "unknown_value"),
        ("events", {"handle_seconds": -1.0}, "negative_value"),
        ("events", {"interaction_id": "nowhere"}, "orphan"),
        ("events", {"occurred_at": OPENED - SECOND}, "before_interaction_opened"),
        ("events", {"occurred_at": OPENED}, None),
        ("surveys", {"responded_at": OPENED + HOUR - SECOND}, "responded_before_sent"),
        ("surveys", {"survey_source": "fax"}, "undeclared_survey_source"),
        ("surveys", {"survey_source": "fax", "score": None}, None),
        ("surveys", {"score": 5.01}, "score_outside_scale"),
        ("surveys", {"sent_at": OPENED - SECOND}, "before_interaction_opened"),
        ("spans", {"input_tokens": -1}, "negative_value"),
        ("costs", {"amount_usd": Decimal("-0.01")}, "negative_value"),
        ("costs", {"interaction_id": "nowhere"}, None),
        ("releases", {"decide_by": NOW + timedelta(days=9)}, None),
    ],
)
def test_one_reason_for_each_rejected_row(entity, change, reason):
    rows = {
        "interactions": interaction(),
        "events": event("message"),
        "surveys": {
            "survey_id": "v",
            "interaction_id": "i",
            "survey_kind": "post_interaction",
            "survey_source": "email_csat",
            "sent_at": OPENED + HOUR,
            "responded_at": OPENED + 2 * HOUR,
            "score": 5.0,
        },
        "spans": span("s"),
        "costs": {
            "cost_id": "c",
            "occurred_at": OPENED,
            "component": "platform",
            "amount_usd": Decimal(1),
        },
        "releases": {"agent_name": "atlas", "agent_version": "v1", "released_at": OPENED},
    }
    landing = {name: [row] for name, row in rows.items()}
    landing[entity] = [rows[entity] | change]
    result = compute(landing, RULES, None, NOW)
    if reason is None:
        assert result.rejected[entity] == []
        assert len(result.accepted[entity]) == 1
    else:
        [(index, found)] = result.rejected[entity]
        assert index == 0
        assert found.startswith(reason)


def test_the_last_row_that_fits_wins():
    first, second = interaction(channel="email"), interaction(channel="voice")
    broken = interaction(assigned_arm="robot")
    result = judge(interactions=[first, second, broken])
    assert result.superseded["interactions"] == [0]
    assert result.rejected["interactions"] == [(2, "unknown_value")]
    assert result.interactions["i"]["channel"] == "voice"


def test_the_watermark_is_the_last_opening_or_event():
    sent = OPENED + timedelta(days=3)
    survey = {
        "survey_id": "v",
        "interaction_id": "i",
        "survey_kind": "post_interaction",
        "survey_source": "email_csat",
        "sent_at": sent,
    }
    result = judge(event("message", 5 * HOUR), surveys=[survey], as_of=None)
    assert result.as_of == OPENED + 5 * HOUR
    assert result.surveys == {}


def test_without_a_ticket_there_is_no_watermark():
    assert compute({}, RULES, None, NOW).as_of is None


# --- Outcomes -------------------------------------------------------------------------------------


def test_deflection_is_not_completion():
    rows, events = [], []
    for number in range(20):
        key = f"i{number:02}"
        rows.append(interaction(key))
        if number < 10:
            events.append(event("resolved", key=key))
        if 7 <= number < 10:
            events.append(event("reopened", 2 * HOUR, "customer", key))
        if number >= 12:
            events.append(event("handed_off", key=key))
    found = kpis(judge(*events, interactions=rows), "ai")
    assert found["n_deflected"] / found["n_mature"] == 0.60
    assert found["task_completion_rate"] == 0.35
    assert (found["n_reopened"], found["n_abandoned"]) == (3, 2)


def test_a_human_who_helps_makes_it_an_escalation():
    row = fact(event("message", actor="human"), event("resolved", 2 * HOUR))
    assert row["outcome"] == "escalated"
    assert row["is_resolved"]
    assert not row["is_completed"]
    assert not row["is_deflected"]
    assert fact(event("opened", actor="human"), event("resolved"))["is_completed"]


def test_the_human_arm_escalates_by_handing_off_only():
    events = [event("message", actor="human"), event("resolved", actor="ai")]
    assert fact(*events, assigned_arm="human")["outcome"] == "completed"
    assert fact(event("handed_off"), *events, assigned_arm="human")["outcome"] == "escalated"


@pytest.mark.parametrize(
    ("changes", "outcome", "was_reopened"),
    [
        ([], "abandoned", False),
        ([("resolved", HOUR)], "completed", False),
        ([("resolved", HOUR), ("reopened", HOUR)], "reopened", True),
        ([("resolved", HOUR), ("reopened", HOUR + SECOND)], "reopened", True),
        ([("resolved", HOUR), ("reopened", 25 * HOUR - SECOND)], "reopened", True),
        ([("resolved", HOUR), ("reopened", 25 * HOUR)], "reopened", True),
        ([("resolved", HOUR), ("reopened", 25 * HOUR + SECOND)], "completed", True),
        ([("reopened", HOUR), ("resolved", HOUR + SECOND)], "completed", False),
        (
            [("resolved", HOUR), ("reopened", 2 * HOUR), ("resolved", 3 * HOUR)],
            "reopened",
            True,
        ),
        ([("resolved", 72 * HOUR)], "completed", False),
        ([("resolved", 72 * HOUR), ("reopened", 96 * HOUR)], "reopened", True),
        ([("resolved", 72 * HOUR + SECOND)], "resolved_late", False),
        ([("resolved", 96 * HOUR)], "resolved_late", False),
        ([("resolved", 96 * HOUR + SECOND)], "abandoned", False),
        ([("resolved", 80 * HOUR), ("reopened", 96 * HOUR + SECOND)], "resolved_late", True),
        ([("closed", HOUR)], "abandoned", False),
    ],
)
def test_truth_table_to_the_second(changes, outcome, was_reopened):
    row = fact(*(event(kind, after) for kind, after in changes))
    assert row["outcome"] == outcome
    assert row["was_reopened"] is was_reopened


def test_an_automatic_closing_is_no_resolution():
    assert fact(event("resolved", actor="system"))["outcome"] == "abandoned"
    assert fact(event("resolved", actor="customer"))["outcome"] == "completed"


def test_the_rule_last_looks_at_the_last_resolution():
    events = [event("resolved"), event("reopened", 2 * HOUR), event("resolved", 3 * HOUR)]
    row = fact(*events, task_type="ticket_last")
    assert row["outcome"] == "completed"
    assert row["was_reopened"]
    row = fact(*events, event("reopened", 4 * HOUR), task_type="ticket_last")
    assert row["outcome"] == "reopened"


@pytest.mark.parametrize("opened_at", [datetime(2026, 3, 28, 23), datetime(2026, 10, 24, 23)])
@pytest.mark.parametrize(("after", "outcome"), [(24, "reopened"), (25, "completed")])
def test_clock_changes_do_not_matter(opened_at, after, outcome):
    solved = {**event("resolved"), "occurred_at": opened_at + HOUR}
    undone = {**event("reopened"), "occurred_at": opened_at + HOUR + after * HOUR}
    assert fact(solved, undone, opened_at=opened_at, as_of=NOW)["outcome"] == outcome


def test_a_follow_up_reopens_its_parent():
    rows = [
        interaction(),
        interaction("f", opened_at=OPENED + 7 * HOUR, parent_interaction_id="i"),
        interaction("u", opened_at=OPENED + 7 * HOUR, parent_interaction_id="nowhere"),
    ]
    result = judge(event("resolved"), event("closed", 2 * HOUR), interactions=rows)
    assert result.interactions["i"]["outcome"] == "reopened"
    assert set(result.interactions) == {"i", "u"}


def test_chains_and_circles_of_parents():
    parents = {"a": None, "b": "a", "c": "b", "x": "y", "y": "x", "z": "x", "s": "s", "m": "none"}
    rows = {
        key: {"parent_interaction_id": parent, "opened_at": OPENED}
        for key, parent in parents.items()
    }
    assert find_roots(rows) == {
        **{"a": "a", "b": "a", "c": "a"},
        **{"x": "x", "y": "y", "z": "z", "s": "s", "m": "m"},
    }


def test_a_chain_has_at_most_32_generations():
    rows = {n: {"parent_interaction_id": n - 1, "opened_at": OPENED} for n in range(40)}
    roots = find_roots(rows)
    assert [n for n in rows if roots[n] == n] == [0, *range(33, 40)]


def test_a_parent_opened_after_its_follow_up_is_no_parent():
    rows = {
        "early": {"parent_interaction_id": "late", "opened_at": OPENED},
        "late": {"parent_interaction_id": None, "opened_at": OPENED + SECOND},
    }
    assert find_roots(rows) == {"early": "early", "late": "late"}


def test_the_young_are_pending_whatever_happened():
    events = [event("resolved"), event("handed_off", 2 * HOUR)]
    matures_at = OPENED + 96 * HOUR
    row = fact(*events, as_of=matures_at - SECOND)
    assert row["outcome"] == "pending"
    assert row["is_completed"] is row["is_escalated"] is row["was_reopened"] is None
    assert fact(*events, as_of=matures_at)["outcome"] == "escalated"


@pytest.mark.parametrize(
    ("kinds", "outcome"),
    [
        ("", "abandoned"),
        ("booking_confirmed", "abandoned"),
        ("payment_processed", "abandoned"),
        ("booking_confirmed payment_processed", "completed"),
        ("payment_processed booking_confirmed", "completed"),
        ("booking_confirmed payment_processed payment_processed", "completed"),
        ("booking_confirmed payment_processed payment_reversed", "reopened"),
        ("booking_confirmed booking_cancelled payment_processed", "abandoned"),
        ("booking_cancelled booking_confirmed payment_processed", "completed"),
    ],
)
def test_booked_and_paid(kinds, outcome):
    events = [event(kind, HOUR * (n + 1)) for n, kind in enumerate(kinds.split())]
    assert fact(*events, task_type="booking")["outcome"] == outcome


@pytest.mark.parametrize(
    ("hours_after", "outcome"), [(1, "reopened"), (95, "reopened"), (96, "completed")]
)
def test_a_reversal_counts_until_maturity(hours_after, outcome):
    events = [event("booking_confirmed"), event("payment_processed")]
    undone = event("payment_reversed", (1 + hours_after) * HOUR)
    assert fact(*events, undone, task_type="booking")["outcome"] == outcome


MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("steps", "outcome", "repeat"),
    [
        ([("ask", 0, "a"), ("answer", 1, "a")], "completed", False),
        ([("ask", 0, "a"), ("answer", 0, "a")], "completed", False),
        ([("ask", 0, "a")], "abandoned", False),
        ([("ask", 0, "a"), ("answer", 1, "a"), ("ask", 5, "a")], "reopened", False),
        (
            [("ask", 0, "a"), ("answer", 1, "a"), ("ask", 5, "b"), ("answer", 6, "b")],
            "completed",
            False,
        ),
        ([("ask", 0, "a"), ("answer", 1, "a"), ("ask", 5, "b")], "abandoned", False),
        ([("ask", 0, "a"), ("answer", 1, "a"), ("ask", 31, "a")], "reopened", False),
        ([("ask", 0, "a"), ("answer", 1, "a"), ("ask", 31.1, "a")], "completed", True),
        (
            [("ask", 0, "a"), ("answer", 1, "a"), ("closed", 2, None), ("ask", 3, "a")],
            "completed",
            True,
        ),
        ([("ask", 0, "a"), ("ask", 0.5, "a"), ("answer", 1, "a")], "completed", False),
        ([("ask", 0, "a"), ("answer", 1, "b")], "abandoned", False),
        ([("ask", 0, "a"), ("answer", 1, None)], "completed", False),
        ([("ask", 0, None), ("answer", 1, "b"), ("ask", 2, None)], "abandoned", False),
    ],
)
def test_questions(steps, outcome, repeat):
    kinds = {"ask": "question_asked", "answer": "question_answered", "closed": "closed"}
    events = [event(kinds[kind], MINUTE * minute, question_key=key) for kind, minute, key in steps]
    row = fact(*events, task_type="question")
    assert row["outcome"] == outcome
    assert row["repeat_contact"] is repeat


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ([None], "assumed"),
        (["assumed"], "assumed"),
        (["assumed", "confirmed"], "confirmed"),
        (["verified", "confirmed", None], "verified"),
    ],
)
def test_the_strongest_evidence(evidence, expected):
    events = [event("resolved", HOUR * (n + 1), evidence=e) for n, e in enumerate(evidence)]
    assert fact(*events)["completion_evidence"] == expected
    assert fact(*events, event("reopened", 9 * HOUR))["completion_evidence"] is None


def test_an_undefined_task_type_is_excluded():
    row = fact(event("resolved"), task_type="unheard of")
    assert (row["outcome"], row["exclusion_reason"]) == ("excluded", "undefined_task_type")
    assert fact(is_spam=True)["exclusion_reason"] == "spam"
    assert fact(is_test=True)["exclusion_reason"] == "test"


# --- Escalation -----------------------------------------------------------------------------------


def test_escalation_rate():
    rows = [interaction(f"i{number}") for number in range(1_000)]
    events = [event("handed_off", key=f"i{number}") for number in range(180)]
    events += [event("handed_off", 2 * HOUR, key="i7")]
    assert kpis(judge(*events, interactions=rows), "ai")["escalation_rate"] == 0.180


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        (["missing_tool"], "capability_gap"),
        (["customer_requested"], "customer_preference"),
        ([None, "customer_requested", "missing_tool"], "customer_preference"),
        (["identity_check"], "planned"),  # a later row has applied since 29 March
        (["something else"], "unknown"),
        ([None], "unknown"),
    ],
)
def test_reason_classes(reasons, expected):
    events = [event("handed_off", HOUR * (n + 1), reason=r) for n, r in enumerate(reasons)]
    assert fact(*events)["escalation_reason_class"] == expected


def test_preference_after_two_failed_turns():
    wish = event("handed_off", HOUR, reason="customer_requested")

    def reason_class(*spans: Row, events: tuple[Row, ...] = ()) -> str:
        result = judge(wish, *events, spans=list(spans))
        return result.interactions["i"]["escalation_reason_class"]

    one = span("s1", trace_id="t1", error_type="timeout")
    same_turn = span("s2", trace_id="t1", error_type="timeout")
    own_turn = span("s3", error_type="timeout")
    too_late = span("s4", error_type="timeout", started_at=OPENED + HOUR)
    asks = tuple(event("question_asked", MINUTE * n, question_key="q") for n in (1, 2))
    assert reason_class(one, same_turn, too_late) == "customer_preference"
    assert reason_class(one, own_turn) == "preference_after_failure"
    assert reason_class(one, events=asks) == "preference_after_failure"
    assert reason_class(one, events=asks[:1]) == "customer_preference"


# --- Time to resolution ---------------------------------------------------------------------------


def test_time_runs_to_the_resolution_that_stood():
    events = [event("resolved"), event("reopened", 2 * HOUR), event("resolved", 5 * HOUR)]
    assert fact(*events)["time_to_resolution_seconds"] == 300 * 60
    assert fact(event("message"))["time_to_resolution_seconds"] is None


def test_a_resolution_counts_once_its_window_is_over():
    row = fact(event("resolved"), as_of=OPENED + 25 * HOUR - SECOND)
    assert row["resolved_at"] is None
    assert fact(event("resolved"), as_of=OPENED + 25 * HOUR)["resolved_at"] == OPENED + HOUR


def test_async_waits_count():
    events = [event("message", n * 4 * HOUR, "customer") for n in range(3)]
    row = fact(*events, event("resolved", 8 * HOUR))
    assert row["time_to_resolution_seconds"] == 8 * 3600


def test_handling_time_on_the_phone():
    events = [
        event("message", 9 * MINUTE, "human"),
        event("resolved", 15 * MINUTE, "human", handle_seconds=360.0),
        event("wrapped_up", 17 * MINUTE, "human", handle_seconds=120.0),
    ]

    def minutes(*events: Row, channel: str) -> float:
        row = fact(*events, channel=channel, assigned_arm="human")
        return row["time_to_resolution_seconds"] / 60

    assert minutes(*events, channel="voice") == 8
    assert minutes(*events, channel="email") == 15
    assert minutes(events[0], event("resolved", 15 * MINUTE), channel="voice") == 6
    assert minutes(event("resolved", 15 * MINUTE), channel="voice") == 15
    late = event("resolved", 17 * MINUTE, "human")
    assert minutes(events[0], late, channel="email") == 17


def test_the_median_counts_the_unresolved_as_longest():
    assert lower_median([]) is None
    assert lower_median([5.0]) == 5.0
    assert lower_median([5.0, None]) == 5.0
    assert lower_median([5.0, None, None]) is None
    assert lower_median([9.0, 5.0, 7.0, None]) == 7.0


# --- Cost -----------------------------------------------------------------------------------------


def cost_rows(amount: str, calls: int) -> list[Row]:
    return [
        {
            "cost_id": f"c{number}",
            "occurred_at": OPENED,
            "component": "platform",
            "amount_usd": Decimal(amount),
            "interaction_id": f"i{number}",
        }
        for number in range(calls)
    ]


@pytest.mark.parametrize(
    ("amount", "successes", "expected"),
    [("0.50", 400, "1.2500"), ("0.80", 900, "0.8889"), ("0.50", 0, None)],
)
def test_cost_per_successful_outcome(amount, successes, expected):
    result = judge(
        *(event("resolved", key=f"i{number}") for number in range(successes)),
        interactions=[interaction(f"i{number}") for number in range(1_000)],
        costs=cost_rows(amount, 1_000),
    )
    found = kpis(result, "ai")["cost_per_successful_outcome"]
    assert found == expected or round(found, 4) == Decimal(expected)  # null without success


def test_human_minutes_are_part_of_the_cost():
    def cost(*events: Row, **landing: list[Row]) -> Decimal | None:
        return judge(*events, **landing).interactions["i"]["cost_usd"]

    recorded = event("message", actor="human", handle_seconds=900.0)
    assert cost(recorded) == 7  # a quarter of an hour at 28
    assert cost(event("message", actor="human")) == Decimal("4.2")  # nine minutes by default
    assert cost(event("opened", actor="human")) is None  # no entry at all: not known, not free
    reported = cost_rows("3", 1)[0] | {"interaction_id": "i", "component": "human"}
    assert cost(recorded, costs=[reported]) == 3
    unknown = [interaction(tier="tier_9")]
    assert cost(recorded, interactions=unknown) is None
    assert cost(interactions=unknown, costs=[reported]) == 3


def test_prices_follow_their_dates_and_a_missing_one_is_null():
    change = datetime(2026, 3, 29)
    spans = [
        span("before", started_at=change - SECOND, input_tokens=1_000_000),
        span("after", started_at=change, input_tokens=1_000_000),
        span("unpriced", model="unheard of", input_tokens=1),
        span("too_early", model="late", input_tokens=1),
        span("no_usage"),
        span("tool", operation="tool", model=None),
        span("reported", model=None, reported_cost_usd=Decimal("0.25")),
    ]
    result = judge(spans=spans)
    assert result.span_costs == {
        "before": 3,
        "after": 2,
        "unpriced": None,
        "too_early": None,
        "no_usage": None,
        "tool": 0,
        "reported": Decimal("0.25"),
    }
    row = result.interactions["i"]
    assert row["cost_usd"] is None
    assert not row["is_fully_priced"]
    assert row["known_cost_usd"] == Decimal("5.25")


def test_cached_input_is_part_of_input_and_parents_repeat():
    spans = [
        span("root", input_tokens=150),
        span("between", operation="tool", model=None, parent_span_id="root"),
        span("one", input_tokens=100, parent_span_id="between"),
        span("two", input_tokens=50, parent_span_id="root"),
        span("cached", input_tokens=1_000, cached_input_tokens=400, output_tokens=10),
        span("small", model="small", input_tokens=1_000, cached_input_tokens=400),
    ]
    costs = judge(spans=spans).span_costs
    assert costs["root"] == costs["between"] == 0
    assert costs["one"] + costs["two"] == Decimal("0.0003")  # 150 tokens, not 300
    assert costs["cached"] == Decimal("0.0012") + Decimal("0.00008") + Decimal("0.0001")
    assert costs["small"] == Decimal("0.0004")  # without a cached price it costs what input does


# --- Surveys --------------------------------------------------------------------------------------


def survey(key: str, score: float | None, **more: object) -> Row:
    sent_at = OPENED + HOUR
    return {
        "survey_id": key,
        "interaction_id": "i",
        "survey_kind": "post_interaction",
        "survey_source": "email_csat",
        "sent_at": sent_at,
        "responded_at": None if score is None else sent_at + HOUR,
        "score": score,
        **more,
    }


def test_r44_scores_are_points_on_one_scale():
    surveys = [
        survey("a", 5.0),
        survey("b", 3.0),
        survey("c", None),
        survey("d", 0.0, survey_source="chat_thumbs"),
        survey("e", 1.0, survey_kind="in_conversation"),
    ]
    result = judge(surveys=surveys)
    scores = {key: row["score"] for key, row in result.surveys.items()}
    assert scores == {"a": 100, "b": 50, "c": None, "d": 0, "e": 0}
    assert kpis(result, "ai")["csat"] == 50
    assert kpis(result, "human")["csat"] is None


def test_answers_belong_to_the_root_and_are_known_when_given():
    day = timedelta(days=1)
    rows = [interaction(), interaction("f", opened_at=OPENED + HOUR, parent_interaction_id="i")]
    late = survey("v", 4.0, interaction_id="f", responded_at=OPENED + 3 * day - SECOND)
    row = judge(interactions=rows, surveys=[late]).surveys["v"]
    assert (row["interaction_id"], row["lag_days"], row["score"]) == ("i", 2, 75)
    row = judge(interactions=rows, surveys=[late], as_of=OPENED + 2 * day).surveys["v"]
    assert (row["responded_at"], row["lag_days"], row["score"]) == (None, None, None)


# --- Agents ---------------------------------------------------------------------------------------


def test_agents_come_from_the_row_or_from_the_scope():
    released = [
        {"agent_name": "atlas", "agent_version": version, "released_at": OPENED + shift}
        for version, shift in [("v1", -HOUR), ("v2", timedelta(0)), ("v3", SECOND)]
    ]
    rows = [
        interaction("own", agent_name="zephyr", agent_version="v9"),
        interaction("scoped", task_type="booking"),
        interaction("human", task_type="booking", assigned_arm="human"),
        interaction("unscoped"),
    ]
    found = judge(interactions=rows, releases=released).interactions
    agents = {key: (row["agent_name"], row["agent_version"]) for key, row in found.items()}
    assert agents == {
        "own": ("zephyr", "v9"),
        "scoped": ("atlas", "v2"),
        "human": ("atlas", None),
        "unscoped": (None, "unknown_version"),
    }


# --- Invariants on random histories ---------------------------------------------------------------

RANDOM = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
OUTCOME = ("outcome", "is_completed", "is_resolved", "is_escalated", "escalation_reason_class")


@given(history=histories())
@RANDOM
def test_nothing_is_lost(history):
    """Raw rows = accepted + rejected + superseded."""
    landing, config, as_of = history
    result = compute(landing, config, as_of, NOW)
    for entity in CONTRACT:
        parts = (result.accepted, result.rejected, result.superseded)
        assert len(landing[entity]) == sum(len(part[entity]) for part in parts)


@given(history=histories())
@RANDOM
def test_counts_add_up(history):
    """The parts of the whole, and the outcomes of the mature add up as well."""
    landing, config, as_of = history
    result = compute(landing, config, as_of, NOW)
    for arm in ("ai", "human"):
        found = kpis(result, arm)
        parts = ("n_excluded", "n_pending", "n_mature")
        assert found["n_interactions"] == sum(found[part] for part in parts)
        outcomes = ("completed", "escalated", "reopened", "abandoned", "resolved_late")
        assert found["n_mature"] == sum(found[f"n_{outcome}"] for outcome in outcomes)
        assert found["n_completed"] <= found["n_resolved"]


@given(history=histories())
@RANDOM
def test_nothing_after_maturity_changes_the_outcome(history):
    landing, config, _ = history
    final = compute(landing, config, LATE, NOW)
    for key, row in final.interactions.items():
        if row["matures_at"] is not None and row["matures_at"] <= LATE:
            then = compute(landing, config, row["matures_at"], NOW).interactions[key]
            assert {name: then[name] for name in OUTCOME} == {name: row[name] for name in OUTCOME}


def test_bulk_histories_visit_every_path():
    """The comparison is worth nothing where the random histories never go."""
    outcomes, reasons, classes = set(), set(), set()
    for seed in range(3):
        landing, config, _ = bulk_history(seed, clusters=600)
        result = compute(landing, config, LATE, NOW)
        rows = result.interactions.values()
        outcomes |= {(row["completion_definition"], row["outcome"]) for row in rows}
        classes |= {row["escalation_reason_class"] for row in rows}
        for rejected in result.rejected.values():
            reasons |= {reason for _, reason in rejected}
    definitions = {row["definition"] for row in CONFIG["task_types"]}
    judged = {"completed", "escalated", "reopened", "abandoned", "resolved_late", "excluded"}
    assert {(name, outcome) for name in definitions for outcome in judged} <= outcomes
    assert len(reasons) == 10
    assert {"preference_after_failure", "customer_preference", "planned", "unknown"} <= classes
