"""Does a judge's score say what customers say? Pairs of a score and a label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Spearman(NamedTuple):
    """Rank correlation (-1 to 1) and its two-sided p."""

    rho: float
    p: float


def auc(score: ArrayLike, label: ArrayLike) -> float:
    """The chance that a positive pair scores higher than a negative one, ties counting half.

    score: (pairs); label: (pairs), true or false. .5 says nothing. Mann and Whitney (1947). nan
    unless there are pairs of either kind.
    """
    score, label = np.asarray(score, dtype=float), np.asarray(label, dtype=bool)
    positive, negative = score[label], np.sort(score[~label])
    if not len(positive) or not len(negative):
        return np.nan
    beaten = sum(np.searchsorted(negative, positive, side) for side in ("left", "right")) / 2
    return float(beaten.mean() / len(negative))


def auc_interval(
    score: ArrayLike, label: ArrayLike, draws: int = 999, seed: int = 20260105
) -> tuple[float, float]:
    """95% limits of the AUC: percentiles of samples of the pairs with replacement (Efron 1979).

    Arguments as for `auc`; nan unless there are pairs of either kind.
    """
    label = np.asarray(label, dtype=bool)
    if label.all() or not label.any():
        return np.nan, np.nan
    scores, rank = np.unique(np.asarray(score, dtype=float), return_inverse=True)
    cell, width = 2 * rank + label, 2 * len(scores)
    rng = np.random.default_rng(seed)
    found = []
    for rows in _lots(draws, max(len(cell), width)):
        drawn = cell[rng.integers(0, len(cell), (rows, len(cell)))]
        drawn += width * np.arange(rows)[:, None]
        count = np.bincount(drawn.ravel(), minlength=rows * width).reshape(rows, len(scores), 2)
        negative, positive = count[..., 0], count[..., 1]
        beaten = np.cumsum(negative, axis=1) - negative / 2
        pairs = negative.sum(axis=1) * positive.sum(axis=1)
        known = pairs > 0
        found.append((beaten * positive).sum(axis=1)[known] / pairs[known])
    lower, upper = np.quantile(np.concatenate(found), [0.025, 0.975])
    return float(lower), float(upper)


def expected_calibration_error(confidence: ArrayLike, right: ArrayLike, bins: int = 10) -> float:
    """How far stated confidence (0 to 1) is from the share that is right, over bins of equal width,
    each weighed by its pairs (Naeini et al. 2015). nan without pairs; the same as the model
    int_indicator_days computes in SQL."""
    confidence = np.asarray(confidence, dtype=float)
    if not len(confidence):
        return np.nan
    distance = confidence - np.asarray(right, dtype=float)
    where = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(where, distance, minlength=bins)).sum() / len(confidence))


def _lots(draws: int, width: int, cells: int = 4_000_000) -> Iterator[int]:
    """The draws in lots that fit into memory."""
    lot = max(1, cells // width)
    for first in range(0, draws, lot):
        yield min(lot, draws - first)


def spearman(score: ArrayLike, label: ArrayLike) -> Spearman:
    """Rank correlation of two columns (pairs); nan where either does not vary (Spearman 1904)."""
    from scipy.stats import spearmanr

    if min(len(np.unique(score)), len(np.unique(label))) < 2:
        return Spearman(np.nan, np.nan)
    return Spearman(*map(float, spearmanr(score, label)))


def isotonic(score: ArrayLike, label: ArrayLike) -> np.ndarray:
    """The label expected at each pair's score (pairs), never falling as the score rises.

    Least squares by pooling adjacent violators (Barlow et al. 1972); equal scores get one value.
    """
    from scipy.optimize import isotonic_regression

    scores, pair = np.unique(np.asarray(score, dtype=float), return_inverse=True)
    if not len(scores):
        return np.empty(0)
    n = np.bincount(pair)
    mean = np.bincount(pair, np.asarray(label, dtype=float)) / n
    return isotonic_regression(mean, weights=n).x[pair]
