"""Readings that do not wait until requests are old enough to be judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from agent_kpis.frames import table
from agent_kpis.statistics.csat import mean_score
from agent_kpis.statistics.estimates import Estimate
from agent_kpis.statistics.incidence import stratified_state_occupation

SEGMENT = ["agent_name", "arm", "segment_type", "segment"]
COLUMNS = {
    "agent_name": "text",
    "arm": "text",
    "segment_type": "text",
    "segment": "text",
    "kpi": "text",
    "provisional_value": "number",
    "provisional_lower_bound": "number",
    "provisional_upper_bound": "number",
    "provisional_n": "count",
}


def readings(transitions: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Completion and CSAT by agent, arm and segment with everything known so far.

    Takes int_completion_transitions and int_csat_triangle. Completion: the share that will have
    been completed of all requests in the window, pending ones included, from what they did so far
    (Aalen-Johansen, by task type). CSAT: the mean once all answers are in.
    """
    return table([*_completions(transitions), *_scores(answers)], COLUMNS)


def _completions(transitions: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for key, rows in transitions.groupby(SEGMENT):
        strata, starts = [], []
        for _, moves in rows.groupby("task_type"):
            n_start = float(moves.n[moves.from_state == "open"].sum())
            strata.append(
                (
                    moves.age_hours.to_numpy(),
                    moves.from_state.to_numpy(dtype=object),
                    moves.to_state.to_numpy(dtype=object),
                    moves.n.to_numpy(dtype=float),
                    n_start,
                )
            )
            starts.append(n_start)
        # What happens at the horizon itself still counts.
        horizon = int(np.ceil(rows.horizon_hours.max())) + 1
        found = stratified_state_occupation(strata, starts, horizon)
        yield _row(key, "task_completion_rate", found, sum(starts))


def _scores(answers: pd.DataFrame) -> Iterator[dict[str, Any]]:
    now = answers[answers.population != "baseline"]
    # Where nothing was launched the window is all data.
    launched = now.loc[now.population != "other", "agent_name"].unique()
    now = now[(now.population != "other") | ~now.agent_name.isin(launched)]
    for key, rows in now.groupby(SEGMENT):
        found = mean_score(rows)
        yield _row(key, "csat", found, found.n)


def _row(key: tuple, kpi: str, found: Estimate, n: float) -> dict[str, Any]:
    return dict(zip(SEGMENT, key, strict=True)) | {
        "kpi": kpi,
        "provisional_value": found.value,
        "provisional_lower_bound": found.lower,
        "provisional_upper_bound": found.upper,
        "provisional_n": n,
    }
