"""Is the holdout the size it should be, what could it show, and how many comparisons were made.

Sizes are for two-sided tests at 5%. Every `holdout_share` is strictly between 0 and 1, or
ValueError is raised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, ndtr, ndtri

from agent_kpis.statistics.estimates import Z95, quiet


@quiet
def sample_ratio_test(
    n_holdout: ArrayLike, n: ArrayLike, holdout_share: ArrayLike
) -> tuple[float, float]:
    """Chi-square (one degree of freedom) and p of as many in the holdout as were to be.

    Of one group, or pooled over groups (G) with different shares: (sum observed - sum n s)^2 /
    sum n s (1 - s), which for one group is Pearson's (1900). nan without observations.
    """
    n, share = np.asarray(n, dtype=float), _checked(holdout_share)
    excess = np.sum(n_holdout - n * share)
    chi2 = excess**2 / np.sum(n * share * (1 - share))
    return float(chi2), float(chdtrc(1, chi2))


def minimum_detectable_effect(standard_error: float, power: float = 0.8) -> float:
    """The smallest true difference that is found with that power, in the standard error's unit."""
    return float((Z95 + ndtri(power)) * standard_error)


@quiet
def power_of_difference(p_reference: float, effect: float, n_ai: float, n_holdout: float) -> float:
    """The chance that proportions p_reference + effect (AI) and p_reference (holdout) test apart.

    The test pools the proportions, the alternative does not (Fleiss 1981); both tails count. With
    unequal arms this differs from the power of the interval, which `holdout_needed` is about.
    """
    n_ai, n_holdout, p_ai = np.float64(n_ai), np.float64(n_holdout), p_reference + effect
    pooled = (p_ai * n_ai + p_reference * n_holdout) / (n_ai + n_holdout)
    under_null = np.sqrt(pooled * (1 - pooled) * (1 / n_ai + 1 / n_holdout))
    se = np.sqrt(p_ai * (1 - p_ai) / n_ai + p_reference * (1 - p_reference) / n_holdout)
    return float(sum(ndtr((sign * effect - Z95 * under_null) / se) for sign in (-1, 1)))


@quiet
def holdout_needed(
    p_reference: float, effect: float, holdout_share: float, power: float = 0.8
) -> float:
    """How many outcomes the holdout needs to find p_reference + effect in the AI arm.

    Shares of successes, of satisfied answers (82% to 74%), and the like. The size at which
    `effect` is the minimum detectable one of the unpooled standard error:
    (1.96 + z)^2 (p0 q0 + p1 q1 s / (1 - s)) / effect^2. A whole number; infinite for no effect, nan
    where p_reference + effect is no proportion.
    """
    p_ai = p_reference + effect
    if not (0 <= p_reference <= 1 and 0 <= p_ai <= 1):
        return np.nan
    return _needed(p_reference * (1 - p_reference), p_ai * (1 - p_ai), effect, holdout_share, power)


@quiet
def holdout_needed_mean(
    effect: float, standard_deviation: float, holdout_share: float, power: float = 0.8
) -> float:
    """How many scores the holdout needs to find a difference of `effect` points between means.

    `standard_deviation` of single scores, the same in both arms. A whole number; infinite for no
    effect.
    """
    return _needed(standard_deviation**2, standard_deviation**2, effect, holdout_share, power)


def _needed(
    variance: float, variance_ai: float, effect: float, holdout_share: float, power: float
) -> float:
    share = _checked(holdout_share)
    of_one = variance + variance_ai * share / (1 - share)
    return _whole((Z95 + ndtri(power)) ** 2 * of_one / np.float64(effect) ** 2)


@quiet
def days_needed(
    outcomes: float, daily_interactions: float, holdout_share: float, response_rate: float = 1.0
) -> float:
    """Whole days until the holdout has that many outcomes; infinite if it never will.

    `response_rate` is the share of interactions that give an outcome: 1 except for surveys.
    """
    per_day = np.float64(daily_interactions) * _checked(holdout_share) * response_rate
    return _whole(outcomes / per_day)


def _whole(number: float) -> float:
    """Rounded up, but not for the last bits: 29 / (100 * .29) is one day."""
    return float(np.ceil(np.round(number, 9)))


def _checked(holdout_share: ArrayLike) -> np.ndarray:
    share = np.asarray(holdout_share, dtype=float)
    if not ((share > 0) & (share < 1)).all():
        raise ValueError(f"the holdout's share must be between 0 and 1: {holdout_share}")
    return share


def benjamini_hochberg(p_values: ArrayLike) -> np.ndarray:
    """The p-values (K) adjusted for false discoveries (Benjamini and Hochberg 1995).

    Those at most q are found at a false discovery rate of q. nan stays nan and counts for nothing.
    """
    adjusted = np.array(p_values, dtype=float)
    known = np.flatnonzero(~np.isnan(adjusted))
    falling = known[np.argsort(-adjusted[known])]
    ranks = np.arange(falling.size, 0, -1)
    adjusted[falling] = np.minimum.accumulate(adjusted[falling] * falling.size / ranks)
    return adjusted
