"""From readings to levels: when a breach counts, when it clears, and what only drifts.

Everything is turned so that more is worse: an excess is how far a value lies on the bad side.
Arrays end with the axis of evaluations (T), oldest first; axes before it are series of their own.
Levels are numbers: 0 none, 2 warning, 3 critical, 4 catastrophic (1, watch, is no limit).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from agent_kpis.statistics.estimates import quiet
from agent_kpis.statistics.trend import ewma

LEVELS = (2, 3, 4)
CLEAR_AFTER = 3
CLEAR_WITHIN = 0.8
"""A level clears after 3 evaluations within .8 of its limit: 4 points where 5 is a warning."""
EWMA_WEIGHT = 0.2
EWMA_LIMIT = 3.0
MINIMUM_RANGES = 7
"""Differences of days from which on they tell how much days vary."""
MEAN_RANGE = 1.128
"""Expected difference of two normal observations, in standard deviations."""


@quiet
def point_level(excess: ArrayLike, limits: ArrayLike) -> np.ndarray:
    """The plain arithmetic: the highest level whose limit the excess reaches; (..., T).

    excess: (..., T); limits: (..., T, 3), ascending, in the unit of the excess. Compared as
    decimals of nine places: .70 - .65 is .05, not a little less. 0 where the excess is nan.
    """
    reached = np.round(np.asarray(excess, float), 9)[..., None] >= np.round(limits, 9)
    return _highest(reached)


@quiet
def certain_level(bound: ArrayLike, certain_from: ArrayLike) -> np.ndarray:
    """The level that chance cannot have faked: (..., T).

    bound: the better end of the interval of the excess, (..., T); certain_from: what it has to lie
    beyond for each level, (..., T, 3).
    """
    return _highest(np.asarray(bound, float)[..., None] > np.asarray(certain_from, float))


def _highest(reached: np.ndarray) -> np.ndarray:
    levels = np.where(reached, LEVELS, 0)
    return levels.max(axis=-1)


def lasting(levels: np.ndarray, times: ArrayLike) -> np.ndarray:
    """The level held by this evaluation and the ones before it, `times` in all; (..., T).

    times: (T), at least 1. 0 where there have not been so many.
    """
    times = np.broadcast_to(np.asarray(times, int), levels.shape[-1:])
    held = np.array(levels)
    for back in range(1, int(times.max(initial=1))):
        earlier = np.zeros_like(levels)
        earlier[..., back:] = levels[..., :-back]
        held = np.where(times > back, np.minimum(held, earlier), held)
    return held


@quiet
def confirmed_level(
    raised: np.ndarray,
    excess: ArrayLike,
    clears_at: ArrayLike,
    clear_after: int = CLEAR_AFTER,
) -> np.ndarray:
    """The level as people are told: up when raised, down only after it has cleared; (..., T).

    raised: levels that count at once (..., T). A level L clears where the last `clear_after`
    evaluations lie better than its `clears_at` (..., T, 3) and none of them raised it (a single
    day may, in a window that is good), and then whatever lower level has not cleared is left.
    """
    excess, clears_at = np.asarray(excess, float), np.asarray(clears_at, float)
    position = np.arange(raised.shape[-1])
    found = np.zeros_like(raised)
    for index, level in enumerate(LEVELS):
        better = np.round(excess, 9) < np.round(clears_at[..., index], 9)
        up_now = raised >= level
        clear = lasting(np.where(better & ~up_now, 1, 0), clear_after) == 1
        up = np.maximum.accumulate(np.where(up_now, position, -1), axis=-1)
        down = np.maximum.accumulate(np.where(clear, position, -1), axis=-1)
        found = np.where(up > down, level, found)
    return found


@quiet
def drifts(z: ArrayLike, allowance: ArrayLike = 0.0) -> np.ndarray:
    """Whether a series has drifted to the bad side, before it crosses a limit; (..., T), booleans.

    z: daily excess in standard errors (..., T), nan where there is none. Exponentially weighted
    mean (Roberts 1959) of z over what its day-to-day differences say of its scatter (at least 1:
    days vary more than chance alone has it), against 3 sigma of that mean; where the reference may
    itself be further off (`allowance`, in the same unit, (..., T)), against that.
    """
    z = np.asarray(z, dtype=float)
    allowance = np.nan_to_num(np.broadcast_to(np.asarray(allowance, float), z.shape))
    return np.vectorize(_drifts, signature="(t),(t)->(t)", otypes=[bool])(z, allowance)


def _drifts(z: np.ndarray, allowance: np.ndarray) -> np.ndarray:
    known = ~np.isnan(z)
    ranges = np.abs(np.diff(z[known], prepend=z[known][:1]))
    # Differences of days so far; a day without a value adds none.
    n = np.maximum(np.cumsum(known) - 1, 0)
    total = np.append(0.0, np.cumsum(ranges))[np.cumsum(known)]
    scatter = np.maximum(1.0, total / np.maximum(n, 1) / MEAN_RANGE)
    limit = EWMA_LIMIT * np.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT)) * scatter
    smoothed = ewma(z, EWMA_WEIGHT, start=0.0)
    return (smoothed > np.maximum(limit, allowance)) & (n >= MINIMUM_RANGES)
