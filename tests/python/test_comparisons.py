"""What a comparison must say in worlds whose numbers are known."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scenarios import BASELINE_FROM, LAUNCH, World, configuration, scope, spread
from support import REPOSITORY
from warehouse import LAYERS, Build, Replay

BASELINE = {"baseline_from": BASELINE_FROM}
HOLDOUT = {"holdout_share": 0.10, "holdout_unit": "interaction"}
LATER = LAUNCH + timedelta(days=60)


@pytest.fixture(scope="module")
def models(history_build: tuple[Build, Path]) -> Replay:
    return Replay(*history_build, layers=LAYERS, with_python=True)


def run(models: Replay, world: World, *scopes: dict[str, Any], as_of: datetime = LATER) -> Replay:
    for name, rows in configuration(*scopes).items():
        models.configure(name, rows)
    models.run(world.landing, as_of)
    return models


def comparison(models: Replay, kpi: str, segment: str = "all") -> dict[str, Any]:
    return models.record(
        f"select * from marts.holdout_comparison where kpi = '{kpi}' and segment = '{segment}'"
    )


def scored(models: Replay, kpi: str, segment: str = "all") -> dict[str, Any]:
    return models.record(
        "select * from marts.kpi_scorecard "
        f"where arm = 'ai' and kpi = '{kpi}' and segment = '{segment}'"
    )


def deflection_trap() -> World:
    """A thousand requests in two weeks: 600 without a human, 350 of them helped. People before."""
    world = World()
    for number, opened_at in enumerate(spread(LAUNCH, 14, 1000)):
        kind = ("helped", "reopened", "never", "escalated")[
            (number % 20 >= 7) + (number % 20 >= 10) + (number % 20 >= 12)
        ]
        world.request(
            opened_at,
            "ai",
            kind="routed",
            minutes=None if kind == "never" else 10,
            reopened=kind == "reopened",
            handed_off=kind == "escalated",
            # Answers come after three weeks.
            score=(72, 76)[number % 2],
            answered_after=timedelta(days=22),
        )
    for number, opened_at in enumerate(spread(BASELINE_FROM, 28, 1000)):
        world.request(
            opened_at,
            "human",
            kind="routed",
            minutes=30 if number % 10 < 7 else None,
            score=(80, 84)[number % 2],
        )
    return world


def test_the_success_of_week_three_and_the_truth_of_week_nine(models: Replay) -> None:
    world = deflection_trap()
    run(models, world, scope("refund", **BASELINE), as_of=LAUNCH + timedelta(days=21))
    assert scored(models, "deflection_rate")["value"] == pytest.approx(0.60)
    completion = scored(models, "task_completion_rate")
    assert completion["value"] == pytest.approx(0.35)
    assert completion["level"] == "catastrophic"
    assert completion["reference_value"] == pytest.approx(0.70)
    csat = scored(models, "csat")
    assert (csat["value"], csat["delta"], csat["level"]) == (None, None, "no_data")
    statuses = models.rows("select distinct status from marts.csat_cohorts where arm = 'ai'")
    assert statuses == [("provisional",)]

    run(models, world, scope("refund", **BASELINE), as_of=LAUNCH + timedelta(days=63))
    csat = scored(models, "csat")
    assert csat["delta"] == pytest.approx(-8.0, abs=1e-9)
    assert (csat["value"], csat["reference_value"]) == (pytest.approx(74.0), pytest.approx(82.0))
    assert csat["level"] == "warning"
    assert (csat["comparison_type"], csat["is_time_confounded"]) == ("pre_launch", True)


def test_equivalent_task_types_are_compared(models: Replay) -> None:
    """The agent gets the easy requests: faster in the heap, slower on every task type."""
    world = World()
    for arm, task_type, n, minutes in [
        ("ai", "easy", 900, 10),
        ("ai", "hard", 100, 60),
        ("human", "easy", 100, 8),
        ("human", "hard", 900, 50),
    ]:
        for opened_at in spread(LAUNCH, 30, n):
            world.request(opened_at, arm, task_type=task_type, minutes=minutes)
    run(models, world, scope("easy"), scope("hard"))
    easy, hard, whole = (
        comparison(models, "time_to_resolution", segment) for segment in ("easy", "hard", "all")
    )
    assert easy["delta"] == pytest.approx(2 * 60)
    assert hard["delta"] == pytest.approx(10 * 60)
    assert whole["delta"] > 0
    # .9 * 2 minutes + .1 * 10 minutes; people are weighted as the agent's requests are.
    assert whole["restricted_mean_delta"] == pytest.approx(2.8 * 60)
    assert whole["mix_confounded_delta"] < 0


def test_a_split_that_was_not_drawn_as_planned_withholds_every_difference(models: Replay) -> None:
    def world(n_holdout: int) -> World:
        made = World()
        made.requests(spread(LAUNCH, 30, 1000 - n_holdout), "ai", (1000 - n_holdout) // 2)
        made.requests(spread(LAUNCH, 30, n_holdout), "human", n_holdout)
        return made

    run(models, world(140), scope("refund", **HOLDOUT))
    balance = models.record("select * from marts.holdout_balance")
    assert balance["sample_ratio_chi_square"] == pytest.approx(17.78, abs=0.005)
    assert balance["status"] == "sample_ratio_mismatch"
    assert models.rows("select count(*) from marts.holdout_comparison where delta is not null") == [
        (0,)
    ]
    completion = scored(models, "task_completion_rate")
    assert (completion["level"], completion["note"]) == (
        "insufficient_data",
        "sample_ratio_mismatch",
    )

    run(models, world(110), scope("refund", **HOLDOUT))
    balance = models.record("select * from marts.holdout_balance")
    assert balance["sample_ratio_chi_square"] == pytest.approx(1.11, abs=0.005)
    assert balance["status"] == "ok"
    assert scored(models, "task_completion_rate")["delta"] == pytest.approx(-0.5, abs=0.002)


def test_ai_in_the_holdout_is_counted_and_stays_in_it(models: Replay) -> None:
    world = World()
    world.requests(spread(LAUNCH, 30, 900), "ai", 450)
    world.requests(spread(LAUNCH, 30, 100), "human", 80)
    for key in [row["interaction_id"] for row in world.landing["interactions"][-2:]]:
        world.event(key, LAUNCH + timedelta(days=31), "message", "ai")
    run(models, world, scope("refund", **HOLDOUT))
    balance = models.record("select * from marts.holdout_balance")
    assert balance["contamination_rate"] == pytest.approx(0.02)
    assert balance["is_contaminated"]
    assert comparison(models, "task_completion_rate")["n_reference"] == 100


def bad_season(kind: str) -> World:
    """People completed 80% before launch; since then everybody completes 74%."""
    world = World()
    world.requests(spread(BASELINE_FROM, 35, 4000), "human", 3200, kind="routed")
    world.requests(spread(LAUNCH, 30, 4250), "ai", 3145, kind=kind)
    world.requests(spread(LAUNCH, 30, 750), "human", 555, kind=kind)
    return world


def test_a_holdout_sees_through_a_bad_season(models: Replay) -> None:
    terms = BASELINE | HOLDOUT | {"holdout_share": 0.15}
    run(models, bad_season("randomised"), scope("refund", **terms))
    found = comparison(models, "task_completion_rate")
    assert (found["comparison_type"], found["is_time_confounded"]) == ("holdout", False)
    assert found["delta"] == pytest.approx(0, abs=0.001)
    assert found["delta_lower_bound"] < 0 < found["delta_upper_bound"]
    assert scored(models, "task_completion_rate")["level"] == "ok"
    assert found["time_confounded_delta"] == pytest.approx(-0.06, abs=0.001)
    assert found["time_confounded_upper_bound"] < 0


def test_without_a_holdout_the_season_is_in_the_difference_and_it_says_so(models: Replay) -> None:
    run(models, bad_season("routed"), scope("refund", **BASELINE))
    found = comparison(models, "task_completion_rate")
    assert (found["comparison_type"], found["is_time_confounded"]) == ("pre_launch", True)
    assert found["baseline_kind"] == "before_launch"
    assert found["delta"] == pytest.approx(-0.06, abs=0.001)
    assert scored(models, "task_completion_rate")["level"] == "warning"
    assert models.record("select status from marts.holdout_balance")["status"] == "no_holdout"


def test_without_baseline_and_holdout_there_is_no_difference(models: Replay) -> None:
    run(models, bad_season("routed"), scope("refund"))
    assert models.rows("select count(*) from marts.holdout_comparison") == [(0,)]
    assert models.rows("select count(*) from marts.kpi_baselines") == [(0,)]
    completion = scored(models, "task_completion_rate")
    assert completion["value"] == pytest.approx(0.74, abs=0.001)
    assert (completion["delta"], completion["is_time_confounded"]) == (None, None)
    assert (completion["comparison_type"], completion["level"]) == ("no_reference", "no_reference")


def test_a_baseline_of_hindsight_says_so_everywhere(models: Replay) -> None:
    hindsight = scope("refund", **BASELINE, effective_from=LAUNCH + timedelta(days=20))
    run(models, bad_season("routed"), hindsight)
    for mart in ("kpi_baselines", "holdout_comparison"):
        kinds = models.rows(f"select distinct baseline_kind from marts.{mart}")
        assert kinds == [("retroactive",)]
    assert scored(models, "task_completion_rate")["baseline_kind"] == "retroactive"


def test_who_escalates_stays_in_the_arm_that_was_drawn(models: Replay) -> None:
    """As assigned: moved to the people who helped in the end, the agent would look better."""
    world = World()
    world.requests(spread(LAUNCH, 30, 600), "ai", 600)
    for opened_at in spread(LAUNCH, 30, 300):
        world.request(opened_at, "ai", handed_off=True, minutes=60)
    world.requests(spread(LAUNCH, 30, 100), "human", 70)
    run(models, world, scope("refund", **HOLDOUT))
    found = comparison(models, "task_completion_rate")
    assert (found["n_ai"], found["n_reference"]) == (900, 100)
    assert found["ai_value"] == pytest.approx(600 / 900)
    assert found["delta"] == pytest.approx(600 / 900 - 0.70)
    moved = 600 / 600 - (70 + 300) / (100 + 300)
    assert moved > 0 > found["delta"]


def test_customers_drawn_at_random_tell_less_than_as_many_requests(models: Replay) -> None:
    """Forty customers a side whose requests all end alike: four requests tell as much as one."""
    world = World()
    for arm in ("ai", "human"):
        for number in range(40):
            for opened_at in spread(LAUNCH + timedelta(hours=number), 20, 4):
                is_done = number % 2 == 0
                world.request(
                    opened_at, arm, customer=f"{arm}-{number}", minutes=10 if is_done else None
                )
    by = {}
    for unit in ("interaction", "customer"):
        run(models, world, scope("refund", holdout_share=0.5, holdout_unit=unit))
        by[unit] = comparison(models, "task_completion_rate")
    assert by["interaction"]["design_effect"] == 1
    # G/(G-1) * 4: 40 customers with 4 requests each; and Student's t of 39 for the normal 1.96.
    few = (2.022691 / 1.959964) ** 2
    assert by["customer"]["design_effect"] == pytest.approx(4 * 40 / 39 * few, rel=1e-5)
    width = {unit: row["fixed_upper_bound"] - row["fixed_lower_bound"] for unit, row in by.items()}
    assert width["customer"] / width["interaction"] == pytest.approx(2, abs=0.1)


def test_few_customers_give_no_interval(models: Replay) -> None:
    world = World()
    for arm, customers in (("ai", 60), ("human", 29)):
        for number, opened_at in enumerate(spread(LAUNCH, 20, customers)):
            world.request(
                opened_at, arm, customer=f"{arm}-{number}", minutes=10 if number % 3 else None
            )
    run(models, world, scope("refund", holdout_share=0.33, holdout_unit="customer"))
    found = comparison(models, "task_completion_rate")
    assert (found["delta_lower_bound"], found["note"]) == (None, "fewer_than_30_customers")
    assert scored(models, "task_completion_rate")["level"] == "insufficient_data"


def test_a_task_type_that_only_one_arm_has_is_left_out_and_counted(models: Replay) -> None:
    world = World()
    world.requests(spread(LAUNCH, 30, 300), "ai", 150, task_type="both")
    world.requests(spread(LAUNCH, 30, 100), "ai", 100, task_type="only_ai")
    world.requests(spread(LAUNCH, 30, 100), "human", 80, task_type="both")
    terms = {"holdout_share": 0.20, "holdout_unit": "interaction"}
    run(models, world, scope("both", **terms), scope("only_ai", **terms))
    found = comparison(models, "task_completion_rate")
    assert found["covered_share"] == pytest.approx(0.75)
    assert found["delta"] == pytest.approx(0.5 - 0.8)
    assert models.rows("select * from marts.holdout_comparison where segment = 'only_ai'") == []


def late_answers() -> World:
    """Both arms, answers from the same day to five weeks later, the angry ones sooner."""
    world = World()
    arms = Counter({"ai": 0, "human": 0})
    for number, opened_at in enumerate(spread(BASELINE_FROM, 90, 2400)):
        launched = opened_at >= LAUNCH
        arm = "ai" if launched and number % 7 else "human"
        arms[arm] += 1
        angry = number % 3 == 0
        lag = (number * 7919) % (5 if angry else 36)
        world.request(
            opened_at,
            arm,
            kind="randomised" if launched else "routed",
            minutes=(number * 31) % 6000 if number % 5 else None,
            reopened=number % 11 == 0,
            handed_off=arm == "ai" and number % 4 == 0,
            score=(20 if angry else 90) if number % 2 else None,
            answered_after=timedelta(days=lag, hours=number % 24),
        )
    assert min(arms.values()) > 300
    return world


PUBLISHED = [
    "intermediate.int_csat_triangle",
    "marts.csat_cohorts",
    "marts.csat_nowcast_backtest",
    "marts.csat_response",
    "marts.kpi_baselines",
    "marts.holdout_balance",
    "marts.holdout_comparison",
    "marts.kpi_scorecard",
]


def contents(models: Replay) -> dict[str, list[tuple]]:
    """Every row of what is published, numbers to ten digits: sums may be added in another order."""
    return {
        name: sorted(
            (
                tuple(float(f"{cell:.10g}") if isinstance(cell, float) else cell for cell in row)
                for row in models.rows(f"select * from {name}")
            ),
            key=repr,
        )
        for name in PUBLISHED
    }


@pytest.mark.parametrize("day", [21, 45])
def test_a_run_as_of_a_day_never_sees_what_came_later(models: Replay, day: int) -> None:
    world = late_answers()
    terms = scope("refund", **BASELINE | HOLDOUT)
    as_of = LAUNCH + timedelta(days=day, hours=10, minutes=30)
    with_all = contents(run(models, world, terms, as_of=as_of))

    known = World()
    moments = {"interactions": "opened_at", "events": "occurred_at", "surveys": "sent_at"}
    for entity, moment in moments.items():
        known.landing[entity] = [
            row
            if row.get("responded_at") is None or row["responded_at"] <= as_of
            else row | {"responded_at": None, "score": None}
            for row in world.landing[entity]
            if row[moment] <= as_of
        ]
    assert len(known.landing["surveys"]) < len(world.landing["surveys"])
    assert contents(run(models, known, terms, as_of=as_of)) == with_all
    assert with_all["marts.csat_cohorts"]
    assert with_all["marts.holdout_comparison"]


def test_baselines_that_end_on_different_days_are_each_read_at_their_own_age(
    models: Replay,
) -> None:
    """Content customers answer a week later: cut off at launch, a baseline misses the last of them.

    How many it misses follows from the days until that task type's own launch.
    """
    later = LAUNCH + timedelta(days=20)
    world = World()
    for day in range(62):
        for number in range(12):
            opened_at = BASELINE_FROM + timedelta(days=day, hours=number)
            is_angry = number % 3 == 0
            world.request(
                opened_at,
                "human",
                kind="routed",
                task_type=("soon", "later")[number % 2],
                score=20 if is_angry else 80,
                answered_after=timedelta(minutes=5) if is_angry else timedelta(days=7),
            )
    for number, opened_at in enumerate(spread(later, 20, 80)):
        world.request(
            opened_at, "ai", kind="routed", task_type=("soon", "later")[number % 2], score=50
        )
    run(
        models,
        world,
        scope("soon", **BASELINE),
        scope("later", **BASELINE, launched_at=later),
    )
    known = models.rows(
        "select agent_name, segment, value from marts.kpi_baselines "
        "where kpi = 'csat' and segment = 'all'"
    )
    assert known[0][2] < 59.5, "the observed mean lacks the late and content ones"
    assert comparison(models, "csat")["reference_value"] == pytest.approx(60, abs=0.01)


def test_an_answer_nine_days_late_belongs_to_the_day_of_its_request(models: Replay) -> None:
    world = World()
    for day in range(40):
        for hour in range(10):
            world.request(
                LAUNCH + timedelta(days=day, hours=hour),
                "ai",
                score=50 + hour,
                answered_after=timedelta(days=hour, hours=1),
            )
    cohort = "select * from marts.csat_cohorts where cohort_date = '2026-03-01'"
    run(models, world, scope("refund"), as_of=datetime(2026, 3, 4))
    early = models.record(cohort)
    assert (early["n_answered"], early["observed_mean"]) == (3, 51)
    assert (early["status"], early["n_sent"]) == ("provisional", 10)
    assert early["completed_mean"] > early["observed_mean"]

    run(models, world, scope("refund"), as_of=datetime(2026, 3, 25))
    late = models.record(cohort)
    assert (late["n_answered"], late["observed_mean"], late["status"]) == (10, 54.5, "final")
    assert late["completed_mean"] == pytest.approx(54.5)


@pytest.mark.parametrize(
    ("share", "is_unusual"), [(0.0999, True), (0.10, False), (0.20, False), (0.2001, True)]
)
def test_an_unusual_holdout_is_warned_about(models: Replay, share: float, is_unusual: bool) -> None:
    test = (REPOSITORY / "tests" / "holdout_shares_outside_the_usual.sql").read_text()
    config, query = test.split("\n", 1)
    assert "severity='warn'" in config
    world = World()
    world.requests(spread(LAUNCH, 30, 20), "ai", 10)
    terms = {"holdout_share": share, "holdout_unit": "interaction"}
    run(models, world, scope("refund", **terms))
    warned = models.rows(query.replace("{{ ref('dim_agent_scopes') }}", "facts.dim_agent_scopes"))
    assert [(agent, float(found)) for agent, _, found in warned] == (
        [("atlas", share)] if is_unusual else []
    )
