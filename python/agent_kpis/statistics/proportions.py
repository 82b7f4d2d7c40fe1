"""Shares of successes: limits, standardisation over strata, and comparison of two arms.

Arm 1 is the AI arm, arm 0 the human holdout. `successes` and `n` are counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from agent_kpis.statistics.estimates import (
    Z95,
    Estimate,
    floats,
    log_estimate,
    quiet,
    shares,
    weighted,
)


@quiet
def wilson(
    successes: ArrayLike, n: ArrayLike, design_effect: ArrayLike = 1.0, z: float = Z95
) -> tuple[np.ndarray, np.ndarray]:
    """Score limits (lower, upper) of proportions, in the shape of the input (Wilson 1927).

    They are made for n / design_effect independent observations; `z` is the normal quantile, 1.96
    for two-sided 95%. Exactly 0 below no success and exactly 1 above nothing but successes; nan
    where n is 0.
    """
    successes, n = np.asarray(successes, dtype=float), np.asarray(n, dtype=float)
    share, effective = successes / n, n / design_effect
    middle = share + z**2 / (2 * effective)
    half_width = z * np.sqrt(share * (1 - share) / effective + (z / (2 * effective)) ** 2)
    scale = 1 + z**2 / effective
    lower = np.where(share == 0, 0, (middle - half_width) / scale)
    upper = np.where(share == 1, 1, (middle + half_width) / scale)
    return lower[()], upper[()]


@quiet
def standardised_proportion(
    successes: ArrayLike, n: ArrayLike, weights: ArrayLike, design_effect: ArrayLike = 1.0
) -> Estimate:
    """The proportion of a population that has the strata (S) in proportion to `weights`.

    Wilson limits per stratum, recovered for the weighted sum (Zou and Donner 2008); the
    `difference` of two of these is the stratified form of Newcombe's interval. nan if a stratum
    with weight is empty. Raises ValueError as `shares` does.
    """
    w, (successes, n) = shares(weights), floats(successes, n)
    lower, upper = wilson(successes, n, design_effect)
    share = successes / n
    value = weighted(w, share)
    return Estimate(
        float(value),
        float(value - np.sqrt(weighted(w**2, (share - lower) ** 2))),
        float(value + np.sqrt(weighted(w**2, (upper - share) ** 2))),
        float(n[w != 0].sum()),
    )


@quiet
def miettinen_nurminen(x1: float, n1: float, x0: float, n0: float) -> Estimate:
    """p1 - p0 with the score limits of Miettinen and Nurminen (1985), variance times N / (N - 1).

    The limits are the differences at which the score test, with the maximum likelihood under that
    difference, is just not rejected. nan where an arm is empty.
    """
    x1, n1, x0, n0 = map(np.float64, (x1, n1, x0, n0))
    value = x1 / n1 - x0 / n0
    if not math.isfinite(value):
        return Estimate(math.nan, math.nan, math.nan, float(n1 + n0))

    def likeliest_p0(delta: float) -> float:
        def slope(p0: float) -> float:
            p1 = p0 + delta
            return x1 / p1 - (n1 - x1) / (1 - p1) + x0 / p0 - (n0 - x0) / (1 - p0)

        return _last_positive(slope, max(0, -delta), min(1, 1 - delta))

    def accepted(delta: float) -> float:
        p0 = likeliest_p0(delta)
        p1 = p0 + delta
        variance = (p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0) * (n1 + n0) / (n1 + n0 - 1)
        return Z95**2 * variance - (value - delta) ** 2

    return Estimate(
        float(value),
        float(_last_positive(accepted, value, -1)),
        float(_last_positive(accepted, value, 1)),
        float(n1 + n0),
    )


def _last_positive(function: Callable[[float], float], start: float, end: float) -> float:
    """Where a function that is positive from `start` on ceases to be, by bisection."""
    for _ in range(50):
        middle = (start + end) / 2
        if function(middle) > 0:
            start = middle
        else:
            end = middle
    return (start + end) / 2


@quiet
def risk_ratio(x1: float, n1: float, x0: float, n0: float, added: float = 0.0) -> Estimate:
    """p1 / p0 with log limits (Katz et al. 1978), on the `log` scale.

    `added` goes to every count before all else: .5 is Walter's (1975) adjustment, which can tell
    limits even where an arm has no success. nan without observations.
    """
    n = n1 + n0
    x1, n1, x0, n0 = (np.float64(count) + added for count in (x1, n1, x0, n0))
    return log_estimate((x1 / n1) / (x0 / n0), 1 / x1 - 1 / n1 + 1 / x0 - 1 / n0, n)


class MantelHaenszel(NamedTuple):
    """Chi-square (one degree of freedom) and p of no difference in any stratum, the pooled odds
    ratio (arm 1 to arm 0), and the p of that ratio being the same in all strata."""

    chi2: float
    p: float
    odds_ratio: float
    homogeneity_p: float


@quiet
def mantel_haenszel(x1: ArrayLike, n1: ArrayLike, x0: ArrayLike, n0: ArrayLike) -> MantelHaenszel:
    """Two arms over strata (S): Mantel and Haenszel (1959), homogeneity by Breslow and Day (1980).

    No continuity correction. Strata that cannot tell (an empty arm, no success, nothing but
    successes) are left out; what then remains untold is nan, as homogeneity is of one stratum.
    """
    x1, n1, x0, n0 = floats(x1, n1, x0, n0)
    silent = (n1 == 0) | (n0 == 0) | (x1 + x0 == 0) | (x1 + x0 == n1 + n0)
    x1, n1, x0, n0 = (x[~silent] for x in (x1, n1, x0, n0))
    n, m = n1 + n0, x1 + x0
    expected = n1 * m / n
    variance = n1 * n0 * m * (n - m) / (n**2 * (n - 1))
    chi2 = np.sum(x1 - expected) ** 2 / np.sum(variance)
    odds_ratio = np.sum(x1 * (n0 - x0) / n) / np.sum((n1 - x1) * x0 / n)

    # The count x1 that has the pooled odds ratio within the margins solves a quadratic.
    b = n0 - m + odds_ratio * (m + n1)
    c = odds_ratio * m * n1
    fitted = 2 * c / (b + np.sqrt(b**2 + 4 * (1 - odds_ratio) * c))
    precision = 1 / fitted + 1 / (m - fitted) + 1 / (n1 - fitted) + 1 / (n0 - m + fitted)
    heterogeneity = np.sum((x1 - fitted) ** 2 * precision)
    homogeneity_p = chdtrc(n.size - 1, heterogeneity) if n.size > 1 else math.nan
    return MantelHaenszel(
        float(chi2), float(chdtrc(1, chi2)), float(odds_ratio), float(homogeneity_p)
    )
