"""When a metric has crossed a limit: the rule that people are paged by, metric by metric.

A metric comes as readings over windows of days; a limit is a distance from the reference (`pp`,
`percent`), judged over the last 7, 14 or 28 days, or a level (`absolute`), judged by the day where
a day holds enough. Arrays are by day (days), the calendar of one agent. The ladder of levels is in
`ladder`; DECISIONS.md says why the rules are what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from agent_kpis.statistics import ladder, windows
from agent_kpis.statistics.estimates import quiet
from agent_kpis.statistics.experiments import minimum_detectable_effect
from agent_kpis.statistics.trend import rolling_slope
from agent_kpis.statistics.windows import CERTAIN, ONE_SIDED, Reading

WINDOWS = (7, 14, 28)
LONGEST = WINDOWS[-1]
PRECISE = 0.65
"""Half of a window's 90% interval may be so much of the warning limit; else a longer one."""
DETECTABLE = minimum_detectable_effect(1.0) / ndtri(ONE_SIDED)
"""The smallest difference that is seen 80% of the time, in halves of a 90% interval."""
MINIMUM_HOLDOUT = 30
"""Requests of the holdout in the window from which on it can say that the world moved."""

STATUSES = [
    "no_data",
    "ok",
    "no_reference",
    "insufficient_data",
    "watch",
    "warning",
    "critical",
    "catastrophic",
]
"""From the least to the most that a reader should know of: a metric's row has the last of these
that one of its limits gives."""
NO_DATA, OK, NO_REFERENCE, INSUFFICIENT, WATCH, WARNING = range(6)

POINT_LEVELS = {-1: None, 0: "ok", 2: "warning", 3: "critical", 4: "catastrophic"}


@dataclass(frozen=True)
class Limits:
    """One kind of limit of a metric, as in force on each day (days) and (days, 3)."""

    direction: str
    unit: str
    levels: np.ndarray
    sustained: np.ndarray
    is_set_after_launch: np.ndarray

    @property
    def sign(self) -> float:
        """What turns a value so that more is worse."""
        return -1.0 if self.direction == "low" else 1.0

    def turned(
        self, value: np.ndarray, lower: np.ndarray, upper: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Value, better and worse end, so that more is worse."""
        if self.sign < 0:
            lower, upper = upper, lower
        return self.sign * value, self.sign * lower, self.sign * upper

    @property
    def is_distance(self) -> bool:
        return self.unit != "absolute"

    @property
    def ascending(self) -> np.ndarray:
        return self.sign * self.levels

    @property
    def certain_from(self) -> np.ndarray:
        """What the better end of the interval has to lie beyond for each level."""
        warning, critical, _ = np.moveaxis(self.ascending, -1, 0)
        if self.is_distance:
            return np.stack([np.zeros_like(warning), warning, critical], axis=-1)
        return np.stack([warning] * 3, axis=-1)


@dataclass(frozen=True)
class Measured:
    """What a metric says over one length of window, by day, at one confidence of its limits."""

    ai: Reading
    reference: Reading | None = None
    holdout: Reading | None = None
    holdout_reference: Reading | None = None
    """The reference in the holdout's mix: the holdout may lack what the AI arm has."""
    alarm: Measured | None = None
    """What is held against limits on the high side, where that is not all of it."""


Measure = Callable[[int, float], Measured]


@dataclass(frozen=True)
class Metric:
    """A metric of one agent and segment with all that judging it needs."""

    kpi: str
    unit: str
    measure: Measure
    is_evaluated: np.ndarray
    comparison_type: str | None = None
    is_share: bool = False
    windows: tuple[int, ...] = WINDOWS
    has_daily: bool = True
    """Single days say something; of surveys they do not."""


@dataclass(frozen=True)
class Excess:
    """How far a metric lies on the bad side of what it is judged by, in the unit of the limit.

    value, the better and the worse end of its interval, by day; holdout, holdout_better: how far
    people went themselves, and the better end of that; z: in standard errors of the AI arm alone;
    allowance: the reference's own error in the same.
    """

    value: np.ndarray
    better: np.ndarray
    worse: np.ndarray
    holdout: np.ndarray
    holdout_better: np.ndarray
    z: np.ndarray
    allowance: np.ndarray


@quiet
def excess(metric: Metric, limits: Limits, length: int, level: float = ONE_SIDED) -> Excess:
    """Over windows of one length, at one confidence."""
    measured = metric.measure(length, level)
    if limits.direction == "high" and measured.alarm is not None:
        measured = measured.alarm
    ai, reference, people = measured.ai, measured.reference, measured.holdout
    nothing = np.full(len(metric.is_evaluated), np.nan)
    if not limits.is_distance:
        return Excess(*limits.turned(ai.value, ai.lower, ai.upper), *[nothing] * 4)
    if reference is None:
        return Excess(*[nothing] * 7)
    percent = limits.unit == "percent"
    scale = 100.0 if metric.unit == "share" and not percent else 1.0
    value, lower, upper = (scale * part for part in windows.differences(ai, reference, percent))
    holdout = holdout_better = nothing
    if people is not None and measured.holdout_reference is not None:
        before = measured.holdout_reference
        theirs = (scale * part for part in windows.differences(people, before, percent))
        holdout, holdout_better, _ = limits.turned(*theirs)
    own, other = (windows.spread(reading, percent) for reading in (ai, reference))
    distance = np.log1p(value / 100) if percent else value / scale
    return Excess(
        *limits.turned(value, lower, upper),
        holdout,
        holdout_better,
        limits.sign * distance / own * ndtri(level),
        other / own * ndtri(level),
    )


@quiet
def chosen_window(metric: Metric, limits: Limits) -> tuple[np.ndarray, np.ndarray]:
    """The shortest window that is planned to tell a warning from chance, and whether any is.

    Planned: by the volume of the last 28 days, so that chance on a day does not move it.
    """
    choices = metric.windows
    if choices == (1,):
        return np.ones(len(metric.is_evaluated), int), np.ones(len(metric.is_evaluated), bool)
    measured = metric.measure(LONGEST, ONE_SIDED)
    position = np.arange(len(metric.is_evaluated))
    first = int(np.argmax(metric.is_evaluated)) if metric.is_evaluated.any() else 0
    so_far = np.clip(position - first + 1, 1, LONGEST)
    warning = np.abs(limits.levels[:, 0])
    planned = {}
    if limits.is_distance:
        if measured.reference is None:
            return np.full(len(position), LONGEST), np.zeros(len(position), bool)
        percent = limits.unit == "percent"
        scale = 100.0 if percent or metric.unit == "share" else 1.0
        own, other = (
            scale * windows.spread(reading, percent)
            for reading in (measured.ai, measured.reference)
        )
        for length in choices:
            ahead = so_far / length
            grown = np.sqrt(ahead) if metric.comparison_type == "holdout" else 1.0
            planned[length] = np.hypot(own * np.sqrt(ahead), other * grown) / warning
    else:
        choices = (1, *choices)
        for length in choices:
            n = measured.ai.n * np.where(length == 1, limits.sustained, length) / so_far
            if metric.is_share:
                room = np.minimum(warning, 1 - warning)
                half = ndtri(ONE_SIDED) * np.sqrt(warning * (1 - warning) / n)
                planned[length] = half / room
            else:
                # A mean has no end to be near to: it should tell a warning from the next level.
                room = np.abs(limits.levels[:, 1] - limits.levels[:, 0])
                half = windows.spread(measured.ai, percent=False)
                planned[length] = half * np.sqrt(measured.ai.n / n) / room
    enough = [planned[length] <= PRECISE for length in choices]
    return np.select(enough, choices, LONGEST), np.any(enough, axis=0)


def _slow_level(metric: Metric, limits: Limits) -> np.ndarray:
    """The level of an absolute limit that no single day is sure of: beyond it over the last week,
    over the last four, and certain over these."""
    week, month = (excess(metric, limits, length) for length in (WINDOWS[0], LONGEST))
    reached = [ladder.point_level(found.value, limits.ascending) for found in (week, month)]
    return np.minimum.reduce([*reached, ladder.certain_level(month.better, limits.certain_from)])


@dataclass(frozen=True)
class Judged:
    """A metric against one kind of limit, by day; fields as the columns of the same names."""

    limits: Limits
    comparison_type: str | None
    status: np.ndarray
    point: np.ndarray
    columns: Mapping[str, np.ndarray]


@quiet
def judge(metric: Metric, limits: Limits) -> Judged:
    """The status of a metric against one kind of limit, on every day as known then."""
    on = np.flatnonzero(metric.is_evaluated)
    position = np.arange(len(metric.is_evaluated))
    last = np.searchsorted(on, position, side="right") - 1
    source = on[last] if len(on) else position
    has_data = (last >= 0) & (position - source < LONGEST)

    chosen, is_precise = chosen_window(metric, limits)
    used = [int(length) for length in np.unique(chosen)]
    found = {length: excess(metric, limits, length) for length in used}
    measured = {length: metric.measure(length, ONE_SIDED) for length in used}

    def pick(of: Callable[[int], np.ndarray]) -> np.ndarray:
        return np.select([chosen == length for length in used], [of(length) for length in used])

    beyond, bound, worse = (
        pick(lambda k, end=end: getattr(found[k], end)) for end in ("value", "better", "worse")
    )
    if limits.is_distance:
        # A window that has not filled yet, or never tells enough, has to be the surer of itself.
        surer = pick(lambda k: excess(metric, limits, k, CERTAIN).better)
        half_width = beyond - bound
        filled = half_width <= PRECISE * np.abs(limits.levels[:, 0])
        bound = np.where(filled, bound, surer)
        is_precise = filled
    elif metric.windows != (1,):
        # Days that each lie beyond a limit: what chance can do is read off them together.
        for times in np.unique(limits.sustained):
            together = excess(metric, limits, int(times)).better
            bound = np.where((chosen == 1) & (limits.sustained == times), together, bound)

    point = ladder.point_level(beyond, limits.ascending)
    certain = ladder.certain_level(bound, limits.certain_from)
    sustained = limits.sustained[on]
    if limits.is_distance:
        raised = ladder.lasting(np.minimum(point, certain)[on], sustained)
    else:
        raised = np.minimum(ladder.lasting(point[on], sustained), certain[on])
        if metric.windows != (1,):
            raised = np.maximum(raised, ladder.lasting(_slow_level(metric, limits)[on], sustained))
    drifted = np.zeros(len(position), bool)
    if limits.is_distance and metric.has_daily and metric.comparison_type is not None:
        fast = ladder.certain_level(excess(metric, limits, 1, CERTAIN).better, limits.ascending)[on]
        raised = np.maximum(raised, np.where(fast > ladder.LEVELS[0], fast, 0))
        day = excess(metric, limits, 1)
        drifted = ladder.drifts(np.where(metric.is_evaluated, day.z, np.nan), day.allowance)
    within = ladder.CLEAR_WITHIN if limits.is_distance else 1.0
    clears_at = within * limits.ascending
    level = np.zeros(len(position), int)
    level[on] = ladder.confirmed_level(raised, beyond[on], clears_at[on])

    status = np.where(drifted | (point >= ladder.LEVELS[0]), WATCH, OK)
    # A window that is too short for a warning may still rule one out.
    can_tell = (is_precise & ~np.isnan(beyond)) | (worse < limits.ascending[:, 0])
    status = np.where(can_tell, status, INSUFFICIENT)
    if limits.is_distance and metric.comparison_type is None:
        status = np.full(len(position), NO_REFERENCE)
    status = np.where(level > 0, level - ladder.LEVELS[0] + WARNING, status)

    value = pick(lambda k: measured[k].ai.value)
    columns = {
        "window_days": chosen,
        "n": pick(lambda k: measured[k].ai.n),
        "value": value,
        "judged_delta": np.full(len(position), np.nan),
        "judged_bound": np.full(len(position), np.nan),
    }
    if limits.is_distance and metric.comparison_type is not None:
        reference = pick(lambda k: measured[k].reference.value)
        columns |= {
            "reference_value": reference,
            "delta": value - reference,
            "judged_delta": limits.sign * beyond,
            "judged_bound": limits.sign * bound,
            "minimum_detectable_effect": half_width * DETECTABLE,
        }
        if metric.has_daily:
            daily = excess(metric, limits, 1).value
            columns["slope_per_week"] = limits.sign * 7 * rolling_slope(daily, LONGEST)
        if metric.comparison_type == "holdout":
            columns["is_shared"] = np.zeros(len(position))
        else:
            people = pick(lambda k: found[k].holdout)
            n_held = pick(lambda k: measured[k].holdout.n)
            known = (n_held >= MINIMUM_HOLDOUT) & ~np.isnan(people)
            before = pick(lambda k: measured[k].holdout_reference.value)
            columns["holdout_delta"] = pick(lambda k: measured[k].holdout.value) - before
            # Nearer to 'people moved as far' than to 'people did not move', and no chance.
            fell = (people >= beyond / 2) & (pick(lambda k: found[k].holdout_better) > 0)
            columns["is_shared"] = np.where(known, fell, np.nan)
    return Judged(
        limits,
        metric.comparison_type if limits.is_distance else None,
        np.where(has_data, status[source], NO_DATA),
        np.where(has_data & ~np.isnan(beyond[source]), point[source], -1),
        {
            name: np.where(has_data, column[source].astype(float), np.nan)
            for name, column in (columns | {"evaluated_day": position}).items()
        },
    )
