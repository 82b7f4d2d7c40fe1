"""The weekly review in worlds whose numbers are known: what is beyond, what is on its way."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_kpis.contract import seed_columns
from scenarios import BASELINE_FROM, LAUNCH, Rows, World, configuration, scope, spread
from warehouse import LAYERS, Build, Replay, dbt, write_config, write_landing

A_DAY = 200
WEEKS = 9
OLD_ENOUGH = timedelta(days=4)  # 72 h and 24 h: a request is judged four days after it came
LAST_WEEK = (LAUNCH + timedelta(days=7 * (WEEKS - 1))).date()
AS_OF = LAUNCH + timedelta(days=7 * WEEKS, hours=12)
SHARES = {
    "falls": [0.80] * 5 + [0.79, 0.78, 0.77, 0.76],
    "crosses": [0.80] * 5 + [0.70] * 4,
    "rises": [0.80] * 5 + [0.81, 0.82, 0.83, 0.84],
}


def week_of_requests(number: int) -> datetime:
    """When the requests come that are judged in a week since launch."""
    return LAUNCH + timedelta(days=7 * number) - OLD_ENOUGH


def trends() -> World:
    """Agents of a task type each, against people who completed four of five."""
    world = World()
    for agent, shares in SHARES.items():
        people = spread(BASELINE_FROM, 28, 28 * 150)
        world.requests(people, "human", round(0.8 * len(people)), task_type=agent, kind="routed")
        for number, share in enumerate(shares):
            times = spread(week_of_requests(number), 7, 7 * A_DAY)
            times = [time for time in times if time >= LAUNCH]
            world.requests(times, "ai", round(share * len(times)), task_type=agent, kind="routed")
    # As people, day by day as chance has it.
    chance = np.random.default_rng(20260216)
    people = spread(BASELINE_FROM, 28, 28 * 150)
    world.requests(people, "human", round(0.8 * len(people)), task_type="flat", kind="routed")
    for number in range(7 * WEEKS - OLD_ENOUGH.days):
        times = spread(LAUNCH + timedelta(days=number), 1, A_DAY)
        done = int(chance.binomial(A_DAY, 0.8))
        world.requests(times, "ai", done, task_type="flat", kind="routed")
    return world


def decision(agent: str, week: date, decided: datetime, **more: Any) -> dict[str, Any]:
    return {
        "agent_name": agent,
        "week_start": week,
        "change_type": "tool",
        "summary": "Mend it.",
        "kpi": "task_completion_rate",
        "direction": "up",
        "min_effect": 0.02,
        "decide_by": week + timedelta(days=35),
        "owner": "team",
        "effective_from": decided,
    } | more


@pytest.fixture(scope="module")
def models(history_build: tuple[Build, Path]) -> Replay:
    replay = Replay(*history_build, layers=LAYERS, with_python=True)
    agents = [*SHARES, "flat"]
    config: Rows = configuration(
        *(scope(name, agent_name=name, baseline_from=BASELINE_FROM) for name in agents)
    )
    config["review_decisions"] = [
        decision("falls", LAST_WEEK, AS_OF - timedelta(hours=1)),
        decision("crosses", LAST_WEEK, AS_OF - timedelta(hours=1), decide_by=None),
        decision("rises", LAST_WEEK, AS_OF + timedelta(hours=1)),
        decision("flat", LAST_WEEK - timedelta(days=14), AS_OF - timedelta(hours=1)),
        decision("flat", LAST_WEEK - timedelta(days=7), AS_OF - timedelta(hours=13)),
    ]
    for name, rows in config.items():
        replay.configure(name, rows)
    replay.run(trends().landing, AS_OF)
    return replay


def completion(models: Replay, agent: str) -> dict[date, dict[str, Any]]:
    rows = models.records(
        "select * from marts.weekly_review "
        f"where agent_name = '{agent}' and kpi = 'task_completion_rate' order by week_start"
    )
    assert len(rows) == WEEKS
    return {row["week_start"]: row for row in rows}


def test_a_point_a_week_is_the_second_question_and_not_the_first(models: Replay) -> None:
    found = completion(models, "falls")[LAST_WEEK]
    assert found["is_complete"]
    assert found["value"] == pytest.approx(0.76, abs=0.002)
    assert found["judged_delta"] == pytest.approx(-4, abs=0.2)
    assert found["judged_delta"] > found["warning"] == -5
    assert found["slope_per_week"] == pytest.approx(-1, abs=0.25)
    assert (found["level"], found["note"]) == ("watch", "drift")
    assert found["is_drifting"]
    # Nothing is beyond its limits.
    assert (found["is_within_thresholds"], found["n_alerts"]) == (True, 0)
    weeks = completion(models, "falls").values()
    assert not any(row["is_drifting"] for row in list(weeks)[:5])


def test_what_has_crossed_is_the_first_question_and_not_the_second(models: Replay) -> None:
    found = completion(models, "crosses")[LAST_WEEK]
    assert found["is_within_thresholds"] is False
    assert found["level"] == "critical"
    # Of all requests, and of the only task type, channel and tier.
    assert (found["n_alerts"], found["n_alerts_overall"], found["n_new_alerts"]) == (4, 1, 0)
    assert not found["is_drifting"]
    assert found["worst_task_types"] == "crosses (140)"


@pytest.mark.parametrize("agent", ["flat", "rises"])
def test_chance_and_a_good_trend_are_neither(models: Replay, agent: str) -> None:
    rows = completion(models, agent)
    assert not any(row["is_drifting"] for row in rows.values())
    assert {row["n_alerts"] for row in rows.values()} == {0}
    # The first four days of the first week cannot tell.
    assert [row["is_within_thresholds"] for row in rows.values()] == [None] + [True] * (WEEKS - 1)
    assert rows[LAST_WEEK]["worst_task_types"].startswith(agent)


def test_a_review_without_a_change_that_can_fail_only_reports(models: Replay) -> None:
    def last(agent: str) -> tuple[bool, str | None]:
        (found,) = models.rows(
            "select distinct report_only, next_change_summary from marts.weekly_review "
            f"where agent_name = '{agent}' and week_start = '{LAST_WEEK}'"
        )
        return found

    assert last("falls") == (False, "Mend it.")
    assert last("crosses") == (True, "Mend it.")
    assert last("rises") == (True, None), "not known yet"
    assert last("flat") == (True, None)
    weeks = [row["report_only"] for row in completion(models, "flat").values()]
    # Of the last three: decided a week too late, before the following week was over, not at all.
    assert weeks[-3:] == [True, False, True]
    assert all(weeks[:-2])


def test_a_decision_that_cannot_be_read_stops_the_build(tmp_path: Path) -> None:
    week, at = date(2026, 3, 2), datetime(2026, 3, 9)
    rows = [
        decision("atlas", week, at),
        decision("atlas", week, at),
        decision("tuesday", week + timedelta(days=1), at),
        decision("hope", week, at, change_type="hope"),
        decision("sideways", week, at, direction="sideways"),
        decision("nothing", week, at, min_effect=0),
        decision("yesterday", week, at, decide_by=week),
        decision("nobody", week, at, owner=None),
        decision("looks", week, at, kpi=None, direction=None, min_effect=None, decide_by=None),
        decision("deflects", week, at, kpi="deflection_rate"),
        decision("misspells", week, at, kpi="completion"),
    ]
    assert set(rows[0]) == set(seed_columns()["review_decisions"])
    config = write_config(tmp_path / "config", {"review_decisions": rows})
    data = write_landing(tmp_path / "data", {})
    build = dbt(
        tmp_path / "build",
        "build",
        "--select",
        "review_decisions",
        "dim_kpis",
        data=data,
        config=config,
    )
    assert build.returncode == 1
    results = json.loads((build.folder / "target" / "run_results.json").read_text())["results"]
    assert {
        result["unique_id"].split(".")[2]: result["failures"]
        for result in results
        if result["status"] == "fail"
    } == {
        "review_decisions_holds_its_rules": 5,
        "review_decisions_is_complete": 1,
        "review_decisions_is_unique": 1,
        "review_decisions_name_known_kpis": 2,
    }
