"""The checks by name, and the limits that `quality_checks.csv` sets for them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

from agent_kpis.build import check_config
from agent_kpis.contract import Column, Entity, entities
from agent_kpis.errors import CannotRunError

FILE = "quality_checks.csv"
LANDING, MARTS = "landing", "marts"


@dataclass(frozen=True)
class Check:
    """One kind of check. It fails where what it observes lies above the limit.

    `columns`: which columns a row of the file may name (none, any, text or number); `needed`: it
    has to name one. `tables`: of the marts; for landing every entity. `mend`: what to do.
    """

    stage: str
    unit: str  # share, count, hours, times, points, sd or nats
    mend: str
    columns: str = ""
    needed: bool = False
    tables: tuple[str, ...] = ()

    def known_tables(self) -> tuple[str, ...]:
        return self.tables or tuple(entities())


RELOAD = "Export and load it again; if it is real, raise the limit in quality_checks.csv."
CHANGED = "Ask who writes the export what changed; if the world changed, let it pass."

CHECKS: dict[str, Check] = {
    "missing_columns": Check(LANDING, "count", "Rename or add it."),
    "columns_gone": Check(
        LANDING, "count", "Ask who writes the export: was it renamed? Its values are null now."
    ),
    "unknown_columns": Check(
        LANDING, "count", "It is not read. If a column was renamed, rename it back."
    ),
    "rows_lost": Check(
        LANDING,
        "share",
        "A landing file holds all history, not the latest days alone. Export the whole again; if "
        "the rows were meant to go, delete .work/profile.json in the output folder.",
    ),
    "day_drop": Check(LANDING, "share", "Was the export cut short? " + RELOAD),
    "day_rise": Check(LANDING, "times", "Was something loaded twice? " + RELOAD),
    "week_drop": Check(LANDING, "share", "Are days missing? " + RELOAD),
    "week_rise": Check(LANDING, "times", "Was something loaded twice? " + RELOAD),
    "mix_shift": Check(LANDING, "nats", CHANGED, columns="text", needed=True),
    "mean_shift": Check(LANDING, "sd", CHANGED, columns="number", needed=True),
    "filled_shift": Check(LANDING, "points", CHANGED, columns="any", needed=True),
    "hours_behind": Check(LANDING, "hours", "Is its feed stuck? Load what is missing."),
    "age_hours": Check(LANDING, "hours", "Has the export run? Load what is missing."),
    "unreadable_share": Check(
        LANDING,
        "share",
        "The build would reject these rows. Mend the export; the rows are in failing_rows.",
        columns="any",
    ),
    "rejected_share": Check(
        MARTS,
        "share",
        "marts.rejected_rows says which rows and why.",
    ),
    "primary_kpi_missing": Check(
        MARTS,
        "count",
        "Look at int_kpi_segments and at the configuration of its task types.",
        tables=("kpi_scorecard",),
    ),
    "mature_lost": Check(
        MARTS,
        "share",
        "Was history lost, or a task type's definition changed? If it is meant, delete "
        ".work/profile.json in the output folder.",
        tables=("kpi_daily",),
    ),
    "completion_jump": Check(
        MARTS,
        "points",
        "No agent changes so much in a day: look for missing events or another definition.",
        tables=("kpi_daily",),
    ),
    "unpriced_share": Check(
        MARTS,
        "share",
        "Add the missing rows to model_prices.csv or labour_rates.csv, or load the traces.",
        tables=("kpi_daily",),
    ),
}


@dataclass(frozen=True)
class Limit:
    """A row of quality_checks.csv. An empty table or column stands for every one."""

    check: str
    table: str
    column: str
    warning: float | None
    critical: float | None
    minimum_n: float
    effective_from: datetime

    @property
    def given(self) -> dict[str, float]:
        """The limits that are set, the lower one first."""
        limits = {"warning": self.warning, "critical": self.critical}
        return {name: value for name, value in limits.items() if value is not None}


@dataclass(frozen=True)
class Limits:
    """All rows; `of` gives the one that applies."""

    rows: tuple[Limit, ...]

    def of(
        self, check: str, table: str, column: str, moment: datetime | None = None
    ) -> Limit | None:
        """The row for it, the more exact one first, in force at `moment`. None: not checked.

        As with other opinions of a team, the first row also covers the time before it.
        """
        for key in ((table, column), (table, ""), ("", column), ("", "")):
            rows = [row for row in self.rows if (row.check, row.table, row.column) == (check, *key)]
            rows.sort(key=lambda row: row.effective_from)
            if rows:
                past = [row for row in rows if moment is None or row.effective_from <= moment]
                return past[-1] if past else rows[0]
        return None

    def columns(self, check: str, table: str) -> list[str]:
        """The columns of a table that rows of `check` name."""
        named = [row.column for row in self.rows if row.check == check and row.table == table]
        return list(dict.fromkeys(column for column in named if column))


def read_limits(config: Path) -> Limits:
    """The limits of a configuration folder. Raises CannotRunError naming file, line and remedy."""
    check_config(config)
    file = config / FILE
    rows: list[Limit] = []
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        for cells in reader:
            cells = {key: (cells[key] or "").strip() for key in reader.fieldnames or ()}
            rows.append(_limit(cells, partial(_stop, file, reader.line_num)))
    seen = set()
    for row in rows:
        key = (row.check, row.table, row.column, row.effective_from)
        if key in seen:
            _stop(file, None, f"{row.check} {row.table} {row.column} stands twice for one date")
        seen.add(key)
    return Limits(tuple(rows))


def _stop(file: Path, line: int | None, what: str) -> NoReturn:
    where = f"{file}, line {line}" if line else str(file)
    raise CannotRunError(f"{where}: {what}. models/config/quality_checks.yml says what each means.")


def _limit(cells: dict[str, str], stop: partial) -> Limit:
    name, table, column = (cells.get(k, "") for k in ("check_name", "table_name", "column_name"))
    check = CHECKS.get(name)
    if check is None:
        stop(f"check_name {name!r} is not a check. There are: {', '.join(CHECKS)}")
    if table and table not in check.known_tables():
        stop(f"{name} knows no table_name {table!r}. There are: {', '.join(check.known_tables())}")
    if column and not check.columns:
        stop(f"{name} judges whole tables: leave column_name {column!r} out")
    if check.needed and not (table and column):
        stop(f"{name} needs a table_name and a column_name")
    if column:
        known = [c.name for c in _columns(table, check.columns)]
        if column not in known:
            stop(
                f"{name} knows no column_name {column!r} of {table or 'any table'}. "
                f"There are: {', '.join(dict.fromkeys(known)) or 'none'}"
            )
    warning, critical, least = (
        _number(cells.get(k, ""), k, stop) for k in ("warning", "critical", "minimum_n")
    )
    if warning is None and critical is None:
        stop(f"{name} has neither a warning nor a critical limit; leave the row out instead")
    if warning is not None and critical is not None and warning > critical:
        stop(f"{name}: warning {warning:g} lies beyond critical {critical:g}")
    text = cells.get("effective_from", "")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        stop(f"effective_from {text!r} is not a time, such as 2026-02-01")
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return Limit(name, table, column, warning, critical, least or 0.0, moment)


def _columns(table: str, kind: str) -> Iterable[Column]:
    known: Iterable[Entity] = [entities()[table]] if table else entities().values()
    for entity in known:
        for column in entity.columns:
            is_text = column.type == "string"
            is_number = column.type not in ("string", "timestamp", "boolean")
            if kind == "any" or (kind == "text" and is_text) or (kind == "number" and is_number):
                yield column


def _number(text: str, name: str, stop: partial) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        stop(f"{name} {text!r} is not a number from 0 up")
    return value
