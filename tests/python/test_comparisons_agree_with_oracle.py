"""What comparisons are made of, against a plain-Python computation, over random histories."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings

import oracle_comparisons as oracle
from strategies import AUTUMN_CHANGE, CONFIG, LATE, SPRING_CHANGE, bulk_history, histories
from warehouse import Replay

KEY = "agent_name, segment_type, segment, population, task_type"
COUNTS = [
    "n_interactions",
    "n_mature",
    "n_completed",
    "n_resolved",
    "n_escalated",
    "n_unresolved",
    "n_priced",
    "n_completed_priced",
    "n_surveys_sent",
    "n_surveys_answered",
]
SUMS = ["cost_priced_usd", "cost_completed_usd", "score_sum"]


def rounded(sums: dict[tuple, Counter], names: list[str]) -> dict[tuple, tuple]:
    return {key: tuple(round(float(part[name]), 6) for name in names) for key, part in sums.items()}


def found(replay: Replay, table: str, key: str, names: list[str], where: str = "true") -> dict:
    width = key.count(",") + 1
    rows = replay.rows(f"select {key}, {', '.join(names)} from {table} where {where}")
    assert len({row[:width] for row in rows}) == len(rows)
    return {row[:width]: tuple(round(float(cell), 6) for cell in row[width:]) for row in rows}


def check(replay: Replay, landing: dict, as_of: datetime | None) -> None:
    replay.run(landing, as_of)
    facts, surveys, costs, releases = (
        replay.records(f"select * from {name}")
        for name in (
            "facts.fct_interactions",
            "facts.fct_surveys",
            "intermediate.int_cost_entries",
            "input.input_releases",
        )
    )
    ((clock,),) = replay.rows("select as_of from intermediate.int_as_of")
    scopes = oracle.scopes_of(CONFIG["agent_scopes"])
    members = list(oracle.members(facts, scopes, releases, clock)) if clock else []

    cells = found(
        replay,
        "intermediate.int_comparison_cells",
        KEY,
        COUNTS + SUMS,
        "population != 'unallocated'",
    )
    assert cells == rounded(oracle.cells(members, surveys, costs), COUNTS + SUMS)

    triangle = found(
        replay,
        "intermediate.int_csat_triangle",
        "agent_name, population, arm, task_type, cohort_date, lag_days",
        ["n", "score_sum"],
        "segment_type = 'all'",
    )
    assert triangle == rounded(oracle.triangle(members, surveys), ["n", "score_sum"])

    touched = {
        key
        for (key,) in replay.rows(
            "select interaction_id from intermediate.int_interaction_events where actor_kind = 'ai'"
        )
    }
    names = [
        "n_units",
        "n_holdout_units",
        "n_units_in_both_arms",
        "n_interactions",
        "n_holdout",
        "n_contaminated",
    ]
    splits = found(replay, "intermediate.int_holdout_splits", "agent_name", names)
    expected = {(agent,): part for agent, part in oracle.splits(members, touched).items()}
    assert splits == rounded(expected, names)

    check_paths(replay, facts)


def check_paths(replay: Replay, facts: list[dict]) -> None:
    """Every request in the window starts open, and ends where its outcome says."""
    ((not_ended,),) = replay.rows(
        """
        select coalesce(sum(case when from_state = 'open' then n else 0 end), 0)
            - coalesce(sum(case when to_state in ('failed', 'censored') then n else 0 end), 0)
        from intermediate.int_completion_transitions where segment_type = 'all'
        """
    )
    windows = {
        (agent, task_type): start
        for agent, task_type, start in replay.rows(
            "select agent_name, task_type, window_start from intermediate.int_kpi_window"
        )
    }
    inside = [
        fact
        for fact in facts
        if fact["outcome"] != "excluded"
        and fact["opened_at"].date()
        >= windows.get((fact["agent_name"] or "(none)", fact["task_type"]), datetime.max.date())
    ]
    ((n_open,),) = replay.rows(
        "select coalesce(sum(n), 0) from intermediate.int_completion_transitions "
        "where segment_type = 'all' and from_state = 'open'"
    )
    assert n_open == len(inside)
    # What neither fails nor is censored is done for good.
    assert not_ended == sum(fact["outcome"] == "completed" for fact in inside)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(histories())
def test_small_histories(replay: Replay, history: tuple) -> None:
    landing, _, as_of = history
    check(replay, landing, as_of)


@pytest.mark.parametrize("seed", range(3))
def test_large_histories(replay: Replay, seed: int) -> None:
    landing, _, as_of = bulk_history(seed=200 + seed, clusters=400)
    check(replay, landing, as_of)
    ((populations,),) = replay.rows(
        "select count(distinct population) from intermediate.int_comparison_cells"
    )
    assert populations >= 6, "the histories exercise every population"


@pytest.mark.parametrize("launch", [datetime(2026, 2, 1), SPRING_CHANGE, AUTUMN_CHANGE])
def test_a_baseline_never_moves_after_launch(replay: Replay, launch: datetime) -> None:
    """Of what was known at launch it says the same on that day and on any later one."""
    landing, _, _ = bulk_history(seed=300, clusters=400)
    columns = "agent_name, segment_type, segment, kpi, n, n_censored, round(value, 9)"
    served = ", ".join(
        f"'{row['task_type']}'" for row in CONFIG["agent_scopes"] if row["launched_at"] == launch
    )
    sql = (
        f"select {columns} from marts.kpi_baselines where segment_type = 'task_type' "
        f"and segment in ({served}) and known_at = '{launch}' order by all"
    )
    said = []
    for as_of in (launch, launch + timedelta(days=3), LATE + timedelta(days=10)):
        replay.run(landing, as_of)
        said.append(replay.rows(sql))
    assert said[0] == said[1] == said[2]
    assert launch == datetime(2026, 2, 1) or any(row[4] > 0 for row in said[0])
