"""Metrics over the last days, once for every day: values with limits from daily counts and sums.

Counts and sums are arrays (days, strata), the strata being task types; windows end with their day.
Like for like: both sides of a comparison in the mix of the AI arm's window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from agent_kpis.statistics.estimates import quiet
from agent_kpis.statistics.means import sample_covariance, sample_variance
from agent_kpis.statistics.proportions import wilson

Parts = Mapping[str, np.ndarray]
ONE_SIDED = 0.95
CERTAIN = 0.995
MINIMUM_FREEDOM = 25
"""A mean or a ratio of about thirty observations or fewer has no limits: scores of few say little
about how much scores differ."""


@dataclass(frozen=True)
class Reading:
    """A metric by day: value, lower and upper limit (days), and observations. nan: not told.

    Each limit is one-sided.
    """

    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    n: np.ndarray


def rolling(daily: np.ndarray, days: int) -> np.ndarray:
    """Sums over the last `days` days, each day included; the shape of `daily` (days, ...)."""
    total = np.concatenate([np.zeros((1, *daily.shape[1:])), np.cumsum(daily, axis=0)])
    end = np.arange(1, len(daily) + 1)
    return total[end] - total[np.maximum(end - days, 0)]


@quiet
def mix(n: np.ndarray) -> np.ndarray:
    """Each stratum's share of a window's observations (days, strata); nan on a day without any."""
    return n / n.sum(axis=-1, keepdims=True)


@quiet
def share(successes: np.ndarray, n: np.ndarray, weights: np.ndarray, level: float) -> Reading:
    """Standardised proportions, Wilson's limits recovered for the weighted sum (Newcombe 1998).

    weights (days, strata); successes and n in the same shape, or (strata) where they do not grow.
    """
    lower, upper = wilson(successes, n, z=ndtri(level))
    value = successes / n
    middle = _weighted(weights, value)
    return Reading(
        middle,
        middle - np.sqrt(_weighted(weights**2, (value - lower) ** 2)),
        middle + np.sqrt(_weighted(weights**2, (upper - value) ** 2)),
        observations(n, weights),
    )


@quiet
def mean(
    total: np.ndarray, square_sum: np.ndarray, n: np.ndarray, weights: np.ndarray, level: float
) -> Reading:
    """Standardised means with Student's t limits (Cochran 1977, ch. 5). Shapes as for `share`."""
    middle = _weighted(weights, total / n)
    size = observations(n, weights)
    variance = _weighted(weights**2, sample_variance(n, total, square_sum) / n)
    margin = _quantile(size - _strata(n, weights), level) * np.sqrt(variance)
    return Reading(middle, middle - margin, middle + margin, size)


@quiet
def ratio(
    cost: np.ndarray,
    square_sum: np.ndarray,
    n: np.ndarray,
    successes: np.ndarray,
    cost_of_successes: np.ndarray,
    weights: np.ndarray,
    level: float,
    shared_cost: np.ndarray | float = 0.0,
) -> Reading:
    """Standardised cost per success, delta method on the logarithm (Cochran 1977, ch. 6).

    shared_cost (days): what belongs to no interaction, in total over the window.
    """
    size = observations(n, weights)
    mean_cost = _weighted(weights, cost / n) + shared_cost / size
    success = _weighted(weights, successes / n)
    variance = (
        sample_variance(n, cost, square_sum) / mean_cost[..., None] ** 2
        + sample_variance(n, successes, successes) / success[..., None] ** 2
        - 2
        * sample_covariance(n, cost, successes, cost_of_successes)
        / (mean_cost * success)[..., None]
    )
    variance = np.maximum(_weighted(weights**2, variance / n), 0)
    value = np.where(success > 0, mean_cost / success, np.nan)
    factor = np.exp(_quantile(size - _strata(n, weights), level) * np.sqrt(variance))
    return Reading(value, value / factor, value * factor, size)


@quiet
def median(
    counts: np.ndarray,
    n: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    weights: np.ndarray,
    level: float,
) -> Reading:
    """Medians of a standardised distribution, limits where it crosses one half, give or take.

    counts: resolved ones by bin (days, strata, bins) or (strata, bins); n: all, also those that
    are longer than any bin; starts, ends (bins): where bins begin and end, positive. Within a bin
    on the log scale. A quantile beyond the resolved ones is nan, as an upper limit infinite.
    """
    share_by = np.cumsum(counts, axis=-1) / n[..., None]
    reached = np.where(weights[..., None] == 0, 0, weights[..., None] * share_by).sum(axis=-2)
    known = (weights > 0).any(axis=-1)
    spread = np.sqrt(_weighted(weights**2, 0.25 / np.where(n > 0, n, np.nan)))
    margin = ndtri(level) * spread

    def quantile(at: np.ndarray) -> np.ndarray:
        place = (reached < at[..., None] - 1e-12).sum(axis=-1)
        beyond = place >= reached.shape[-1]
        bin_ = np.minimum(place, reached.shape[-1] - 1)
        up = np.take_along_axis(reached, bin_[..., None], -1)[..., 0]
        down = np.where(
            bin_ > 0,
            np.take_along_axis(reached, np.maximum(bin_ - 1, 0)[..., None], -1)[..., 0],
            0,
        )
        part = np.clip((at - down) / (up - down), 0, 1)
        start, end = np.log(starts[bin_]), np.log(ends[bin_])
        return np.where(beyond | ~known, np.nan, np.exp(start + part * (end - start)))

    half = np.full(margin.shape, 0.5)
    upper = quantile(half + margin)
    return Reading(
        quantile(half),
        quantile(np.maximum(half - margin, 1e-9)),
        np.where(np.isnan(upper) & known & (margin < 0.5), np.inf, upper),
        observations(n, weights),
    )


@quiet
def differences(one: Reading, other: Reading, percent: bool) -> tuple[np.ndarray, ...]:
    """One reading less another: value, lower and upper limit (days), each limit one-sided.

    In their unit, or in per cent of the other. Limits recovered from those of both (Zou and Donner
    2008), for per cent on the logarithm.
    """
    if percent:
        one, other = _logarithms(one), _logarithms(other)
    value = one.value - other.value
    lower = value - np.hypot(one.value - one.lower, other.upper - other.value)
    upper = value + np.hypot(one.upper - one.value, other.value - other.lower)
    if percent:
        value, lower, upper = (100 * np.expm1(x) for x in (value, lower, upper))
    return value, lower, upper


@quiet
def spread(reading: Reading, percent: bool) -> np.ndarray:
    """Half the distance between the limits, for per cent that of their logarithms."""
    if percent:
        reading = _logarithms(reading)
    return (reading.upper - reading.lower) / 2


def _logarithms(reading: Reading) -> Reading:
    return Reading(*(np.log(x) for x in (reading.value, reading.lower, reading.upper)), reading.n)


def _weighted(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The weighted sum over the strata; one without weight may hold nan. nan where none has any."""
    total = np.where(weights == 0, 0, weights * values).sum(axis=-1)
    return np.where((weights == 0).all(axis=-1), np.nan, total)


def observations(n: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How many there are in the strata with weight."""
    return np.where(weights > 0, n, 0).sum(axis=-1)


def _strata(n: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.where((weights > 0) & (n > 0), 1, 0).sum(axis=-1)


def _quantile(freedom: np.ndarray, level: float) -> np.ndarray:
    return np.where(freedom >= MINIMUM_FREEDOM, stdtrit(np.maximum(freedom, 1), level), np.nan)
