"""An AI agent beside people: every KPI's difference, like for like, from counts by task type.

Intention to treat: who is in which arm is what was assigned. Task types are the strata, weighted by
the mix of the AI arm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from agent_kpis.frames import table
from agent_kpis.statistics import survival
from agent_kpis.statistics.csat import mean_score
from agent_kpis.statistics.estimates import (
    Z95,
    Estimate,
    difference,
    of_few,
    relative_difference,
)
from agent_kpis.statistics.experiments import (
    benjamini_hochberg,
    minimum_detectable_effect,
    sample_ratio_test,
)
from agent_kpis.statistics.proportions import standardised_proportion
from agent_kpis.statistics.ratios import standardised_ratio
from agent_kpis.statistics.sequential import multiplier, p_value

PLANNED_DAYS = 28
"""The sequential interval is tightest after so many days at the planned volume."""
MINIMUM_CUSTOMERS = 30
"""Fewer customers drawn at random say nothing about how much they differ."""
MINIMUM_OBSERVATIONS = 30
"""Limits that hold whenever one looks do so from as many in either arm on (docs/simulations.md)."""
MINIMUM_FOR_MEAN_TIME = 100
MEAN_TIME_LIMIT_SECONDS = 7 * 86400
"""The restricted mean counts what takes longer as so long."""

PROPORTIONS = {
    "task_completion_rate": "n_completed",
    "escalation_rate": "n_escalated",
    "resolution_rate": "n_resolved",
}
KPIS = [*PROPORTIONS, "time_to_resolution", "cost_per_successful_outcome", "csat"]
SEGMENT = ["agent_name", "segment_type", "segment"]
# Columns that count observations, in words.
_THINGS = {
    "n_mature": "mature_interactions",
    "n_priced": "priced_interactions",
    "n_surveys_answered": "answers",
}

COLUMNS = {
    "agent_name": "text",
    "segment_type": "text",
    "segment": "text",
    "comparison_type": "text",
    "kpi": "text",
    "ai_value": "number",
    "reference_value": "number",
    "delta": "number",
    "delta_lower_bound": "number",
    "delta_upper_bound": "number",
    "fixed_lower_bound": "number",
    "fixed_upper_bound": "number",
    "relative_delta": "number",
    "relative_lower_bound": "number",
    "relative_upper_bound": "number",
    "restricted_mean_delta": "number",
    "restricted_mean_lower_bound": "number",
    "restricted_mean_upper_bound": "number",
    "p_value": "number",
    "adjusted_p_value": "number",
    "minimum_detectable_effect": "number",
    "n_ai": "count",
    "n_reference": "count",
    "covered_share": "number",
    "design_effect": "number",
    "note": "text",
}


@dataclass(frozen=True)
class Comparison:
    """Who is compared with whom, as populations of `int_compared_interactions`."""

    name: str
    ai: tuple[str, ...]
    reference: tuple[str, ...]
    both_grow: bool = True
    """Both arms grow by the day; a baseline does not."""
    like_for_like: bool = True
    """By task type, in the mix of the AI arm; else each arm in its own mix."""


COMPARISONS = [
    # As drawn at random, over the same time.
    Comparison("holdout", ("ai_randomised",), ("holdout",)),
    # People before launch: another time.
    Comparison("pre_launch", ("ai_randomised", "ai_routed"), ("baseline",), both_grow=False),
    # Whatever either arm got, in one heap: shown only to be told apart.
    Comparison(
        "crude", ("ai_randomised", "ai_routed"), ("holdout", "human_routed"), like_for_like=False
    ),
]


@dataclass(frozen=True)
class Arm:
    """One arm of a comparison: counts by task type (S rows, both arms in the same order)."""

    counts: pd.DataFrame
    times: pd.DataFrame
    answers: pd.DataFrame
    design_effects: dict[str, float]
    n_units: dict[str, int]
    shared_cost_usd: float = 0.0

    def __getitem__(self, column: str) -> np.ndarray:
        return self.counts[column].to_numpy(dtype=float)

    @cached_property
    def curves(self) -> dict[str, survival.Curve]:
        """Time to resolution by task type, in seconds."""
        found = {}
        for task_type, bins in self.times.groupby("task_type"):
            n, resolved = bins.n.to_numpy(), bins.is_resolved_by_then.to_numpy(dtype=bool)
            found[str(task_type)] = survival.kaplan_meier(
                bins.seconds.to_numpy(), np.where(resolved, n, 0), np.where(resolved, 0, n)
            )
        return found


def compare(
    cells: pd.DataFrame,
    design_effects: pd.DataFrame,
    times: pd.DataFrame,
    answers: pd.DataFrame,
) -> pd.DataFrame:
    """One row per agent, segment, comparison and KPI; columns as `COLUMNS`.

    Takes int_comparison_cells, int_design_effects, int_resolution_time_bins and int_csat_triangle
    as frames. Rates are shares, times seconds, costs USD, scores points. `delta_*_bound` are the
    sequential limits, valid on whatever day they are read; `fixed_*_bound` hold for one planned
    look. A comparison without anybody in either arm has no row; one that cannot be told has nulls
    and a note.
    """
    rows = list(_rows(cells, design_effects, times, answers))
    for row, adjusted in zip(rows, _adjusted(rows), strict=True):
        row["adjusted_p_value"] = adjusted
    return table(rows, COLUMNS)


def sample_ratios(splits: pd.DataFrame) -> pd.DataFrame:
    """Per agent, whether the holdout has the planned share: chi-square and p (null: not drawn).

    Takes int_holdout_splits: units drawn by agent and planned share; splits of different shares
    are pooled.
    """
    rows = []
    for agent, split in splits[splits.holdout_share.notna()].groupby("agent_name"):
        chi_square, p = sample_ratio_test(split.n_holdout_units, split.n_units, split.holdout_share)
        rows.append({"agent_name": agent, "chi_square": chi_square, "p_value": p})
    return table(rows, {"agent_name": "text", "chi_square": "number", "p_value": "number"})


def _rows(
    cells: pd.DataFrame, design_effects: pd.DataFrame, times: pd.DataFrame, answers: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    parts = {
        name: dict(iter(frame.groupby(SEGMENT)))
        for name, frame in (("effects", design_effects), ("times", times), ("answers", answers))
    }
    empty = {"effects": design_effects[:0], "times": times[:0], "answers": answers[:0]}
    for key, segment_cells in cells.groupby(SEGMENT):
        frames = {name: found.get(key, empty[name]) for name, found in parts.items()}
        volumes = _planned_volumes(segment_cells)
        for comparison in COMPARISONS:
            ai = _arm(comparison.ai, segment_cells, frames)
            reference = _arm(comparison.reference, segment_cells, frames)
            if ai is None or reference is None:
                continue
            if not comparison.like_for_like:
                ai, reference = _pooled(ai), _pooled(reference)
            strata = sorted({*ai.counts.index, *reference.counts.index})
            ai, reference = (
                replace(arm, counts=arm.counts.reindex(strata, fill_value=0))
                for arm in (ai, reference)
            )
            for kpi in KPIS:
                named = dict(zip(SEGMENT, key, strict=True))
                named |= {"comparison_type": comparison.name, "kpi": kpi}
                yield named | _row(kpi, comparison, ai, reference, volumes)


def _arm(
    populations: tuple[str, ...], cells: pd.DataFrame, frames: dict[str, pd.DataFrame]
) -> Arm | None:
    members = cells[cells.population.isin(populations)]
    if members.empty:
        return None
    effects = frames["effects"]
    effects = effects[effects.population.isin(populations)].groupby("kpi").sum(numeric_only=True)
    counts = members.drop(columns=[*SEGMENT, "population", "first_day", "last_day"])
    counts = counts.groupby("task_type").sum()
    # What belongs to no interaction is shared by all of the agent's.
    priced = cells.loc[cells.population.str.startswith("ai_"), "n_priced"].sum()
    shared = cells.loc[cells.population == "unallocated", "cost_unallocated_usd"].sum()
    is_ai = populations[0].startswith("ai_")
    return Arm(
        counts=counts,
        times=frames["times"][frames["times"].population.isin(populations)],
        answers=frames["answers"][frames["answers"].population.isin(populations)],
        design_effects=customer_design_effects(effects),
        n_units={str(kpi): int(n) for kpi, n in effects.n_units.items()},
        shared_cost_usd=float(shared * counts.n_priced.sum() / priced) if is_ai and priced else 0.0,
    )


def customer_design_effects(effects: pd.DataFrame) -> dict[str, float]:
    """As `means.design_effect`, from the squares that SQL has added up; of few customers, more."""
    found = {}
    for kpi, effect in effects.iterrows():
        clusters, squares = effect.n_units, effect.residual_square_sum
        if clusters < 2 or squares <= 0:
            found[str(kpi)] = 1.0
            continue
        ratio = clusters / (clusters - 1) * effect.cluster_square_sum / squares
        found[str(kpi)] = max(1.0, float(ratio * of_few(clusters - 1)))
    return found


def _pooled(arm: Arm) -> Arm:
    """The same arm with all its task types as one."""
    return replace(
        arm,
        counts=arm.counts.sum().to_frame("all").T,
        times=arm.times.assign(task_type="all"),
        answers=arm.answers.assign(task_type="all"),
    )


def _planned_volumes(cells: pd.DataFrame) -> dict[str, float]:
    """Observations a day, by column: of the baseline, known at launch; else of the days so far."""
    running = cells[cells.population.isin(["ai_randomised", "ai_routed", "holdout"])]
    volumes = {}
    for source in (running, cells[cells.population == "baseline"]):
        if source.empty:
            continue
        elapsed = (source.last_day.max() - source.first_day.min()).days + 1
        for column in _THINGS:
            if source[column].sum() > 0:
                volumes[column] = float(source[column].sum()) / elapsed
    return volumes


def _row(
    kpi: str, comparison: Comparison, ai: Arm, reference: Arm, volumes: dict[str, float]
) -> dict[str, Any]:
    column, minimum, measure = MEASURES[kpi]
    covered = (ai[column] >= minimum) & (reference[column] >= minimum)
    row: dict[str, Any] = {
        "n_ai": ai[column].sum(),
        "n_reference": reference[column].sum(),
        "design_effect": max(arm.design_effects.get(kpi, 1.0) for arm in (ai, reference)),
    }
    if row["n_ai"] == 0 or row["n_reference"] == 0:
        empty_arm = "ai" if row["n_ai"] == 0 else "reference"
        return row | {"covered_share": None, "note": f"no_{_THINGS[column]}_in_{empty_arm}"}
    row["covered_share"] = float(ai[column][covered].sum() / ai[column].sum())
    if not covered.any():
        return row | {"note": "no_task_type_in_common"}
    row |= {"n_ai": ai[column][covered].sum(), "n_reference": reference[column][covered].sum()}
    # The mix of the AI arm; of its requests also where only some have an answer.
    weights = np.where(covered, ai["n_interactions" if kpi == "csat" else column], 0)
    one, two = measure(kpi, ai, weights), measure(kpi, reference, weights)
    row |= {"ai_value": one.value, "reference_value": two.value}
    if np.isnan(one.value) or np.isnan(two.value):
        return row | {"note": "value_cannot_be_told"}
    fixed = difference(one, two)
    row |= {"delta": fixed.value, "relative_delta": relative_difference(one, two).value}
    if any(0 < arm.n_units.get(kpi, 0) < MINIMUM_CUSTOMERS for arm in (ai, reference)):
        return row | {"note": f"fewer_than_{MINIMUM_CUSTOMERS}_customers"}

    row |= {
        "fixed_lower_bound": fixed.lower,
        "fixed_upper_bound": fixed.upper,
        "minimum_detectable_effect": minimum_detectable_effect(fixed.standard_error),
    }
    if min(row["n_ai"], row["n_reference"]) < MINIMUM_OBSERVATIONS:
        return row | {"note": f"fewer_than_{MINIMUM_OBSERVATIONS}_observations"}

    n = row["n_ai"] + (row["n_reference"] if comparison.both_grow else 0)
    planned = PLANNED_DAYS * volumes[column]
    factor = multiplier(n, planned) / Z95
    wide_one = one.widened(factor)
    wide_two = two.widened(factor) if comparison.both_grow else two
    sequential = difference(wide_one, wide_two)
    relative = relative_difference(wide_one, wide_two)
    row |= {
        "delta_lower_bound": sequential.lower,
        "delta_upper_bound": sequential.upper,
        "relative_lower_bound": relative.lower,
        "relative_upper_bound": relative.upper,
        "p_value": _p_value(kpi, one, two, n, planned),
    }
    if kpi == "time_to_resolution":
        row |= _restricted_means(ai, reference, weights, factor, comparison)
    return row


def _restricted_means(
    ai: Arm, reference: Arm, weights: np.ndarray, factor: float, comparison: Comparison
) -> dict[str, float]:
    if reference["n_mature"].sum() < MINIMUM_FOR_MEAN_TIME:
        return {}
    one, two = (_restricted_mean(arm, weights) for arm in (ai, reference))
    delta = difference(one.widened(factor), two.widened(factor) if comparison.both_grow else two)
    return {
        "restricted_mean_delta": delta.value,
        "restricted_mean_lower_bound": delta.lower,
        "restricted_mean_upper_bound": delta.upper,
    }


def _p_value(kpi: str, one: Estimate, two: Estimate, n: float, planned: float) -> float:
    """Of no difference; costs differ by a ratio, the rest by a difference."""
    if kpi == "cost_per_successful_outcome":
        relative = relative_difference(one, two)
        return p_value(np.log1p(relative.value), relative.standard_error, n, planned)
    delta = difference(one, two)
    # The side that faces no difference decides.
    towards = delta.value - delta.lower if delta.value > 0 else delta.upper - delta.value
    return p_value(delta.value, towards / Z95, n, planned)


def _proportion(kpi: str, arm: Arm, weights: np.ndarray) -> Estimate:
    used = weights > 0
    return standardised_proportion(
        arm[PROPORTIONS[kpi]][used],
        arm["n_mature"][used],
        weights[used],
        arm.design_effects.get(kpi, 1.0),
    )


def _cost(kpi: str, arm: Arm, weights: np.ndarray) -> Estimate:
    used = weights > 0
    return standardised_ratio(
        arm["n_priced"][used],
        arm["cost_priced_usd"][used],
        arm["cost_square_sum"][used],
        arm["n_completed_priced"][used],
        arm["cost_completed_usd"][used],
        weights[used],
        arm.design_effects.get(kpi, 1.0),
        # Task types that cannot be compared take their part of what is shared with them.
        arm.shared_cost_usd * arm["n_priced"][used].sum() / arm["n_priced"].sum(),
    )


def _median_time(kpi: str, arm: Arm, weights: np.ndarray) -> Estimate:
    curve = survival.standardised_curve(_curves(arm, weights), _used(weights))
    # Times are positive and skewed: their limits widen by factors.
    median = replace(survival.median(curve), scale="log")
    return _widened_for_cluster(median, arm.design_effects.get(kpi, 1.0))


def _restricted_mean(arm: Arm, weights: np.ndarray) -> Estimate:
    mean = survival.restricted_mean(_curves(arm, weights), _used(weights), MEAN_TIME_LIMIT_SECONDS)
    return _widened_for_cluster(mean, arm.design_effects.get("time_to_resolution", 1.0))


def _widened_for_cluster(estimate: Estimate, design_effect: float) -> Estimate:
    return estimate.widened(float(np.sqrt(design_effect)))


def _used(weights: np.ndarray) -> np.ndarray:
    return weights[weights > 0]


def _curves(arm: Arm, weights: np.ndarray) -> list[survival.Curve]:
    return [arm.curves[task_type] for task_type in arm.counts.index[weights > 0]]


def _csat(kpi: str, arm: Arm, weights: np.ndarray) -> Estimate:
    return mean_score(
        arm.answers,
        dict(zip(arm.counts.index, weights, strict=True)),
        arm.design_effects.get(kpi, 1.0),
    )


def _adjusted(rows: list[dict[str, Any]]) -> np.ndarray:
    """p-values adjusted across the segments of an agent, comparison and KPI; the whole is none."""
    adjusted = np.full(len(rows), np.nan)
    families: dict[tuple[str, str, str], list[int]] = {}
    for index, row in enumerate(rows):
        if row["segment_type"] != "all" and row.get("p_value") is not None:
            key = (row["agent_name"], row["comparison_type"], row["kpi"])
            families.setdefault(key, []).append(index)
    for members in families.values():
        adjusted[members] = benjamini_hochberg([rows[index]["p_value"] for index in members])
    return adjusted


Measure = Callable[[str, Arm, np.ndarray], Estimate]

# The column that counts the observations, how many a task type must have, how the arm is measured.
MEASURES: dict[str, tuple[str, int, Measure]] = {
    **dict.fromkeys(PROPORTIONS, ("n_mature", 1, _proportion)),
    "time_to_resolution": ("n_mature", 2, _median_time),
    "cost_per_successful_outcome": ("n_priced", 2, _cost),
    "csat": ("n_surveys_answered", 1, _csat),
}
