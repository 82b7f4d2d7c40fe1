"""What is flagged in worlds whose numbers are known, and what is not."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scenarios import BASELINE_FROM, LAUNCH, World, configuration, scope, spread
from warehouse import LAYERS, Build, Replay, dbt, write_config, write_landing

BASELINE = {"baseline_from": BASELINE_FROM}
HOLDOUT = {"holdout_share": 0.15, "holdout_unit": "interaction"}
MATURE = timedelta(days=4)
DATED = {"owner": "team", "effective_from": datetime(2026, 1, 1)}
FLAGGED = ("warning", "critical", "catastrophic")


@pytest.fixture(scope="module")
def models(history_build: tuple[Build, Path]) -> Replay:
    return Replay(*history_build, layers=LAYERS, with_python=True)


def run(
    models: Replay,
    world: World,
    *scopes: dict[str, Any],
    as_of: datetime,
    thresholds: list[dict[str, Any]] | None = None,
) -> Replay:
    settings = configuration(*scopes)
    settings["escalation_reasons"] = [
        {"reason": reason, "reason_class": reason} | DATED
        for reason in ("capability_gap", "customer_preference")
    ]
    if thresholds is not None:
        settings["thresholds"] = thresholds
    for name, rows in settings.items():
        models.configure(name, rows)
    models.run(world.landing, as_of)
    return models


def limit(kpi: str, direction: str, unit: str, *levels: float, **more: Any) -> dict[str, Any]:
    names = ("warning", "critical", "catastrophic")
    row = {"threshold_profile": "default", "kpi": kpi, "direction": direction, "unit": unit}
    return row | dict(zip(names, levels, strict=True)) | {"sustained_periods": 2} | DATED | more


def flags(models: Replay, kpi: str, direction: str = "low", segment: str = "all") -> list[dict]:
    return models.records(
        f"select * from marts.threshold_flags where kpi = '{kpi}' and segment = '{segment}' "
        f"and direction = '{direction}' and agent_name = 'atlas' order by evaluation_date"
    )


def last(models: Replay, kpi: str, direction: str = "low", segment: str = "all") -> dict:
    return flags(models, kpi, direction, segment)[-1]


def day(number: float) -> datetime:
    return LAUNCH + timedelta(days=number)


def handed_over(
    world: World, start: datetime, days: int, a_day: int, arm: str, **reasons: float
) -> None:
    """Requests of which these shares are handed over for these reasons; the rest is helped."""
    n = a_day * days
    names = [name for name, part in reasons.items() for _ in range(round(part * a_day))]
    for number, opened_at in enumerate(spread(start, days, n)):
        place = number % a_day
        reason = names[place] if place < len(names) else None
        world.request(opened_at, arm, kind="routed", handed_off=bool(reason), reason=reason)


def test_a_spike_of_preference_is_shown_and_one_of_inability_pages(models: Replay) -> None:
    for spike, level in (("customer_preference", "ok"), ("capability_gap", "critical")):
        world = World()
        handed_over(world, BASELINE_FROM, 30, 100, "human", capability_gap=0.10)
        usual = {"capability_gap": 0.10}
        usual[spike] = usual.get(spike, 0) + 0.12
        handed_over(world, LAUNCH, 14, 300, "ai", **usual)
        run(models, world, scope("refund", **BASELINE), as_of=day(20))
        found = last(models, "escalation_rate", "high")
        assert found["value"] == pytest.approx(0.22, abs=0.001)
        assert found["delta"] == pytest.approx(0.12, abs=0.001)
        assert found["level"] == level
        if level == "ok":
            assert found["judged_delta"] == pytest.approx(0, abs=0.1)
            assert found["top_reasons"] is None
        else:
            assert found["judged_delta"] == pytest.approx(12, abs=0.1)
            assert found["action"] == "act now"
            in_window = round(0.22 * 300 * 7)
            assert found["top_reasons"] == f"capability_gap ({in_window})"
            assert found["top_task_types"] == f"refund ({in_window})"
    episode = models.record(
        "select * from marts.alert_episodes where kpi = 'escalation_rate' and segment_type = 'all'"
    )
    assert episode["worst_level"] == "critical"
    assert episode["is_open"]


def test_reasons_are_those_of_the_window_in_order(models: Replay) -> None:
    world = World()
    handed_over(world, BASELINE_FROM, 30, 100, "human", capability_gap=0.01)
    handed_over(
        world, LAUNCH, 14, 100, "ai", capability_gap=0.30, customer_preference=0.20, other=0.05
    )
    run(models, world, scope("refund", **BASELINE), as_of=day(20))
    found = last(models, "escalation_rate", "high")
    n = found["window_days"]
    # A reason that nobody mapped may page, too.
    assert found["top_reasons"] == (
        f"capability_gap ({30 * n}), customer_preference ({20 * n}), unknown ({5 * n})"
    )
    assert found["judged_delta"] == pytest.approx(34, abs=0.1)


def bad_week(kind: str) -> World:
    """People completed 80% before launch; in the fifth week everybody loses six points."""
    world = World()
    world.requests(spread(BASELINE_FROM, 35, 4200), "human", 3360, kind="routed")
    for start, days, share in ((0, 28, 0.80), (28, 9, 0.74)):
        for arm, a_day in (("ai", 170), ("human", 60)):
            n = a_day * days
            world.requests(spread(day(start), days, n), arm, round(share * n), kind=kind)
    return world


def test_a_bad_week_of_everybody_is_a_shared_shock(models: Replay) -> None:
    world = bad_week("randomised")
    terms = BASELINE | HOLDOUT | {"holdout_share": 0.26}
    run(models, world, scope("refund", **terms), as_of=day(28 + 9) + MATURE)
    found = flags(models, "task_completion_rate")
    assert {row["cause"] for row in found if row["level"] in FLAGGED} == {"shared_shock"}
    end = found[-1]
    assert (end["level"], end["cause"]) == ("warning", "shared_shock")
    assert (end["comparison_type"], end["is_time_confounded"]) == ("pre_launch", True)
    assert end["judged_delta"] == pytest.approx(-6, abs=0.1)
    assert end["holdout_delta"] == pytest.approx(-0.06, abs=0.002)
    before = [row for row in found if row["evaluation_date"] < day(28).date()]
    assert not {row["level"] for row in before} & set(FLAGGED)
    # Beside the holdout the agent is as good as ever.
    scorecard = models.record(
        "select level, delta from marts.kpi_scorecard where arm = 'ai' and segment_type = 'all' "
        "and kpi = 'task_completion_rate'"
    )
    assert scorecard["delta"] == pytest.approx(0, abs=0.005)
    assert scorecard["level"] == "ok"


def test_a_fall_of_the_agent_alone_is_its_own(models: Replay) -> None:
    world = World()
    world.requests(spread(BASELINE_FROM, 35, 4200), "human", 3360, kind="routed")
    world.requests(spread(LAUNCH, 10, 2000), "ai", 1480)
    world.requests(spread(LAUNCH, 10, 350), "human", 280)
    run(models, world, scope("refund", **(BASELINE | HOLDOUT)), as_of=day(14))
    end = last(models, "task_completion_rate")
    assert (end["level"], end["cause"]) == ("warning", "ai_specific")


def test_the_first_mature_day_of_a_catastrophe_is_enough(models: Replay) -> None:
    world = World()
    world.requests(spread(BASELINE_FROM, 35, 4200), "human", 3360, kind="routed")
    world.requests(spread(LAUNCH, 3, 900), "ai", 900 * 55 // 100)
    run(models, world, scope("refund", **BASELINE), as_of=day(5))
    levels = {row["evaluation_date"]: row["level"] for row in flags(models, "task_completion_rate")}
    assert levels == {
        LAUNCH.date() + timedelta(days=number): level
        for number, level in enumerate(["no_data"] * 4 + ["critical"])
    }


def test_nothing_to_compare_with_pages_nobody(models: Replay) -> None:
    world = World()
    world.requests(spread(LAUNCH, 10, 2000), "ai", 400, kind="routed")
    run(models, world, scope("refund"), as_of=day(14))
    found = flags(models, "task_completion_rate")
    assert {row["level"] for row in found} == {"no_data", "no_reference"}
    assert found[-1]["value"] == pytest.approx(0.2)
    assert found[-1]["delta"] is None
    assert models.rows("select count(*) from marts.alert_episodes") == [(0,)]
    missing = models.rows(
        "select item_type from marts.launch_readiness where status = 'missing' and is_required"
    )
    assert {("baseline",), ("holdout",)} <= set(missing)


def test_the_holdout_is_the_reference_without_a_baseline(models: Replay) -> None:
    world = World()
    world.requests(spread(LAUNCH, 10, 3000), "ai", 1860)
    world.requests(spread(LAUNCH, 10, 1000), "human", 800)
    run(models, world, scope("refund", **(HOLDOUT | {"holdout_share": 0.25})), as_of=day(14))
    end = last(models, "task_completion_rate")
    assert (end["comparison_type"], end["is_time_confounded"]) == ("holdout", False)
    assert end["judged_delta"] == pytest.approx(-18, abs=0.3)
    assert (end["level"], end["cause"]) == ("critical", "ai_specific")


def test_limits_apply_from_their_day_and_say_when_they_came_too_late(models: Replay) -> None:
    world = World()
    world.requests(spread(BASELINE_FROM, 35, 4200), "human", 3360, kind="routed")
    world.requests(spread(LAUNCH, 20, 6000), "ai", 6000 * 77 // 100, kind="routed")
    tighter = limit(
        "task_completion_rate", "low", "pp", 2, 4, 8, effective_from=datetime(2026, 3, 1)
    )
    wide = limit("task_completion_rate", "low", "pp", 5, 10, 20)
    run(
        models,
        world,
        scope("refund", **BASELINE),
        as_of=datetime(2026, 3, 10),
        thresholds=[wide, tighter],
    )
    found = {row["evaluation_date"]: row for row in flags(models, "task_completion_rate")}
    before, after = found[date(2026, 2, 28)], found[date(2026, 3, 1)]
    assert (before["warning"], before["is_set_after_launch"]) == (-5, False)
    # Three points below for days on end: seen, and nobody is paged.
    assert (before["level"], before["note"]) == ("watch", "drift")
    assert (after["warning"], after["is_set_after_launch"]) == (-2, True)
    assert found[date(2026, 3, 2)]["level"] == "warning"


def test_at_four_points_healthcare_is_critical_and_an_faq_is_not(models: Replay) -> None:
    world = World()
    for task_type in ("faq", "triage"):
        more = {"task_type": task_type, "kind": "routed"}
        world.requests(spread(BASELINE_FROM, 35, 4200), "human", 3360, **more)
        world.requests(spread(LAUNCH, 12, 12_000), "ai", 12_000 * 755 // 1000, **more)
    thresholds = [
        limit("task_completion_rate", "low", "pp", 5, 10, 20),
        limit("task_completion_rate", "low", "pp", 2, 4, 8, threshold_profile="healthcare"),
    ]
    settings = configuration(scope("faq", **BASELINE), scope("triage", **BASELINE))
    for row in settings["task_types"]:
        if row["task_type"] == "triage":
            row["threshold_profile"] = "healthcare"
    settings["thresholds"] = thresholds
    for name, rows in settings.items():
        models.configure(name, rows)
    models.run(world.landing, day(16))
    assert last(models, "task_completion_rate", segment="faq")["level"] == "watch"
    assert last(models, "task_completion_rate", segment="triage")["level"] == "critical"
    # The whole answers to the tightest limits of its parts.
    assert last(models, "task_completion_rate")["warning"] == -2


def test_a_metric_gets_limits_without_new_sql(models: Replay) -> None:
    world = World()
    world.requests(spread(LAUNCH, 10, 3000), "ai", 2000, kind="routed")
    thresholds = [limit("silent_failure_rate", "high", "absolute", 0.20, 0.30, 0.40)]
    run(models, world, scope("refund"), as_of=day(14), thresholds=thresholds)
    end = last(models, "silent_failure_rate", "high")
    assert end["value"] == pytest.approx(1 / 3, abs=0.01)
    assert (end["level"], end["role"], end["limit_unit"]) == ("critical", "leading", "absolute")
    assert models.rows("select distinct kpi from marts.threshold_flags") == [
        ("silent_failure_rate",)
    ]


def test_a_teams_own_metric_gets_limits_by_one_entry(project: Path, tmp_path: Path) -> None:
    """One entry in the registry and one row of thresholds: flagged, against the baseline, too."""
    registry = project / "macros" / "kpis" / "kpi_registry.sql"
    entry = (
        "{'kpi': 'reopen_rate', 'role': 'health', 'label': 'Reopened', 'unit': 'share', "
        "'better': 'low', 'method': 'proportion', 'numerator': 'n_reopened', "
        "'denominator': 'n_mature'},\n    ]) }}"
    )
    registry.write_text(registry.read_text().replace("]) }}", entry, 1))
    world = World()
    for number, opened_at in enumerate(spread(BASELINE_FROM, 35, 1000)):
        world.request(opened_at, "human", kind="routed", reopened=number % 10 == 0)
    for number, opened_at in enumerate(spread(LAUNCH, 10, 1000)):
        world.request(opened_at, "ai", kind="routed", reopened=number % 4 == 0)
    settings = configuration(scope("refund", **BASELINE))
    settings["thresholds"] = [limit("reopen_rate", "high", "pp", 5, 10, 20)]
    write_config(project / "seeds", settings)
    build = dbt(
        tmp_path / "build",
        "build",
        "--exclude-resource-type",
        "unit_test",
        "--indirect-selection",
        "cautious",
        "--select",
        "+threshold_flags",
        "thresholds_name_metrics_that_may_judge",
        data=write_landing(tmp_path / "data", world.landing),
        as_of=day(14),
        project=project,
    )
    assert build.returncode == 0, build.output
    found = build.row(
        "select value, reference_value, level from marts.threshold_flags where kpi = 'reopen_rate' "
        f"and segment_type = 'all' and evaluation_date = '{day(13):%Y-%m-%d}'"
    )
    assert found == (pytest.approx(0.25, abs=0.01), pytest.approx(0.1), "critical")


def test_surveys_are_judged_once_a_week(models: Replay) -> None:
    world = World()
    for arm, start, days, score in (("human", BASELINE_FROM, 35, 82), ("ai", LAUNCH, 42, 74)):
        for number, opened_at in enumerate(spread(start, days, 60 * days)):
            off = (-12, 0, 12)[number % 3]
            world.request(
                opened_at,
                arm,
                kind="routed",
                score=score + off,
                answered_after=timedelta(days=number % 5),
            )
    run(models, world, scope("refund", **BASELINE), as_of=day(42))
    found = flags(models, "csat")
    evaluated = {row["evaluated_on"] for row in found if row["evaluated_on"]}
    assert {day.weekday() for day in evaluated} == {6}
    assert len(evaluated) >= 5
    end = found[-1]
    assert end["judged_delta"] == pytest.approx(-8, abs=1)
    assert end["level"] == "warning"
    by_evaluation = {(row["evaluated_on"], row["value"], row["level"]) for row in found}
    assert len(by_evaluation) <= len(evaluated) + 1


def test_surveys_cannot_be_judged_by_the_hour(story_folder: Path, tmp_path: Path) -> None:
    build = dbt(
        tmp_path,
        "compile",
        "--select",
        "int_flag_limits",
        "--vars",
        "{csat_evaluation_days: 0.5}",
        data=story_folder,
    )
    assert build.returncode != 0
    assert "csat_evaluation_days in dbt_project.yml is 0.5" in build.output
    assert "whole days" in build.output
