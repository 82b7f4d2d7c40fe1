"""Draws by quota: the shares come out as planned in every cell, who gets what is left to chance."""

import numpy as np

GOLDEN = (5**0.5 - 1) / 2


def quota(rng: np.random.Generator, cells: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """One category per row, so that any run of neighbouring cells holds about its expected number.

    `cells` (n) numbers the cell of a row; `chances` is (k) or (n, k), each row summing to 1. Rows
    stand in the order of their cells, at random within one; multiples of the golden ratio fill the
    unit interval evenly over every stretch of them. Plain random draws would bury the plot in
    noise: a week of the holdout has 80 interactions.
    """
    n = len(cells)
    level = np.empty(n)
    level[np.lexsort((rng.random(n), cells))] = (rng.random() + np.arange(n) * GOLDEN) % 1
    edges = np.cumsum(np.broadcast_to(chances, (n, np.shape(chances)[-1])), axis=1)
    return (level[:, None] >= edges[:, :-1]).sum(axis=1)


def share(rng: np.random.Generator, cells: np.ndarray, chance: float | np.ndarray) -> np.ndarray:
    """True for the planned share of the rows of each run of cells."""
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
