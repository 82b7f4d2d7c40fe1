"""The models against the plain-Python oracle, on random histories."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import oracle
from strategies import CONFIG, LATE, NOW, bulk_history, histories
from warehouse import Replay

COMPARED = [
    "outcome",
    "exclusion_reason",
    "agent_name",
    "agent_version",
    "arm",
    "matures_at",
    "is_completed",
    "is_resolved",
    "is_escalated",
    "was_reopened",
    "is_deflected",
    "repeat_contact",
    "escalation_reason_class",
    "completion_definition",
    "completion_evidence",
    "resolved_at",
    "time_to_resolution_seconds",
    "cost_usd",
    "known_cost_usd",
    "is_fully_priced",
]
COUNTS = [
    "n_interactions",
    "n_excluded",
    "n_pending",
    "n_mature",
    "n_completed",
    "n_resolved",
    "n_escalated",
    "n_reopened",
    "n_abandoned",
    "n_resolved_late",
    "n_deflected",
]


def same(left: Any, right: Any) -> bool:
    """Equal, numbers to the sixth decimal (the oracle rounds labour once, the models per entry)."""
    numbers = (int, float, Decimal)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, numbers) and isinstance(right, numbers):
        return abs(float(left) - float(right)) < 1e-6
    return left == right


def differences(expected: dict, found: dict, columns: list[str]) -> list[tuple]:
    missing = [
        (key, "row", key in expected, key in found) for key in expected.keys() ^ found.keys()
    ]
    return missing + [
        (key, column, expected[key].get(column), found[key][column])
        for key in expected.keys() & found.keys()
        for column in columns
        if not same(expected[key].get(column), found[key][column])
    ]


def check(replay: Replay, landing: dict, as_of: datetime | None) -> None:
    truth = oracle.compute(landing, CONFIG, as_of, NOW)
    replay.run(landing, as_of)

    rejected = {
        (entity, row, reason)
        for entity, row, reason in replay.rows(
            "select entity, source_row_number - 1, reason from agent_kpis.marts.rejected_rows"
        )
    }
    expected = {(e, row, reason) for e, rows in truth.rejected.items() for row, reason in rows}
    assert rejected ^ expected == set()
    for entity, rows in truth.superseded.items():
        found = replay.rows(
            f"select source_row_number - 1 from agent_kpis.intermediate.int_{entity}_screened"
            " where is_superseded"
        )
        assert {row for (row,) in found} == set(rows), entity

    facts = replay.table("facts.fct_interactions", "interaction_id")
    assert differences(truth.interactions, facts, COMPARED) == []
    spans = replay.table("facts.fct_spans", "span_id")
    costs = {key: {"cost_usd": cost} for key, cost in truth.span_costs.items()}
    assert differences(costs, spans, ["cost_usd"]) == []
    surveys = replay.table("facts.fct_surveys", "survey_id")
    columns = ["interaction_id", "survey_kind", "responded_at", "score", "lag_days"]
    assert differences(truth.surveys, surveys, columns) == []

    for arm in ("ai", "human"):
        check_kpis(replay, arm, oracle.kpis(truth, arm))

    windows = replay.rows(
        "select agent_name, arm, list(n_completed order by window_hours), count(distinct n) "
        "from agent_kpis.marts.definition_sensitivity group by all"
    )
    for agent, arm, completed, populations in windows:
        assert completed == sorted(completed, reverse=True), (agent, arm)
        assert (len(completed), populations) == (4, 1)


def check_kpis(replay: Replay, arm: str, expected: dict) -> None:
    """The roll-up of kpi_daily: sum over sum."""
    sums = ", ".join(f"coalesce(sum({count}), 0)" for count in COUNTS)
    found = replay.rows(
        f"""
        select {sums},
            sum(n_completed) / nullif(sum(n_mature), 0),
            sum(n_escalated) / nullif(sum(n_mature), 0),
            case when sum(n_completed_priced) > 0
                then cast(sum(cost_priced_usd - cost_unallocated_usd) as double)
                    / sum(n_completed_priced) end,
            sum(score_sum) / nullif(sum(n_surveys_answered), 0)
        from agent_kpis.marts.kpi_daily where arm = '{arm}'
        """
    )[0]
    names = [
        *COUNTS,
        "task_completion_rate",
        "escalation_rate",
        "cost_per_successful_outcome",
        "csat",
    ]
    wrong = [
        (name, expected[name], value)
        for name, value in zip(names, found, strict=True)
        if not same(expected[name], value)
    ]
    assert wrong == [], arm


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(histories())
def test_small_histories(replay: Replay, history: tuple) -> None:
    landing, _, as_of = history
    check(replay, landing, as_of)


@pytest.mark.parametrize("seed", range(4))
def test_large_histories(replay: Replay, seed: int) -> None:
    landing, _, as_of = bulk_history(seed=100 + seed, clusters=400)
    check(replay, landing, as_of)
    check(replay, landing, LATE)
