"""Means from sums and sums of squares: over strata, over customers, given what was before."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from agent_kpis.statistics.estimates import (
    Estimate,
    floats,
    normal_estimate,
    quiet,
    shares,
    weighted,
)


@quiet
def sample_covariance(
    n: ArrayLike, total_a: ArrayLike, total_b: ArrayLike, cross_sum: ArrayLike
) -> np.ndarray:
    """The covariance over n - 1, from the sums of a, of b and of a * b; nan below n = 2."""
    n, total_a, total_b = (np.asarray(x, dtype=float) for x in (n, total_a, total_b))
    return np.where(n < 2, np.nan, (cross_sum - total_a * total_b / n) / (n - 1))


def sample_variance(n: ArrayLike, total: ArrayLike, square_sum: ArrayLike) -> np.ndarray:
    """The variance over n - 1 from a sum and a sum of squares; nan below n = 2."""
    # Rounding of a constant may fall below 0.
    return np.maximum(sample_covariance(n, total, total, square_sum), 0)


@quiet
def standardised_mean(
    n: ArrayLike,
    total: ArrayLike,
    square_sum: ArrayLike,
    weights: ArrayLike,
    design_effect: ArrayLike = 1.0,
) -> Estimate:
    """The mean of a population that has the strata (S) in proportion to `weights`.

    From counts, sums and sums of squares; in the unit of the sums. Normal limits on the variance
    of a stratified mean, sum w^2 s^2 / n (Cochran 1977, ch. 5). nan if a stratum with weight has
    fewer than two observations. Raises ValueError as `shares` does.
    """
    w, (n, total, square_sum) = shares(weights), floats(n, total, square_sum)
    variance = sample_variance(n, total, square_sum) * design_effect / n
    return normal_estimate(weighted(w, total / n), weighted(w**2, variance), n[w != 0].sum())


@quiet
def design_effect(n: ArrayLike, total: ArrayLike, square_sum: ArrayLike | None = None) -> float:
    """How many times the variance of a mean grows because customers (G), not interactions, differ.

    `n` and `total` (of successes, or of any score) per customer. V = G/(G-1) sum (x - p n)^2 / N^2,
    the variance of a ratio of cluster totals (Cochran 1977, ch. 6), over that of N independent
    observations; `square_sum` gives the latter and may be left out for successes (0 or 1). At
    least 1, and 1 where nothing varies; nan below two customers. Customers with n = 0 count for
    nothing.
    """
    n, total, squares = floats(n, total, total if square_sum is None else square_sum)
    size, customers = n.sum(), np.sum(n > 0)
    if customers < 2:
        return math.nan
    independent = (squares.sum() / size - (total.sum() / size) ** 2) / size
    clustered = customers / (customers - 1) * _cluster_variance(n, total)
    return 1.0 if independent <= 0 else float(np.maximum(clustered / independent, 1))


@quiet
def cluster_robust_difference(arm: ArrayLike, n: ArrayLike, total: ArrayLike) -> Estimate:
    """The mean of arm 1 less that of arm 0 where customers (G) were randomised.

    `arm` (0 or 1), `n` and `total` per customer. Normal limits on the cluster-robust variance
    sum (x - p n)^2 / N^2 of either arm (Liang and Zeger 1986), without small-sample factor: from
    about 30 customers on. nan where an arm is empty.
    """
    arm, n, total = floats(arm, n, total)
    arms = [(n[arm == k], total[arm == k]) for k in (1, 0)]
    ai, human = (x.sum() / m.sum() for m, x in arms)
    return normal_estimate(ai - human, sum(_cluster_variance(m, x) for m, x in arms), n.sum())


def _cluster_variance(n: np.ndarray, total: np.ndarray) -> float:
    return np.sum((total - total.sum() / n.sum() * n) ** 2) / n.sum() ** 2


@quiet
def cuped_slope(
    n: ArrayLike,
    total: ArrayLike,
    before: ArrayLike,
    before_square_sum: ArrayLike,
    cross_sum: ArrayLike,
) -> float:
    """The slope of the outcome on its value before, over both arms together: what `cuped` takes."""
    n, total, before, squares, cross = (
        np.sum(x, dtype=float) for x in (n, total, before, before_square_sum, cross_sum)
    )
    covariance = sample_covariance(n, total, before, cross)
    return float(covariance / sample_variance(n, before, squares))


@quiet
def cuped(
    n: ArrayLike,
    total: ArrayLike,
    square_sum: ArrayLike,
    before: ArrayLike,
    before_square_sum: ArrayLike,
    cross_sum: ArrayLike,
) -> Estimate:
    """The difference of means, less what the difference before explains (Deng et al. 2013, CUPED).

    Every input is a pair (arm 0, arm 1): count, sum and sum of squares of the outcome, of the
    same unit's value `before` the experiment, and the sum of their products. Normal limits. nan
    where an arm has fewer than two units or nothing varied before.
    """
    n, total, square_sum, before, before_square_sum, cross_sum = floats(
        n, total, square_sum, before, before_square_sum, cross_sum
    )
    slope = cuped_slope(n, total, before, before_square_sum, cross_sum)
    adjusted = (total - slope * before) / n
    variance = (
        sample_variance(n, total, square_sum)
        + slope**2 * sample_variance(n, before, before_square_sum)
        - 2 * slope * sample_covariance(n, total, before, cross_sum)
    )
    return normal_estimate(adjusted[1] - adjusted[0], np.sum(variance / n), n.sum())
