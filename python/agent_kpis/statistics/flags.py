"""Which metric of which agent has crossed which of its limits, on every day as known then.

Daily counts and sums become metrics by agent and segment; `judging` says what they have crossed. A
request counts on the day it matures, so what was known at the end of a day are the rows up to it.
The reference is the baseline, or the holdout of the same days where there is no baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from agent_kpis.frames import DTYPES, date_text, days, table
from agent_kpis.statistics import lag, windows
from agent_kpis.statistics.csat import triangle
from agent_kpis.statistics.judging import (
    LONGEST,
    POINT_LEVELS,
    STATUSES,
    WARNING,
    WINDOWS,
    Judged,
    Limits,
    Measured,
    Metric,
    judge,
)
from agent_kpis.statistics.windows import ONE_SIDED, Reading

SHARED_COST_DAYS = 30
"""What belongs to no request (a month's platform fee) is spread over the days from its own."""
CSAT_SEGMENTS = ("all", "task_type")

SEGMENT = ["agent_name", "segment_type", "segment"]
COLUMNS = {
    "evaluation_date": "date",
    "evaluated_on": "date",
    "agent_name": "text",
    "segment_type": "text",
    "segment": "text",
    "kpi": "text",
    "window_days": "count",
    "n": "count",
    "value": "number",
    "reference_value": "number",
    "comparison_type": "text",
    "delta": "number",
    "judged_delta": "number",
    "judged_bound": "number",
    "minimum_detectable_effect": "number",
    "direction": "text",
    "limit_unit": "text",
    "warning": "number",
    "critical": "number",
    "catastrophic": "number",
    "is_set_after_launch": "flag",
    "point_level": "text",
    "level": "text",
    "holdout_delta": "number",
    "cause": "text",
    "slope_per_week": "number",
}


@dataclass
class Series:
    """One agent and segment: daily parts of both arms on a common calendar, and the baseline's."""

    first_day: int
    n_days: int
    task_types: list[str]
    parts: pd.DataFrame
    times: pd.DataFrame
    shared_cost: np.ndarray
    cache: dict[tuple, np.ndarray] = field(default_factory=dict, repr=False)

    def _places(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Day (of the calendar) and task type of each row, as positions."""
        task_types = np.asarray(self.task_types, dtype=object)
        task = np.searchsorted(task_types, frame.task_type.to_numpy(dtype=object))
        return days(frame.known_on) - self.first_day, task

    @cached_property
    def _by_population(self) -> dict[str, tuple[pd.DataFrame, np.ndarray, np.ndarray]]:
        return {
            str(name): (rows, *self._places(rows))
            for name, rows in self.parts.groupby("population")
        }

    def has(self, population: str) -> bool:
        return population in self._by_population

    def daily(self, population: str, column: str) -> np.ndarray:
        """(days, task types) of the AI arm or the holdout; zeros where there are no rows."""
        found = np.zeros((self.n_days, len(self.task_types)))
        if self.has(population):
            rows, day, task = self._by_population[population]
            np.add.at(found, (day, task), rows[column].to_numpy(float))
        return found

    def over(self, population: str, column: str, length: int) -> np.ndarray:
        """(days, task types) summed over the last `length` days."""
        return self._kept(
            (population, column, length),
            lambda: windows.rolling(self.daily(population, column), length),
        )

    def times_over(self, population: str, length: int) -> np.ndarray:
        """(days, task types, bins) of resolved ones over the last `length` days."""
        return self._kept(
            (population, "times", length),
            lambda: windows.rolling(self.time_counts(population), length),
        )

    def _kept(self, key: tuple, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Made once: every metric and confidence reads the same windows."""
        if key not in self.cache:
            self.cache[key] = make()
        return self.cache[key]

    def fixed(self, column: str) -> np.ndarray:
        """(task types) of the baseline."""
        rows, _, task = self._by_population["baseline"]
        return np.bincount(task, rows[column].to_numpy(float), minlength=len(self.task_types))

    @cached_property
    def bins(self) -> np.ndarray:
        return np.unique(self.times.bin.to_numpy(int))

    @cached_property
    def bin_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the bins begin and end, in seconds (the first a little late: it begins at 0)."""
        starts, ends = np.expm1(self.bins / 50), np.expm1((self.bins + 1) / 50)
        return np.maximum(starts, ends / 2), ends

    def time_counts(self, population: str) -> np.ndarray:
        """(days, task types, bins) of resolved ones; (task types, bins) of the baseline."""
        rows = self.times[self.times.population == population]
        bin_ = np.searchsorted(self.bins, rows.bin.to_numpy(int))
        shape = (len(self.task_types), len(self.bins))
        day, task = self._places(rows)
        place: tuple[np.ndarray, ...] = (task, bin_)
        if population != "baseline":
            shape, place = (self.n_days, *shape), (day, *place)
        found = np.zeros(shape)
        np.add.at(found, place, rows.n.to_numpy(float))
        return found


def evaluate(
    parts: pd.DataFrame,
    times: pd.DataFrame,
    answers: pd.DataFrame,
    indicators: pd.DataFrame,
    health: pd.DataFrame,
    limits: pd.DataFrame,
    metrics: pd.DataFrame,
    clock: pd.DataFrame,
) -> pd.DataFrame:
    """One row per day, agent, segment and metric that has limits; columns as `COLUMNS`.

    Takes int_flag_days, int_flag_times, int_csat_triangle, int_flag_indicators, agent_health,
    int_flag_limits, dim_kpis and int_as_of as frames. Days run from the agent's launch to the last
    complete one. Deltas are in the unit of the metric, those judged in the unit of the limit.
    """
    last_day = int(days(clock.as_of)[0]) - 1 if clock.as_of.notna().all() else None
    found: list[pd.DataFrame] = []
    if last_day is not None:
        for agent, own_limits in limits.groupby("agent_name"):
            first_day = int(days(own_limits.launched_at).min())
            if last_day >= first_day:
                own = [
                    frame[frame.agent_name == agent]
                    for frame in (parts, times, answers, indicators, health)
                ]
                found += _agent(first_day, last_day, *own, own_limits, metrics)
    return _typed(found)


def _agent(
    first_day: int,
    last_day: int,
    parts: pd.DataFrame,
    times: pd.DataFrame,
    answers: pd.DataFrame,
    indicators: pd.DataFrame,
    health: pd.DataFrame,
    limits: pd.DataFrame,
    metrics: pd.DataFrame,
) -> Iterator[pd.DataFrame]:
    calendar = np.arange(first_day, last_day + 1)
    described = metrics.set_index("kpi")
    frames = {
        name: dict(iter(frame.groupby(SEGMENT)))
        for name, frame in (
            ("parts", parts[parts.population != "unallocated"]),
            ("times", times),
            ("answers", answers),
            ("indicators", indicators),
        )
    }
    shared = _spread(parts[parts.population == "unallocated"], calendar)
    n_priced = parts[(parts.population == "ai") & (parts.segment_type == "all")]
    n_priced = _by_day(n_priced, n_priced.n_priced, calendar)
    own_limits = dict(iter(limits.groupby(SEGMENT)))
    agent = str(limits.agent_name.iloc[0])
    whole = (agent, "all", "all")
    for key in sorted({*own_limits, *frames["indicators"]}):
        series = _series(
            frames["parts"].get(key, parts[:0]),
            frames["times"].get(key, times[:0]),
            calendar,
            shared,
            n_priced,
        )
        signals = frames["indicators"].get(key, indicators[:0])

        @cache
        def metric(
            kpi: str,
            is_compared: bool,
            every_days: int,
            key: tuple[str, str, str] = key,
            series: Series = series,
            signals: pd.DataFrame = signals,
        ) -> Metric | None:
            entry = described.loc[kpi]
            if entry.method == "indicator":
                return _indicator(kpi, entry, signals[signals.indicator == kpi], calendar)
            if entry.method == "health":
                return _health(kpi, entry, health, calendar) if key == whole else None
            if key not in own_limits:
                return None
            if kpi == "csat":
                answered = frames["answers"].get(key) if key[1] in CSAT_SEGMENTS else None
                return _csat(entry, answered, series, calendar, every_days)
            return of_requests(kpi, entry, series, is_compared)

        # A tool or a stretch of a conversation answers to the limits of the whole.
        wanted = own_limits.get(key, own_limits[whole])
        for (kpi, _), one_side in wanted[wanted.kpi.isin(described.index)].groupby(
            ["kpi", "direction"]
        ):
            every_days = int(one_side.evaluated_every_days.iloc[0])
            judged = [
                (found, limits_in_force)
                for limits_in_force in _in_force(one_side, calendar)
                if (found := metric(str(kpi), limits_in_force.is_distance, every_days))
            ]
            if judged:
                yield _rows(key, calendar, judged)


def _in_force(rows: pd.DataFrame, calendar: np.ndarray) -> list[Limits]:
    """The limits on one side of a metric, by unit; the first also cover the days before them."""
    found = []
    for (direction, unit), own in rows.groupby(["direction", "unit"]):
        own = own.sort_values("applies_from")
        # From the end of the day on which they apply.
        place = np.searchsorted(days(own.applies_from), calendar, side="right") - 1
        place = np.maximum(place, 0)
        found.append(
            Limits(
                str(direction),
                str(unit),
                own[["warning", "critical", "catastrophic"]].to_numpy(float)[place],
                own.sustained_periods.to_numpy(int)[place],
                own.is_set_after_launch.to_numpy(bool)[place],
            )
        )
    # Distances first: of two limits with the same word, they say more.
    return sorted(found, key=lambda limit: not limit.is_distance)


# --- what each kind of metric says


def _series(
    rows: pd.DataFrame,
    times: pd.DataFrame,
    calendar: np.ndarray,
    shared: np.ndarray,
    n_priced: np.ndarray,
) -> Series:
    rows = rows[(rows.population == "baseline") | _within(rows.known_on, calendar)]
    times = times[(times.population == "baseline") | _within(times.known_on, calendar)]
    series = Series(
        int(calendar[0]),
        len(calendar),
        sorted({str(name) for name in rows.task_type}),
        rows,
        times,
        np.zeros(len(calendar)),
    )
    own = windows.rolling(series.daily("ai", "n_priced").sum(axis=1), LONGEST)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.nan_to_num(own / windows.rolling(n_priced, LONGEST))
    return replace(series, shared_cost=shared * part)


def _within(dates: pd.Series, calendar: np.ndarray) -> np.ndarray:
    day = days(dates)
    return (day >= calendar[0]) & (day <= calendar[-1])


def _by_day(rows: pd.DataFrame, values: pd.Series, calendar: np.ndarray) -> np.ndarray:
    kept = _within(rows.known_on, calendar)
    return np.bincount(
        days(rows.known_on)[kept] - calendar[0], values.to_numpy(float)[kept], len(calendar)
    )[: len(calendar)]


def _spread(rows: pd.DataFrame, calendar: np.ndarray) -> np.ndarray:
    """Costs that belong to no request, by day: each over the days from its own on."""
    start = calendar[0] - SHARED_COST_DAYS
    longer = np.arange(start, calendar[-1] + 1)
    daily = _by_day(rows, rows.cost_priced_usd, longer) / SHARED_COST_DAYS
    return windows.rolling(daily, SHARED_COST_DAYS)[SHARED_COST_DAYS:]


def of_requests(kpi: str, entry: Any, series: Series, is_compared: bool = True) -> Metric:
    """A metric of mature requests: a share, a mean, cost per success or time to resolution.

    Compared: task types that the reference has, too, in the AI arm's mix; else all of them.
    """
    column = "n_priced" if entry.method == "ratio" else str(entry.denominator)
    minimum = 2 if entry.method in ("ratio", "mean") else 1
    n = series.daily("ai", column)
    reference = _reference(series, column, minimum) if is_compared else None
    covered = np.ones(n.shape[1], dtype=bool)
    if reference == "pre_launch":
        covered = series.fixed(column) >= minimum

    @cache
    def measure(length: int, level: float) -> Measured:
        observed = series.over("ai", column, length)
        held = series.over("holdout", column, length)
        told = covered & (observed >= minimum)
        if reference == "holdout":
            told = told & (held >= minimum)
        weights = windows.mix(np.where(told, observed, 0))
        # The AI arm is read in its own mix whether or not there is anything to compare it with.
        own = weights if reference else windows.mix(observed)
        weights_of_holdout = windows.mix(np.where(told & (held >= minimum), observed, 0))

        def read(population: str, at: np.ndarray, numerator: str | None) -> Reading:
            return _read(entry, series, population, length, at, level, numerator)

        def measured(numerator: str | None, alarm: Measured | None = None) -> Measured:
            ai = read("ai", np.nan_to_num(own), numerator)
            people = read("holdout", np.nan_to_num(weights_of_holdout), numerator)
            if reference == "pre_launch":
                before, before_of_people = (
                    read("baseline", np.nan_to_num(at), numerator)
                    for at in (weights, weights_of_holdout)
                )
                return Measured(ai, before, people, before_of_people, alarm)
            return Measured(ai, people if reference else None, alarm=alarm)

        alarm = entry.alarm_numerator
        return measured(None, None if pd.isna(alarm) else measured(str(alarm)))

    return Metric(
        kpi,
        str(entry.unit),
        measure,
        is_evaluated=n.sum(axis=1) > 0,
        comparison_type=reference,
        is_share=entry.method == "proportion",
    )


def _reference(series: Series, column: str, minimum: int) -> str | None:
    """The baseline where it has any such request, else the holdout."""
    if series.has("baseline") and (series.fixed(column) >= minimum).any():
        return "pre_launch"
    if series.has("holdout") and series.daily("holdout", column).any():
        return "holdout"
    return None


def _read(
    entry: Any,
    series: Series,
    population: str,
    length: int,
    weights: np.ndarray,
    level: float,
    numerator: str | None,
) -> Reading:
    def part(column: str) -> np.ndarray:
        if population == "baseline":
            return series.fixed(column)
        return series.over(population, column, length)

    if entry.method == "median":
        n = part(str(entry.denominator))
        if not len(series.bins):
            nothing = np.full(len(weights), np.nan)
            return Reading(nothing, nothing, nothing, windows.observations(n, weights))
        baseline = population == "baseline"
        counts = (
            series.time_counts(population) if baseline else series.times_over(population, length)
        )
        return windows.median(counts, n, *series.bin_limits, weights, level)
    if entry.method == "ratio":
        shared = 0.0
        if population == "ai":
            shared = windows.rolling(series.shared_cost, length)
        return windows.ratio(
            part("cost_priced_usd"),
            part("cost_square_sum"),
            part("n_priced"),
            part("n_completed_priced"),
            part("cost_completed_usd"),
            weights,
            level,
            shared,
        )
    n = part(str(entry.denominator))
    if entry.method == "mean":
        totals = part(str(entry.numerator)), part(str(entry.square_sum))
        return windows.mean(*totals, n, weights, level)
    return windows.share(part(numerator or str(entry.numerator)), n, weights, level)


def _indicator(kpi: str, entry: Any, rows: pd.DataFrame, calendar: np.ndarray) -> Metric | None:
    """An early signal: the mean of scores, or the calibration error over bins of confidence."""
    rows = rows[_within(rows.known_on, calendar)]
    if rows.empty:
        return None
    bins, place = np.unique(rows.bin.to_numpy(int), return_inverse=True)
    day = days(rows.known_on) - calendar[0]

    def daily(column: str) -> np.ndarray:
        found = np.zeros((len(calendar), len(bins)))
        np.add.at(found, (day, place), rows[column].to_numpy(float))
        return found

    n, total, squares = daily("n"), daily("value_sum"), daily("value_square_sum")

    @cache
    def measure(length: int, level: float) -> Measured:
        size = windows.rolling(n, length).sum(axis=1, keepdims=True)
        sums = np.abs(windows.rolling(total, length)).sum(axis=1, keepdims=True)
        one = np.where(size > 0, 1.0, 0.0)
        if entry.unit == "share":
            # Scores between 0 and 1 vary no more than yes and no do.
            return Measured(windows.share(np.minimum(sums, size), size, one, level))
        squared = windows.rolling(squares, length).sum(axis=1, keepdims=True)
        return Measured(windows.mean(sums, squared, size, one, level))

    return Metric(
        kpi,
        str(entry.unit),
        measure,
        is_evaluated=n.sum(axis=1) > 0,
        is_share=entry.unit == "share",
    )


def _health(kpi: str, entry: Any, rows: pd.DataFrame, calendar: np.ndarray) -> Metric | None:
    """A metric of agent_health: a share of steps, or a number a day without limits of chance."""
    day = days(rows.health_date)
    kept = (day >= calendar[0]) & (day <= calendar[-1]) & rows[kpi].notna().to_numpy()
    if not kept.any():
        return None

    def daily(column: str, missing: float) -> np.ndarray:
        found = np.full(len(calendar), missing)
        values = rows[column].to_numpy(float, na_value=np.nan)
        found[day[kept] - calendar[0]] = values[kept]
        return found

    value = daily(kpi, np.nan)
    is_share = entry.unit == "share" and not pd.isna(entry.denominator)
    n = daily(str(entry.denominator) if is_share else "n_steps", 0.0)

    @cache
    def measure(length: int, level: float) -> Measured:
        if not is_share:
            return Measured(Reading(value, value, value, n))
        size = windows.rolling(n[:, None], length)
        hits = windows.rolling(np.nan_to_num(value * n)[:, None], length)
        return Measured(windows.share(hits, size, np.where(size > 0, 1.0, 0.0), level))

    return Metric(
        kpi,
        str(entry.unit),
        measure,
        is_evaluated=~np.isnan(value),
        is_share=is_share,
        windows=WINDOWS if is_share else (1,),
    )


def _csat(
    entry: Any,
    answers: pd.DataFrame | None,
    series: Series,
    calendar: np.ndarray,
    every_days: int,
) -> Metric | None:
    """Survey scores by the day of the request, late answers allowed for; every so many days."""
    is_due = np.zeros(len(calendar), dtype=bool)
    # Weeks end on Sunday: day 3 since 1970 was one.
    is_due[(calendar - 3) % every_days == 0] = True
    if answers is None or answers.empty:
        return None
    by_population = {
        "ai": answers[answers.population.isin(["ai_randomised", "ai_routed"])],
        "holdout": answers[answers.population == "holdout"],
        "baseline": answers[answers.population == "baseline"],
    }
    reference = next((name for name in ("baseline", "holdout") if len(by_population[name])), None)
    told = {name: triangle(rows) for name, rows in by_population.items() if len(rows)}
    mix_of_requests = windows.rolling(series.daily("ai", "n_mature"), LONGEST)
    baseline = None
    if reference == "baseline":
        last = int(days(by_population["baseline"].last_day).max())
        baseline = lag.fit(told["baseline"], last, block_days=LONGEST)

    @cache
    def block(name: str, day: int, length: int) -> lag.LagModel | None:
        if name not in told:
            return None
        known = told[name].known_on(day).newest(day, lag.FIT_DAYS)
        return lag.fit(known, day, block_days=length) if known.n.sum() else None

    def mean_of(
        model: lag.LagModel | None, weights: dict[str, float], newest: bool, level: float
    ) -> tuple[float, float, float, float]:
        if model is None:
            return (np.nan,) * 3 + (0.0,)
        found = lag.adjusted_mean(model, {0: 1.0} if newest else None, weights)
        # From two-sided 95% limits to one-sided ones.
        margin = (found.upper - found.value) * ndtri(level) / ndtri(0.975)
        return found.value, found.value - margin, found.value + margin, float(found.n)

    @cache
    def measure(length: int, level: float) -> Measured:
        rows = {name: np.full((4, len(calendar)), np.nan) for name in ("ai", "reference", "people")}
        rows["ai"][3] = 0
        for index in np.flatnonzero(is_due):
            day = int(calendar[index])
            weights = dict(zip(series.task_types, mix_of_requests[index], strict=True))
            if not sum(weights.values()):
                continue
            ai = block("ai", day, length)
            rows["ai"][:, index] = mean_of(ai, weights, True, level)
            people = mean_of(block("holdout", day, length), weights, True, level)
            rows["people"][:, index] = people
            rows["reference"][:, index] = (
                mean_of(baseline, weights, False, level) if baseline is not None else people
            )
        readings = {name: Reading(*found) for name, found in rows.items()}
        return Measured(
            readings["ai"],
            readings["reference"] if reference else None,
            *[readings[name] for name in ("people", "reference") if reference == "baseline"],
        )

    return Metric(
        "csat",
        str(entry.unit),
        measure,
        is_evaluated=is_due & ~np.isnan(measure(LONGEST, ONE_SIDED).ai.value),
        comparison_type={"baseline": "pre_launch", "holdout": "holdout"}.get(reference or ""),
        has_daily=False,
    )


def _rows(
    key: tuple[str, str, str], calendar: np.ndarray, pairs: list[tuple[Metric, Limits]]
) -> pd.DataFrame:
    """One row a day: of several limits the one that gives the most serious status."""
    judged = [judge(metric, limits) for metric, limits in pairs]
    worst = np.argmax([one.status for one in judged], axis=0)
    nothing = np.full(len(calendar), np.nan)

    def pick(of: Callable[[Judged], np.ndarray]) -> np.ndarray:
        return np.choose(worst, [of(one) for one in judged])

    def column(name: str) -> np.ndarray:
        return pick(lambda one: one.columns.get(name, nothing))

    def text(of: Callable[[Judged], Any]) -> np.ndarray:
        return np.array([of(judged[which]) for which in worst], dtype=object)

    status = pick(lambda one: one.status)
    point = pick(lambda one: one.point)
    is_shared = column("is_shared")
    evaluated = column("evaluated_day")
    return pd.DataFrame(
        {
            "evaluation_date": [date_text(day) for day in calendar],
            "evaluated_on": [
                None if np.isnan(day) else date_text(calendar[0] + int(day)) for day in evaluated
            ],
            **dict(zip(SEGMENT, key, strict=True)),
            "kpi": pairs[0][0].kpi,
            **{
                name: column(name)
                for name in (
                    "window_days",
                    "n",
                    "value",
                    "reference_value",
                    "delta",
                    "judged_delta",
                    "judged_bound",
                    "minimum_detectable_effect",
                    "holdout_delta",
                    "slope_per_week",
                )
            },
            "comparison_type": text(lambda one: one.comparison_type),
            "direction": text(lambda one: one.limits.direction),
            "limit_unit": text(lambda one: one.limits.unit),
            **{
                name: pick(lambda one, place=place: one.limits.levels[:, place])
                for place, name in enumerate(("warning", "critical", "catastrophic"))
            },
            "is_set_after_launch": pick(lambda one: one.limits.is_set_after_launch).astype(bool),
            "point_level": np.array([POINT_LEVELS[int(level)] for level in point], dtype=object),
            "level": np.array(STATUSES, dtype=object)[status],
            "cause": np.where(
                (status >= WARNING) & ~np.isnan(is_shared),
                np.where(is_shared == 1, "shared_shock", "ai_specific"),
                None,
            ),
        }
    )


def _typed(found: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows as one frame whose types do not depend on the values."""
    if not found:
        return table([], COLUMNS)
    rows = pd.concat(found, ignore_index=True)
    return pd.DataFrame(
        {
            name: pd.array(rows[name], dtype="string" if kind == "date" else DTYPES[kind])
            for name, kind in COLUMNS.items()
        }
    )
