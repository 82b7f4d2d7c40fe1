"""What may be said of a release: estimators against known numbers and simulations, verdicts."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from agent_kpis.statistics.estimates import Estimate, difference
from agent_kpis.statistics.proportions import standardised_proportion
from agent_kpis.statistics.releases import (
    difference_in_differences,
    level_shift,
    paired_difference,
    paired_ratio_difference,
    verdict,
)

NAN = math.nan
LIMIT = st.floats(-1, 1)

# Shares completed by people and by the agent, and requests a window, by task type.
SHARES = np.array([[0.70, 0.55, 0.66], [0.42, 0.25, 0.36]])
HOLDOUT, AI = np.array([120, 90, 130]), np.array([700, 500, 720])


def effects(
    rng: np.random.Generator, repetitions: int, moved: float = 0.0, size: float = 1.0
) -> list[tuple[Estimate, Estimate]]:
    """Of as many releases: difference in differences, and after less before of the AI arm alone.

    Between the windows something happens to everybody, a different thing each time.
    """
    n = np.array([[HOLDOUT, HOLDOUT], [AI, AI]]) * size
    n = n.round().astype(int)
    found = []
    for _ in range(repetitions):
        share = np.stack([SHARES, SHARES + rng.normal(0, 0.06)], axis=1)
        share[1, 1] += moved
        successes = rng.binomial(n, np.clip(share, 0, 1))
        weights = n[1].sum(axis=0)
        before, after = (
            standardised_proportion(successes[1, period], n[1, period], weights)
            for period in (0, 1)
        )
        found.append((difference_in_differences(successes, n), difference(after, before)))
    return found


def test_a_shared_shock_is_no_effect_of_the_release():
    found = effects(np.random.default_rng(4), 1500)
    concurrent, plain = (
        np.mean([effect.lower > 0 or effect.upper < 0 for effect in column])
        for column in zip(*found, strict=True)
    )
    assert 0.03 < concurrent < 0.07
    assert plain > 0.5


def test_a_real_movement_is_found_beside_a_shared_shock():
    found = [effect for effect, _ in effects(np.random.default_rng(5), 300, moved=0.14)]
    assert np.mean([effect.lower for effect in found]) > 0.02
    verdicts = Counter(verdict(effect, "up", 0.05) for effect in found)
    assert verdicts["moved_as_expected"] > 280
    assert verdicts["moved_against"] == 0


@pytest.mark.parametrize(
    ("size", "expected"), [(20, "no_effect"), (0.5, "not_sensitive_enough")], ids=["many", "few"]
)
def test_the_two_ways_of_not_having_moved(size, expected):
    found = [effect for effect, _ in effects(np.random.default_rng(6), 200, size=size)]
    verdicts = Counter(verdict(effect, "up", 0.05) for effect in found)
    assert verdicts[expected] > 180
    other = {"no_effect", "not_sensitive_enough"} - {expected}
    assert verdicts[other.pop()] == 0


@pytest.mark.parametrize(
    ("lower", "upper", "direction", "min_effect", "expected"),
    [
        (0.01, 0.05, "up", 0.02, "moved_as_expected"),
        (0.01, 0.05, "down", 0.02, "moved_against"),
        (-0.05, -0.01, "down", 0.02, "moved_as_expected"),
        (-0.05, -0.01, "up", 0.02, "moved_against"),
        (-0.05, -0.01, None, 0.02, "inconclusive"),
        # Excluding 0 comes first, also where the movement is smaller than what counts.
        (0.001, 0.005, "up", 0.02, "moved_as_expected"),
        (0.0, 0.05, "up", 0.04, "inconclusive"),
        (-0.019, 0.019, "up", 0.02, "no_effect"),
        (-0.02, 0.019, "up", 0.02, "not_sensitive_enough"),
        (-0.019, 0.02, "up", 0.02, "not_sensitive_enough"),
        # MDE = 2.8016 * .01; half the width is 1.96 * .01.
        (-0.0096, 0.0296, "up", 0.0281, "inconclusive"),
        (-0.0096, 0.0296, "up", 0.0279, "not_sensitive_enough"),
        (-0.03, 0.03, None, 0.04, "no_effect"),
        (-0.03, 0.03, "up", NAN, "inconclusive"),
        (0.01, 0.03, "up", NAN, "moved_as_expected"),
        (NAN, NAN, "up", 0.02, "inconclusive"),
    ],
)
def test_verdicts(lower, upper, direction, min_effect, expected):
    effect = Estimate((lower + upper) / 2, lower, upper, 100)
    assert verdict(effect, direction, min_effect) == expected


@given(LIMIT, LIMIT, st.floats(0.001, 1))
def test_turning_everything_round_turns_the_verdict_round(one, other, min_effect):
    lower, upper = sorted((one, other))
    effect = Estimate((lower + upper) / 2, lower, upper, 1)
    turned = Estimate(-effect.value, -upper, -lower, 1)
    said = verdict(effect, "up", min_effect)
    assert verdict(turned, "down", min_effect) == said
    against = {"moved_as_expected": "moved_against", "moved_against": "moved_as_expected"}
    assert verdict(effect, "down", min_effect) == against.get(said, said)


def test_a_design_effect_widens_the_change_of_its_own_arm():
    successes = np.array([[[30, 40], [35, 38]], [[200, 210], [220, 180]]])
    n = np.array([[[50, 60], [52, 61]], [[400, 500], [410, 480]]])
    plain = difference_in_differences(successes, n)
    assert difference_in_differences(successes, n, None, (1, 1)) == plain
    share = successes / n
    weights = n[1].sum(axis=0) / n[1].sum()
    variances = (weights**2 * share * (1 - share) / n).sum(axis=(1, 2))
    wide = difference_in_differences(successes, n, None, (3, 1.5))
    assert wide.value == plain.value
    assert wide.standard_error == pytest.approx(math.sqrt(3 * variances[0] + 1.5 * variances[1]))


# --- the agent's own past


def test_a_jump_beside_a_trend():
    day = np.arange(84)
    after = day >= 60
    n = np.where(day % 7 < 5, 80, 40)
    value = 0.4 + 0.001 * day + 0.05 * after + 0.01 * (-1.0) ** day
    found = level_shift(day, after, n, value)
    assert found.value == pytest.approx(0.05, abs=0.002)
    assert found.lower < 0.05 < found.upper
    # Without a jump the trend is not taken for one.
    assert level_shift(day, after, n, value - 0.05 * after).upper < 0.01


def test_a_jump_is_weighted_least_squares():
    rng = np.random.default_rng(2)
    day, n = np.arange(70), rng.integers(20, 90, 70)
    after, value = day >= 56, rng.random(70)
    found = level_shift(day, after, n, value)
    design = np.column_stack([np.ones(70), day, after]) * np.sqrt(n)[:, None]
    fitted, (rest,), _, _ = np.linalg.lstsq(design, value * np.sqrt(n), rcond=None)
    error = math.sqrt(rest / 67 * np.linalg.inv(design.T @ design)[2, 2])
    assert found.value == pytest.approx(fitted[2])
    assert found.upper - found.value == pytest.approx(scipy.stats.t.ppf(0.975, 67) * error)


def test_a_jump_is_found_as_often_as_promised():
    rng = np.random.default_rng(3)
    day, n = np.arange(84), np.full(84, 70)
    after = day >= 56
    covered = 0
    for _ in range(1000):
        found = level_shift(day, after, n, rng.binomial(n, 0.4) / n)
        covered += found.lower <= 0 <= found.upper
    assert 0.93 < covered / 1000 < 0.97


@pytest.mark.parametrize(
    ("day", "after", "n"),
    [
        ([0, 1, 2], [0, 0, 1], [5, 5, 5]),
        ([0, 1, 2, 3, 4], [0, 0, 0, 0, 0], [5, 5, 5, 5, 5]),
        ([0, 1, 2, 3, 4], [0, 0, 0, 1, 1], [5, 5, 5, 0, 0]),
        ([], [], []),
    ],
)
def test_no_jump_of_days_that_cannot_tell(day, after, n):
    found = level_shift(day, after, n, [0.5] * len(day))
    assert math.isnan(found.value)
    assert math.isnan(found.lower)


# --- pairs


def test_pairs_of_one_task_type_are_the_paired_t_test():
    rng = np.random.default_rng(1)
    before, after = rng.random(12), rng.random(12)
    found = paired_difference(["retail"] * 12, before, after)
    limits = scipy.stats.ttest_rel(after, before).confidence_interval()
    assert (found.value, found.lower, found.upper) == pytest.approx(
        (np.mean(after - before), limits.low, limits.high)
    )
    assert found.n == 12


def test_task_types_are_strata_and_what_is_not_known_is_left_out():
    task = np.array(["a"] * 4 + ["b"] * 6 + ["lone", "a"])
    change = np.array([0, 1, 1, 1, 0, 0, -1, 0, 0, 1, 1, NAN])
    found = paired_difference(task, np.zeros(12), change)
    assert found.value == pytest.approx(3 / 10)
    variance = 0.4**2 * np.var(change[:4], ddof=1) / 4 + 0.6**2 * np.var(change[4:10], ddof=1) / 6
    half_width = scipy.stats.t.ppf(0.975, 8) * math.sqrt(variance)
    assert found.upper - found.value == pytest.approx(half_width)
    assert math.isnan(paired_difference(["a"], [0], [1]).value)
    assert math.isnan(paired_difference([], [], []).value)


def test_cost_per_success_of_pairs():
    task = ["a"] * 4
    before, after, found = paired_ratio_difference(
        task, [2, 4, 2, 4], [1, 1, 0, 1], [1, 2, 1, NAN], [1, 1, 1, 1]
    )
    assert (before, after, found.value) == pytest.approx((8 / 2, 4 / 3, 4 / 3 - 4))
    assert found.n == 3
    assert found.lower < found.value < found.upper
    assert math.isnan(paired_ratio_difference(task, [1] * 4, [0] * 4, [1] * 4, [1] * 4)[2].value)


def test_limits_of_cost_per_success_of_pairs_hold():
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(600):
        size = 80
        hard = rng.random(size)
        y0, y1 = (
            (rng.random(size) < 1 - 0.8 * hard) * 1.0,
            (rng.random(size) < 1 - 0.6 * hard) * 1.0,
        )
        c0, c1 = 1 + 2 * hard + rng.random(size), 0.8 + 2 * hard + rng.random(size)
        _, _, found = paired_ratio_difference(["a"] * size, c0, y0, c1, y1)
        truth = (0.8 + 1 + 0.5) / 0.7 - (1 + 1 + 0.5) / 0.6
        covered += found.lower <= truth <= found.upper
    assert 0.92 < covered / 600 < 0.98
