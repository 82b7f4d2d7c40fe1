"""Time to resolution, of which the unresolved have only seen the beginning (right-censored)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from agent_kpis.statistics.estimates import (
    Z95,
    Estimate,
    floats,
    normal_estimate,
    quiet,
    shares,
    weighted,
)

# A product of shares that is exactly one half may be rounded to either side of it.
HALF = 0.5 - 1e-12


@dataclass(frozen=True, eq=False)
class Curve:
    """The share still unresolved after each of the `times` (T, ascending) at which some resolve.

    `survival` and its Greenwood `variance` are (T); `n` is the number at the start, and `last` the
    time up to which somebody was followed (of a standardised curve: in every stratum).
    """

    times: np.ndarray
    survival: np.ndarray
    variance: np.ndarray
    n: float
    last: float

    def at(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Survival and variance at any times: 1 before the first event, and the last value held
        beyond the last one; nan of nobody."""
        step = np.searchsorted(self.times, times, side="right")
        nobody = math.nan if self.n == 0 else 0.0
        return (
            np.concatenate([[1.0 + nobody], self.survival])[step],
            np.concatenate([[nobody], self.variance])[step],
        )


@quiet
def kaplan_meier(time: ArrayLike, n_events: ArrayLike, n_censored: ArrayLike) -> Curve:
    """The product-limit curve (Kaplan and Meier 1958), variance by Greenwood (1926).

    Bins in any order, of any unit of time: when, how many events and how many censored. A time may
    come more than once; at the same time events precede censorings. Raises ValueError for a time
    or a count that is negative or nan.
    """
    time, events, censored = floats(time, n_events, n_censored)
    if not all((x >= 0).all() for x in (time, events, censored)):
        raise ValueError("times and counts must be known and not negative")
    seen = events + censored > 0
    times, bins = np.unique(time[seen], return_inverse=True)
    events = np.bincount(bins, weights=events[seen], minlength=times.size)
    leaving = events + np.bincount(bins, weights=censored[seen], minlength=times.size)
    at_risk = np.cumsum(leaving[::-1])[::-1]

    some = events > 0
    d, r = events[some], at_risk[some]
    survival = np.cumprod(1 - d / r)
    greenwood = survival**2 * np.cumsum(d / (r * (r - d)))
    return Curve(
        times[some],
        survival,
        np.where(survival == 0, 0, greenwood),
        float(leaving.sum()),
        float(times[-1]) if times.size else math.nan,
    )


def standardised_curve(curves: Sequence[Curve], weights: ArrayLike) -> Curve:
    """The curve of a population that has the strata (S) in proportion to `weights`.

    sum w S at the times of all strata, variance sum w^2 var; beyond its last time a stratum keeps
    its last value. nan if a stratum with weight is empty. Raises ValueError as `shares` does.
    """
    w = shares(weights)
    used = [curve for share, curve in zip(w, curves, strict=True) if share != 0]
    w = w[w != 0]
    times = np.unique(np.concatenate([curve.times for curve in used]))
    survival, variance = np.stack([curve.at(times) for curve in used], axis=-1)
    return Curve(
        times,
        weighted(w, survival),
        weighted(w**2, variance),
        sum(curve.n for curve in used),
        float(np.min([curve.last for curve in used])),
    )


@quiet
def median(curve: Curve) -> Estimate:
    """The first time at which fewer than half are unresolved, in the curve's unit of time.

    Limits: the times at which the pointwise complementary log-log band holds one half (Brookmeyer
    and Crowley 1982, as SAS LIFETEST transforms it). nan: value where the curve does not come
    below one half; upper limit where the band does not, which may be arbitrarily late.
    """
    survival = curve.survival
    log_survival = np.log(survival)
    distance = np.log(-log_survival) - math.log(math.log(2))
    z = distance * -log_survival * survival / np.sqrt(curve.variance)
    below = np.flatnonzero(survival < HALF)
    held = np.flatnonzero(np.abs(z) <= Z95)

    def time(index: int) -> float:
        return float(curve.times[index]) if index < curve.times.size else math.nan

    return Estimate(
        time(below[0]) if below.size else math.nan,
        time(held[0]) if held.size else math.nan,
        time(held[-1] + 1) if held.size else math.nan,
        curve.n,
    )


@quiet
def restricted_mean(curves: Sequence[Curve], weights: ArrayLike, tau: float) -> Estimate:
    """The mean of min(time, tau): the area under the standardised curve from 0 to tau.

    In the curves' unit of time. Normal limits on Greenwood's variance per stratum,
    sum d / (r (r - d)) (area from t to tau)^2 (Klein and Moeschberger 2003, 4.5). A stratum whose
    follow-up ends before tau (`Curve.last`) keeps its last value. nan if a stratum with weight is
    empty. Raises ValueError as `shares` does, and unless tau > 0.
    """
    if not tau > 0:
        raise ValueError(f"tau must be positive: {tau}")
    w = shares(weights)
    areas = np.array([_area(curve, tau) for curve in curves])
    n = np.array([curve.n for curve in curves])
    return normal_estimate(weighted(w, areas[:, 0]), weighted(w**2, areas[:, 1]), n[w != 0].sum())


def _area(curve: Curve, tau: float) -> tuple[float, float]:
    """The area under a curve up to tau, and its variance."""
    edges = np.concatenate([[0.0], curve.times[curve.times < tau], [tau]])
    survival, variance = curve.at(edges[:-1])
    pieces = survival * np.diff(edges)
    area_from = np.cumsum(pieces[::-1])[::-1]
    hazard_variance = np.diff(variance / survival**2, prepend=0)
    # Nothing remains after the last of all, whose term is 0 times infinity.
    return pieces.sum(), np.sum(np.where(area_from == 0, 0, hazard_variance * area_from**2))
