"""Do the limits hold what they promise? Histories with a known truth, read by this project's
estimators; the tables go to docs/simulations.md.

    .venv/bin/python scripts/simulate_intervals.py

Estimates are put together as `agent_kpis.statistics.comparisons` does it (a test holds the two
together). Times are in hours, costs in USD, scores in points from 0 to 100 or on a scale from 1
to 5 as said.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtr

from agent_kpis.statistics import lag, survival
from agent_kpis.statistics.comparisons import (
    MEAN_TIME_LIMIT_SECONDS,
    MEASURES,
    MINIMUM_FOR_MEAN_TIME,
    MINIMUM_OBSERVATIONS,
    PLANNED_DAYS,
)
from agent_kpis.statistics.csat import MEAN_BLOCK_DAYS
from agent_kpis.statistics.estimates import (
    Z95,
    Estimate,
    difference,
    of_few,
    relative_difference,
)
from agent_kpis.statistics.experiments import sample_ratio_test
from agent_kpis.statistics.incidence import stratified_state_occupation
from agent_kpis.statistics.means import design_effect, standardised_mean
from agent_kpis.statistics.proportions import standardised_proportion
from agent_kpis.statistics.ratios import standardised_ratio
from agent_kpis.statistics.sequential import multiplier

OUTPUT = Path(__file__).resolve().parents[1] / "docs" / "simulations.md"
REPETITIONS = 2000
SEED = 20260105

SIZES = (30, 100, 500)
HOLDOUT_SHARE = 0.15
AI_PER_HOLDOUT = (1 - HOLDOUT_SHARE) / HOLDOUT_SHARE
LOOKS = 60
VOLUMES = (300, 40)
WANTED = (0.93, 0.97)
WANTED_FALSE = 0.05

# Three task types: their mix, and what people and the AI make of them.
MIX = np.array([0.40, 0.35, 0.25])
TYPES = np.arange(3)
COMPLETED_BY_PEOPLE = np.array([0.80, 0.65, 0.50])
COMPLETED_BY_AI = COMPLETED_BY_PEOPLE + np.array([-0.06, 0.03, 0.10])
# A mix as routing makes it: the AI gets what is easy.
ROUTED_AI = np.array([0.50, 0.30, 0.20])
ROUTED_PEOPLE = np.array([0.20, 0.30, 0.50])


# --- what is counted


@dataclass(frozen=True)
class Interval:
    """How often 95% limits held a truth, how wide they were, and how far off the value was.

    `unlimited` is the share of repetitions in which a limit could not be told: it holds
    everything. The width is that of the others. Without `wanted` the row is there to be told apart.
    """

    what: str
    size: str
    repetitions: int
    truth: float
    coverage: float
    width: float
    bias: float
    unlimited: float
    wanted: tuple[float, float] | None = WANTED
    wanted_bias: float = math.inf

    @property
    def reading(self) -> str:
        if self.wanted is None:
            return "for contrast"
        low, high = self.wanted
        faults = {
            "biased": abs(self.bias) > self.wanted_bias,
            "too low": self.coverage < low,
            "too high": self.coverage > high,
        }
        found = ", ".join(fault for fault, is_so in faults.items() if is_so)
        return f"**{found}**" if found else "as wanted"


@dataclass(frozen=True)
class Looks:
    """How often limits were ever wrong about no difference, in daily looks.

    The sequential ones are those with `MINIMUM_OBSERVATIONS` in either arm; `without_minimum`: if
    that were none.
    """

    what: str
    daily: int
    repetitions: int
    fixed: float
    sequential: float
    without_minimum: float

    @property
    def reading(self) -> str:
        return "as wanted" if self.sequential < WANTED_FALSE else "**too many**"


class Reading(NamedTuple):
    """An estimate and what it should have been."""

    estimate: Estimate
    truth: float


def interval(
    what: str,
    size: str,
    readings: Iterable[Reading],
    wanted: tuple[float, float] | None = WANTED,
    wanted_bias: float = math.inf,
) -> Interval:
    value, lower, upper, truth = np.array(
        [(e.value, e.lower, e.upper, truth) for e, truth in readings]
    ).T
    told = ~np.isnan(value)
    # A limit that cannot be told excludes nothing.
    held = ~((lower > truth + 1e-12) | (upper < truth - 1e-12))
    limited = np.isfinite(lower) & np.isfinite(upper)
    return Interval(
        what,
        size,
        len(value),
        float(truth.mean()),
        float(held[told].mean()),
        float((upper - lower)[limited].mean()),
        float((value - truth)[told].mean()),
        float(1 - limited.mean()),
        wanted,
        wanted_bias,
    )


def everywhere(truth: float, estimates: Iterable[Estimate]) -> Iterator[Reading]:
    """The same truth in all repetitions."""
    return (Reading(estimate, truth) for estimate in estimates)


# --- like with like, as in comparisons


def shared_weights(kpi: str, ai: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The AI arm's mix of task types, of those that both arms have enough of."""
    minimum = MEASURES[kpi][1]
    return np.where((ai >= minimum) & (reference >= minimum), ai, 0)


def proportions(
    arms: Sequence[tuple[np.ndarray, np.ndarray]], design_effects: Sequence[float] = (1.0, 1.0)
) -> list[Estimate]:
    """Of the AI and the reference: successes and n by task type."""
    w = shared_weights("task_completion_rate", *(n for _, n in arms))
    used = w > 0
    return [
        standardised_proportion(successes[used], n[used], w[used], effect)
        for (successes, n), effect in zip(arms, design_effects, strict=True)
    ]


def costs_per_success(arms: Sequence[np.ndarray]) -> list[Estimate] | None:
    """Of the AI and the reference: n, cost, its squares, successes and their cost, by task type."""
    w = shared_weights("cost_per_successful_outcome", *(arm[0] for arm in arms))
    used = w > 0
    if not used.any():
        return None
    return [standardised_ratio(*arm[:, used], w[used]) for arm in arms]


def median_time(curves: Sequence[survival.Curve], weights: np.ndarray) -> Estimate:
    return replace(survival.median(survival.standardised_curve(curves, weights)), scale="log")


def mean_score(
    answers: lag.Triangle, last_day: int, requests: np.ndarray, shared: np.ndarray
) -> Estimate:
    """Lag-adjusted; task types weigh by the requests of the AI arm."""
    model = lag.fit(answers, last_day, block_days=MEAN_BLOCK_DAYS)
    weights = dict(zip(TYPES.tolist(), np.where(shared, requests, 0).tolist(), strict=True))
    return lag.adjusted_mean(model, None, weights)


def sizes(holdout: int) -> tuple[int, int]:
    """Requests of the AI arm and of the holdout."""
    return round(holdout * AI_PER_HOLDOUT), holdout


# --- completion


def completions(rng, n: int, mix: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    requests = rng.multinomial(n, mix)
    return rng.binomial(requests, rates), requests


def completion_intervals(rng, repetitions: int) -> Iterator[Interval]:
    rates = COMPLETED_BY_AI, COMPLETED_BY_PEOPLE
    for label, mixes, contrasts in (
        ("completion, by task type", (MIX, MIX), False),
        ("completion, by task type, AI gets the easy ones", (ROUTED_AI, ROUTED_PEOPLE), True),
    ):
        truth = mixes[0] @ (rates[0] - rates[1])
        for size in SIZES:
            arms = [
                [
                    completions(rng, n, mix, rate)
                    for n, mix, rate in zip(sizes(size), mixes, rates, strict=True)
                ]
                for _ in range(repetitions)
            ]
            like_with_like = (difference(*proportions(arm)) for arm in arms)
            yield interval(label, str(size), everywhere(truth, like_with_like))
            if contrasts:
                crude = (
                    difference(
                        *proportions([(x.sum(keepdims=True), n.sum(keepdims=True)) for x, n in arm])
                    )
                    for arm in arms
                )
                yield interval(
                    "the same requests, crude difference", str(size), everywhere(truth, crude), None
                )


# --- customers drawn at random

REQUESTS_A_CUSTOMER = 4.0
CUSTOMERS_DIFFER = 1.2  # standard deviation of the log-odds


def between_customers(rates: np.ndarray) -> np.ndarray:
    """The mean rate where customers differ around `rates` on the scale of log-odds."""
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    return expit(logit(rates)[:, None] + CUSTOMERS_DIFFER * points) @ weights / weights.sum()


def customers(rng, n: int, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Successes and requests by task type, and the design effect between customers.

    Centred within task types, as the comparison has it.
    """
    requests = rng.geometric(1 / REQUESTS_A_CUSTOMER, n)
    customer = np.repeat(np.arange(n), requests)
    task = rng.choice(TYPES, customer.size, p=MIX)
    chance = expit(logit(rates)[task] + CUSTOMERS_DIFFER * rng.normal(size=n)[customer])
    success = rng.random(customer.size) < chance
    n_by_type = np.bincount(task, minlength=3)
    by_type = np.bincount(task, success, 3)
    residual = success - (by_type / np.maximum(n_by_type, 1))[task]
    effect = design_effect(
        requests, np.bincount(customer, residual), np.bincount(customer, residual**2)
    )
    return by_type, n_by_type, max(1.0, effect * of_few(n - 1))


def customer_intervals(rng, repetitions: int) -> Iterator[Interval]:
    rates = COMPLETED_BY_AI, COMPLETED_BY_PEOPLE
    truth = MIX @ (between_customers(rates[0]) - between_customers(rates[1]))
    for size in SIZES:
        drawn = [
            [customers(rng, n, rate) for n, rate in zip(sizes(size), rates, strict=True)]
            for _ in range(repetitions)
        ]
        for label, wanted, effects in (
            ("completion, customers drawn, with design effect", WANTED, lambda arm: arm[2]),
            ("the same customers, without design effect", None, lambda arm: 1.0),
        ):
            estimates = (
                difference(*proportions([arm[:2] for arm in arms], [effects(arm) for arm in arms]))
                for arms in drawn
            )
            yield interval(label, f"{size} customers", everywhere(truth, estimates), wanted)


# --- cost per success


class Costs(NamedTuple):
    """Log-normal costs by task type; what fails costs more."""

    rates: np.ndarray
    median: np.ndarray
    sigma: float
    of_failure: float

    def draw(self, rng, requests: np.ndarray) -> np.ndarray:
        """For so many requests (days, task types) the sums (5, days, task types) of n, cost, its
        squares, successes and their cost."""
        cell = np.repeat(np.arange(requests.size), requests.ravel())
        task = cell % len(TYPES)
        success = rng.random(cell.size) < self.rates[task]
        cost = self.median[task] * np.where(success, 1, self.of_failure)
        cost *= rng.lognormal(0, self.sigma, cell.size)
        return np.stack(
            [
                np.bincount(cell, x, requests.size).reshape(requests.shape)
                for x in (cost**0, cost, cost**2, success, cost * success)
            ]
        )

    @property
    def truth(self) -> float:
        """Cost per success of a population with the mix `MIX`."""
        means = self.median * math.exp(self.sigma**2 / 2)
        means = means * (self.rates + (1 - self.rates) * self.of_failure)
        return float(MIX @ means / (MIX @ self.rates))


COSTS = (
    Costs(COMPLETED_BY_AI, np.array([0.8, 1.2, 2.0]), 0.9, 3.0),
    Costs(COMPLETED_BY_PEOPLE, np.array([4.0, 6.0, 9.0]), 0.6, 1.5),
)


def cost_intervals(rng, repetitions: int) -> Iterator[Interval]:
    ai, people = (costs.truth for costs in COSTS)
    for size in SIZES:
        found = []
        for _ in range(repetitions):
            arms = [
                costs.draw(rng, rng.multinomial(n, MIX))
                for costs, n in zip(COSTS, sizes(size), strict=True)
            ]
            found.append(costs_per_success(arms))
        for label, truth, compare in (
            ("cost per success, USD", ai - people, difference),
            ("cost per success, relative", ai / people - 1, relative_difference),
        ):
            yield interval(label, str(size), everywhere(truth, (compare(*arms) for arms in found)))


# --- time to resolution

REOPEN_WINDOW = 72.0
MATURE_AFTER = 144.0
HISTORY = 60 * 24.0
WEEK = MEAN_TIME_LIMIT_SECONDS / 3600


class Times(NamedTuple):
    """Hours to resolution by task type: at once (exponential), later (log-normal), or never."""

    at_once: np.ndarray
    never: float
    mean_at_once: float
    median_later: np.ndarray
    sigma: float

    def draw(self, rng, task: np.ndarray) -> np.ndarray:
        kind = rng.random(task.size)
        later = self.median_later[task] * rng.lognormal(0, self.sigma, task.size)
        at_once = rng.exponential(self.mean_at_once, task.size)
        hours = np.where(kind < self.at_once[task], at_once, later)
        return np.where(kind > 1 - self.never, np.inf, hours)

    def unresolved(self, hours: np.ndarray) -> np.ndarray:
        """The share still unresolved after so many hours, in a population with the mix `MIX`."""
        hours = np.maximum(np.atleast_1d(hours), 1e-9)[:, None]
        at_once = self.at_once * np.exp(-hours / self.mean_at_once)
        later = ndtr(-np.log(hours / self.median_later) / self.sigma)
        return (at_once + (1 - self.at_once - self.never) * later + self.never) @ MIX

    @property
    def median(self) -> float:
        return brentq(lambda hours: self.unresolved(hours)[0] - 0.5, 1e-6, 1e4)

    @property
    def restricted_mean(self) -> float:
        grid = np.linspace(0, WEEK, 200_001)
        return float(np.trapezoid(self.unresolved(grid), grid))


TIMES = (
    Times(np.array([0.65, 0.45, 0.25]), 0.08, 1.5, np.array([8.0, 14.0, 30.0]), 1.0),
    Times(np.zeros(3), 0.08, 1.0, np.array([6.0, 12.0, 30.0]), 1.2),
)


def resolution_bins(hours, followed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of requests followed for so long: bins one per cent wide, each at its mean time in seconds,
    whether they are resolved then, and how many."""
    resolved = hours <= followed
    seconds = 3600 * np.where(resolved, hours, followed)
    cell = 2 * np.floor(100 * np.log1p(seconds)).astype(int) + resolved
    n, total = np.bincount(cell), np.bincount(cell, seconds)
    cells = np.flatnonzero(n)
    return total[cells] / n[cells], cells % 2 == 1, n[cells]


def resolution_curve(hours: np.ndarray, followed: np.ndarray) -> survival.Curve:
    times, resolved, n = resolution_bins(hours, followed)
    return survival.kaplan_meier(times, np.where(resolved, n, 0), np.where(resolved, 0, n))


def time_intervals(rng, repetitions: int) -> Iterator[Interval]:
    medians = [times.median for times in TIMES]
    means = [times.restricted_mean for times in TIMES]
    for size in SIZES:
        of_medians, of_means = [], []
        for _ in range(repetitions):
            tasks = [rng.choice(TYPES, n, p=MIX) for n in sizes(size)]
            w = shared_weights(
                "time_to_resolution", *(np.bincount(task, minlength=3) for task in tasks)
            )
            used = np.flatnonzero(w)
            curves = []
            for times, task in zip(TIMES, tasks, strict=True):
                hours = times.draw(rng, task)
                # Mature requests, opened evenly over the history.
                followed = rng.uniform(MATURE_AFTER, HISTORY, task.size) - REOPEN_WINDOW
                curves.append(
                    [resolution_curve(hours[task == s], followed[task == s]) for s in used]
                )
            of_medians.append(difference(*(median_time(arm, w[used]) for arm in curves)))
            if size >= MINIMUM_FOR_MEAN_TIME:
                of_means.append(
                    difference(
                        *(
                            survival.restricted_mean(arm, w[used], MEAN_TIME_LIMIT_SECONDS)
                            for arm in curves
                        )
                    )
                )
        for label, (ai, people), found in (
            ("median time to resolution, hours", medians, of_medians),
            ("mean time to resolution up to 7 days, hours", means, of_means),
        ):
            if found:
                yield interval(label, str(size), everywhere(ai - people, map(in_hours, found)))


def in_hours(seconds: Estimate) -> Estimate:
    return replace(
        seconds,
        value=seconds.value / 3600,
        lower=seconds.lower / 3600,
        upper=seconds.upper / 3600,
    )


# --- scores and how late they come

LONGEST_LAG = 27
SCALE = np.arange(1, 6)
SCORES = np.array([0.10, 0.07, 0.13, 0.30, 0.40])
ANSWERS_TODAY = np.array([0.50, 0.40, 0.30, 0.25, 0.22])  # by score: the angry are quick
ANY_DAY = 0.3  # of those who have not answered yet, by score or not
LAG_EFFECT = -0.8 * np.exp(-np.arange(LONGEST_LAG + 1) / 3)  # of the lag on the score
SCORES_BY_PEOPLE = np.array([4.1, 3.8, 3.5])
SCORES_OF_AI = SCORES_BY_PEOPLE + np.array([-0.2, 0.0, 0.1])


@cache
def scores_of_mean(mean: float) -> np.ndarray:
    """Shares of the scores 1 to 5 with that mean, as near to `SCORES` as can be."""

    def tilted(slope: float) -> np.ndarray:
        shares = SCORES * np.exp(slope * SCALE)
        return shares / shares.sum()

    return tilted(brentq(lambda slope: tilted(slope) @ SCALE - mean, -20, 20))


def pick(rng, shares: np.ndarray) -> np.ndarray:
    """One number from 0 for each row of shares."""
    bound = shares.cumsum(axis=1)[:, :-1]
    return (rng.random(len(shares))[:, None] > bound).sum(axis=1)


def lag_shares(hazard: float) -> np.ndarray:
    """Shares of the lags 0 .. LONGEST_LAG: geometric, what is later counts as the longest."""
    shares = hazard * (1 - hazard) ** np.arange(LONGEST_LAG + 1)
    shares[-1] = 1 - shares[:-1].sum()
    return shares


class Scores(NamedTuple):
    """Scores by task type. The angry answer sooner, and so early answers are the angry ones:
    either the score decides how soon (`by_score`), or who answers early is harder to please, by so
    much and in all task types."""

    means: np.ndarray
    by_score: bool

    def draw(self, rng, task: np.ndarray, drop: np.ndarray | float = 0.0):
        """Scores from 1 to 5 and lags in days; `drop` is taken off the mean of each."""
        dropped = np.broadcast_to(np.asarray(drop) > 0, task.shape).astype(int)
        by = float(np.max(drop, initial=0))
        if self.by_score:
            shares = np.array([[scores_of_mean(m - d) for d in (0, by)] for m in self.means])
            score = 1 + pick(rng, shares[task, dropped])
            lags = rng.geometric(ANSWERS_TODAY[score - 1]) - 1
            return score, np.minimum(lags, LONGEST_LAG)
        of_lags = lag_shares(ANY_DAY)
        lags = rng.choice(LONGEST_LAG + 1, task.size, p=of_lags)
        shift = LAG_EFFECT - of_lags @ LAG_EFFECT
        shares = np.array(
            [[[scores_of_mean(m - d + b) for b in shift] for d in (0, by)] for m in self.means]
        )
        return 1 + pick(rng, shares[task, dropped, lags]), lags


def triangle(cohort, lags, task, score, days: int) -> lag.Triangle:
    """The cells of single answers."""
    shape = (days, LONGEST_LAG + 1, 3)
    cell = np.ravel_multi_index((cohort, lags, task), shape)
    n, total, squares = (np.bincount(cell, score**power, math.prod(shape)) for power in (0, 1, 2))
    seen = np.flatnonzero(n)
    cohort, lags, task = np.unravel_index(seen, shape)
    return lag.Triangle(cohort, lags, n[seen], total[seen], squares[seen], task)


def score_intervals(rng, repetitions: int) -> Iterator[Interval]:
    """In points from 0 to 100, from so many answers in the holdout."""
    arms = [Scores(means, by_score=True) for means in (SCORES_OF_AI, SCORES_BY_PEOPLE)]
    truth = 25 * MIX @ (SCORES_OF_AI - SCORES_BY_PEOPLE)
    for size in SIZES:
        plain, adjusted = [], []
        for _ in range(repetitions):
            requests = rng.multinomial(6 * sizes(size)[0], MIX)
            drawn = [answers_at_hand(rng, arm, n) for arm, n in zip(arms, sizes(size), strict=True)]
            plain.append(
                difference(*(plain_mean(score, task, requests) for _, score, task in drawn))
            )
            counts = [np.bincount(cells.stratum, cells.n, 3) for cells, _, _ in drawn]
            shared = shared_weights("csat", *counts) > 0
            adjusted.append(
                difference(
                    *(
                        mean_score(cells, HISTORY_DAYS - 1, requests, shared)
                        for cells, _, _ in drawn
                    )
                )
            )
        yield interval("mean score, all answers in", str(size), everywhere(truth, plain))
        yield interval("lag-adjusted mean score", str(size), everywhere(truth, adjusted))


HISTORY_DAYS = 60


def answers_at_hand(rng, scores: Scores, n: int) -> tuple[lag.Triangle, np.ndarray, np.ndarray]:
    """n answers that are in by the last day, as cells; and n of those who ever answer: score and
    task type."""
    answers = 2 * n + 100
    task = rng.choice(TYPES, answers, p=MIX)
    cohort = rng.integers(HISTORY_DAYS, size=answers)
    score, lags = scores.draw(rng, task)
    points = 25 * (score - 1)
    known = np.flatnonzero(cohort + lags < HISTORY_DAYS)[:n]
    assert known.size == n
    cells = triangle(cohort[known], lags[known], task[known], points[known], HISTORY_DAYS)
    return cells, points[:n], task[:n]


def plain_mean(score: np.ndarray, task: np.ndarray, requests: np.ndarray) -> Estimate:
    n, total, squares = (np.bincount(task, score**power, 3) for power in (0, 1, 2))
    return standardised_mean(n, total, squares, np.where(n > 1, requests, 0))


# --- the early reading of completion

DEADLINE = 72
HORIZON = DEADLINE + int(REOPEN_WINDOW)
OPENED_IN_HOURS = 14 * 24
COMPLETED_AN_HOUR = np.array([0.08, 0.05, 0.03])
ESCALATED_AN_HOUR = np.array([0.010, 0.012, 0.012])
UNDONE = np.array([0.15, 0.20, 0.25])
UNDONE_AFTER = 30.0


def standing_at_horizon() -> float:
    """The share that is completed by the deadline and not undone by the horizon."""
    hours = np.linspace(0, DEADLINE, 20_001)[:, None]
    completed = COMPLETED_AN_HOUR * np.exp(-(COMPLETED_AN_HOUR + ESCALATED_AN_HOUR) * hours)
    stands = 1 - UNDONE * (1 - np.exp(-(HORIZON - hours) / UNDONE_AFTER))
    return float(np.trapezoid(completed * stands, hours, axis=0) @ MIX)


def early_reading(rng, n: int) -> tuple[Estimate, Estimate]:
    """From requests opened evenly over two weeks, and from the mature ones among them."""
    task, age = rng.choice(TYPES, n, p=MIX), rng.uniform(0, OPENED_IN_HOURS, n)
    leaving = (COMPLETED_AN_HOUR + ESCALATED_AN_HOUR)[task]
    first = rng.exponential(1 / leaving)
    is_done = (rng.random(n) < COMPLETED_AN_HOUR[task] / leaving) & (first <= DEADLINE)
    first = np.minimum(first, DEADLINE)
    undone = first + np.where(
        rng.random(n) < UNDONE[task], rng.exponential(UNDONE_AFTER, n), np.inf
    )
    is_undone = is_done & (undone <= HORIZON)

    seen = first <= age
    first_to = np.where(seen, np.where(is_done, "done", "failed"), "censored")
    again = seen & is_done & ((is_undone & (undone <= age)) | (age < HORIZON))
    fails = is_undone & (undone <= age)
    moves = (
        np.concatenate([np.where(seen, first, age), np.where(fails, undone, age)[again]]),
        np.repeat(np.array(["open", "done"], dtype=object), [n, again.sum()]),
        np.concatenate([first_to, np.where(fails, "failed", "censored")[again]]).astype(object),
    )
    of = np.concatenate([task, task[again]])
    starts = np.bincount(task, minlength=3).astype(float)
    strata = [
        (
            np.floor(moves[0][of == s]),
            moves[1][of == s],
            moves[2][of == s],
            np.ones((of == s).sum()),
            starts[s],
        )
        for s in TYPES
    ]
    mature = age >= HORIZON
    stands = np.bincount(task[mature], (is_done & ~is_undone)[mature], 3)
    n_mature = np.bincount(task[mature], minlength=3)
    return (
        stratified_state_occupation(strata, starts, HORIZON + 1),
        standardised_proportion(stands, n_mature, np.where(n_mature > 0, starts, 0)),
    )


def early_intervals(rng, repetitions: int) -> Iterator[Interval]:
    truth = standing_at_horizon()
    for size in SIZES:
        found = [early_reading(rng, size) for _ in range(repetitions)]
        early, mature = zip(*found, strict=True)
        yield interval("early reading of completion, one arm", str(size), everywhere(truth, early))
        yield interval(
            "the same requests, only the mature ones", str(size), everywhere(truth, mature), None
        )


# --- daily looks


def excludes_zero(estimate: Estimate) -> bool:
    return estimate.lower > 0 or estimate.upper < 0


class Look(NamedTuple):
    """The estimates of the AI and of the reference on one day, and what they rest on."""

    estimates: Sequence[Estimate]
    n_ai: float
    n_reference: float


Wrong = tuple[bool, bool, bool]


def ever_false(
    looks: Iterable[Look],
    planned: float,
    *,
    both_grow: bool = True,
    compare: Callable[[Estimate, Estimate], Estimate] = difference,
) -> Wrong:
    """Whether limits ever exclude no difference: the fixed, the sequential, and those if there were
    no minimum of observations.

    The sequential limits are the wider ones, so they need only be looked at where the fixed ones
    are wrong.
    """
    fixed = without_minimum = False
    for (ai, reference), n_ai, n_reference in looks:
        if not excludes_zero(compare(ai, reference)):
            continue
        fixed = True
        if excludes_zero(compare(*widened(ai, reference, n_ai, n_reference, planned, both_grow))):
            without_minimum = True
            if min(n_ai, n_reference) >= MINIMUM_OBSERVATIONS:
                return True, True, True
    return fixed, False, without_minimum


def widened(
    ai: Estimate,
    reference: Estimate,
    n_ai: float,
    n_reference: float,
    planned: float,
    both_grow: bool = True,
) -> tuple[Estimate, Estimate]:
    """Both estimates with sequential limits; against a baseline only the AI's part widens."""
    factor = multiplier(n_ai + (n_reference if both_grow else 0), planned) / Z95
    return ai.widened(factor), reference.widened(factor) if both_grow else reference


def any_false(what: str, daily: int, repetitions: int, histories: Iterator[Wrong]) -> Looks:
    shares = np.mean([next(histories) for _ in range(repetitions)], axis=0)
    return Looks(what, daily, repetitions, *shares.tolist())


def requests_a_day(rng, daily: float, share: float) -> np.ndarray:
    """By day and task type, of an arm with that share."""
    return rng.poisson(daily * share * MIX, (LOOKS, 3))


ARM_SHARES = (1 - HOLDOUT_SHARE, HOLDOUT_SHARE)


def completion_looks(rng, daily: int) -> Iterator[Wrong]:
    while True:
        arms = []
        for share in ARM_SHARES:
            n = requests_a_day(rng, daily, share)
            arms.append((rng.binomial(n, COMPLETED_BY_PEOPLE).cumsum(axis=0), n.cumsum(axis=0)))
        looks = (
            Look(proportions([(x[day], n[day]) for x, n in arms]), *(n[day].sum() for _, n in arms))
            for day in range(LOOKS)
            if (arms[0][1][day] * arms[1][1][day]).any()
        )
        yield ever_false(looks, PLANNED_DAYS * daily)


def baseline_completion_looks(rng, daily: int, baseline_days: int) -> Iterator[Wrong]:
    while True:
        baseline = rng.poisson(daily * baseline_days * MIX)
        baseline = rng.binomial(baseline, COMPLETED_BY_PEOPLE), baseline
        n = requests_a_day(rng, daily, ARM_SHARES[0])
        done, n = rng.binomial(n, COMPLETED_BY_PEOPLE).cumsum(axis=0), n.cumsum(axis=0)
        looks = (
            Look(proportions([(done[day], n[day]), baseline]), n[day].sum(), baseline[1].sum())
            for day in range(LOOKS)
            if n[day].any()
        )
        yield ever_false(looks, PLANNED_DAYS * daily, both_grow=False)


def cost_looks(
    rng, daily: int, compare: Callable[[Estimate, Estimate], Estimate], baseline_days: int = 0
) -> Iterator[Wrong]:
    """Against the holdout or, with days, against a baseline that does not grow."""
    planned = PLANNED_DAYS * daily
    while True:
        ai = COSTS[1].draw(rng, requests_a_day(rng, daily, ARM_SHARES[0])).cumsum(axis=1)
        if baseline_days:
            before = COSTS[1].draw(rng, rng.poisson(daily * baseline_days * MIX))
            reference = np.repeat(before[:, None], LOOKS, axis=1)
        else:
            people = COSTS[1].draw(rng, requests_a_day(rng, daily, ARM_SHARES[1]))
            reference = people.cumsum(axis=1)
        looks = (
            Look(found, ai[0, day].sum(), reference[0, day].sum())
            for day in range(LOOKS)
            if (found := costs_per_success([ai[:, day], reference[:, day]]))
        )
        yield ever_false(looks, planned, both_grow=not baseline_days, compare=compare)


def time_looks(rng, daily: int) -> Iterator[Wrong]:
    """Requests are opened at midnight; the first look is when those of the first day are mature."""
    while True:
        arms = [daily_curves(rng, requests_a_day(rng, daily, share)) for share in ARM_SHARES]
        yield ever_false(_time_looks(arms), PLANNED_DAYS * daily)


def _time_looks(arms) -> Iterator[Look]:
    for look in range(LOOKS):
        counts = [n[look] for n, _ in arms]
        w = shared_weights("time_to_resolution", *counts)
        used = np.flatnonzero(w)
        if used.size:
            found = [median_time([curve(look, s) for s in used], w[used]) for _, curve in arms]
            yield Look(found, *(n.sum() for n in counts))


def daily_curves(rng, requests: np.ndarray):
    """Requests so far by look and task type, and a function that gives the curve of either."""
    opened, task = (
        np.repeat(index.ravel(), requests.ravel()) for index in np.indices(requests.shape)
    )
    hours = TIMES[1].draw(rng, task)
    # On the day `look` requests of the day `opened` have the age look - opened + MATURE_AFTER.
    resolved_on = np.maximum(opened, np.ceil(opened + (hours + REOPEN_WINDOW - MATURE_AFTER) / 24))
    known = resolved_on < LOOKS
    on, opened, task = resolved_on[known].astype(int), opened[known], task[known]
    seconds = 3600 * hours[known]
    bins, bin_ = np.unique(np.floor(100 * np.log1p(seconds)), return_inverse=True)

    def so_far(shape, index, weights=None) -> np.ndarray:
        cell = np.ravel_multi_index(index, shape)
        return np.bincount(cell, weights, math.prod(shape)).reshape(shape).cumsum(axis=0)

    shape = (LOOKS, len(TYPES), bins.size)
    n, total = so_far(shape, (on, task, bin_)), so_far(shape, (on, task, bin_), seconds)
    resolved = so_far((LOOKS, len(TYPES), LOOKS), (on, task, opened))

    def curve(look: int, task_type: int) -> survival.Curve:
        cells = np.flatnonzero(n[look, task_type])
        events = n[look, task_type, cells]
        unresolved = (requests[:, task_type] - resolved[look, task_type])[: look + 1]
        followed = MATURE_AFTER - REOPEN_WINDOW + 24 * np.arange(look, -1, -1)
        return survival.kaplan_meier(
            np.concatenate([total[look, task_type, cells] / events, 3600 * followed]),
            np.concatenate([events, np.zeros(look + 1)]),
            np.concatenate([np.zeros(cells.size), unresolved]),
        )

    return requests.cumsum(axis=0), curve


RESPONSE = 0.17


def score_looks(rng, daily: int) -> Iterator[Wrong]:
    scores = Scores(SCORES_BY_PEOPLE, by_score=True)
    while True:
        arms = []
        for share in ARM_SHARES:
            requests = requests_a_day(rng, daily, share)
            answers = rng.binomial(requests, RESPONSE)
            cohort, task = (
                np.repeat(index.ravel(), answers.ravel()) for index in np.indices(answers.shape)
            )
            score, lags = scores.draw(rng, task)
            arms.append((requests.cumsum(axis=0), triangle(cohort, lags, task, score, LOOKS)))
        yield ever_false(_score_looks(arms), PLANNED_DAYS * daily * RESPONSE)


def _score_looks(arms) -> Iterator[Look]:
    (requests, _), _ = arms
    for day in range(LOOKS):
        known = [cells.known_on(day) for _, cells in arms]
        counts = [np.bincount(cells.stratum, cells.n, len(TYPES)) for cells in known]
        shared = shared_weights("csat", *counts) > 0
        if shared.any():
            found = [mean_score(cells, day, requests[day], shared) for cells in known]
            yield Look(found, *(n.sum() for n in counts))


def ratio_looks(rng, daily: int) -> Iterator[Wrong]:
    """Whether the sample-ratio test ever has p < .05, and p < .001."""
    while True:
        n = rng.poisson(daily, LOOKS)
        in_holdout = rng.binomial(n, HOLDOUT_SHARE).cumsum()
        p = min(
            sample_ratio_test(x, m, HOLDOUT_SHARE)[1]
            for x, m in zip(in_holdout, n.cumsum(), strict=True)
            if m
        )
        yield p < 0.05, p < 0.001, p < 0.001


def daily_looks(rng, repetitions: int) -> Iterator[Looks]:
    slow = max(repetitions // 2, 1)
    for daily in VOLUMES:
        for what, times, histories in (
            ("completion, by task type", repetitions, completion_looks(rng, daily)),
            ("cost per success, USD", repetitions, cost_looks(rng, daily, difference)),
            (
                "cost per success, relative",
                repetitions,
                cost_looks(rng, daily, relative_difference),
            ),
            ("median time to resolution", slow, time_looks(rng, daily)),
            ("lag-adjusted mean score", slow, score_looks(rng, daily)),
            (
                "completion, against a baseline of 42 days",
                repetitions,
                baseline_completion_looks(rng, daily, 42),
            ),
            (
                "cost per success, USD, against a baseline of 42 days",
                repetitions,
                cost_looks(rng, daily, difference, 42),
            ),
            ("sample ratio: p < .05, p < .001", repetitions, ratio_looks(rng, daily)),
        ):
            yield any_false(what, daily, times, histories)


# --- the mean of the last week before all its answers are in

WINDOW = 7
DROP = 0.3
ANSWERS_A_DAY = 51
WAIT = 21


class Week(NamedTuple):
    """The last week read in four ways, and what it became."""

    naive: Estimate
    waited: Estimate
    adjusted: Estimate
    completed: Estimate
    became: float


def last_week(rng, scores: Scores, drop: float) -> Week:
    """On the scale from 1 to 5; `FIT_DAYS` of requests, a fifth of which is answered."""
    days, last_day = lag.FIT_DAYS, lag.FIT_DAYS - 1
    requests = rng.poisson(ANSWERS_A_DAY * 5 * MIX, (days, len(TYPES)))
    answers = rng.binomial(requests, 0.2)
    cohort, task = (np.repeat(i.ravel(), answers.ravel()) for i in np.indices(answers.shape))
    score, lags = scores.draw(rng, task, np.where(cohort > last_day - WINDOW, drop, 0.0))
    cells = triangle(cohort, lags, task, score, days)
    known = cells.known_on(last_day)
    model = lag.fit(known, last_day)
    day, task_type = (i.ravel() for i in np.indices(requests.shape))
    exposed = lag.Cohorts(day, task_type, requests.ravel())
    completed = lag.complete_window(model, known, exposed, day > last_day - WINDOW)
    final = cells.newest(last_day, WINDOW)
    return Week(
        naive=heap_mean(known.newest(last_day, WINDOW)),
        waited=heap_mean(known.newest(last_day - WAIT, WINDOW)),
        adjusted=lag.adjusted_mean(model, {0: 1}, dict(enumerate(MIX.tolist()))),
        completed=Estimate(
            *(float(x[0]) for x in (completed.value, completed.lower, completed.upper)),
            float(completed.n[0]),
        ),
        became=float(final.total.sum() / final.n.sum()),
    )


def heap_mean(cells: lag.Triangle) -> Estimate:
    return standardised_mean(cells.n.sum(), cells.total.sum(), cells.square_sum.sum(), 1)


def week_intervals(rng, repetitions: int) -> Iterator[Interval]:
    for early, by_score in (
        ("early answers are lower", False),
        ("low scores are answered early", True),
    ):
        scores = Scores(SCORES_BY_PEOPLE, by_score)
        for drop in (DROP, 0.0):
            weeks = [last_week(rng, scores, drop) for _ in range(repetitions)]
            truth = float(MIX @ SCORES_BY_PEOPLE - drop)
            size = f"{early}; {f'drop of {drop}' if drop else 'no drop'}"
            for label, wanted, bias, found in (
                ("plain mean of what is in", None, math.inf, [w.naive for w in weeks]),
                ("wait 21 days: the week before them", None, math.inf, [w.waited for w in weeks]),
                ("lag-adjusted mean", (0.92, 0.97), 0.01, [w.adjusted for w in weeks]),
            ):
                yield interval(label, size, everywhere(truth, found), wanted, bias)
            became = (Reading(week.completed, week.became) for week in weeks)
            yield interval(
                "completed mean, of what the week became", size, became, (0.92, 0.97), 0.01
            )


# --- how late answers come


@dataclass(frozen=True)
class Maturity:
    """A share of answers that are in, as told from a triangle that is not complete."""

    what: str
    daily: int
    repetitions: int
    truth: float
    bias: float
    furthest: float  # 95% of the errors are smaller
    within: float  # share of repetitions off by at most two percentage points

    @property
    def reading(self) -> str:
        return "as wanted" if self.furthest <= 0.02 else "**too far off**"


def maturities(rng, repetitions: int) -> Iterator[Maturity]:
    """Geometric delays, a quarter of the rest every day; two months of requests."""
    shares = lag_shares(0.25).cumsum()
    for daily in (15, ANSWERS_A_DAY, 170):
        errors = []
        for _ in range(repetitions):
            answers = rng.poisson(daily * np.diff(shares, prepend=0), (HISTORY_DAYS, shares.size))
            cohort, lags = (i.ravel() for i in np.indices(answers.shape))
            last_day = HISTORY_DAYS - 1
            known = (cohort + lags <= last_day) & (answers.ravel() > 0)
            n = answers.ravel()[known]
            longest = lag.longest_lag(lags[known], n)
            found = lag.lag_distribution(cohort[known], lags[known], n, last_day, longest)
            errors.append((found[7] - shares[7], found[:WINDOW].mean() - shares[:WINDOW].mean()))
        for what, truth, error in zip(
            ("answers of a day, 7 days later", "answers of the last 7 days, on the last"),
            (shares[7], shares[:WINDOW].mean()),
            np.transpose(errors),
            strict=True,
        ):
            yield Maturity(
                what,
                daily,
                repetitions,
                float(truth),
                float(error.mean()),
                float(np.quantile(abs(error), 0.95)),
                float((abs(error) <= 0.02).mean()),
            )


# --- tables

INTRODUCTION = """# Simulations

Do the limits hold what they promise? Histories with a known truth, read by the functions in
`python/agent_kpis/statistics`; {repetitions} repetitions unless the row says otherwise, seed
{seed}, {minutes:.0f} minutes on one core:

```sh
.venv/bin/python scripts/simulate_intervals.py{options}
```

Monte Carlo error (one standard error): {error:.3f} of a coverage of .95, {percent:.1f} percentage
points of 5% ever wrong; 1.4 times that with half the repetitions. 95% limits are to hold the truth
93% to 97% of the time unless it says otherwise; what lies outside is marked in the last
column. Rows *for contrast* read the same data in another way. A limit that cannot be told holds
everything.
"""

ONE_LOOK = """The AI arm less the holdout, of requests of three task types (40%, 35%, 25%), 5.67 in
the AI arm for each in the holdout. The AI's effect differs by task type: people complete 80%, 65%
and 50%, the AI 74%, 68% and 60%.

- *The easy ones*: the AI gets the types in the mix 50%, 30%, 20%, people 20%, 30%, 50%.
- *Customers drawn*: 4 requests each (geometric), log-odds differ by 1.2 (standard deviation). The
  number is of customers in the holdout.
- *Costs* are log-normal and higher for what fails.
- *Times* are exponential or log-normal, 8% are never resolved; mature requests of 60 days, followed
  for 3 to 57 days.
- *Scores* are points from 0 to 100, low ones are answered early. The number is of answers in the
  holdout; the lag-adjusted mean has those that are in, from requests of 60 days.
- *Early reading*: one arm, so many requests of 14 days, of which those of the last 6 are pending;
  completed ones may be undone, others are escalated or too late."""

DAILY_LOOKS = f"""Both arms are alike. All data since the start are read every day, and limits are
wrong if they exclude no difference on any day. The sequential limits are those that decide
(planned: {PLANNED_DAYS} days of the same volume; from {MINIMUM_OBSERVATIONS} observations in either
arm on); they are to be ever wrong less than 5% of the time. The last column but one shows what that
minimum is for.

Against a baseline only the AI arm grows, and only its part of the limits is widened. For the sample
ratio the two columns are p < .05 and p < .001, the limit at which differences are withheld."""

LAST_WEEK = f"""Scores from 1 to 5, {ANSWERS_A_DAY} answers a day, {lag.FIT_DAYS} days. The mean of
the last 7 days is read on the last of them. The lag-adjusted and the completed mean are to hold the
truth 92% to 97% of the time and to be off by at most .01 in the mean. The truth of the completed
mean is what the week became, its interval a prediction interval.

- *Early answers are lower*, by up to .8, and answers are as late as ever.
- *Low scores are answered early*: half of the ones on the same day, a fifth of the fives. A drop
  then also changes how late answers come, which the lag model takes to be the same in all weeks."""

HOW_LATE = """Geometric delays: of the answers that are not in, a quarter comes every day. Read from
60 days, on the last of them. 95% of errors are to be within two percentage points."""


class Section(NamedTuple):
    """A table of docs/simulations.md: what it is about, its columns, and what makes its rows."""

    title: str
    text: str
    columns: dict[str, Callable]
    parts: tuple[Callable, ...]


def number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def percent(value: float) -> str:
    return f"{100 * value:.1f}%"


INTERVAL = {
    "repetitions": lambda row: str(row.repetitions),
    "truth": lambda row: number(row.truth),
    "coverage": lambda row: f"{row.coverage:.3f}",
    "mean width": lambda row: number(row.width),
    "bias": lambda row: f"{row.bias:+.4f}",
    "without a limit": lambda row: percent(row.unlimited),
    "reading": lambda row: row.reading,
}
SECTIONS = (
    Section(
        "Fixed 95% limits at one look",
        ONE_LOOK,
        {"what": lambda row: row.what, "holdout": lambda row: row.size, **INTERVAL},
        (
            completion_intervals,
            customer_intervals,
            cost_intervals,
            time_intervals,
            score_intervals,
            early_intervals,
        ),
    ),
    Section(
        "Sixty daily looks at no difference",
        DAILY_LOOKS,
        {
            "what": lambda row: row.what,
            "requests a day": lambda row: str(row.daily),
            "repetitions": lambda row: str(row.repetitions),
            "fixed limits ever wrong": lambda row: percent(row.fixed),
            "sequential limits ever wrong": lambda row: percent(row.sequential),
            "the same without a minimum": lambda row: percent(row.without_minimum),
            "reading": lambda row: row.reading,
        },
        (daily_looks,),
    ),
    Section(
        "The last week before all its answers are in",
        LAST_WEEK,
        {"what": lambda row: row.what, "world": lambda row: row.size, **INTERVAL},
        (week_intervals,),
    ),
    Section(
        "How late answers come",
        HOW_LATE,
        {
            "share in": lambda row: row.what,
            "answers a day": lambda row: str(row.daily),
            "repetitions": lambda row: str(row.repetitions),
            "truth": lambda row: percent(row.truth),
            "bias": lambda row: f"{100 * row.bias:+.2f} pp",
            "95% of errors within": lambda row: f"{100 * row.furthest:.2f} pp",
            "within 2 pp": lambda row: percent(row.within),
            "reading": lambda row: row.reading,
        },
        (maturities,),
    ),
)


def table(section: Section, rows: Sequence) -> str:
    """A section as Markdown."""
    lines = [list(section.columns), ["---"] * len(section.columns)]
    lines += [[cell(row) for cell in section.columns.values()] for row in rows]
    written = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {section.title}\n\n{section.text}\n\n{written}\n"


@click.command(help="Do the limits hold what they promise? Writes docs/simulations.md.")
@click.option("--repetitions", default=REPETITIONS, show_default=True)
@click.option("--seed", default=SEED, show_default=True)
@click.option("--output", default=OUTPUT, type=click.Path(path_type=Path))
def main(repetitions: int, seed: int, output: Path) -> None:
    tables = []
    for index, section in enumerate(SECTIONS):
        click.echo(section.title)
        rows = []
        for part, rows_of in enumerate(section.parts):
            # Every part has its own numbers: a change in one leaves the others as they are.
            for row in rows_of(np.random.default_rng([seed, index, part]), repetitions):
                rows.append(row)
                cells = [cell(row) for cell in section.columns.values()]
                click.echo(f"{time.process_time():5.0f} s  {'  '.join(cells)}")
        tables.append(table(section, rows))
    error = math.sqrt(0.95 * 0.05 / repetitions)
    given = {"--repetitions": (repetitions, REPETITIONS), "--seed": (seed, SEED)}
    introduction = INTRODUCTION.format(
        repetitions=f"{repetitions:,}",
        seed=seed,
        minutes=time.process_time() / 60,
        options="".join(f" {name} {x}" for name, (x, default) in given.items() if x != default),
        error=error,
        percent=100 * error,
    )
    output.write_text("\n".join([introduction, *tables]), encoding="utf-8")
    click.echo(f"Written to {output}")


if __name__ == "__main__":
    main()
