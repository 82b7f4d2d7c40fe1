"""Did a release move a KPI, or did the world? What is compared, and what may be said of it.

With people beside the agent, both arms before and after. Where the same requests were replayed
under both versions, request by request. With neither, the agent's own past: a movement can be seen
then, but not told from whatever else happened at that time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from agent_kpis.frames import days, table
from agent_kpis.statistics.comparisons import (
    MEASURES,
    MINIMUM_CUSTOMERS,
    MINIMUM_OBSERVATIONS,
    PROPORTIONS,
    Arm,
    customer_design_effects,
)
from agent_kpis.statistics.estimates import (
    Estimate,
    difference,
    floats,
    normal_estimate,
    of_few,
    quiet,
    shares,
    weighted,
)
from agent_kpis.statistics.experiments import minimum_detectable_effect
from agent_kpis.statistics.means import standardised_mean

KPIS = [
    "task_completion_rate",
    "escalation_rate",
    "time_to_resolution",
    "cost_per_successful_outcome",
    "csat",
]
MINIMUM_PER_CELL = 5
"""A task type counts with so many observations in each arm before and after: the variance of a
share is not known from fewer."""
MINIMUM_PAIRS = 10
DAYS_ALONE = 56
"""An agent without people beside it needs so many days of its own past."""

RELEASE = ["agent_name", "release_version"]
COLUMNS = {
    "agent_name": "text",
    "agent_version": "text",
    "kpi": "text",
    "is_target": "flag",
    "expected_direction": "text",
    "min_effect": "number",
    "comparison_type": "text",
    "n_ai_before": "count",
    "n_ai_after": "count",
    "n_holdout_before": "count",
    "n_holdout_after": "count",
    "n_pairs": "count",
    "n_pending": "count",
    "covered_share": "number",
    "design_effect": "number",
    "ai_before": "number",
    "ai_after": "number",
    "reference_before": "number",
    "reference_after": "number",
    "effect": "number",
    "lower_bound": "number",
    "upper_bound": "number",
    "minimum_detectable_effect": "number",
    "time_confounded_effect": "number",
    "time_confounded_lower_bound": "number",
    "time_confounded_upper_bound": "number",
    "verdict": "text",
    "note": "text",
}
# The column of int_release_replays that holds a request's value, without its period.
_REPLAYED = {"task_completion_rate": "completed", "escalation_rate": "escalated", "csat": "score"}
_BETTER = {"high": "up", "low": "down"}


# --- estimators


@quiet
def difference_in_differences(
    successes: ArrayLike,
    n: ArrayLike,
    weights: ArrayLike | None = None,
    design_effects: ArrayLike = (1.0, 1.0),
) -> Estimate:
    """The AI arm's change less the holdout's, of a share.

    successes, n: (arm, period) or (arm, period, strata), arm 0 the human holdout and 1 the AI arm,
    period 0 before and 1 after. weights: (strata), proportional to the standard population; the AI
    arm's interactions without it. Strata with an empty cell are left out. design_effects: (arm),
    how many times the variance of an arm's change grows because customers were drawn. Independent
    binomials: V = sum w^2 sum of the four p (1 - p) / n, normal limits. nan where no stratum is
    left. Assumes that without the release both arms would have moved alike. Raises ValueError as
    `shares` does.
    """
    successes, n = (np.asarray(x, dtype=float) for x in (successes, n))
    n = n.reshape(2, 2, -1)
    successes = successes.reshape(n.shape)
    weights = n[1].sum(axis=0) if weights is None else np.asarray(weights, dtype=float)
    told = (n > 0).all(axis=(0, 1))
    weights = shares(np.where(told, weights, 0))
    share = successes / n
    (human_before, human_after), (ai_before, ai_after) = share
    change = (ai_after - ai_before) - (human_after - human_before)
    of_arms = (share * (1 - share) / n).sum(axis=1)
    variance = np.asarray(design_effects, dtype=float) @ of_arms
    return normal_estimate(
        weighted(weights, change), weighted(weights**2, variance), n[:, :, told].sum()
    )


@quiet
def level_shift(day: ArrayLike, is_after: ArrayLike, n: ArrayLike, value: ArrayLike) -> Estimate:
    """By how much a daily series jumps at a release, beside the straight line that it follows.

    One entry a day (days): its number, whether it is after the release, its observations, its mean.
    Least squares weighted by n on a constant, the day and the jump (Wagner et al. 2002), the spread
    of the days as they spread, Student's t with days - 3 degrees of freedom. Days are taken as
    independent, and whatever else happened at the release is in the jump. nan where the days cannot
    tell: fewer than four, none before or after.
    """
    day, is_after, n, value = floats(day, is_after, n, value)
    used = n > 0
    day, is_after, n, value = (x[used] for x in (day, is_after, n, value))
    freedom = day.size - 3
    if freedom < 1:
        return Estimate(math.nan, math.nan, math.nan, float(n.sum()))
    design = np.column_stack([np.ones(day.size), day - day.mean(), is_after])
    if np.linalg.matrix_rank(design) < 3:
        return Estimate(math.nan, math.nan, math.nan, float(n.sum()))
    inverse = np.linalg.inv(design.T @ (design * n[:, None]))
    fitted = inverse @ (design.T @ (n * value))
    spread = np.sum(n * (value - design @ fitted) ** 2) / freedom
    half_width = stdtrit(freedom, 0.975) * np.sqrt(spread * inverse[2, 2])
    jump = fitted[2]
    return Estimate(float(jump), float(jump - half_width), float(jump + half_width), float(n.sum()))


@quiet
def paired_difference(stratum: ArrayLike, before: ArrayLike, after: ArrayLike) -> Estimate:
    """The mean of after - before over pairs, one entry a pair (pairs).

    Within strata, in the pairs' own mix: variance sum w^2 s^2 / n of the differences, Student's t
    with pairs - strata degrees of freedom. Pairs with a nan, and strata with one pair, are left
    out; nan where none is left.
    """
    change = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    known = ~np.isnan(change)
    _, code = np.unique(np.asarray(stratum)[known], return_inverse=True)
    change = change[known]
    n = np.bincount(code)
    total, squares = np.bincount(code, change), np.bincount(code, change**2)
    used = n > 1
    if not used.any():
        return Estimate(math.nan, math.nan, math.nan, 0.0)
    n, total, squares = n[used], total[used], squares[used]
    return standardised_mean(n, total, squares, n, of_few(n.sum() - n.size))


@quiet
def paired_ratio_difference(
    stratum: ArrayLike,
    cost_before: ArrayLike,
    successes_before: ArrayLike,
    cost_after: ArrayLike,
    successes_after: ArrayLike,
) -> tuple[float, float, Estimate]:
    """Cost per success before, after, and after - before, over pairs (pairs) with all four values.

    R = sum of costs / sum of successes; limits from the pairs' linearised residuals
    (c - R y) / mean y, after less before, as `paired_difference`. nan without a success on either
    side.
    """
    c0, y0, c1, y1 = floats(cost_before, successes_before, cost_after, successes_after)
    known = ~np.isnan(c0 + y0 + c1 + y1)
    c0, y0, c1, y1 = (x[known] for x in (c0, y0, c1, y1))
    before, after = (
        c.sum() / y.sum() if y.sum() > 0 else math.nan for c, y in ((c0, y0), (c1, y1))
    )
    if math.isnan(before) or math.isnan(after):
        return float(before), float(after), Estimate(math.nan, math.nan, math.nan, float(c0.size))
    residual = paired_difference(
        np.asarray(stratum)[known], (c0 - before * y0) / y0.mean(), (c1 - after * y1) / y1.mean()
    )
    value = float(after - before)
    half_width = residual.upper - residual.value
    return (
        float(before),
        float(after),
        Estimate(value, value - half_width, value + half_width, residual.n),
    )


# --- verdict


def verdict(effect: Estimate, direction: str | None, min_effect: float = math.nan) -> str:
    """What an effect says of a release that was to move the KPI up or down, by `min_effect`.

    The 95% interval excludes 0: `moved_as_expected` or `moved_against` (`inconclusive` where no
    direction is the good one); lies within +-min_effect: `no_effect`; is so wide that a movement of
    min_effect would be missed more than once in five times: `not_sensitive_enough`. Anything else,
    also an effect without limits, is `inconclusive`. Without a min_effect (nan) only the first.
    """
    if effect.lower > 0 or effect.upper < 0:
        if direction is None:
            return "inconclusive"
        return "moved_as_expected" if (effect.lower > 0) == (direction == "up") else "moved_against"
    if effect.lower > -min_effect and effect.upper < min_effect:
        return "no_effect"
    return _insensitive(effect, min_effect)


def _insensitive(effect: Estimate, min_effect: float) -> str:
    detectable = minimum_detectable_effect(effect.standard_error)
    return "not_sensitive_enough" if detectable > min_effect else "inconclusive"


# --- releases


def release_effects(
    windows: pd.DataFrame,
    kpis: pd.DataFrame,
    cells: pd.DataFrame,
    design_effects: pd.DataFrame,
    times: pd.DataFrame,
    answers: pd.DataFrame,
    replays: pd.DataFrame,
) -> pd.DataFrame:
    """One row per release and KPI; columns as `COLUMNS`.

    Takes int_release_windows, dim_kpis, int_release_cells, int_release_design_effects,
    int_release_resolution_time_bins, int_release_csat_triangle and int_release_replays as frames.
    Rates are shares, times seconds, costs USD, scores points. An effect that cannot be told is null
    with a note; the verdict is never null.
    """
    better = dict(zip(kpis.kpi, kpis.better, strict=True))
    frames = {
        "cells": cells,
        "effects": design_effects,
        "times": times,
        "answers": answers,
        "replays": replays,
    }
    groups = {name: dict(iter(frame.groupby(RELEASE))) for name, frame in frames.items()}
    rows = []
    for window in windows.itertuples(index=False):
        key = (window.agent_name, window.agent_version)
        own = {name: groups[name].get(key, frame[:0]) for name, frame in frames.items()}
        release = Release(window, **own)
        for kpi in KPIS:
            named = {"agent_name": key[0], "agent_version": key[1], "kpi": kpi}
            found = release.effect(kpi)
            rows.append(named | found | _judged(found, window, kpi, better.get(kpi)))
    return table(rows, COLUMNS)


@dataclass(frozen=True, eq=False)
class Release:
    """A row of int_release_windows and what the other relations hold of that release."""

    window: Any
    cells: pd.DataFrame
    effects: pd.DataFrame
    times: pd.DataFrame
    answers: pd.DataFrame
    replays: pd.DataFrame

    @cached_property
    def comparison_type(self) -> str:
        """Customers tell more than a benchmark, a benchmark more than the agent's own past."""
        live = self.cells[self.cells.population.isin(["ai_randomised", "holdout"])]
        if len(live[live.period != "earlier"][["side", "period"]].drop_duplicates()) == 4:
            return "holdout"
        return "paired" if len(self.replays) else "pre_release"

    @cached_property
    def beside(self) -> list[Arm]:
        """Holdout before and after, agent before and after."""
        return [
            self.arm(side, (period,), (population,))
            for side, population in (("holdout", "holdout"), ("ai", "ai_randomised"))
            for period in ("before", "after")
        ]

    @cached_property
    def alone(self) -> list[Arm]:
        """The agent's long past, and after."""
        return [self.arm("ai", ("earlier", "before")), self.arm("ai", ("after",))]

    def effect(self, kpi: str) -> dict[str, Any]:
        method = self.comparison_type
        found = {"holdout": _beside_holdout, "paired": _paired, "pre_release": _alone}[method]
        return {"comparison_type": method} | found(self, kpi)

    def arm(
        self, side: str, periods: tuple[str, ...], populations: tuple[str, ...] | None = None
    ) -> Arm:
        """Counts by task type over some periods; the design effect is that of the change."""

        def own(frame: pd.DataFrame) -> pd.DataFrame:
            chosen = frame.side == side
            if "period" in frame:
                chosen &= frame.period.isin(periods)
            if populations is not None:
                chosen &= frame.population.isin(populations)
            return frame[chosen]

        effects = own(self.effects).groupby("kpi").sum(numeric_only=True)
        labels = [*RELEASE, "period", "side", "population", "cohort_date"]
        return Arm(
            counts=own(self.cells).drop(columns=labels).groupby("task_type").sum(),
            times=own(self.times),
            answers=own(self.answers),
            design_effects=customer_design_effects(effects),
            n_units={str(kpi): int(n) for kpi, n in effects.n_units.items()},
        )


def _beside_holdout(release: Release, kpi: str) -> dict[str, Any]:
    column = MEASURES[kpi][0]
    row, arms, weights = _covered(kpi, release.beside)
    after = [arm.counts for arm in arms[1::2]]
    row["n_pending"] = sum(int((c.n_interactions - c.n_mature).sum()) for c in after)
    if release.window.has_sample_ratio_mismatch:
        return row | {"note": "sample_ratio_mismatch"}
    if weights is None:
        return row
    values = [MEASURES[kpi][2](kpi, arm, weights) for arm in arms]
    human_before, human_after, ai_before, ai_after = values
    row |= {
        "reference_before": human_before.value,
        "reference_after": human_after.value,
        "ai_before": ai_before.value,
        "ai_after": ai_after.value,
    }
    if kpi in PROPORTIONS:
        successes, n = (
            np.where(weights > 0, [arm[name] for arm in arms], 0)
            for name in (PROPORTIONS[kpi], column)
        )
        inflations = [arm.design_effects.get(kpi, 1.0) for arm in arms[::2]]
        shape = (2, 2, len(weights))
        effect = difference_in_differences(
            successes.reshape(shape), n.reshape(shape), weights, inflations
        )
    else:
        effect = difference(difference(ai_after, ai_before), difference(human_after, human_before))
    plain = difference(ai_after, ai_before)
    return row | _limits(kpi, arms, row, effect) | _confounded(kpi, arms, row, plain)


def _alone(release: Release, kpi: str) -> dict[str, Any]:
    """Shares by the jump of the daily series, all else as after less before."""
    row, arms, weights = _covered(kpi, release.alone)
    after = arms[1]
    row["n_pending"] = int((after["n_interactions"] - after["n_mature"]).sum())
    if weights is None:
        return row
    values = [MEASURES[kpi][2](kpi, arm, weights) for arm in arms]
    row |= {"ai_before": values[0].value, "ai_after": values[1].value}
    plain = difference(values[1], values[0])
    row |= _confounded(kpi, arms, row, plain)
    own = release.cells[(release.cells.side == "ai") & (release.cells.n_mature > 0)]
    released_on = np.datetime64(release.window.released_at, "D").astype(np.int64)
    if released_on - days(own.cohort_date).min() < DAYS_ALONE:
        return row | {"note": f"fewer_than_{DAYS_ALONE}_days_before"}
    effect = _jump(own, arms, weights, kpi) if kpi in PROPORTIONS else plain
    return row | {"note": "time_confounded"} | _limits(kpi, arms, row, effect)


def _jump(cells: pd.DataFrame, arms: list[Arm], weights: np.ndarray, kpi: str) -> Estimate:
    """The level shift of the daily share, each task type measured against its share before."""
    covered = arms[0].counts[weights > 0]
    usual = covered[PROPORTIONS[kpi]] / covered.n_mature
    cells = cells[cells.task_type.isin(usual.index)]
    own = pd.DataFrame(
        {
            "day": days(cells.cohort_date),
            "is_after": (cells.period == "after").to_numpy(),
            "n": cells.n_mature.to_numpy(dtype=float),
            "excess": (
                cells[PROPORTIONS[kpi]] - cells.n_mature * cells.task_type.map(usual).astype(float)
            ).to_numpy(dtype=float),
        }
    )
    daily = own.groupby(["day", "is_after"], as_index=False).sum()
    return level_shift(daily.day, daily.is_after, daily.n, daily.excess / daily.n)


def _paired(release: Release, kpi: str) -> dict[str, Any]:
    pairs = release.replays
    row: dict[str, Any] = {"n_pending": 0}
    task_type = pairs.task_type.to_numpy(dtype=str)
    if kpi == "time_to_resolution":
        return row | _times_of_replays(release)
    if kpi == "cost_per_successful_outcome":
        names = [
            f"{name}_{period}"
            for period in ("before", "after")
            for name in ("cost_usd", "completed_priced")
        ]
        known = pairs[pairs[names].notna().all(axis=1)]
        before, after, effect = paired_ratio_difference(
            known.task_type.to_numpy(dtype=str),
            *(known[name].to_numpy(dtype=float) for name in names),
        )
        nothing = "no_priced_pairs"
    else:
        one, two = (f"{_REPLAYED[kpi]}_{period}" for period in ("before", "after"))
        known = pairs[pairs[[one, two]].notna().all(axis=1)]
        task_type = known.task_type.to_numpy(dtype=str)
        values = [known[name].to_numpy(dtype=float) for name in (one, two)]
        effect = paired_difference(task_type, *values)
        before, after = (float(x.mean()) if x.size else math.nan for x in values)
        nothing = "no_answers" if kpi == "csat" else "no_pairs"
    row |= _runs(known)
    if known.empty:
        return row | {"note": nothing}
    row |= {"ai_before": before, "ai_after": after, "effect": effect.value}
    if len(known) < MINIMUM_PAIRS:
        return row | {"note": f"fewer_than_{MINIMUM_PAIRS}_pairs"}
    return row | _told(effect)


def _times_of_replays(release: Release) -> dict[str, Any]:
    """Medians of both versions, as if of different requests: their limits are wide rather than
    narrow where a request takes long under either."""
    pairs = release.replays
    weights = pairs.groupby("task_type").size()
    counts = weights.to_frame("n_mature")
    values = []
    for period in ("before", "after"):
        times = release.times[(release.times.side == "replayed") & (release.times.period == period)]
        arm = Arm(counts, times, release.answers[:0], {}, {})
        values.append(MEASURES["time_to_resolution"][2]("", arm, weights.to_numpy(dtype=float)))
    before, after = values
    effect = difference(after, before)
    row = _runs(pairs) | {
        "ai_before": before.value,
        "ai_after": after.value,
        "effect": effect.value,
    }
    if len(pairs) < MINIMUM_PAIRS:
        return row | {"note": f"fewer_than_{MINIMUM_PAIRS}_pairs"}
    return row | _told(effect)


def _runs(pairs: pd.DataFrame) -> dict[str, Any]:
    return {
        "n_pairs": len(pairs),
        "n_ai_before": pairs.n_runs_before.sum(),
        "n_ai_after": pairs.n_runs_after.sum(),
    }


def _covered(kpi: str, arms: list[Arm]) -> tuple[dict[str, Any], list[Arm], np.ndarray | None]:
    """The arms (any holdout first, each before and after) over the same task types, the weights of
    those that all of them have - the mix of the AI arm - or None, and counts."""
    strata = sorted({task_type for arm in arms for task_type in arm.counts.index})
    arms = [replace(arm, counts=arm.counts.reindex(strata, fill_value=0)) for arm in arms]
    column, minimum, _ = MEASURES[kpi]
    n = np.array([arm[column] for arm in arms]).reshape(len(arms), -1)
    covered = (n >= max(minimum, MINIMUM_PER_CELL)).all(axis=0)
    ours = arms[-2:]
    weigh = "n_interactions" if kpi == "csat" else column
    weights = np.where(covered, sum(arm[weigh] for arm in ours), 0)
    counted = n[:, covered].sum(axis=1) if covered.any() else n.sum(axis=1)
    names = ["n_holdout_before", "n_holdout_after", "n_ai_before", "n_ai_after"][-len(arms) :]
    row: dict[str, Any] = dict(zip(names, counted, strict=True))
    row["design_effect"] = max(arm.design_effects.get(kpi, 1.0) for arm in arms)
    for name, total in zip(names, n.sum(axis=1), strict=True):
        if total == 0:
            return row | {"note": f"no_{column.removeprefix('n_')}_{name[2:]}"}, arms, None
    row["covered_share"] = weights.sum() / sum(arm[weigh].sum() for arm in ours)
    if not covered.any():
        return row | {"note": "no_task_type_in_common"}, arms, None
    return row, arms, weights


def _too_few(kpi: str, arms: list[Arm], counts: list[float]) -> str | None:
    if any(0 < arm.n_units.get(kpi, 0) < MINIMUM_CUSTOMERS for arm in arms):
        return f"fewer_than_{MINIMUM_CUSTOMERS}_customers"
    if min(counts) < MINIMUM_OBSERVATIONS:
        return f"fewer_than_{MINIMUM_OBSERVATIONS}_observations"
    return None


def _limits(kpi: str, arms: list[Arm], row: dict[str, Any], effect: Estimate) -> dict[str, Any]:
    counts = [n for name, n in row.items() if name.startswith(("n_ai_", "n_holdout_"))]
    too_few = _too_few(kpi, arms, counts)
    return {"effect": effect.value} | ({"note": too_few} if too_few else _told(effect))


def _confounded(kpi: str, arms: list[Arm], row: dict[str, Any], plain: Estimate) -> dict[str, Any]:
    found = {"time_confounded_effect": plain.value}
    if _too_few(kpi, arms[-2:], [row["n_ai_before"], row["n_ai_after"]]):
        return found
    return found | {
        "time_confounded_lower_bound": plain.lower,
        "time_confounded_upper_bound": plain.upper,
    }


def _told(effect: Estimate) -> dict[str, Any]:
    """The limits; none of an effect in which nothing varied, of which certainty is no sign."""
    if math.isnan(effect.value):
        return {"note": "value_cannot_be_told"}
    half_width = effect.upper - effect.lower
    if math.isnan(half_width) or half_width < 1e-12:
        return {"effect": effect.value, "note": "limits_cannot_be_told"}
    return {
        "effect": effect.value,
        "lower_bound": effect.lower,
        "upper_bound": effect.upper,
        "minimum_detectable_effect": minimum_detectable_effect(effect.standard_error),
    }


def _judged(found: dict[str, Any], window: Any, kpi: str, better: str | None) -> dict[str, Any]:
    """Which way was expected, and the verdict; the note of `found` stays where it has one."""
    target, stated = _text(window.target_kpi), _text(window.expected_direction)
    is_target = target == kpi
    direction = stated if is_target and stated else _BETTER.get(better or "")
    min_effect, fault = _min_effect(window, kpi) if is_target else (math.nan, None)
    effect = Estimate(
        *(found.get(x, math.nan) for x in ("effect", "lower_bound", "upper_bound")), 0
    )
    judged: dict[str, Any] = {
        "is_target": is_target,
        "expected_direction": direction,
        "min_effect": min_effect,
        "note": found.get("note") or (fault if target in KPIS else "no_target"),
    }
    if window.is_overlapping and found["comparison_type"] != "paired":
        return judged | {"verdict": "overlapping"}
    if found["comparison_type"] == "pre_release":
        # What else happened at that time would be taken for the release, whichever way it went.
        return judged | {"verdict": _insensitive(effect, min_effect)}
    said = verdict(effect, direction, min_effect)
    if not judged["note"]:
        if said == "inconclusive" and (effect.lower > 0 or effect.upper < 0):
            judged["note"] = "no_better_side"
        elif said.startswith("moved") and max(-effect.lower, effect.upper) < min_effect:
            judged["note"] = "smaller_than_min_effect"
    return judged | {"verdict": said}


def _min_effect(window: Any, kpi: str) -> tuple[float, str | None]:
    """The smallest movement that counts, and what is wrong with it where it cannot be used."""
    stated = window.min_effect
    if stated is None or pd.isna(stated):
        return math.nan, "no_min_effect"
    if stated <= 0:
        return math.nan, "min_effect_is_not_positive"
    if kpi in PROPORTIONS and stated >= 1:
        return math.nan, "min_effect_is_no_share"
    return float(stated), None


def _text(value: Any) -> str | None:
    return None if value is None or pd.isna(value) else str(value)
