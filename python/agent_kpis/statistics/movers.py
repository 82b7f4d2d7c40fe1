"""Which indicator changed before a KPI did: an order in time, not a reason.

Frames are those of models/marts/leading; a movement is a change of level of a KPI, and each is read
against the indicators that the configuration maps to it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from agent_kpis.frames import date_text, days, table
from agent_kpis.statistics.changes import (
    ALPHA,
    SMALLEST_SIDE,
    Change,
    Lead,
    Series,
    change_point,
    changes,
    lead,
    series,
)

DAYS_BEFORE, DAYS_AFTER = 28, 14
"""Around a movement an indicator is searched this far, and never past the neighbouring movement."""
SEGMENT = ["agent_name", "segment_type", "segment"]
MOVERS = {
    **dict.fromkeys([*SEGMENT, "kpi"], "text"),
    "moved_on": "date",
    "moved_on_lower": "date",
    "moved_on_upper": "date",
    "kpi_before": "number",
    "kpi_after": "number",
    "direction": "text",
    "first_mover": "text",
    "lead_days": "count",
    "lead_days_lower": "count",
    "lead_days_upper": "count",
    "indicator_before": "number",
    "indicator_after": "number",
    "candidates": "text",
    "n_searched": "count",
    "p_value": "number",
}


class Mover(NamedTuple):
    """An indicator that changed around a movement, and by how much earlier."""

    indicator: str
    diagnosis_order: int
    change: Change
    lead: Lead


def first_movers(kpis: pd.DataFrame, indicators: pd.DataFrame, order: pd.DataFrame) -> pd.DataFrame:
    """One row per movement of a KPI. Takes int_kpi_series, int_indicator_series and
    int_diagnosis_order."""
    known = {key: _series_by_judge(own) for key, own in indicators.groupby([*SEGMENT, "indicator"])}
    rows = []
    for key, own in kpis.groupby([*SEGMENT, "kpi"]):
        mapped = order[order.kpi == key[3]].sort_values(["diagnosis_order", "indicator"])
        better = own.better.iloc[0]
        moved = changes(_series(own))
        edges = [-np.inf, *[change.day for change in moved], np.inf]
        for number, change in enumerate(moved):
            first = max(edges[number], change.day - DAYS_BEFORE)
            end = min(edges[number + 2], change.day + DAYS_AFTER)
            searched, movers = 0, []
            for name, position, bad in zip(
                mapped.indicator, mapped.diagnosis_order, mapped.direction, strict=True
            ):
                parts = [part.between(first, end) for part in known.get((*key[:3], name), [])]
                parts = [part for part in parts if len(part.day) >= 2 * SMALLEST_SIDE]
                searched += bool(parts)
                found = _clearest(parts)
                if found and _fits(change, better, found, bad):
                    movers.append(Mover(name, int(position), found, lead(found, change)))
            rows.append(
                dict(zip([*SEGMENT, "kpi"], key, strict=True))
                | _movement(change, better)
                | first_mover(movers, searched)
            )
    return table(rows, MOVERS)


def first_mover(movers: list[Mover], searched: int) -> dict[str, Any]:
    """Which of the movers, in the order of diagnosis, came first, and what is to be said of it.

    An indicator came first where the whole 90% interval of its lead is above 0; of several the
    earliest, of equals the one to look at first. `order_not_distinguishable`: one moved, and the
    data do not say whether before or after. `none`: none moved, or only after the KPI. `no_data`:
    none has enough days to say.
    """
    clear = [mover for mover in movers if mover.lead.lower > 0]
    row: dict[str, Any] = {
        "candidates": ", ".join(map(_told, movers)) or None,
        "n_searched": searched,
    }
    if clear:
        mover = min(clear, key=lambda one: (one.change.day, one.diagnosis_order))
        return row | {
            "first_mover": mover.indicator,
            "lead_days": mover.lead.days,
            "lead_days_lower": mover.lead.lower,
            "lead_days_upper": mover.lead.upper,
            "indicator_before": mover.change.before,
            "indicator_after": mover.change.after,
        }
    if any(mover.lead.upper >= 0 for mover in movers):
        return row | {"first_mover": "order_not_distinguishable"}
    return row | {"first_mover": "none" if searched else "no_data"}


def _movement(change: Change, better: str) -> dict[str, Any]:
    rises = change.after > change.before
    lower, upper = change.interval()
    if better == "between":
        direction = "higher" if rises else "lower"
    else:
        direction = "better" if rises == (better == "high") else "worse"
    return {
        "moved_on": date_text(change.day),
        "moved_on_lower": date_text(lower),
        "moved_on_upper": date_text(upper),
        "kpi_before": change.before,
        "kpi_after": change.after,
        "direction": direction,
        "p_value": change.p,
    }


def _fits(kpi: Change, better: str, indicator: Change, bad: str) -> bool:
    """To its bad side when the KPI worsens, to its good side when it improves; a KPI that is good
    in between has no better side, and any movement fits."""
    if better == "between":
        return True
    worse = (kpi.after > kpi.before) == (better == "low")
    return worse == ((indicator.after > indicator.before) == (bad == "high"))


def _clearest(parts: list[Series]) -> Change | None:
    """The change least likely by chance among the series of several judges; None where none is."""
    found = [change for change in map(change_point, parts) if change is not None]
    change = min(found, key=lambda one: one.p, default=None)
    # As many judges, as many chances to find one.
    return change if change is not None and change.p * len(parts) < ALPHA else None


def _told(mover: Mover) -> str:
    lead = mover.lead
    return (
        f"{mover.indicator} {date_text(mover.change.day)} "
        f"(lead {lead.days}, {lead.lower} to {lead.upper})"
    )


def _series(rows: pd.DataFrame) -> Series:
    return series(
        days(rows.cohort_date), rows.value.to_numpy(dtype=float), rows.n.to_numpy(dtype=float)
    )


def _series_by_judge(rows: pd.DataFrame) -> list[Series]:
    judges = rows.groupby(["evaluator_name", "evaluator_version"])
    return [_series(own) for _, own in judges]
