"""The early reading of completion: plain shares without censoring, other libraries with it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import astuple

import numpy as np
import pytest
from statsmodels.duration.survfunc import CumIncidenceRight, SurvfuncRight

from agent_kpis.statistics.estimates import Z95
from agent_kpis.statistics.incidence import state_occupation, stratified_state_occupation
from agent_kpis.statistics.proportions import wilson

SEEDS = range(10)
HORIZON = 24
NEVER = 10**6
Move = tuple[int, str, str]


def life(rng: np.random.Generator) -> list[Move]:
    """The moves of one interaction, in order; now and then several in a bin."""
    moves, state = [], "open"
    for age in np.sort(rng.geometric(0.08, rng.integers(0, 5))):
        to = {"done": "failed", "failed": "done", "open": rng.choice(["done", "done", "failed"])}
        moves.append((int(age), state, str(to[state])))
        state = to[state]
    return moves


def state_at(moves: list[Move], age: int) -> str:
    return next((to for bin_, _, to in reversed(moves) if bin_ <= age), "open")


def observed(lives: list[list[Move]], ages: list[int]) -> list[list]:
    """The columns of all moves until each life's age, with the censoring there."""
    counts = Counter(
        row
        for moves, age in zip(lives, ages, strict=True)
        for row in (
            *(move for move in moves if move[0] <= age),
            (age, state_at(moves, age), "censored"),
        )
    )
    return [*map(list, zip(*counts, strict=True)), list(counts.values())]


@pytest.mark.parametrize("seed", SEEDS)
def test_without_censoring_it_is_the_plain_share(seed):
    rng = np.random.default_rng(seed)
    lives = [life(rng) for _ in range(rng.integers(1, 80))]
    n = len(lives)
    read = state_occupation(*observed(lives, [NEVER] * n), n, HORIZON)
    done = sum(state_at(moves, HORIZON - 1) == "done" for moves in lives)
    scatter = n - 1 if 0 < done < n else n
    expected = wilson(done / n * scatter, scatter)
    assert astuple(read)[:4] == pytest.approx((done / n, *expected, n), abs=1e-12)


@pytest.mark.parametrize("successes", [0, 12])
def test_all_or_none_done(successes):
    """Three of fifteen are censored early: the limits are those of the other twelve."""
    to = "done" if successes else "failed"
    read = state_occupation([0, 3], ["open"] * 2, ["censored", to], [3, 12], 15, 9)
    assert (read.value, read.lower, read.upper) == pytest.approx(
        (successes / 12, *wilson(successes, 12))
    )


def limits(value: float, standard_error: float) -> list[float]:
    effective = value * (1 - value) / standard_error**2
    return [value, *wilson(value * effective, effective)]


@pytest.mark.parametrize("seed", SEEDS)
def test_with_one_way_out_it_is_kaplan_meier(seed):
    rng = np.random.default_rng(seed)
    time, is_done = rng.integers(0, HORIZON, 60), rng.random(60) < 0.6
    time[:5], is_done[:5] = HORIZON, False
    theirs = SurvfuncRight(time, is_done)
    to = np.where(is_done, "done", "censored")
    read = state_occupation(time, ["open"] * 60, to, np.ones(60), 60, HORIZON)
    expected = limits(1 - theirs.surv_prob[-1], theirs.surv_prob_se[-1] * (60 / 59) ** 0.5)
    assert [read.value, read.lower, read.upper] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_with_two_ways_out_it_is_the_cumulative_incidence(seed):
    rng = np.random.default_rng(seed)
    time, status = rng.integers(0, HORIZON, 80), rng.choice([0, 1, 2], 80)
    time[:5], status[:5] = HORIZON, 0
    theirs = CumIncidenceRight(time, status)
    to = np.array(["censored", "done", "failed"])[status]
    read = state_occupation(time, ["open"] * 80, to, np.ones(80), 80, HORIZON)
    assert read.value == pytest.approx(theirs.cinc[0][-1], abs=1e-12)


def test_by_hand_with_a_way_back():
    """10 open: 4 done in bin 0, then 2 open and 1 done are too young; 1 of 3 done fails later."""
    read = state_occupation(
        [0, 0, 0, 5],
        ["open", "open", "done", "done"],
        ["done", "censored", "censored", "failed"],
        [4, 2, 1, 1],
        10,
        8,
    )
    assert read.value == pytest.approx(0.4 * 2 / 3)
    variance = (2 / 3) ** 2 * 0.4 * 0.6 / 10 + 0.4**2 * (1 / 3) * (2 / 3) / 3
    standard_error = (variance * 10 / 9) ** 0.5
    assert [read.lower, read.upper] == pytest.approx(limits(read.value, standard_error)[1:])


def test_the_horizon_cuts():
    columns = [0, 4], ["open", "open"], ["done", "done"], [3, 2]
    assert state_occupation(*columns, 10, 4).value == pytest.approx(0.3)
    assert state_occupation(*columns, 10, 5).value == pytest.approx(0.5)
    late = [0, 4], ["open", "open"], ["done", "censored"], [3, 7]
    assert state_occupation(*late, 10, 4) == state_occupation([0], ["open"], ["done"], [3], 10, 4)


def test_nothing_is_told_when_nobody_was_followed():
    young = state_occupation([0, 1], ["open", "done"], ["done", "censored"], [5, 5], 5, 4)
    assert astuple(young)[:4] == pytest.approx((math.nan,) * 3 + (5,), nan_ok=True)
    assert state_occupation([], [], [], [], 5, 4).value == 0


def test_an_interaction_may_go_around_several_times_in_a_bin():
    columns = [2, 2, 2], ["open", "done", "failed"], ["done", "failed", "done"], [1, 3, 3]
    assert state_occupation(*columns, 1, 4).value == 1


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="leave a state"):
        state_occupation([0], ["open"], ["done"], [6], 5, 4)
    with pytest.raises(ValueError, match="leave a state"):
        state_occupation([0], ["done"], ["failed"], [1], 5, 4)
    with pytest.raises(ValueError, match="censored in a state"):
        state_occupation([0], ["done"], ["censored"], [1], 5, 4)
    with pytest.raises(ValueError, match="solved"):
        state_occupation([0], ["open"], ["solved"], [1], 5, 4)


def test_young_interactions_count_and_the_interval_holds():
    """Most are too young; taking them as not done would be far off."""
    rng = np.random.default_rng(7)
    lives = [life(rng) for _ in range(20_000)]
    truth = np.mean([state_at(moves, HORIZON - 1) == "done" for moves in lives])
    held, naive = [], []
    for start in range(0, len(lives), 100):
        sample = lives[start : start + 100]
        ages = rng.integers(0, 30, 100).tolist()
        read = state_occupation(*observed(sample, ages), 100, HORIZON)
        held.append(read.lower <= truth <= read.upper)
        seen = np.minimum(ages, HORIZON - 1)
        naive.append(
            np.mean([state_at(*pair) == "done" for pair in zip(sample, seen, strict=True)])
        )
    assert np.mean(naive) < truth - 0.05
    assert 0.9 <= np.mean(held) <= 0.99


# --- strata


@pytest.fixture
def strata() -> list[tuple]:
    rng = np.random.default_rng(3)
    lives = [[life(rng) for _ in range(n)] for n in (40, 70)]
    ages = [rng.integers(0, 60, len(some)).tolist() for some in lives]
    return [(*observed(some, age), len(some)) for some, age in zip(lives, ages, strict=True)]


def test_strata_weigh_as_asked(strata):
    parts = [state_occupation(*stratum, HORIZON) for stratum in strata]
    both = stratified_state_occupation(strata, [30, 10], HORIZON)
    assert both.value == pytest.approx(0.75 * parts[0].value + 0.25 * parts[1].value)
    assert both.n == 110
    effective = [width_to_n(part) for part in parts]
    variance = sum(
        w**2 * part.value * (1 - part.value) / n
        for w, part, n in zip((0.75, 0.25), parts, effective, strict=True)
    )
    assert [both.lower, both.upper] == pytest.approx(limits(both.value, variance**0.5)[1:])


def width_to_n(estimate) -> float:
    """For how many observations the Wilson limits of an estimate are made."""
    middle = (estimate.lower + estimate.upper) / 2
    # middle = (p n + z^2 / 2) / (n + z^2)
    return Z95**2 * (middle - 0.5) / (estimate.value - middle)


def test_a_stratum_without_weight_does_not_count(strata):
    unfollowed = ([0], ["open"], ["censored"], [3], 3)
    alone = state_occupation(*strata[0], HORIZON)
    assert stratified_state_occupation([strata[0], unfollowed], [5, 0], HORIZON) == alone
    assert math.isnan(stratified_state_occupation([strata[0], unfollowed], [5, 1], HORIZON).value)


def test_strata_without_scatter_get_the_limits_of_those_followed():
    everyone = [([0], ["open"], ["done"], [n], n) for n in (10, 30)]
    read = stratified_state_occupation(everyone, [1, 1], 4)
    assert (read.value, read.lower, read.upper) == pytest.approx((1, *wilson(30, 30)))
