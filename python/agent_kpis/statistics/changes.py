"""When did the level of a daily series change, and which of two series changed first?

A series is three arrays (days): `day` (whole days, rising, gaps allowed), `value` and `n`, how many
observations a day's value rests on. A change lies at the first day of the new level.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

SMALLEST_SIDE = 7
"""Days with data that each level needs, so that a weekend is none."""
BLOCKS = (5, 1)
"""Days that are drawn together. Blocks keep together what lingers from one day to the next, but a
short series has few of them and they understate chance; single days do not. The larger p counts."""
ALPHA = 0.01
CONFIDENCE = 0.90
DRAWS = (199, 999)
"""Bootstrap draws; more only where those so far do not already say no (Besag and Clifford 1991)."""
WINDOW = 56
"""Days of the windows in which changes are sought: a fall that is mended after some weeks leaves
little trace in half a year."""
SEED = 20260105


class Series(NamedTuple):
    """A daily series; arrays (days)."""

    day: np.ndarray
    value: np.ndarray
    n: np.ndarray

    def between(self, first: float, end: float) -> Series:
        """The days from `first` until before `end`."""
        inside = (self.day >= first) & (self.day < end)
        return Series(self.day[inside], self.value[inside], self.n[inside])


class Change(NamedTuple):
    """A change of level: its day, the levels, how likely chance alone does as much, and how far off
    the day may be: errors (draws) of the day in bootstrap samples, in days."""

    day: int
    before: float
    after: float
    p: float
    errors: np.ndarray

    def interval(self) -> tuple[int, int]:
        """The 90% interval of the day."""
        return _interval(self.day, self.errors)


class Lead(NamedTuple):
    """By how many days one change came before another, with its 90% interval."""

    days: int
    lower: int
    upper: int


def series(day: ArrayLike, value: ArrayLike, n: ArrayLike) -> Series:
    """Arrays (days) as a series: sorted, days without a value or an observation left out."""
    day = np.asarray(day, dtype=np.int64)
    value, n = np.asarray(value, dtype=float), np.asarray(n, dtype=float)
    known = ~np.isnan(value) & (n > 0)
    order = np.argsort(day[known], kind="stable")
    return Series(day[known][order], value[known][order], n[known][order])


def change_point(known: Series, alpha: float = ALPHA) -> Change | None:
    """The one change of level that a series shows most clearly; None where it is too short or flat.

    The split with the largest weighted CUSUM (Page 1954; it is also the least-squares one), at
    least SMALLEST_SIDE days from either end. p: how often a series without a change, made from the
    residuals by the block bootstrap (Kirch 2007), has a split that explains as large a share of the
    variation; enough draws to tell whether it is below `alpha`. Errors of the day come from series
    with the change and the same residuals.
    """
    days = len(known.day)
    if days < 2 * SMALLEST_SIDE:
        return None
    value, n = known.value, known.n / known.n.mean()
    mean = np.average(value, weights=n)
    variation = float(n @ (value - mean) ** 2)
    if variation <= 1e-18 * (1 + mean**2) * days:
        return None
    split, share = _best_split(value[None], n, 0.0)
    at = int(split[0])
    before, after = (float(np.average(value[s], weights=n[s])) for s in (np.s_[:at], np.s_[at:]))
    fitted = np.where(np.arange(days) < at, before, after)
    residual = (value - fitted) * np.sqrt(n)  # of equal variance, whatever a day rests on
    residual -= residual.mean()

    rng = np.random.default_rng(SEED)
    as_large, drawn, errors = np.zeros(len(BLOCKS)), 0, []
    for draws in sorted({*DRAWS, max(DRAWS[-1], int(3 / alpha))}):
        more = draws - drawn
        for number, block in enumerate(BLOCKS):
            noise = residual[_blocks(rng, more, days, block)] / np.sqrt(n)
            _, by_chance = _best_split(mean + noise, n, 1e-12 * variation)
            as_large[number] += (by_chance >= share[0] * (1 - 1e-9)).sum()
            if block == max(BLOCKS) and draws in DRAWS:
                splits, _ = _best_split(fitted + noise, n, 0.0)
                errors.append(known.day[splits] - known.day[at])
        drawn += more
        if as_large.max() > 3 + 3 * alpha * drawn:
            break
    p = float(1 + as_large.max()) / (1 + drawn)
    return Change(int(known.day[at]), before, after, p, np.concatenate(errors))


def changes(known: Series) -> list[Change]:
    """Every change of level, in order, by splitting a series and its parts again (Vostrikova 1981).

    Each part is searched as a whole and in windows of WINDOW days that overlap by half; half of
    ALPHA is for the whole, the windows share the rest (Bonferroni). Each change is then located
    once more between its neighbours, and stays only where p < ALPHA there too.
    """
    found: list[int] = []
    parts = [known]
    while parts:
        part = parts.pop()
        change = _clearest_change(part)
        if change is not None:
            found.append(change.day)
            parts += [part.between(-np.inf, change.day), part.between(change.day, np.inf)]
    located: dict[tuple[float, float], Change | None] = {}
    days, kept = sorted(found), []
    for _ in range(len(days) + 1):
        edges = [-np.inf, *days, np.inf]
        between = list(zip(edges, edges[2:], strict=False))
        for pair in between:
            if pair not in located:
                located[pair] = change_point(known.between(*pair))
        again = [located[pair] for pair in between]
        kept = [change for change in again if change is not None and change.p < ALPHA]
        moved = sorted({change.day for change in kept})
        if moved == days:
            break
        days = moved
    return kept


def lead(one: Change, other: Change) -> Lead:
    """By how many days `one` came before `other`; negative: after it. The two are taken as
    independent. Only an interval that leaves out 0 says which came first."""
    draws = min(len(one.errors), len(other.errors))
    days = other.day - one.day
    lower, upper = _interval(days, other.errors[:draws] - one.errors[:draws][::-1])
    return Lead(days, lower, upper)


def _clearest_change(part: Series) -> Change | None:
    """The change with the most evidence in a part and its windows that chance does not explain;
    None where there is none."""
    searched = [(part, ALPHA)]
    if len(part.day) and part.day[-1] - part.day[0] >= WINDOW:
        starts = np.arange(part.day[0], part.day[-1] + 1 - WINDOW // 2, WINDOW // 2)
        windows = [part.between(start, start + WINDOW) for start in starts]
        searched = [(part, ALPHA / 2), *[(one, ALPHA / 2 / len(windows)) for one in windows]]
    for one, alpha in sorted(searched, key=lambda pair: -_evidence(pair[0])):
        change = change_point(one, alpha)
        if change is not None and change.p < alpha:
            return change
    return None


def _evidence(known: Series) -> float:
    """How much better two levels fit a series than one: twice the log-likelihood ratio."""
    if len(known.day) < 2 * SMALLEST_SIDE:
        return 0.0
    _, share = _best_split(known.value[None], known.n, 0.0)
    return float(-len(known.day) * np.log1p(-min(share[0], 1 - 1e-12)))


def _best_split(value: np.ndarray, n: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Per row of `value` (rows, days) where the new level begins, and the share of the variation
    that the two levels explain; 0 where the variation is not above `floor`. n: (days)."""
    weight = np.cumsum(n)
    mean = value @ n / weight[-1]
    centred = value - mean[:, None]
    total = centred**2 @ n
    left = weight[SMALLEST_SIDE - 1 : -SMALLEST_SIDE]
    cusum = np.cumsum(centred * n, axis=1)[:, SMALLEST_SIDE - 1 : -SMALLEST_SIDE]
    explained = cusum**2 * (weight[-1] / (left * (weight[-1] - left)))
    best = explained.argmax(axis=1)
    most = np.take_along_axis(explained, best[:, None], axis=1)[:, 0]
    varies = total > floor
    return best + SMALLEST_SIDE, np.divide(most, total, out=np.zeros(len(value)), where=varies)


def _blocks(rng: np.random.Generator, draws: int, days: int, block: int) -> np.ndarray:
    """Rows (draws, days) of positions in blocks of neighbours, the end followed by the start."""
    starts = rng.integers(0, days, (draws, -(-days // block)))
    rows = (starts[:, :, None] + np.arange(block)) % days
    return rows.reshape(draws, -1)[:, :days]


def _interval(estimate: int, errors: np.ndarray) -> tuple[int, int]:
    """Limits of what the estimate is of, from errors (draws) that are like the estimate's own."""
    tail = (1 - CONFIDENCE) / 2
    low = np.quantile(errors, tail, method="lower")
    high = np.quantile(errors, 1 - tail, method="higher")
    return int(estimate - high), int(estimate - low)
