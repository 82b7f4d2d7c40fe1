"""Draws by quota: the shares come out as planned in every cell, who gets what is left to chance."""

import numpy as np


def quota(rng: np.random.Generator, cells: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """One category per row, so that each cell holds its expected number of each, give or take one.

    `cells` (n) names the cell of a row; `chances` is (k) or (n, k), each row summing to 1.
    Plain random draws would bury the plot in noise: a week of the holdout has 84 interactions.
    """
    n = len(cells)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    _, cell = np.unique(cells, return_inverse=True)
    order = np.lexsort((rng.random(n), cell))
    size = np.bincount(cell)
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n) - start[cell[order]]
    level = (rank + rng.random(len(size))[cell]) / size[cell]
    edges = np.cumsum(np.broadcast_to(chances, (n, np.shape(chances)[-1])), axis=1)
    return (level[:, None] >= edges[:, :-1]).sum(axis=1)


def share(rng: np.random.Generator, cells: np.ndarray, chance: float | np.ndarray) -> np.ndarray:
    """True for the planned share of the rows of each cell."""
    yes = np.broadcast_to(np.asarray(chance, dtype=float), len(cells))
    return quota(rng, cells, np.column_stack([yes, 1 - yes])) == 0


def whole(rng: np.random.Generator, low, high, size: int | None = None) -> np.ndarray:
    """Whole numbers from `low` up to `high` (exclusive); either may be an array."""
    n = size if size is not None else len(np.broadcast_arrays(low, high)[0])
    low, high = np.asarray(low), np.asarray(high)
    return (low + rng.random(n) * (high - low)).astype(np.int64)


def pick(names: list, codes: np.ndarray) -> np.ndarray:
    """The names (n, objects) of codes into a list; None stays None."""
    table = np.empty(len(names), dtype=object)
    table[:] = names
    return table[codes]
