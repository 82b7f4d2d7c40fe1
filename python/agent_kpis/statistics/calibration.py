"""Does a judge's score say what customers say? Pairs of a score and a label."""

from __future__ import annotations

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
