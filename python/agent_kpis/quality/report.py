"""What the checks found, and the files that keep it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent_kpis.display import STYLE
from agent_kpis.quality.limits import LANDING, MARTS
from agent_kpis.quality.profile import Profile

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "checks"
DATABASE = "checks.duckdb"
STAGES = (LANDING, MARTS)
RESULT_COLUMNS = {
    "stage": "varchar",
    "table_name": "varchar",
    "column_name": "varchar",
    "check_name": "varchar",
    "severity": "varchar",
    "passed": "boolean",
    "observed": "double",
    "limit_value": "double",
    "n_failing": "bigint",
    "message": "varchar",
    "as_of": "timestamp",
}
ROW_COLUMNS = ("stage", "table_name", "check_name", "column_name", "row_key", "value")


@dataclass(frozen=True)
class CheckResult:
    """One check of one table or column.

    `severity` and `limit` are those of the limit that was passed, where several were the worse
    one; of a check that passed, its nearest. `observed` is null where there was too little to tell.
    `n_failing`: how many rows, columns or agents failed.
    """

    stage: str  # landing or marts
    table: str
    column: str | None
    check: str
    severity: str  # critical or warning
    passed: bool
    observed: float | None
    limit: float
    message: str
    n_failing: int = 0


@dataclass
class Report:
    """Everything one stage found. `profile` is what the next run may compare with."""

    stage: str
    results: list[CheckResult]
    failing_rows: pd.DataFrame  # ROW_COLUMNS, all text
    profile: Profile
    notes: list[str] = field(default_factory=list)
    as_of: str | None = None  # the latest time in the data, ISO 8601, UTC

    @property
    def critical(self) -> list[CheckResult]:
        return [r for r in self.results if not r.passed and r.severity == "critical"]

    @property
    def warnings(self) -> list[CheckResult]:
        return [r for r in self.results if not r.passed and r.severity == "warning"]

    @property
    def exit_code(self) -> int:
        """0 passed, 1 a critical check failed."""
        return 1 if self.critical else 0


def write_report(report: Report, out: Path) -> Path:
    """Write `out`/checks: checks.duckdb, check_results.json and failing_rows.csv; returns it.

    A landing report begins a new round; one of the marts stands beside the landing report that
    came before it. Each file is replaced in one step, so a reader never meets half of one.
    """
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{DATABASE}.new"
    fresh.unlink(missing_ok=True)
    failing = report.failing_rows
    with duckdb.connect(str(fresh)) as con:
        types = ", ".join(f"{name} {kind}" for name, kind in RESULT_COLUMNS.items())
        con.execute(f"create table check_results ({types})")
        con.execute(f"create table failing_rows ({' varchar, '.join(ROW_COLUMNS)} varchar)")
        _keep_earlier(con, folder / DATABASE, report.stage)
        rows = [_row(result, report.as_of) for result in in_order(report.results)]
        if rows:
            marks = ", ".join("?" for _ in RESULT_COLUMNS)
            con.executemany(f"insert into check_results values ({marks})", rows)
        if len(failing):
            con.register("found", failing)
            con.execute(f"insert into failing_rows select {', '.join(ROW_COLUMNS)} from found")
        results = con.execute("select * from check_results").fetchall()
        csv = str(folder / ".failing_rows.csv.new").replace("'", "''")
        con.execute(f"copy failing_rows to '{csv}' (header, delimiter ',')")
    found = [
        {name: _json(value) for name, value in zip(RESULT_COLUMNS, row, strict=True)}
        for row in results
    ]
    (folder / ".check_results.json.new").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for name in (DATABASE, "failing_rows.csv", "check_results.json"):
        os.replace(folder / f".{name}.new", folder / name)
    return folder


def show(report: Report, folder: Path, console: Console) -> None:
    """Print what failed, what to do, and where the failing rows are."""
    judged = [result for result in report.results if result.observed is not None]
    failed = in_order([result for result in report.results if not result.passed])
    if failed:
        table = Table("", "check", "of", "what, and what to do", box=None, pad_edge=False)
        for result in failed:
            place = f"{result.table}.{result.column}" if result.column else result.table
            severity = Text(result.severity, STYLE[result.severity])
            table.add_row(severity, result.check, Text(place), Text(result.message))
        console.print(table, soft_wrap=False)
    console.print(
        f"{report.stage}: {len(judged)} checks, {len(report.critical)} critical, "
        f"{_plural(len(report.warnings), 'warning')}; "
        f"{len(report.results) - len(judged)} with too little to judge by"
    )
    if n := len(report.failing_rows):
        console.print(f"{_plural(n, 'failing row')} in {folder / 'failing_rows.csv'}", markup=False)
    console.print(f"All results in {folder / DATABASE} and check_results.json", markup=False)


def _plural(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def in_order(results: Sequence[CheckResult]) -> list[CheckResult]:
    """What failed first, critical before warning."""
    return sorted(results, key=lambda r: (r.passed, r.severity))


def _keep_earlier(con: duckdb.DuckDBPyConnection, written: Path, stage: str) -> None:
    """What the stages before this one wrote; a file that cannot be read is not kept."""
    earlier = ", ".join(f"'{name}'" for name in STAGES[: STAGES.index(stage)])
    if not earlier or not written.is_file():
        return
    path = str(written).replace("'", "''")
    try:
        con.execute(f"attach '{path}' as earlier (read_only)")
        for table in ("check_results", "failing_rows"):
            con.execute(
                f"insert into {table} by name select * from earlier.{table} "
                f"where stage in ({earlier})"
            )
        con.execute("detach earlier")
    except duckdb.Error:
        con.execute("delete from check_results")
        con.execute("delete from failing_rows")


def _row(result: CheckResult, as_of: str | None) -> list:
    given = asdict(result)
    names = {"table_name": "table", "column_name": "column", "check_name": "check"}
    names |= {"limit_value": "limit"}
    return [as_of if c == "as_of" else given[names.get(c, c)] for c in RESULT_COLUMNS]


def _json(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else value
