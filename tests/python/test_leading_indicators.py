"""What moves first, in worlds whose numbers are known."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenarios import LAUNCH, World, configuration, scope, spread
from support import REPOSITORY
from warehouse import LAYERS, Build, Replay

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AS_OF = LAUNCH + timedelta(days=80)
# One agent a question, so that none is in another's numbers.
AGENTS = ["tools", "turns", "silent", "honest", "calibrated", "sure", "judged", "moving"]
FIVE = {
    "task_completion_rate",
    "escalation_rate",
    "time_to_resolution",
    "cost_per_successful_outcome",
    "csat",
}


def default_indicators() -> list[dict[str, str]]:
    with (REPOSITORY / "seeds" / "leading_indicators.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run(models: Replay, world: World, agents: list[str]) -> Replay:
    scopes = [scope(name, agent_name=name) for name in agents]
    dated = {"owner": "team", "effective_from": datetime(2026, 1, 1)}
    for name, rows in configuration(*scopes).items():
        models.configure(name, rows)
    models.configure(
        "escalation_reasons",
        [
            {"reason": "missing_tool", "reason_class": "capability_gap"} | dated,
            {"reason": "customer_requested", "reason_class": "customer_preference"} | dated,
        ],
    )
    models.configure("leading_indicators", default_indicators())
    models.run(world.landing, AS_OF)
    return models


@pytest.fixture(scope="module")
def models(history_build: tuple[Build, Path]) -> Replay:
    world = World()
    for tell in (tools, turns, fallbacks, confidence, judges, moving, days_apart):
        tell(world)
    return run(Replay(*history_build, layers=LAYERS, with_python=True), world, AGENTS)


def mart(models: Replay, where: str) -> list[dict[str, Any]]:
    return models.records(f"select * from marts.leading_indicators where {where} order by 1, 4")


def values(models: Replay, agent: str, indicator: str, segment_type: str = "all") -> dict:
    return {
        (row["segment"], row["cohort_date"]): row[indicator]
        for row in mart(models, f"agent_name = '{agent}' and segment_type = '{segment_type}'")
        if row[indicator] is not None
    }


# --- The worlds -------------------------------------------------------------------------------


def tools(world: World) -> None:
    """The call goes through, and it is the wrong tool."""
    for opened_at in spread(LAUNCH, 1, 20):
        key = world.request(opened_at, "ai", task_type="tools")
        for tool, error, right in (("refund_api", None, 0), ("order_lookup", "timeout", 1)):
            span = world.tool_call(opened_at + HOUR / 60, key, tool, error=error)
            world.score(opened_at + DAY, "tool_call_accuracy", right, key=key, span=span)


def turns(world: World) -> None:
    """From the second week on the agent forgets what was said seven turns ago."""
    for opened_at in spread(LAUNCH, 14, 140):
        late = opened_at >= LAUNCH + 7 * DAY
        key = world.request(opened_at, "ai", task_type="turns")
        for turn in range(10):
            value = 0.50 if late and turn >= 7 else 0.95
            judge = ("recall", "1")
            at = opened_at + HOUR
            world.score(at, "context_recall", value, key=key, turn=turn, judge=judge)


def fallbacks(world: World) -> None:
    """One agent never says that it cannot, another does."""
    for number, opened_at in enumerate(spread(LAUNCH, 1, 100)):
        world.request(opened_at, "ai", task_type="silent", minutes=None if number < 12 else 10)
        key = world.request(opened_at, "ai", task_type="honest", minutes=None)
        reason = "missing_tool" if number < 30 else "customer_requested" if number < 40 else None
        if reason:
            world.event(key, opened_at + HOUR, "handed_off", "ai", reason)
        elif number < 45:  # a person steps in: nobody said that it cannot
            world.event(key, opened_at + HOUR, "handed_off", "human", "missing_tool")


def confidence(world: World) -> None:
    rng = np.random.default_rng(1)
    for opened_at in spread(LAUNCH, 1, 10_000):
        stated = round(rng.random(), 6)
        right = rng.random() < stated
        key = world.request(opened_at, "ai", task_type="calibrated", minutes=10 if right else None)
        world.score(opened_at, "confidence", stated, key=key)
    for number, opened_at in enumerate(spread(LAUNCH, 1, 100)):
        key = world.request(opened_at, "ai", task_type="sure", minutes=10 if number % 2 else None)
        world.score(opened_at, "confidence", 0.9, key=key)
        world.score(opened_at, "confidence_calibration", 0.0, key=key)  # is not read


def judges(world: World) -> None:
    rng = np.random.default_rng(2)
    scores = np.tile([0, 25, 50, 75, 100], 60)
    shuffled = rng.permutation(scores)
    for number, opened_at in enumerate(spread(LAUNCH, 30, 300)):
        score = int(scores[number])
        key = world.request(opened_at, "ai", task_type="judged", score=score)

        def judged(
            version: str, value: float, at: datetime = opened_at + HOUR, of: str = key
        ) -> None:
            world.score(at, "response_quality", value, key=of, judge=("judge", version))

        judged("perfect", score / 100)
        judged("shuffled", shuffled[number] / 100)
        if number < 99:
            judged("new", score / 100)
        world.score(opened_at + HOUR, "context_recall", 0.5, key=key, judge=("recall", "1"))


def moving(world: World) -> None:
    """Tool calls go wrong from day 10 on; four days later fewer requests are completed."""
    rng = np.random.default_rng(3)
    for day in range(28):
        for opened_at in spread(LAUNCH + day * DAY, 1, 80):
            done = rng.random() < (0.80 if day < 14 else 0.50)
            key = world.request(opened_at, "ai", task_type="moving", minutes=10 if done else None)
            right = rng.random() < (0.95 if day < 10 else 0.70)
            span = world.tool_call(opened_at, key, "order_lookup")
            world.score(opened_at + HOUR, "tool_call_accuracy", float(right), span=span)
            world.score(opened_at + HOUR, "scope_coverage", float(rng.random() < 0.9), key=key)


def days_apart(world: World) -> None:
    """A call before anybody asked (a smoke test of atlas), and requests that nobody scored."""
    world.tool_call(LAUNCH - 5 * DAY, None, "order_lookup")
    for opened_at in spread(LAUNCH + 60 * DAY, 2, 10):
        world.request(opened_at, "ai", task_type="tools", minutes=None)


# --- What the marts say -----------------------------------------------------------------------


def test_a_call_that_succeeds_may_be_the_wrong_one(models: Replay) -> None:
    (row,) = mart(models, "agent_name = 'tools' and segment = 'all' and n_tool_success_rate > 0")
    assert (row["tool_success_rate"], row["tool_call_accuracy"]) == (0.5, 0.5)
    by_tool = {
        row["segment"]: (row["tool_success_rate"], row["tool_call_accuracy"], row["n_mature"])
        for row in mart(models, "agent_name = 'tools' and segment_type = 'tool'")
    }
    assert by_tool == {"refund_api": (1, 0, None), "order_lookup": (0, 1, None)}


def test_the_turns_that_lose_the_thread_are_named(models: Replay) -> None:
    found = values(models, "turns", "context_recall", "turn_bucket")
    switch = (LAUNCH + 7 * DAY).date()
    assert {segment for segment, _ in found} == {"1-3", "4-7", "8+"}
    for (segment, day), value in found.items():
        expected = 0.50 if segment == "8+" and day >= switch else 0.95
        assert value == pytest.approx(expected), (segment, day)
    n = models.rows(
        "select segment, sum(n) from intermediate.int_indicator_days "
        "where agent_name = 'turns' and segment_type = 'turn_bucket' group by 1 order by 1"
    )
    assert n == [("1-3", 420), ("4-7", 560), ("8+", 420)]


def test_an_agent_that_never_says_it_cannot_fails_in_silence(models: Replay) -> None:
    (silent,) = mart(models, "agent_name = 'silent' and segment = 'all'")
    assert (silent["abstain_rate"], silent["silent_failure_rate"]) == (0.0, 0.12)
    assert (silent["n_abstain_rate"], silent["n_silent_failure_rate"]) == (100, 100)
    (honest,) = mart(models, "agent_name = 'honest' and segment = 'all'")
    assert (honest["abstain_rate"], honest["silent_failure_rate"]) == (0.30, 0.55)
    assert honest["escalation_rate"] == 0.45


def test_confidence_that_is_right_as_often_as_it_says(models: Replay) -> None:
    (row,) = mart(models, "agent_name = 'calibrated' and segment = 'all'")
    assert row["n_confidence_calibration"] == 10_000
    assert 0 < row["confidence_calibration"] < 0.02


def test_sure_of_everything_and_right_in_half(models: Replay) -> None:
    (row,) = mart(models, "agent_name = 'sure' and segment = 'all'")
    assert row["confidence_calibration"] == pytest.approx(0.40)
    assert row["n_confidence_calibration"] == 100
    known = models.rows(
        "select distinct indicator, cohort_date, known_on from intermediate.int_indicator_days "
        "where agent_name = 'sure' and indicator = 'confidence_calibration'"
    )
    assert known == [
        ("confidence_calibration", LAUNCH.date(), (LAUNCH + 4 * DAY).date()),
    ]


def test_no_day_of_either_layer_is_dropped(models: Replay) -> None:
    early = mart(models, "agent_name = 'atlas' and segment = 'all'")
    assert [row["cohort_date"] for row in early] == [(LAUNCH - 5 * DAY).date()]
    assert (early[0]["tool_success_rate"], early[0]["status"]) == (1, "ok")
    assert early[0]["n_interactions"] is None
    assert early[0]["task_completion_rate"] is None
    late = mart(models, "agent_name = 'tools' and segment = 'all' and status = 'no_data'")
    assert [row["cohort_date"] for row in late] == [
        (LAUNCH + days * DAY).date() for days in (60, 61)
    ]
    assert all(row["n_tool_success_rate"] is None and row["n_mature"] == 5 for row in late)
    lost = models.rows(
        """
        select cohort_date, agent_name from intermediate.int_indicator_days
        union select cohort_date, agent_name from marts.kpi_daily
        where arm = 'ai' and n_interactions > 0
        except select cohort_date, agent_name from marts.leading_indicators where segment = 'all'
        """
    )
    assert lost == []


def test_the_lagging_layer_is_that_of_kpi_daily(models: Replay) -> None:
    columns = "n_interactions, n_mature, n_completed, n_escalated, n_surveys_answered"
    sums = ", ".join(f"sum({column})" for column in columns.split(", "))
    whole = models.rows(f"select {sums} from marts.kpi_daily where arm = 'ai'")
    for segment_type in ("all", "task_type", "channel", "tier"):
        assert whole == models.rows(
            f"select {sums} from marts.leading_indicators where segment_type = '{segment_type}'"
        )


def test_judges_are_held_against_what_customers_say(models: Replay) -> None:
    found = {
        row["evaluator_version"]: row
        for row in models.records(
            "select * from marts.judge_calibration where indicator = 'response_quality'"
        )
    }
    assert {name: row["status"] for name, row in found.items()} == {
        "perfect": "calibrated",
        "shuffled": "not_calibrated",
        "new": "insufficient_data",
    }
    assert {name for name, row in found.items() if row["may_alert"]} == {"perfect"}
    assert found["perfect"]["auc"] == 1
    assert found["perfect"]["spearman_rho"] == pytest.approx(1)
    assert abs(found["shuffled"]["spearman_rho"]) < 0.15
    assert (found["new"]["n_pairs"], found["new"]["response_rate"]) == (99, 1)
    recall = models.record(
        "select status, may_alert from marts.judge_calibration where indicator = 'context_recall'"
    )
    assert recall == {"status": "not_required", "may_alert": True}
    tenths = dict(
        models.rows(
            "select decile, mean_csat from marts.judge_deciles where evaluator_version = 'perfect'"
        )
    )
    assert sorted(tenths.values()) == [0, 25, 50, 75, 100]


def test_a_judge_that_does_not_track_is_shown_and_alerts_nobody(models: Replay) -> None:
    rows = mart(models, "agent_name = 'judged' and segment = 'all'")
    assert {row["judges_not_calibrated"] for row in rows} == {"response_quality"}
    assert all(row["response_quality"] is not None for row in rows)
    witnesses = models.rows(
        "select distinct evaluator_version from intermediate.int_indicator_series "
        "where indicator = 'response_quality'"
    )
    assert witnesses == [("perfect",)]
    status = models.rows(
        "select agent_name, indicator, status from marts.kpi_diagnosis "
        "where kpi = 'csat' and agent_name = 'judged' order by diagnosis_order"
    )
    assert [row[2] for row in status] == ["no_data"] * 3, "older than 28 days"


def test_tool_accuracy_moved_four_days_before_completion(models: Replay) -> None:
    rows = models.records(
        "select * from marts.first_movers where agent_name = 'moving' and segment_type = 'all' "
        "and kpi = 'task_completion_rate'"
    )
    (row,) = rows
    assert row["moved_on"] == (LAUNCH + 14 * DAY).date()
    assert (row["first_mover"], row["lead_days"]) == ("tool_call_accuracy", 4)
    assert row["lead_days_lower"] > 0
    assert row["direction"] == "worse"
    assert row["n_searched"] == 2


def diagnosed(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["kpi"], []).append(row["indicator"])
    return found


EXPECTED = {
    "task_completion_rate": ["tool_call_accuracy", "context_recall", "scope_coverage"],
    "escalation_rate": ["confidence_calibration", "fallback_quality"],
    "csat": ["response_quality", "tone_consistency", "resolution_accuracy"],
}


def test_the_default_configuration_says_what_to_look_at_first() -> None:
    rows = sorted(default_indicators(), key=lambda row: int(row["diagnosis_order"]))
    assert diagnosed(rows) == EXPECTED


def test_the_mart_lists_it_in_that_order(models: Replay) -> None:
    rows = models.records(
        "select kpi, indicator from marts.kpi_diagnosis "
        "where agent_name = 'moving' order by kpi, diagnosis_order"
    )
    assert diagnosed(rows) == EXPECTED


def test_mapped_indicators_are_metrics_of_the_registry(models: Replay) -> None:
    unknown = models.rows(
        "select indicator from config.leading_indicators "
        "where indicator not in (select kpi from marts.dim_kpis where role = 'leading')"
    )
    assert unknown == []


def test_without_traces_and_scores_the_kpis_stand_and_the_panel_has_no_data(
    history_build: tuple[Build, Path],
) -> None:
    world = World()
    for day in range(28):
        world.requests(
            spread(LAUNCH + day * DAY, 1, 40),
            "ai",
            completed=34 if day < 14 else 14,
            task_type="plain",
            score=80,
        )
    for interaction in world.landing["interactions"]:
        world.landing["costs"].append(
            {
                "cost_id": interaction["interaction_id"],
                "occurred_at": interaction["opened_at"],
                "component": "platform",
                "amount_usd": 1,
                "interaction_id": interaction["interaction_id"],
            }
        )
    models = run(Replay(*history_build, layers=LAYERS, with_python=True), world, ["plain"])
    filled = models.rows(
        "select kpi from marts.kpi_scorecard where segment_type = 'all' and arm = 'ai' "
        "and value is not null"
    )
    assert {row[0] for row in filled} >= FIVE
    panel = mart(models, "segment = 'all'")
    assert len(panel) == 28
    assert {row["status"] for row in panel} == {"no_data"}
    assert all(row["task_completion_rate"] is not None for row in panel)
    assert {row[0] for row in models.rows("select status from marts.kpi_diagnosis")} == {"no_data"}
    for name in ("judge_calibration", "judge_deciles"):
        assert models.rows(f"select count(*) from marts.{name}") == [(0,)]
    movers = models.rows(
        "select distinct first_mover, n_searched from marts.first_movers "
        "where kpi = 'task_completion_rate'"
    )
    assert movers == [("no_data", 0)]
