"""The mean score of everybody, from those who answered."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from agent_kpis.statistics.estimates import Estimate, quiet


@quiet
def post_stratified_mean(
    group: ArrayLike,
    category: ArrayLike,
    population: ArrayLike,
    n: ArrayLike,
    total: ArrayLike,
    square_sum: ArrayLike,
    minimum: float = 5,
) -> Estimate:
    """The mean if every cell of group (task type) x category (outcome) had answered alike.

    One row per cell (rows): `population` interactions, of which `n` answered, with the sum of
    their scores and of the squares. Each cell weighs its share of the population; variance
    sum W^2 s^2 / n (Holt and Smith 1979), with the pooled s^2 where n < 2, and Student's t with
    n - cells degrees of freedom. Cells with fewer than `minimum` answers are merged: those of a
    group with each other, if that is not enough with its next smallest cell, and a group that
    still has too few with the smallest other group, category by category. nan without answers;
    limits are nan where no cell has two. Raises ValueError where the lengths differ.

    This corrects for who answers only as far as the cells show it. A response that depends on
    the satisfaction itself, within a cell, leaves a bias that no weights can take out.
    """
    sums = np.column_stack([np.asarray(x, float) for x in (population, n, total, square_sum)])
    if not len(sums) == len(group) == len(category):
        raise ValueError("the columns differ in length")
    minimum = max(minimum, 1)  # a cell without answers has no mean
    group = _merge_groups(np.unique(group, return_inverse=True)[1], sums[:, 1], minimum)
    cells = [
        _merge_cells(_sums_by(np.asarray(category)[group == g], sums[group == g]), minimum)
        for g in np.unique(group)
    ]
    population, n, total, square_sum = np.vstack([np.empty((0, 4)), *cells]).T
    weight = population / population.sum()
    spread = np.maximum(square_sum - total**2 / n, 0)
    freedom = n.sum() - len(n)
    variance = np.where(n < 2, spread.sum() / freedom, spread / (n - 1))
    value = weight @ (total / n) if len(n) else np.nan
    margin = stdtrit(freedom, 0.975) * np.sqrt(weight**2 @ (variance / n))
    return Estimate(float(value), float(value - margin), float(value + margin), float(n.sum()))


def _merge_groups(group: np.ndarray, n: np.ndarray, minimum: float) -> np.ndarray:
    """The groups (rows), where the smallest joins the next as long as it has too few answers."""
    while True:
        groups, code = np.unique(group, return_inverse=True)
        size = np.bincount(code, n)
        order = np.argsort(size, kind="stable")
        if len(groups) < 2 or size[order[0]] >= minimum:
            return group
        group = np.where(group == groups[order[0]], groups[order[1]], group)


def _merge_cells(cells: np.ndarray, minimum: float) -> np.ndarray:
    """The cells (cells, 4) of a group, where those with too few answers are one."""
    cells = cells[np.argsort(cells[:, 1], kind="stable")]
    small = np.sum(cells[:, 1] < minimum)
    if cells[:small, 1].sum() < minimum:
        small += 1
    return np.vstack([cells[:small].sum(axis=0), cells[small:]])


def _sums_by(label: np.ndarray, rows: np.ndarray) -> np.ndarray:
    labels, code = np.unique(label, return_inverse=True)
    sums = np.zeros((len(labels), rows.shape[1]))
    np.add.at(sums, code, rows)
    return sums
