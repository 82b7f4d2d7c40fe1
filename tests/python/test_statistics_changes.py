"""When a level changed, and which of two changed first: known steps, chance, and edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kpis.statistics.changes import (
    SMALLEST_SIDE,
    Change,
    change_point,
    changes,
    lead,
    series,
)
from agent_kpis.statistics.movers import Mover, first_mover, first_movers

SEEDS = 200


def step(days, at, before, after, n, rng):
    """A daily share that steps at day `at` (None: never), of about n observations a day."""
    chance = np.where(np.arange(days) < (days if at is None else at), before, after)
    count = rng.poisson(n, days) + 1
    return series(np.arange(days), rng.binomial(count, chance) / count, count)


def frames(rng, kpi, **indicators):
    """Frames of one agent: completion as (days, at, before, after, n), and indicators likewise."""

    def rows(name, column, terms):
        known = step(*terms, rng)
        return pd.DataFrame(
            {
                "agent_name": "atlas",
                "segment_type": "all",
                "segment": "all",
                column: name,
                "better": "high",
                "evaluator_name": "(none)",
                "evaluator_version": "(none)",
                "cohort_date": pd.Timestamp("2026-03-01") + pd.to_timedelta(known.day, "D"),
                "n": known.n,
                "value": known.value,
            }
        )

    return (
        rows("task_completion_rate", "kpi", kpi),
        pd.concat([rows(name, "indicator", terms) for name, terms in indicators.items()]),
        pd.DataFrame(
            {
                "kpi": "task_completion_rate",
                "indicator": ["tool_call_accuracy", "context_recall", "scope_coverage"],
                "diagnosis_order": [1, 2, 3],
                "direction": "low",
            }
        ),
    )


# --- One change -------------------------------------------------------------------------------


def test_a_clean_step_is_found_on_its_day():
    values = [0.9] * 10 + [0.7] * 10
    found = change_point(series(range(100, 120), values, [50] * 20))
    assert (found.day, found.before, found.after) == (110, pytest.approx(0.9), pytest.approx(0.7))
    assert found.p < 0.01
    assert found.interval() == (110, 110)


@pytest.mark.parametrize(
    "values",
    [[], [0.5] * 13, [0.1] * 40, [0.9] * (SMALLEST_SIDE - 1) + [0.7] * (SMALLEST_SIDE)],
    ids=["nothing", "too short", "flat", "no room for two levels"],
)
def test_nothing_to_find(values):
    assert change_point(series(range(len(values)), values, [9] * len(values))) is None


def test_the_day_is_that_of_the_largest_weighted_cusum():
    rng = np.random.default_rng(3)
    known = step(40, 22, 0.8, 0.6, 30, rng)
    n, y = known.n, known.value

    def left_over(k):
        return sum(
            n[s] @ (y[s] - np.average(y[s], weights=n[s])) ** 2 for s in (np.s_[:k], np.s_[k:])
        )

    best = min(range(SMALLEST_SIDE, 40 - SMALLEST_SIDE + 1), key=left_over)
    assert change_point(known).day == known.day[best], "least squares, written out"


def test_a_day_of_few_observations_says_little():
    value = np.r_[np.full(10, 0.9), np.full(10, 0.7)]
    value[[3, 15]] = [0.0, 1.0]
    n = np.full(20, 1000.0)
    n[[3, 15]] = 0.01
    found = change_point(series(range(20), value, n))
    assert found.day == 10
    assert found.before == pytest.approx(0.9, abs=1e-4)


def test_days_without_data_are_left_out_and_gaps_allowed():
    day = np.r_[0:10, 30:40]
    value = np.r_[np.full(10, 0.9), np.full(10, 0.7)]
    padded = series(np.r_[day, 50, 51], np.r_[value, np.nan, 0.1], np.r_[np.full(20, 5), 5, 0])
    assert change_point(padded).day == 30
    assert len(padded.day) == 20


@given(st.integers(-50, 50), st.floats(0.1, 10), st.floats(-5, 5), st.integers(0, 10**6))
def test_units_and_calendar_do_not_matter(later, factor, shift, seed):
    known = step(30, 17, 0.8, 0.6, 40, np.random.default_rng(seed))
    found = change_point(known)
    moved = change_point(series(known.day + later, known.value * factor + shift, known.n * 3))
    assert moved.day == found.day + later
    assert moved.p == found.p


@pytest.mark.parametrize("days", [14, 28, 42, 140])
def test_chance_rarely_looks_like_a_change(days):
    rng = np.random.default_rng(days)
    found = [change_point(step(days, None, 0.5, 0.5, 60, rng)) for _ in range(SEEDS)]
    assert sum(change.p < 0.01 for change in found) <= 0.025 * SEEDS


def test_what_lingers_for_days_is_rarely_taken_for_a_change():
    rng = np.random.default_rng(1)
    false = 0
    for _ in range(SEEDS):
        drift = np.zeros(140)
        for day in range(1, 140):
            drift[day] = 0.4 * drift[day - 1] + rng.normal(0, 0.04)
        noisy = 0.5 + drift + rng.normal(0, 0.06, 140)
        false += change_point(series(range(140), noisy, np.full(140, 60))).p < 0.01
    assert false <= 0.04 * SEEDS


def test_the_interval_holds_the_day_as_often_as_it_says():
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(SEEDS):
        lower, upper = change_point(step(42, 28, 0.40, 0.26, 60, rng)).interval()
        held += lower <= 28 <= upper
    assert 0.85 * SEEDS <= held <= 0.99 * SEEDS


# --- Several changes --------------------------------------------------------------------------


def test_a_fall_and_its_mending_are_two_changes():
    rng = np.random.default_rng(7)
    chance = np.full(140, 0.36)
    chance[70:94] = 0.22
    count = rng.poisson(68, 140) + 1
    found = changes(series(range(140), rng.binomial(count, chance) / count, count))
    assert len(found) == 2
    for change, day in zip(found, (70, 94), strict=True):
        lower, upper = change.interval()
        assert lower <= day <= upper
        assert abs(change.day - day) <= 2
    assert found[0].after == pytest.approx(0.22, abs=0.03)
    assert found[1].before == pytest.approx(0.22, abs=0.03)


def test_half_a_year_of_chance_has_hardly_any_changes():
    rng = np.random.default_rng(11)
    found = [changes(step(140, None, 0.4, 0.4, 68, rng)) for _ in range(SEEDS)]
    assert sum(map(bool, found)) <= 0.03 * SEEDS


# --- Which came first -------------------------------------------------------------------------


def movement(kpi_at, tool_at, seed=1, tool_after=0.70):
    rng = np.random.default_rng(seed)
    found = first_movers(
        *frames(
            rng,
            (28, kpi_at, 0.80, 0.55, 300),
            tool_call_accuracy=(28, tool_at, 0.95, tool_after, 300),
            context_recall=(28, None, 0.9, 0.9, 300),
            scope_coverage=(28, None, 0.85, 0.85, 300),
        )
    )
    assert len(found) == 1
    return found.iloc[0]


def test_accuracy_falls_on_day_10_and_completion_on_day_14():
    row = movement(kpi_at=14, tool_at=10)
    assert row.moved_on == "2026-03-15"
    assert row.direction == "worse"
    assert row.first_mover == "tool_call_accuracy"
    assert row.lead_days == 4
    assert 0 < row.lead_days_lower <= 4 <= row.lead_days_upper
    assert row.indicator_before == pytest.approx(0.95, abs=0.01)
    assert row.indicator_after == pytest.approx(0.70, abs=0.02)
    assert row.kpi_before == pytest.approx(0.80, abs=0.02)
    assert row.candidates.startswith("tool_call_accuracy 2026-03-11 (lead 4, ")
    assert row.n_searched == 3


def test_what_moves_after_the_kpi_did_not_move_first():
    row = movement(kpi_at=10, tool_at=14)
    assert row.first_mover == "none"
    assert "tool_call_accuracy 2026-03-15 (lead -4" in row.candidates
    assert row.isna()[["lead_days", "lead_days_lower", "indicator_before"]].all()


def test_on_the_same_day_nobody_can_tell():
    row = movement(kpi_at=14, tool_at=14)
    assert row.first_mover == "order_not_distinguishable"
    assert pd.isna(row.lead_days)


def test_without_a_mover_there_is_none():
    row = movement(kpi_at=14, tool_at=None)
    assert row.first_mover == "none"
    assert pd.isna(row.candidates)


def test_an_indicator_that_gets_better_does_not_lead_to_a_fall():
    row = movement(kpi_at=14, tool_at=10, tool_after=1.0)
    assert row.first_mover == "none"


def test_an_improvement_is_led_by_what_improves():
    rng = np.random.default_rng(0)
    kpis, indicators, order = frames(
        rng,
        (28, 14, 0.55, 0.80, 300),
        tool_call_accuracy=(28, 10, 0.70, 0.95, 300),
    )
    row = first_movers(kpis, indicators, order).iloc[0]
    assert (row.direction, row.first_mover, row.lead_days) == ("better", "tool_call_accuracy", 4)
    assert row.n_searched == 1


def test_a_kpi_that_is_good_in_between_has_no_better_side():
    rng = np.random.default_rng(0)
    kpis, indicators, order = frames(
        rng, (28, 14, 0.40, 0.10, 300), tool_call_accuracy=(28, 10, 0.95, 0.70, 300)
    )
    row = first_movers(kpis.assign(better="between"), indicators, order).iloc[0]
    assert (row.direction, row.first_mover) == ("lower", "tool_call_accuracy")


def test_too_few_days_of_an_indicator_are_no_data_and_not_none():
    rng = np.random.default_rng(0)
    kpis, indicators, order = frames(
        rng, (28, 14, 0.80, 0.55, 300), tool_call_accuracy=(13, None, 0.95, 0.95, 300)
    )
    row = first_movers(kpis, indicators, order).iloc[0]
    assert (row.first_mover, row.n_searched) == ("no_data", 0)


def test_a_change_belongs_to_the_next_movement_only():
    """Completion falls twice; the tool broke before the first fall and stayed as it was."""
    rng = np.random.default_rng(2)
    kpis, indicators, order = frames(
        rng, (60, 20, 0.85, 0.65, 300), tool_call_accuracy=(60, 16, 0.95, 0.70, 300)
    )
    kpis.loc[kpis.cohort_date >= "2026-04-06", "value"] -= 0.25
    first, second = first_movers(kpis, indicators, order).itertuples()
    assert (first.moved_on, first.first_mover) == ("2026-03-21", "tool_call_accuracy")
    assert (second.moved_on, second.first_mover) == ("2026-04-06", "none")


@pytest.mark.parametrize(("tool_at", "mover"), [(36, "none"), (50, "tool_call_accuracy")])
def test_what_changed_more_than_four_weeks_before_is_another_story(tool_at, mover):
    """28 days before day 70, of which the older level needs a week."""
    rng = np.random.default_rng(4)
    found = first_movers(
        *frames(rng, (90, 70, 0.85, 0.60, 300), tool_call_accuracy=(90, tool_at, 0.95, 0.80, 300))
    )
    assert [row.first_mover for row in found.itertuples() if row.moved_on == "2026-05-10"] == [
        mover
    ]


def test_the_first_two_weeks_after_a_movement_are_searched_and_no_more():
    """A change 10 days after the movement has no week of its new level in view."""
    rng = np.random.default_rng(4)
    for tool_at, told in ((33, True), (42, False)):
        row = first_movers(
            *frames(
                rng, (60, 30, 0.85, 0.60, 300), tool_call_accuracy=(60, tool_at, 0.95, 0.70, 300)
            )
        ).iloc[0]
        assert row.first_mover == "none"
        assert bool(pd.notna(row.candidates)) == told


def test_a_new_judge_is_no_change_of_the_agent():
    rng = np.random.default_rng(0)
    kpis, indicators, order = frames(
        rng, (42, 24, 0.80, 0.55, 300), context_recall=(42, 20, 0.95, 0.70, 300)
    )
    one = first_movers(kpis, indicators, order).iloc[0]
    assert one.first_mover == "context_recall"
    new = indicators.cohort_date >= "2026-03-21"
    indicators["evaluator_version"] = np.where(new, "rubric-2", "rubric-1")
    assert first_movers(kpis, indicators, order).iloc[0].first_mover == "none"


def test_chance_rarely_moves_first():
    """Completion really falls; three indicators only vary by chance."""
    movers = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        noise = (42, None, 0.9, 0.9, 40)
        found = first_movers(
            *frames(
                rng,
                (42, 24, 0.60, 0.40, 70),
                tool_call_accuracy=noise,
                context_recall=noise,
                scope_coverage=noise,
            )
        )
        movers += list(found.first_mover)
    assert len(movers) >= 0.95 * SEEDS, "the fall itself is found"
    assert sum(mover != "none" for mover in movers) <= 0.05 * SEEDS


def test_nothing_moves_where_everything_varies_by_chance():
    moved = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        noise = (42, None, 0.9, 0.9, 40)
        moved += len(first_movers(*frames(rng, noise, tool_call_accuracy=noise)))
    assert moved <= 0.02 * SEEDS


def test_empty_frames_give_an_empty_table():
    kpis, indicators, order = frames(
        np.random.default_rng(0), (28, 14, 0.8, 0.55, 300), scope_coverage=(28, 9, 0.9, 0.7, 300)
    )
    assert first_movers(kpis[:0], indicators[:0], order[:0]).empty
    assert first_movers(kpis, indicators[:0], order[:0]).iloc[0].first_mover == "no_data"


# --- Rules of the order -----------------------------------------------------------------------


def mover(name, order, day, kpi_day=20, error=0):
    errors = np.repeat([-error, 0, error], 100)
    kpi = Change(kpi_day, 0.8, 0.5, 0.001, np.zeros(300, dtype=int))
    one = Change(day, 0.9, 0.7, 0.001, errors)
    return Mover(name, order, one, lead(one, kpi))


@pytest.mark.parametrize(
    ("movers", "expected"),
    [
        ([mover("a", 1, 16)], "a"),
        ([mover("a", 1, 18), mover("b", 2, 15)], "b"),
        ([mover("a", 1, 15), mover("b", 2, 15)], "a"),
        ([mover("a", 1, 15, error=5), mover("b", 2, 18)], "b"),
        ([mover("a", 1, 16, error=4)], "order_not_distinguishable"),
        ([mover("a", 1, 17, error=2)], "a"),
        ([mover("a", 1, 23, error=3)], "order_not_distinguishable"),
        ([mover("a", 1, 24, error=3)], "none"),
        ([mover("a", 1, 24, error=3), mover("b", 2, 20)], "order_not_distinguishable"),
        ([], "none"),
    ],
)
def test_the_first_mover_is_clearly_before_the_kpi(movers, expected):
    assert first_mover(movers, searched=3)["first_mover"] == expected


def test_a_lead_is_the_difference_with_both_errors():
    one = Change(10, 0.9, 0.7, 0.001, np.repeat([0, 2], [50, 50]))
    other = Change(14, 0.8, 0.5, 0.001, np.repeat([0, 1], [50, 50]))
    found = lead(one, other)
    assert found.days == 4
    assert (found.lower, found.upper) == (3, 6)
    assert lead(other, one).days == -4
