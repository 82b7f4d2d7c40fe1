"""Was success defined before launch: what the marts say of configurations that are known."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scenarios import BASELINE_FROM, LAUNCH, World, configuration, scope, spread
from support import REPOSITORY
from warehouse import LAYERS, Build, Replay, dbt, write_config, write_landing

BEFORE = datetime(2026, 1, 1)
LATER = LAUNCH + timedelta(days=60)
SECOND = timedelta(seconds=1)
FIVE = {
    "task_completion_rate": "low",
    "escalation_rate": "high",
    "time_to_resolution": "high",
    "cost_per_successful_outcome": "high",
    "csat": "low",
}


@pytest.fixture(scope="module")
def models(history_build: tuple[Build, Path]) -> Replay:
    return Replay(*history_build, layers=LAYERS)


def whole(*scopes: dict[str, Any], since: datetime = BEFORE) -> dict[str, list[dict[str, Any]]]:
    """A configuration in which nothing is missing, every row dated `since`."""
    dated = {"owner": "team", "effective_from": since}
    config = configuration(*scopes)
    for rows in config.values():
        for row in rows:
            row["effective_from"] = since
    config["thresholds"] = [limit(kpi) | dated for kpi in FIVE]
    config["alert_routes"] = [{"minimum_level": "critical", "route": "on_call"} | dated]
    config["weekly_reviews"] = [
        {"agent_name": agent, "weekday": "monday"} | dated
        for agent in sorted({row["agent_name"] for row in scopes})
    ]
    return config


def limit(kpi: str, **more: Any) -> dict[str, Any]:
    return {
        "threshold_profile": "default",
        "kpi": kpi,
        "direction": FIVE.get(kpi, "low"),
        "unit": "pp",
        "warning": 5,
        "critical": 10,
        "catastrophic": 20,
        "sustained_periods": 2,
        "owner": "team",
        "effective_from": BEFORE,
    } | more


def people(days: float = 30) -> World:
    world = World()
    world.requests(spread(BASELINE_FROM, days, 40), "human", 30)
    return world


def run(
    models: Replay, config: dict[str, list[dict[str, Any]]], world: World, as_of: datetime = LATER
) -> dict[tuple[str, str], dict[str, Any]]:
    """The items of readiness by (type, item)."""
    for name, rows in config.items():
        models.configure(name, rows)
    models.run(world.landing, as_of)
    rows = models.records("select * from marts.launch_readiness where agent_name = 'atlas'")
    return {(row["item_type"], row["item"]): row for row in rows}


FULL = {"baseline_from": BASELINE_FROM, "holdout_share": 0.1, "holdout_unit": "customer"}


@pytest.mark.parametrize(
    ("since", "status"),
    [
        (LAUNCH - SECOND, "before_launch"),
        (LAUNCH, "before_launch"),
        (LAUNCH + SECOND, "set_after_launch"),
    ],
)
def test_every_item_is_dated_against_the_launch(
    models: Replay, since: datetime, status: str
) -> None:
    world = people()
    world.requests(spread(LAUNCH, 30, 40), "ai", 20)
    items = run(models, whole(scope("refund", **FULL), since=since), world)
    assert len(items) == 10
    assert {row["status"] for row in items.values()} == {status}
    assert {row["defined_at"] for row in items.values()} == {since}
    late = models.rows("select distinct is_set_after_launch from intermediate.int_threshold_rows")
    assert late == [(status == "set_after_launch",)]
    kinds = models.rows("select distinct baseline_kind from marts.kpi_baselines")
    assert kinds == [({"before_launch": "before_launch"}.get(status, "retroactive"),)]


def test_before_launch_an_agent_is_known_by_its_scope(models: Replay) -> None:
    """Only people have worked so far: what is missing can still be mended."""
    future = scope("refund", **FULL)
    items = run(models, whole(future), people(), as_of=LAUNCH - timedelta(days=5))
    assert {row["status"] for row in items.values()} == {"before_launch"}
    config = whole(future) | {"weekly_reviews": [], "alert_routes": []}
    items = run(models, config, people(), as_of=LAUNCH - timedelta(days=5))
    missing = {key[0] for key, row in items.items() if row["status"] == "missing"}
    assert missing == {"weekly_review", "alert_route"}


def test_a_baseline_needs_requests_of_people(models: Replay) -> None:
    other_tier = scope("refund", baseline_from=BASELINE_FROM, baseline_tier="tier_9")
    items = run(models, whole(other_tier), people())
    baseline, holdout = items["baseline", "refund"], items["holdout", "refund"]
    assert (baseline["status"], baseline["is_required"]) == ("missing", True)
    assert "in tier_9 (baseline_tier)" in baseline["detail"]
    assert (holdout["status"], holdout["is_required"]) == ("missing", True)

    young = whole(scope("refund", baseline_from=BASELINE_FROM))
    items = run(models, young, people(days=1), as_of=BASELINE_FROM + timedelta(days=3))
    assert "none was old enough" in items["baseline", "refund"]["detail"]
    items = run(models, young, people(days=1), as_of=BASELINE_FROM + timedelta(days=5))
    assert items["baseline", "refund"]["status"] == "before_launch"
    assert not items["holdout", "refund"]["is_required"], "the baseline is a reference"


def test_a_scope_of_a_task_type_that_nobody_defined(models: Replay) -> None:
    config = whole(scope("refund", **FULL))
    config["task_types"] = []
    items = run(models, config, people())
    definition = items["completion_definition", "refund"]
    assert (definition["status"], definition["is_required"]) == ("missing", True)
    assert not [key for key in items if key[0] == "thresholds"], "no profile is in use"


def test_what_an_agent_does_outside_its_scopes_is_listed(models: Replay) -> None:
    world = people()
    world.request(LAUNCH, "ai", task_type="gift_card")
    world.landing["interactions"][-1]["agent_name"] = "atlas"
    world.request(LAUNCH + timedelta(days=1), "ai", task_type="refund")
    world.landing["interactions"][-1]["agent_name"] = "borea"
    world.request(LAUNCH, "ai", task_type="voucher")
    items = run(models, whole(scope("refund", **FULL)), world)
    nobody = models.records("select * from marts.launch_readiness where agent_name = '(none)'")
    assert [(row["item"], row["is_required"]) for row in nobody] == [("voucher", False)]
    assert items["completion_definition", "gift_card"]["status"] == "missing"
    assert not items["completion_definition", "gift_card"]["is_required"]
    borea = models.records(
        "select * from marts.launch_readiness where agent_name = 'borea' and status = 'missing'"
    )
    assert {row["item_type"] for row in borea} == {"baseline", "holdout", "weekly_review"}
    assert {row["launched_at"] for row in borea} == {LAUNCH + timedelta(days=1)}
    assert all(row["is_required"] for row in borea)
    lacks = " ".join(row["detail"] for row in borea)
    assert lacks.count("agent_scopes.csv has no row for agent_name borea") == 2


@pytest.mark.parametrize("kpi", FIVE)
def test_each_of_the_five_kpis_needs_a_limit(models: Replay, kpi: str) -> None:
    config = whole(scope("refund", **FULL))
    config["thresholds"] = [row for row in config["thresholds"] if row["kpi"] != kpi]
    config["thresholds"].append(limit(kpi, unit="absolute"))
    items = run(models, config, people())
    assert [item for (kind, item), row in items.items() if row["status"] == "missing"] == [
        f"default: {kpi}"
    ]
    assert kpi in items["thresholds", f"default: {kpi}"]["detail"]


def test_a_limit_that_was_moved_after_launch_was_not_set_then(models: Replay) -> None:
    config = whole(scope("refund", **FULL))
    moved = limit("csat", warning=8, effective_from=LAUNCH + timedelta(days=9))
    config["thresholds"].append(moved)
    items = run(models, config, people())
    assert items["thresholds", "default: csat"]["status"] == "before_launch"
    found = models.rows(
        "select warning, is_set_after_launch, is_changed_after_launch "
        "from intermediate.int_threshold_rows where kpi = 'csat' order by effective_from"
    )
    assert [(float(warning), *flags) for warning, *flags in found] == [
        (5.0, False, False),
        (8.0, False, True),
    ]


# Definitions have versions ------------------------------------------------------------------


def test_a_new_version_of_a_definition_leaves_old_numbers_alone(models: Replay) -> None:
    world = people(days=60)
    world.requests(spread(LAUNCH, 50, 100), "ai", 60)
    # Resolved after 30 hours: in time under the first version, late under the second.
    for opened_at in spread(BASELINE_FROM, 80, 40):
        world.request(opened_at, "ai", minutes=30 * 60)
    changed_at = LAUNCH + timedelta(days=20)
    config = whole(scope("refund", **FULL))
    run(models, config, world)
    facts = "select * exclude (interaction_id), interaction_id from facts.fct_interactions"
    before = {row["interaction_id"]: row for row in models.records(facts)}
    config["task_types"].append(
        config["task_types"][0] | {"resolve_within_hours": 24, "effective_from": changed_at}
    )
    run(models, config, world)
    after = {row["interaction_id"]: row for row in models.records(facts)}
    old = {key for key, row in before.items() if row["opened_at"] < changed_at}
    assert 0 < len(old) < len(before)
    assert {key: after[key] for key in old} == {key: before[key] for key in old}
    new = [row for key, row in after.items() if key not in old]
    assert any(row["outcome"] == "resolved_late" for row in new)
    assert not any(row["outcome"] == "resolved_late" for row in before.values())

    versions = models.records(
        "select v.*, count(f.interaction_id) as n from facts.dim_task_types as v "
        "left join facts.fct_interactions as f on v.definition_hash = f.definition_hash "
        "where v.task_type = 'refund' group by all order by v.version_number"
    )
    assert [(v["version_number"], v["valid_from"], v["valid_to"]) for v in versions] == [
        (1, None, changed_at),
        (2, changed_at, None),
    ]
    assert [float(v["resolve_within_hours"]) for v in versions] == [72.0, 24.0]
    assert [v["n"] for v in versions] == [len(old), len(new)]
    assert {after[key]["definition_hash"] for key in old} == {versions[0]["definition_hash"]}


# Thresholds by domain -----------------------------------------------------------------------


def seed(name: str) -> list[dict[str, str]]:
    with (REPOSITORY / "seeds" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def presets() -> dict[str, dict[tuple[str, str, str], dict[str, str]]]:
    found: dict[str, dict[tuple[str, str, str], dict[str, str]]] = {}
    for row in seed("thresholds"):
        key = (row["kpi"], row["direction"], row["unit"])
        found.setdefault(row["threshold_profile"], {})[key] = row
    return found


def test_healthcare_is_tighter_than_the_default_everywhere() -> None:
    default, healthcare = presets()["default"], presets()["healthcare"]
    assert healthcare.keys() == default.keys()
    for key, row in healthcare.items():
        for level in ("warning", "critical", "catastrophic"):
            own, usual = float(row[level]), float(default[key][level])
            floor = key[1:] == ("low", "absolute")
            assert own > usual if floor else own < usual, (key, level)


@pytest.mark.parametrize("profile", sorted(presets()))
def test_every_preset_limits_all_five_kpis(models: Replay, profile: str) -> None:
    config = whole(scope("refund", **FULL))
    config["task_types"][0]["threshold_profile"] = profile
    config["thresholds"] = seed("thresholds")
    items = run(models, config, people())
    limits = {item: row["status"] for (kind, item), row in items.items() if kind == "thresholds"}
    assert limits == {f"{profile}: {kpi}": "before_launch" for kpi in FIVE}


# In-conversation signals --------------------------------------------------------------------

CSAT_EVERYWHERE = """
select 'daily' as mart, sum(score_sum) as total, sum(n_surveys_answered) as n from marts.kpi_daily
union all
select 'scorecard', sum(numerator), sum(denominator) from marts.kpi_scorecard where kpi = 'csat'
union all
select 'baselines', sum(numerator), sum(denominator) from marts.kpi_baselines where kpi = 'csat'
union all
select 'cells', sum(score_sum), sum(n_surveys_answered) from intermediate.int_comparison_cells
union all
select 'triangle', sum(score_sum), sum(n) from intermediate.int_csat_triangle
order by mart
"""


def test_in_conversation_signals_have_limits_of_their_own_and_stay_out_of_csat(
    full_models: Replay,
) -> None:
    world = World()
    world.requests(spread(BASELINE_FROM, 30, 60), "human", 50, kind="routed", score=80)
    world.requests(spread(LAUNCH, 30, 60), "ai", 50, kind="routed", score=90)
    config = whole(scope("refund", **FULL))
    config["thresholds"].append(
        limit("in_conversation_score", unit="absolute", warning=60, critical=50, catastrophic=40)
    )
    run(full_models, config, world)
    without = full_models.rows(CSAT_EVERYWHERE)
    for number, survey in enumerate(list(world.landing["surveys"])):
        signal = {"survey_kind": "in_conversation", "score": 29 + 2 * (number % 2)}
        world.landing["surveys"].append(survey | signal | {"survey_id": f"s{number}"})
    run(full_models, config, world)
    assert full_models.rows(CSAT_EVERYWHERE) == without
    assert all(n for _, _, n in without)
    scored = {
        row["kpi"]: row
        for row in full_models.records(
            "select * from marts.kpi_scorecard where arm = 'ai' and segment_type = 'all'"
        )
    }
    signal = scored["in_conversation_score"]
    assert signal["value"] == pytest.approx(30)
    assert (signal["role"], signal["level"]) == ("health", "catastrophic")
    assert scored["csat"]["value"] == pytest.approx(90)


@pytest.fixture(scope="module")
def full_models(history_build: tuple[Build, Path]) -> Replay:
    return Replay(*history_build, layers=LAYERS, with_python=True)


# The two files ------------------------------------------------------------------------------


def test_rows_that_make_no_sense_stop_the_build(tmp_path: Path) -> None:
    routes = [
        {"minimum_level": "watch", "route": "desk_2"},
        {"minimum_level": "urgent", "route": "on_call"},
        {"minimum_level": "watch", "route": "https://x.y"},
        {"minimum_level": "watch", "route": "On-Call"},
        {"minimum_level": "watch"},
        {"minimum_level": "watch", "route": "desk_3", "renotify_hours": 0, "digest_above": 0},
    ]
    reviews = [
        {"agent_name": "atlas", "weekday": "sunday"},
        {"agent_name": "borea", "weekday": "Mon"},
        {"weekday": "monday"},
        {"agent_name": "cirrus", "weekday": "friday"},
        {"agent_name": "cirrus", "weekday": "monday"},
    ]
    dated = {"owner": "team", "effective_from": BEFORE}
    rows = {"alert_routes": routes, "weekly_reviews": reviews}
    dated_rows = {name: [row | dated for row in found] for name, found in rows.items()}
    config = write_config(tmp_path / "config", dated_rows)
    data = write_landing(tmp_path / "data", {})
    build = dbt(tmp_path / "build", "build", "--select", *rows, data=data, config=config)
    assert build.returncode == 1
    results = json.loads((build.folder / "target" / "run_results.json").read_text())["results"]
    assert {
        result["unique_id"].split(".")[2]: result["failures"]
        for result in results
        if result["status"] == "fail"
    } == {
        "alert_routes_holds_its_rules": 5,
        "alert_routes_is_complete": 1,
        "weekly_reviews_holds_its_rules": 1,
        "weekly_reviews_is_complete": 1,
        "weekly_reviews_is_unique": 1,
    }
