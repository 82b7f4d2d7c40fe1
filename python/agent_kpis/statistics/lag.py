"""Surveys that are answered late: the mean score of a period before all its answers are in.

Answers arrive over weeks and early ones differ from late ones, so the mean of a recent period
moves by itself while it fills. Three steps take that out: how late answers come
(`lag_distribution`), how the score depends on it (`fit`), and what the mean is once the lags are
weighted as they will be in the end: `adjusted_mean` for the underlying mean, `complete` for the
mean the period will have when all answers are in. `backtest` says how well that worked.

Days are integers, lags and ages are in days, scores in the unit of the survey.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
from scipy.special import stdtrit

from agent_kpis.statistics.estimates import Estimate, quiet

SHORTEST_LONGEST_LAG = 21
BUCKETS = (0, 1, 2, 3, 4, 6, 8)  # the first lag of each: 0, 1, 2, 3, 4-5, 6-7, 8 and more
FIT_DAYS = 91
MINIMUM_FREEDOM = 10

_BACKTEST = (
    "as_of_day",
    "n_observed",
    "observed_mean",
    "nowcast",
    "lower",
    "upper",
    "n_final",
    "final_mean",
)
_DTYPES = {"cohort": np.int64, "lag": np.int64, "stratum": None}  # the rest are numbers


class _Rows:
    """Columns of one length."""

    def __post_init__(self) -> None:
        for field in fields(self):
            column = np.asarray(getattr(self, field.name), _DTYPES.get(field.name, float))
            if column.shape != (np.size(self.cohort),):
                raise ValueError(f"{type(self).__name__}.{field.name}: not as long as cohort")
            object.__setattr__(self, field.name, column)

    def where(self, rows: np.ndarray):
        """The rows for which a mask is true."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def newest(self, day: int, days: int):
        """The rows whose cohorts are the `days` days that end with `day`."""
        return self.where((self.cohort > day - days) & (self.cohort <= day))


@dataclass(frozen=True)
class Triangle(_Rows):
    """Answers in long form, one row per cell; every field is an array (cells).

    cohort: day of the interaction; lag: calendar days from that day to the day of the answer;
    n, total, square_sum: number of answers, sum of their scores and of the squares; stratum: a
    label. Raises ValueError where lengths differ or a lag is negative.
    """

    cohort: np.ndarray
    lag: np.ndarray
    n: np.ndarray
    total: np.ndarray
    square_sum: np.ndarray
    stratum: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.lag < 0).any():
            raise ValueError("Triangle.lag: an answer before the day of its interaction")

    def known_on(self, day: int) -> Triangle:
        """The cells that were completely observed at the end of a day."""
        return self.where(self.cohort + self.lag <= day)


@dataclass(frozen=True)
class Cohorts(_Rows):
    """Interactions that can be answered (exposure), one row per day and stratum; arrays (rows).

    Raises ValueError where lengths differ.
    """

    cohort: np.ndarray
    stratum: np.ndarray
    exposure: np.ndarray


@dataclass(frozen=True)
class LagModel:
    """What `fit` learned from the cells known on `last_day`.

    blocks, strata: the labels with answers; counts (blocks, strata): their answers; answered: F,
    the share of the answers that have come by lag 0..D; share_covariance (D+1, D+1): of the shares
    of the lags; lag_rows (0..D, buckets - 1): the bucket of each lag as dummies, without the
    smallest that has answers. parameters (with their covariance): one level per block, then the
    differences of the other strata from the first and of the other buckets from the smallest.
    sigma2: the variance of an answer, with degrees_of_freedom.
    """

    last_day: int
    block_of: Callable[[np.ndarray], np.ndarray]
    blocks: np.ndarray
    strata: np.ndarray
    counts: np.ndarray
    answered: np.ndarray
    share_covariance: np.ndarray
    lag_rows: np.ndarray
    parameters: np.ndarray
    covariance: np.ndarray
    sigma2: float
    degrees_of_freedom: int

    @property
    def lag_shares(self) -> np.ndarray:
        """Share of the answers that come at each lag (0..D)."""
        return np.diff(self.answered, prepend=0.0)

    @property
    def lag_effects(self) -> np.ndarray:
        """Difference of each lag's score (0..D) from the smallest bucket's."""
        return self.lag_rows @ self.parameters[len(self.parameters) - self.lag_rows.shape[1] :]

    @property
    def quantile(self) -> float:
        """Of Student's t for two-sided 95% limits; nan where too little is left for the variance.

        A fit of few answers may be exact, which says nothing about how far off it is.
        """
        enough = self.degrees_of_freedom >= MINIMUM_FREEDOM
        return stdtrit(self.degrees_of_freedom, 0.975) if enough else np.nan


@dataclass(frozen=True)
class Completion:
    """Means with all answers in, each with a 95% prediction interval; arrays (groups).

    missing: expected number of answers still to come; maturity: share of the answers that are in;
    answered: F(age), the same as expected from the age alone.
    """

    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    n: np.ndarray
    missing: np.ndarray
    maturity: np.ndarray
    answered: np.ndarray


def longest_lag(lag: np.ndarray, n: np.ndarray) -> int:
    """D, the lag in days after which a cohort counts as final: the 99th percentile, at least 21.

    lag, n: arrays (cells), the number of answers at a lag.
    """
    by_lag = np.bincount(np.asarray(lag, int), n, minlength=1).cumsum()
    return max(SHORTEST_LONGEST_LAG, int(np.searchsorted(by_lag, 0.99 * by_lag[-1])))


def lag_distribution(
    cohort: np.ndarray, lag: np.ndarray, n: np.ndarray, last_day: int, longest: int
) -> np.ndarray:
    """F(0..longest): the share of all answers that have come by each lag, corrected for truncation.

    cohort, lag, n: arrays (cells); cells after `last_day` are ignored, longer lags count as
    `longest`. nan without answers. A lag that no cohort is old enough for has no share: F then
    ends at the oldest age. Reverse Kaplan-Meier (Lawless 1994), the chain ladder of insurance.
    """
    return _arrivals(cohort, lag, n, last_day, longest)[0]


def _arrivals(cohort, lag, n, last_day, longest) -> tuple[np.ndarray, np.ndarray]:
    """F(0..D) and the covariance (D+1, D+1) of the shares p of the lags.

    Greenwood's variance of ln(1 - g) carried to p by the delta method; for cohorts that are all
    final it is the multinomial one.
    """
    known = cohort + lag <= last_day
    cohort, lag, n = cohort[known], np.minimum(lag[known], longest), n[known]
    if not n.sum():
        return np.full(longest + 1, np.nan), np.full((longest + 1, longest + 1), np.nan)
    age = last_day - cohort
    youngest, days = age.min(), np.ptp(age) + 1
    cells = (age - youngest) * (longest + 1) + lag
    arrived = np.bincount(cells, n, days * (longest + 1)).reshape(days, -1)
    old_enough = (youngest + np.arange(days))[:, None] >= np.arange(longest + 1)
    at_risk = (arrived.cumsum(axis=1) * old_enough).sum(axis=0)
    hazard = arrived.sum(axis=0) / np.maximum(at_risk, 1)
    survival = 1 - hazard
    answered = np.append(survival[:0:-1].cumprod()[::-1], 1.0)
    variance = np.divide(
        hazard, at_risk * survival, out=np.zeros_like(hazard), where=at_risk * survival > 0
    )
    shares = np.diff(answered, prepend=0.0)
    slope = np.triu(np.broadcast_to(shares[:, None], (longest + 1,) * 2), 1)
    slope -= np.diag(np.append(0.0, answered[:-1]))
    return answered, slope * variance @ slope.T


def blocks_back(cohort: np.ndarray, last_day: int, block_days: int) -> np.ndarray:
    """Number of the block of days, counted back from `last_day`: 0 is the newest."""
    return (last_day - cohort) // block_days


def fit(
    triangle: Triangle,
    last_day: int,
    *,
    block_days: int = 7,
    block_of: Callable[[np.ndarray], np.ndarray] | None = None,
    buckets: tuple[int, ...] = BUCKETS,
) -> LagModel:
    """Score by block of cohort days, stratum and lag bucket: additive, weighted by answers.

    Blocks have `block_days` days and labels 0 (newest), 1, ...; or `block_of` gives the label of
    each day of an array. `buckets`: the first lag of each bucket, ascending from 0. Cells after
    `last_day` are ignored. Least squares on cell means equals that on single answers; the residual
    variance is that of single answers, from their squares. Effects that the data cannot tell apart
    are taken as near to none as they allow.
    """
    if buckets[0] != 0:
        raise ValueError("the first lag bucket begins at 0")
    triangle = triangle.known_on(last_day)
    triangle = triangle.where(triangle.n > 0)
    block_of = block_of or partial(blocks_back, last_day=last_day, block_days=block_days)
    longest = longest_lag(triangle.lag, triangle.n)
    answered, share_covariance = _arrivals(
        triangle.cohort, triangle.lag, triangle.n, last_day, longest
    )
    blocks, block = np.unique(block_of(triangle.cohort), return_inverse=True)
    strata, stratum = np.unique(triangle.stratum, return_inverse=True)
    bucket_of = np.searchsorted(buckets, np.arange(longest + 1), side="right") - 1
    seen, bucket = np.unique(bucket_of[np.minimum(triangle.lag, longest)], return_inverse=True)
    shape = (len(blocks), len(strata), len(seen))

    # cells with the same design row are one: n, total and square_sum are sufficient
    design_row = np.ravel_multi_index((block, stratum, bucket), shape)
    n, total, square_sum = (
        np.bincount(design_row, column, np.prod(shape))
        for column in (triangle.n, triangle.total, triangle.square_sum)
    )
    kept = n > 0
    design = np.hstack(
        [
            np.eye(size)[codes][:, first:]
            for size, codes, first in zip(
                shape, np.unravel_index(np.flatnonzero(kept), shape), (0, 1, 1), strict=True
            )
        ]
    )
    parameters, covariance, sigma2, rank = _least_squares(
        design, n[kept], total[kept], square_sum[kept], levels=len(blocks)
    )
    return LagModel(
        last_day=last_day,
        block_of=block_of,
        blocks=blocks,
        strata=strata,
        counts=n.reshape(shape).sum(axis=2),
        answered=answered,
        share_covariance=share_covariance,
        lag_rows=(bucket_of[:, None] == seen[1:]).astype(float),
        parameters=parameters,
        covariance=covariance,
        sigma2=sigma2,
        degrees_of_freedom=int(n.sum()) - rank,
    )


def _least_squares(design, n, total, square_sum, levels):
    """Parameters (first the `levels`), their covariance, the variance of an answer, and the rank.

    The covariance allows for scores that vary more in one cell than in another (White 1980, with
    the factor n / (n - rank)), as early and angry ones do. Centring first means that what is not
    identified stays at the mean, and that a constant score comes back exactly.
    """
    size = n.sum()
    mean = total.sum() / size if size else np.nan
    eigenvalue, vector = np.linalg.eigh(design.T @ (design * n[:, None]))
    known = eigenvalue > 1e-10 * eigenvalue.max(initial=0)
    inverse = (vector[:, known] / eigenvalue[known]) @ vector[:, known].T
    parameters = inverse @ (design.T @ (total - n * mean))
    parameters[:levels] += mean
    within = np.maximum(square_sum - total**2 / n, 0)
    squares = within + n * (total / n - design @ parameters) ** 2
    rank = int(known.sum())
    freedom = size - rank if size > rank else np.nan
    meat = design.T @ (design * squares[:, None])
    covariance = inverse @ meat @ inverse * (size / freedom)
    return parameters, covariance, squares.sum() / freedom, rank


def adjusted_mean(
    model: LagModel,
    block_weights: Mapping | None = None,
    stratum_weights: Mapping | None = None,
    *,
    design_effect: float = 1.0,
) -> Estimate:
    """The mean score once every answer is in, of the blocks and strata in the weights given.

    Weights by label, renormalised over the labels that have answers; without weights, by answers.
    `design_effect` multiplies the variance; n is the number of answers in the weighted blocks and
    strata. nan without answers. Variance: of the parameters and of the lag distribution (delta
    method; Var_p(b)/n when all cohorts are final). Limits by Student's t: simulated with 30 answers
    in all they hold the truth 94.6% of the time, normal ones 92.7%.
    """
    block, stratum = (
        _marginal(labels, counts, weights)
        for labels, counts, weights in (
            (model.blocks, model.counts.sum(axis=1), block_weights),
            (model.strata, model.counts.sum(axis=0), stratum_weights),
        )
    )
    contrast = np.concatenate([block, stratum[1:], model.lag_shares @ model.lag_rows])
    n = int(model.counts[np.ix_(block > 0, stratum > 0)].sum())
    if not n:
        return Estimate(np.nan, np.nan, np.nan, 0)
    value = float(contrast @ model.parameters)
    effects = model.lag_effects
    variance = contrast @ model.covariance @ contrast + effects @ model.share_covariance @ effects
    margin = model.quantile * np.sqrt(design_effect * np.maximum(variance, 0))
    return Estimate(value, float(value - margin), float(value + margin), n)


def _marginal(labels: np.ndarray, n: np.ndarray, weights: Mapping | None) -> np.ndarray:
    if weights is not None:
        n = np.array([weights.get(label, 0.0) for label in labels.tolist()])
    return n / n.sum() if n.sum() else np.zeros(len(n))


@quiet
def complete(
    model: LagModel, triangle: Triangle, cohorts: Cohorts, group: np.ndarray | None = None
) -> Completion:
    """The mean that cohorts will have when all their answers are in.

    Each row of `cohorts` by itself, or rows together that share a number in `group` (rows): from
    0, or -1 for rows that only help to tell how many answer. Cells of `triangle` after the model's
    last day or of other cohorts are ignored. Expected at lag d: exposure * rate * p_d; the rate is
    what the row's block and stratum answered over sum(exposure * F(age)), that of its stratum or
    of all rows where those have no answers (the cape cod method of insurance, Buehlmann 1983). nan
    where no answer is in or to come. The interval holds the scatter of the missing scores, their
    Poisson number and the uncertainty of the fit, not that of the rate and the lags: simulated, it
    holds what the period became 95-97% of the time from a few answers a week on.
    Raises ValueError where a day and stratum of `cohorts` repeats.
    """
    n, total = _observed(triangle.known_on(model.last_day), cohorts)
    group = np.arange(len(n)) if group is None else np.asarray(group)
    kept, size = group >= 0, group.max(initial=-1) + 1

    def by_group(rows: np.ndarray) -> np.ndarray:
        sums = np.zeros((size, *rows.shape[1:]))
        np.add.at(sums, group[kept], rows[kept])
        return sums

    age, block = model.last_day - cohorts.cohort, model.block_of(cohorts.cohort)
    answered = np.append(0.0, model.answered)[np.clip(age + 1, 0, len(model.answered))]
    expected = cohorts.exposure * answered
    rate = _response_rates(block, cohorts.stratum, n, expected)
    is_to_come = np.arange(len(model.answered)) > age[:, None]
    to_come = (cohorts.exposure * rate)[:, None] * model.lag_shares * is_to_come
    missing = to_come.sum(axis=1)
    levels = np.hstack(
        [
            _dummies(model.blocks, block, model.counts.sum(axis=1)),
            _dummies(model.strata, cohorts.stratum, model.counts.sum(axis=0))[:, 1:],
        ]
    )
    contrast = by_group(np.hstack([levels * missing[:, None], to_come @ model.lag_rows]))
    n_observed, n_missing = by_group(n), by_group(missing)
    n_final = np.where(n_observed + n_missing == 0, np.nan, n_observed + n_missing)
    value = (by_group(total) + contrast @ model.parameters) / n_final

    score = (levels @ model.parameters[: levels.shape[1]])[:, None] + model.lag_effects
    gap = score - np.append(value, 0.0)[group][:, None]
    variance = by_group((to_come * (model.sigma2 + gap**2)).sum(axis=1))
    variance += np.einsum("gp,pq,gq->g", contrast, model.covariance, contrast)
    margin = model.quantile * np.sqrt(np.maximum(variance, 0)) / n_final
    return Completion(
        value=value,
        lower=value - margin,
        upper=value + margin,
        n=n_observed,
        missing=n_missing,
        maturity=n_observed / n_final,
        answered=by_group(expected) / by_group(cohorts.exposure),
    )


def complete_window(
    model: LagModel, triangle: Triangle, cohorts: Cohorts, window: np.ndarray
) -> Completion:
    """`complete` for the rows of `cohorts` in a window (rows, bool) together: arrays (1)."""
    return complete(model, triangle, cohorts, np.where(window, 0, -1))


def _observed(triangle: Triangle, cohorts: Cohorts) -> tuple[np.ndarray, np.ndarray]:
    """Answers and the sum of their scores, for each row of the cohorts."""
    rows = len(cohorts.cohort)
    _, stratum = np.unique(np.concatenate([cohorts.stratum, triangle.stratum]), return_inverse=True)
    day = np.concatenate([cohorts.cohort, triangle.cohort])
    _, cell = np.unique(day * (stratum.max(initial=0) + 1) + stratum, return_inverse=True)
    if len(np.unique(cell[:rows])) < rows:
        raise ValueError("Cohorts: a day and stratum repeats")
    n, total = (
        np.bincount(cell[rows:], column, cell.max(initial=-1) + 1)[cell[:rows]]
        for column in (triangle.n, triangle.total)
    )
    return n, total


def _response_rates(block, stratum, n, expected) -> np.ndarray:
    """Answers per expected one: of a row's block and stratum, else of its stratum, else of all."""
    block, stratum = (np.unique(labels, return_inverse=True)[1] for labels in (block, stratum))
    rate = np.full(len(n), np.nan)
    for pool in (block * (stratum.max(initial=0) + 1) + stratum, stratum, np.zeros_like(stratum)):
        answers, chances = np.bincount(pool, n)[pool], np.bincount(pool, expected)[pool]
        told = np.isnan(rate) & (answers > 0) & (chances > 0)
        rate[told] = answers[told] / chances[told]
    return rate


def _dummies(labels: np.ndarray, wanted: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Dummies (wanted, labels); a label without answers is taken to be like the average answer."""
    found = wanted[:, None] == labels
    return np.where(found.any(axis=1, keepdims=True), found, n / n.sum())


@quiet
def backtest(
    triangle: Triangle,
    cohorts: Cohorts,
    last_day: int,
    *,
    window_days: int = 7,
    history_days: int = 91,
    step_days: int = 1,
    block_days: int = 7,
) -> dict[str, np.ndarray]:
    """What `complete_window` would have said on past days, and what the windows became.

    For each of the newest `history_days` days whose window of `window_days` days is final by
    `last_day`, every `step_days`: everything is fitted anew on the cells known on that day, from
    the newest `FIT_DAYS` cohorts; it speaks for a reading of today that is fitted on as many. Left
    out are days on which no cohort was yet as old as the longest lag, and windows without answers.
    Columns (days, newest first): as_of_day, n_observed, observed_mean, nowcast, lower, upper,
    n_final, final_mean, is_covered.
    """
    triangle = triangle.known_on(last_day)
    # labels are looked up on every day: numbers are faster
    _, stratum = np.unique(np.concatenate([triangle.stratum, cohorts.stratum]), return_inverse=True)
    triangle = replace(triangle, stratum=stratum[: len(triangle.n)])
    cohorts = replace(cohorts, stratum=stratum[len(triangle.n) :])
    longest = longest_lag(triangle.lag, triangle.n)
    newest = last_day - longest
    oldest = max(newest - history_days + 1, cohorts.cohort.min(initial=newest + 1) + longest)
    rows = []
    for day in range(newest, oldest - 1, -step_days):
        known, exposed = triangle.known_on(day).newest(day, FIT_DAYS), cohorts.newest(day, FIT_DAYS)
        window = exposed.cohort > day - window_days
        if not window.any():
            continue
        model = fit(known, day, block_days=block_days)
        nowcast = complete_window(model, known, exposed, window)
        seen, final = (cells.newest(day, window_days) for cells in (known, triangle))
        means = [cells.total.sum() / cells.n.sum() for cells in (seen, final)]
        limits = nowcast.value[0], nowcast.lower[0], nowcast.upper[0]
        rows.append((day, seen.n.sum(), means[0], *limits, final.n.sum(), means[1]))
    columns = dict(zip(_BACKTEST, np.array(rows).reshape(-1, len(_BACKTEST)).T, strict=True))
    told = ~np.isnan(columns["nowcast"] + columns["final_mean"])
    columns = {name: column[told] for name, column in columns.items()}
    final, rounding = columns["final_mean"], 1e-9
    return columns | {
        "as_of_day": columns["as_of_day"].astype(int),
        "is_covered": (columns["lower"] - rounding <= final)
        & (final <= columns["upper"] + rounding),
    }
