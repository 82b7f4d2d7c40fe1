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
    PLANNED_DAYS,
)
from agent_kpis.statistics.csat import MEAN_BLOCK_DAYS
from agent_kpis.statistics.estimates import Z95, Estimate, difference, relative_difference
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

# Three task types: their mix, and what people and the AI make of them.
MIX = np.array([0.40, 0.35, 0.25])
TYPES = np.arange(3)
COMPLETED_BY_PEOPLE = np.array([0.80, 0.65, 0.50])
COMPLETED_BY_AI = COMPLETED_BY_PEOPLE + [-0.06, 0.03, 0.10]
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

    @property
    def reading(self) -> str:
        if self.wanted is None:
            return "for contrast"
        low, high = self.wanted
        if low <= self.coverage <= high:
            return "as wanted"
        return "**too low**" if self.coverage < low else "**too high**"


@dataclass(frozen=True)
class Looks:
    """How often limits were ever wrong about no difference, in daily looks."""

    what: str
    daily: int
    repetitions: int
    fixed: float
    sequential: float
    limit: float = 0.05

    @property
    def reading(self) -> str:
        return "as wanted" if self.sequential < self.limit else "**too many**"


class Reading(NamedTuple):
    """An estimate and what it should have been."""

    estimate: Estimate
    truth: float


def interval(
    what: str,
    size: str,
    readings: Iterable[Reading],
    wanted: tuple[float, float] | None = WANTED,
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
                    difference(*proportions([(x.sum(keepdims=True), n.sum(keepdims=True)) for x, n in arm]))
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
    return by_type, n_by_type, effect


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

    def draw(self, rng, task: np.ndarray) -> np.ndarray:
        """Sums by task type: n, cost, its squares, successes and their cost."""
        success = rng.random(task.size) < self.rates[task]
        cost = self.median[task] * np.where(success, 1, self.of_failure)
        cost *= rng.lognormal(0, self.sigma, task.size)
        return np.stack(
            [np.bincount(task, x, 3) for x in (cost**0, cost, cost**2, success, cost * success)]
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
                costs.draw(rng, rng.choice(TYPES, n, p=MIX))
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


def resolution_curve(hours: np.ndarray, followed: np.ndarray) -> survival.Curve:
    """Of requests followed for so long, from bins one per cent wide at their mean times."""
    resolved = hours <= followed
    seconds = 3600 * np.where(resolved, hours, followed)
    cell = 2 * np.floor(100 * np.log1p(seconds)).astype(int) + resolved
    n, total = np.bincount(cell), np.bincount(cell, seconds)
    cells = np.flatnonzero(n)
    n, times = n[cells], total[cells] / n[cells]
    is_resolved = cells % 2 == 1
    return survival.kaplan_meier(times, np.where(is_resolved, n, 0), np.where(is_resolved, 0, n))


def time_intervals(rng, repetitions: int) -> Iterator[Interval]:
    medians = [times.median for times in TIMES]
    means = [times.restricted_mean for times in TIMES]
    for size in SIZES:
        of_medians, of_means = [], []
        for _ in range(repetitions):
            tasks = [rng.choice(TYPES, n, p=MIX) for n in sizes(size)]
            w = shared_weights("time_to_resolution", *(np.bincount(task, minlength=3) for task in tasks))
            used = np.flatnonzero(w)
            curves = []
            for times, task in zip(TIMES, tasks, strict=True):
                hours = times.draw(rng, task)
                # Mature requests, opened evenly over the history.
                followed = rng.uniform(MATURE_AFTER, HISTORY, task.size) - REOPEN_WINDOW
                curves.append([resolution_curve(hours[task == s], followed[task == s]) for s in used])
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
SCORES_OF_AI = SCORES_BY_PEOPLE + [-0.2, 0.0, 0.1]


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
    n, total, squares = (
        np.bincount(cell, score**power, math.prod(shape)) for power in (0, 1, 2)
    )
    seen = np.flatnonzero(n)
    cohort, lags, task = np.unravel_index(seen, shape)
    return lag.Triangle(cohort, lags, n[seen], total[seen], squares[seen], task)
