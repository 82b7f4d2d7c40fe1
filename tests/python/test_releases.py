"""What is said of a release in worlds whose numbers are known."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scenarios import LAUNCH, World, configuration, scope, spread
from warehouse import LAYERS, Build, Replay, dbt, write_config, write_landing

HOLDOUT = {"holdout_share": 0.50, "holdout_unit": "interaction"}
RELEASED = LAUNCH + timedelta(days=70)
AS_OF = RELEASED + timedelta(days=40)


@pytest.fixture(scope="module")
def models(history_build: tuple[Build, Path]) -> Replay:
    return Replay(*history_build, layers=LAYERS, with_python=True)


def release(world: World, version: str, released_at: datetime, **terms: Any) -> None:
    world.landing["releases"].append(
        {
            "agent_name": "atlas",
            "agent_version": version,
            "released_at": released_at,
            "target_kpi": "task_completion_rate",
            "expected_direction": "up",
            "min_effect": 0.05,
            "decide_by": released_at + timedelta(days=28),
        }
        | terms
    )


def versions(world: World, **terms: Any) -> World:
    release(world, "v1", LAUNCH)
    release(world, "v2", RELEASED, **terms)
    return world


def season(
    ai: tuple[int, int], people: tuple[int, int] | None, n: int = 200, days: int = 28
) -> World:
    """So many of n completed before and after the release, by the agent and by people."""
    world = World()
    before, after = spread(RELEASED - timedelta(days=days), days, n), spread(RELEASED, 28, n)
    kind = "randomised" if people else "routed"
    for arm, completed in (("ai", ai), ("human", people)):
        for times, done in zip((before, after), completed or (), strict=False):
            world.requests(times, arm, done, kind=kind)
    return world


def run(
    models: Replay, world: World, as_of: datetime = AS_OF, **terms: Any
) -> dict[tuple[str, str], dict[str, Any]]:
    for name, rows in configuration(scope("refund", **terms)).items():
        models.configure(name, rows)
    models.run(world.landing, as_of)
    return {
        (row["agent_version"], row["kpi"]): row
        for row in models.records("select * from marts.release_effects")
    }


def completion(found: dict, version: str = "v2") -> dict[str, Any]:
    return found[version, "task_completion_rate"]


def test_a_bad_month_for_everybody_is_not_the_release(models: Replay) -> None:
    found = run(models, versions(season((100, 60), (140, 100))), **HOLDOUT)
    assert {version for version, _ in found} == {"v2"}
    assert len(found) == 5
    row = completion(found)
    assert (row["comparison_type"], row["is_time_confounded"]) == ("holdout", False)
    assert row["effect"] == pytest.approx(0)
    assert row["time_confounded_effect"] == pytest.approx(-0.20)
    assert row["time_confounded_upper_bound"] < -0.10
    assert row["verdict"] == "not_sensitive_enough"
    assert row["is_decided"]
    assert [
        row[f"n_{arm}_{when}"] for arm in ("ai", "holdout") for when in ("before", "after")
    ] == [200] * 4


@pytest.mark.parametrize(
    ("terms", "verdict", "note"),
    [
        ({"min_effect": 0.05}, "not_sensitive_enough", None),
        ({"min_effect": 0.20}, "no_effect", None),
        ({"min_effect": None}, "inconclusive", "no_min_effect"),
        ({"min_effect": 5}, "inconclusive", "min_effect_is_no_share"),
        ({"target_kpi": None}, "inconclusive", "no_target"),
    ],
)
def test_not_moved_or_not_to_be_seen(
    models: Replay, terms: dict[str, Any], verdict: str, note: str | None
) -> None:
    row = completion(run(models, versions(season((100, 100), (140, 140)), **terms), **HOLDOUT))
    assert (row["verdict"], row["note"]) == (verdict, note)
    assert row["effect"] == 0


@pytest.mark.parametrize(
    ("direction", "verdict"), [("up", "moved_against"), ("down", "moved_as_expected")]
)
def test_the_release_says_which_way(models: Replay, direction: str, verdict: str) -> None:
    world = versions(season((140, 60), (140, 140)), expected_direction=direction)
    row = completion(run(models, world, **HOLDOUT))
    assert row["effect"] == pytest.approx(-0.40)
    assert row["verdict"] == verdict


def test_two_releases_in_one_window_have_no_verdict(models: Replay) -> None:
    world = versions(season((140, 60), (140, 140)))
    release(world, "v3", RELEASED + timedelta(days=10))
    found = run(models, world, **HOLDOUT)
    first = completion(found)
    assert first["verdict"] == "overlapping"
    assert first["after_to"] == RELEASED + timedelta(days=10)
    assert first["effect"] == pytest.approx(-0.40, abs=0.03)
    # After it there are ten days with one version only.
    second = completion(found, "v3")
    assert second["before_from"] == RELEASED + timedelta(days=10) - timedelta(days=10)
    assert second["verdict"] != "overlapping"
    assert {row["verdict"] for (version, _), row in found.items() if version == "v2"} == {
        "overlapping"
    }


def test_a_holdout_that_was_not_drawn_as_planned_says_nothing(models: Replay) -> None:
    world = versions(season((140, 60), (140, 140)))
    row = completion(run(models, world, holdout_share=0.10, holdout_unit="interaction"))
    assert (row["verdict"], row["note"]) == ("inconclusive", "sample_ratio_mismatch")
    assert row["effect"] is None
    assert row["time_confounded_effect"] is None


def test_without_people_beside_it_a_movement_has_no_name(models: Replay) -> None:
    found = run(models, versions(season((800, 200), None, n=1000, days=70)))
    row = completion(found)
    assert (row["comparison_type"], row["is_time_confounded"]) == ("pre_release", True)
    assert row["effect"] == pytest.approx(-0.60, abs=0.05)
    assert row["upper_bound"] < -0.4
    assert (row["verdict"], row["note"]) == ("inconclusive", "time_confounded")
    assert row["before_from"] == LAUNCH
    assert row["reference_before"] is None
    verdicts = {row["verdict"] for row in found.values()}
    assert verdicts <= {"inconclusive", "not_sensitive_enough"}


def test_too_short_a_past_of_its_own(models: Replay) -> None:
    row = completion(run(models, versions(season((400, 100), None, n=500, days=55))))
    assert (row["effect"], row["verdict"]) == (None, "inconclusive")
    assert row["note"] == "fewer_than_56_days_before"
    assert row["time_confounded_effect"] == pytest.approx(-0.60)


def test_few_requests_have_no_limits(models: Replay) -> None:
    row = completion(run(models, versions(season((14, 6), (14, 14), n=20)), **HOLDOUT))
    assert (row["lower_bound"], row["verdict"]) == (None, "inconclusive")
    assert row["note"] == "fewer_than_30_observations"
    assert row["effect"] == pytest.approx(-0.40)


def test_until_everything_is_mature_a_verdict_is_provisional(models: Replay) -> None:
    world = versions(season((140, 60), (140, 140)))
    end = RELEASED + timedelta(days=28)
    young = completion(run(models, world, end + timedelta(days=1), **HOLDOUT))
    assert not young["is_decided"]
    assert young["n_pending"] > 0
    assert young["verdict"] == "moved_against"
    old = completion(run(models, world, end + timedelta(days=4), **HOLDOUT))
    assert old["is_decided"]
    assert old["n_pending"] == 0


def replayed(world: World, version: str, results: dict[str, list[bool]], at: datetime) -> None:
    for task, runs in results.items():
        for done in runs:
            world.request(at, "ai", kind="replayed", customer=task, minutes=10 if done else None)
            world.landing["interactions"][-1]["agent_version"] = version


def test_replays_are_paired_by_request_whenever_they_ran(models: Replay) -> None:
    world = World()
    release(world, "v1", LAUNCH)
    release(world, "v2", LAUNCH + timedelta(hours=1))
    tasks = [f"task {number}" for number in range(40)]
    # Task by task: the first ten are won, and one is run twice with different ends.
    replayed(world, "v2", {task: [True] for task in tasks}, LAUNCH + timedelta(days=1))
    replayed(
        world,
        "v1",
        {task: [number >= 10] for number, task in enumerate(tasks)}
        | {"task 39": [True, False], "only then": [True]},
        LAUNCH + timedelta(days=2),
    )
    found = run(models, world)
    row = completion(found)
    assert row["comparison_type"] == "paired"
    assert (row["n_pairs"], row["n_ai_before"], row["n_ai_after"]) == (40, 41, 40)
    assert row["effect"] == pytest.approx((10 + 0.5) / 40)
    assert row["verdict"] == "moved_as_expected"
    assert (row["before_from"], row["n_holdout_before"]) == (None, None)


def test_replays_are_not_among_the_requests_of_customers(models: Replay) -> None:
    world = versions(season((100, 100), (140, 140)))
    replayed(world, "v2", {f"task {n}": [True] for n in range(50)}, RELEASED + timedelta(days=3))
    replayed(world, "v1", {f"task {n}": [False] for n in range(50)}, RELEASED + timedelta(days=3))
    row = completion(run(models, world, **HOLDOUT))
    assert row["comparison_type"] == "holdout"
    assert (row["n_ai_after"], row["effect"]) == (200, 0)
    assert row["n_pairs"] is None


def test_every_request_has_one_version(models: Replay) -> None:
    world = World()
    moments = [RELEASED - timedelta(seconds=1), RELEASED, RELEASED + timedelta(days=1)]
    for opened_at in moments:
        world.request(opened_at, "ai", kind="routed")
    release(world, "b", RELEASED)
    release(world, "a", RELEASED)
    release(world, "c", RELEASED + timedelta(days=1))
    run(models, world)
    assert models.rows(
        "select agent_version, count(*) from facts.fct_interactions "
        "group by all order by min(opened_at)"
    ) == [("unknown_version", 1), ("b", 1), ("c", 1)]
    matches = models.rows(
        """
        select count(*) from facts.fct_interactions as i
        inner join facts.dim_agent_versions as v
            on i.agent_name = v.agent_name and i.opened_at >= v.valid_from
                and (v.valid_to is null or i.opened_at < v.valid_to)
        """
    )
    assert matches == [(2,)]


def test_releases_that_nobody_can_judge_are_warned_about(tmp_path: Path) -> None:
    world = World()
    world.request(LAUNCH - timedelta(days=1), "ai", kind="routed")
    world.request(LAUNCH + timedelta(days=40), "ai", kind="routed")
    release(world, "v1", LAUNCH, target_kpi=None)
    for day, (version, terms) in enumerate(
        {
            "fine": {},
            "no target": {"target_kpi": None},
            "no KPI": {"target_kpi": "error_rate"},
            "no size": {"min_effect": None},
            "points": {"min_effect": 5},
            "seconds": {"target_kpi": "time_to_resolution", "min_effect": 600},
            "backwards": {"min_effect": -0.05},
            "too late": {"decide_by": LAUNCH},
        }.items(),
        1,
    ):
        release(world, version, LAUNCH + timedelta(days=day), **terms)
    release(world, "twin", LAUNCH + timedelta(days=8))
    tests = {
        "agent_versions_are_contiguous": 0,
        "interactions_of_an_unknown_version": 1,
        "releases_in_one_second": 1,
        "releases_that_cannot_be_judged": 6,
    }
    build = dbt(
        tmp_path,
        "build",
        "--exclude-resource-type",
        "unit_test",
        "--store-failures",
        "--indirect-selection",
        "cautious",
        "--select",
        *(f"+{name}" for name in tests),
        data=write_landing(tmp_path / "data", world.landing),
        config=write_config(tmp_path / "config", configuration(scope("refund"))),
    )
    assert build.returncode == 0, build.output
    assert {name: build.results[name] for name in tests} == {
        name: "warn" if n else "pass" for name, n in tests.items()
    }
    schema = build.value(
        "select table_schema from information_schema.tables "
        "where table_name = 'releases_that_cannot_be_judged'"
    )
    assert {name: build.value(f"select count(*) from {schema}.{name}") for name in tests} == tests
    versions = build.rows(f"select agent_version from {schema}.releases_that_cannot_be_judged")
    assert {version for (version,) in versions} == {
        "no target",
        "no KPI",
        "no size",
        "points",
        "backwards",
        "too late",
    }
