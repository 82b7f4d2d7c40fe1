"""Slow drift in a short daily series: a slope, a test of it, and a smoothed line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from agent_kpis.statistics.estimates import quiet


class TheilSen(NamedTuple):
    """A line through a series; the slope per day with its 95% limits."""

    slope: float
    intercept: float
    lower: float
    upper: float


class MannKendall(NamedTuple):
    """Kendall's tau with time (-1 falls always, 1 rises always) and its two-sided p."""

    tau: float
    p: float


def theil_sen(y: ArrayLike, day: ArrayLike | None = None) -> TheilSen:
    """The median of the slopes between all pairs of points, limits by Sen (1968).

    y: values (days); day: their days, 0, 1, ... without it. nan values are left out. All nan with
    fewer than two different days.
    """
    from scipy.stats import theilslopes

    y, day = _known(y, day)
    if len(np.unique(day)) < 2:
        return TheilSen(*[np.nan] * 4)
    return TheilSen(*map(float, theilslopes(y, day, alpha=0.95)))


@quiet
def rolling_slope(y: ArrayLike, days: int) -> np.ndarray:
    """Theil and Sen's slope per day over the last `days` days, for every day of y (days).

    nan values are left out; nan where fewer than three are known.
    """
    y = np.concatenate([np.full(days - 1, np.nan), np.asarray(y, dtype=float)])
    recent = np.lib.stride_tricks.sliding_window_view(y, days)
    first, second = np.triu_indices(days, 1)
    slopes = np.sort((recent[:, second] - recent[:, first]) / (second - first), axis=1)
    known = (~np.isnan(slopes)).sum(axis=1)
    middle = np.stack([np.maximum(known - 1, 0) // 2, known // 2], axis=1)
    middle = np.take_along_axis(slopes, np.minimum(middle, slopes.shape[1] - 1), axis=1)
    return np.where((~np.isnan(recent)).sum(axis=1) >= 3, middle.mean(axis=1), np.nan)


def mann_kendall(y: ArrayLike, day: ArrayLike | None = None) -> MannKendall:
    """Is there a trend at all (Mann 1945, Kendall's tau-b)? Arguments as for `theil_sen`.

    nan with fewer than two points or where nothing varies. Takes days as independent: of a series
    that lingers it finds trends too often.
    """
    from scipy.stats import kendalltau

    y, day = _known(y, day)
    if len(np.unique(day)) < 2:
        return MannKendall(np.nan, np.nan)
    return MannKendall(*map(float, kendalltau(day, y)))


def ewma(y: ArrayLike, weight: float = 0.2, start: float | None = None) -> np.ndarray:
    """The exponentially weighted moving average of a series (Roberts 1959), in its shape (days).

    Each day's value counts for `weight`, all before for the rest; begins at `start`, without it at
    the first value. A nan leaves the average where it was. Raises ValueError for a weight outside
    (0, 1].
    """
    if not 0 < weight <= 1:
        raise ValueError(f"the weight of a new value must be in (0, 1], not {weight}")
    y = np.asarray(y, dtype=float)
    level = np.nan if start is None else float(start)
    smoothed = np.empty(len(y))
    for day, value in enumerate(y):
        if not np.isnan(value):
            level = value if np.isnan(level) else level + weight * (value - level)
        smoothed[day] = level
    return smoothed


def _known(y: ArrayLike, day: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    y = np.asarray(y, dtype=float)
    day = np.arange(len(y)) if day is None else np.asarray(day)
    return y[~np.isnan(y)], day[~np.isnan(y)]
