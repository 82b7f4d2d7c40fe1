"""The mean of everybody from those who answered."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
import scipy.stats

from agent_kpis.statistics.poststratification import post_stratified_mean


def sums(cells: list[list[float]]) -> tuple[list[int], list[float], list[float]]:
    """n, total and square_sum of the scores in each cell."""
    return [len(c) for c in cells], [sum(c) for c in cells], [sum(x * x for x in c) for c in cells]


LOW, HIGH = [1, 2, 1, 2, 1, 2], [4, 5, 5, 4, 5, 5, 4]


def test_cells_weigh_as_in_the_population():
    """The content answer more often; half of the population is not content."""
    read = post_stratified_mean(["a", "a"], ["x", "y"], [50, 50], *sums([LOW, HIGH]))
    means, variances = ([f(c) for c in (LOW, HIGH)] for f in (np.mean, lambda c: np.var(c, ddof=1)))
    error = math.sqrt(0.25 * variances[0] / 6 + 0.25 * variances[1] / 7)
    margin = scipy.stats.t.ppf(0.975, 11) * error
    value = np.mean(means)
    assert astuple(read)[:4] == pytest.approx((value, value - margin, value + margin, 13))


def test_one_cell_is_the_plain_mean_with_students_limits():
    scores = [1, 4, 4, 5, 2, 3, 5]
    read = post_stratified_mean(["a"], ["x"], [70], *sums([scores]))
    limits = scipy.stats.ttest_1samp(scores, 0).confidence_interval()
    assert (read.value, read.lower, read.upper) == pytest.approx((np.mean(scores), *limits))


def merged(n: list[int], groups: list[str], categories: list[str] | None = None) -> float:
    """The mean where cell i has the score 10**i throughout and a population of 1."""
    scores = [[10.0**i] * size for i, size in enumerate(n)]
    categories = categories or [f"category {i}" for i in range(len(n))]
    return post_stratified_mean(groups, categories, np.ones(len(n)), *sums(scores)).value * len(n)


def test_small_cells_of_a_group_are_merged_with_each_other():
    assert merged([3, 2, 9, 5], ["a", "a", "a", "b"]) == pytest.approx(
        2 * (3 * 1 + 2 * 10) / 5 + 100 + 1000
    )


def test_if_that_is_not_enough_the_next_smallest_joins():
    assert merged([9, 1, 2, 7], ["a"] * 4) == pytest.approx(1 + 3 * (10 + 2 * 100 + 7 * 1000) / 10)
    assert merged([9, 0, 8, 7], ["a", "a", "b", "b"]) == pytest.approx(2 * 1 + 100 + 1000)


def test_a_small_group_joins_the_smallest_other_by_category():
    groups, categories = ["a", "a", "b", "c", "c"], ["x", "y", "x", "x", "y"]
    assert merged([6, 8, 4, 20, 9], groups, categories) == pytest.approx(
        2 * (6 * 1 + 4 * 100) / 10 + 10 + 1000 + 10000
    )


def test_everything_is_one_cell_where_little_was_answered():
    assert merged([1, 2, 1], ["a", "b", "c"]) == pytest.approx(3 * (1 + 20 + 100) / 4)


def test_single_answers_take_the_pooled_variance():
    cells = [[1, 2, 4], [5]]
    read = post_stratified_mean(["a", "b"], ["x", "x"], [30, 10], *sums(cells), minimum=1)
    pooled = np.var(cells[0]) * 3 / (4 - 2)
    error = math.sqrt(0.75**2 * np.var(cells[0], ddof=1) / 3 + 0.25**2 * pooled)
    assert read.value == pytest.approx(0.75 * 7 / 3 + 0.25 * 5)
    assert read.upper - read.value == pytest.approx(scipy.stats.t.ppf(0.975, 2) * error)


def test_what_cannot_be_told_is_nan():
    nan = math.nan
    for cells in (([], [], [], [], [], []), (["a"], ["x"], [5], [0], [0], [0])):
        read = post_stratified_mean(*cells)
        assert astuple(read)[:4] == pytest.approx((nan, nan, nan, 0), nan_ok=True)
    read = post_stratified_mean(["a"], ["x"], [5], [1], [4], [16])
    assert astuple(read)[:4] == pytest.approx((4, nan, nan, 1), nan_ok=True)


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="length"):
        post_stratified_mean(["a"], ["x", "y"], [5, 5], [1, 1], [4, 4], [16, 16])


def test_limits_hold_the_mean_of_everybody():
    """Outcomes differ in score and in response; the plain mean of the answers is biased."""
    rng = np.random.default_rng(11)
    mean, response = np.array([4.2, 2.2, 3.0]), np.array([0.3, 0.08, 0.15])
    population = np.array([300, 250, 50])
    truth, held, plain = population @ mean / 600, [], []
    for _ in range(600):
        cells = [
            rng.normal(m, 1, rng.binomial(n, r)).tolist()
            for m, n, r in zip(mean, population, response, strict=True)
        ]
        read = post_stratified_mean(["a"] * 3, ["x", "y", "z"], population, *sums(cells))
        held.append(read.lower <= truth <= read.upper)
        plain.append(np.mean(np.concatenate(cells)))
    assert np.mean(plain) > truth + 0.3
    assert 0.92 <= np.mean(held) <= 0.975
