"""The history of runs: OUT/runs.jsonl, one line an event, so a run that was cut off shows, too."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent_kpis.build import work_folder
from agent_kpis.display import STYLE, duration, records
from agent_kpis.errors import CannotRunError

FILE = "runs.jsonl"
LOCK = "run.lock"
TABLE = """
create table {name} (
    run_id varchar, started_at timestamp, seconds double, status varchar, step varchar,
    as_of timestamp, rows_read bigint, rows_rejected bigint, n_warnings bigint,
    worst_level varchar, message varchar
)
"""
STATUS_STYLE = {"ok": "green", "failed": "red", "could not run": "red", "interrupted": "yellow"}


@dataclass
class RunRecord:
    """One run: what was run on what, how far it came, and what it found."""

    run_id: str
    started_at: datetime
    data: str = ""
    config: str = ""
    status: str = "interrupted"  # ok, failed, could not run; interrupted: it never said
    step: str = ""  # the last one begun
    seconds: float | None = None
    step_seconds: dict[str, float] = field(default_factory=dict)
    as_of: str | None = None
    rows: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    warnings: int = 0
    worst_level: str | None = None
    message: str = ""


class RunLog:
    """Writes the events of one run, each as it happens."""

    def __init__(self, out: Path, data: Path, config: Path) -> None:
        self.file = out / FILE
        self.started_at = datetime.now(UTC)
        self.run_id = f"{self.started_at:%Y%m%dT%H%M%S%f}"
        out.mkdir(parents=True, exist_ok=True)
        self.write("start", data=str(data), config=str(config))

    def write(self, event: str, **values: object) -> None:
        line = {"run_id": self.run_id, "at": datetime.now(UTC).isoformat(), "event": event}
        # A line that a kill cut short must not swallow the next one.
        start = "" if ends_a_line(self.file) else "\n"
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(start + json.dumps(line | values, default=str) + "\n")

    def begin(self, step: str) -> None:
        self.write("begin", step=step)

    def end(self, status: str, **values: object) -> None:
        seconds = (datetime.now(UTC) - self.started_at).total_seconds()
        self.write("end", status=status, seconds=round(seconds, 1), **values)


def ends_a_line(file: Path) -> bool:
    if not file.exists() or not file.stat().st_size:
        return True
    with file.open("rb") as content:
        content.seek(-1, os.SEEK_END)
        return content.read(1) == b"\n"


def read_runs(out: Path) -> tuple[list[RunRecord], int]:
    """Every run, oldest first, and how many lines could not be read."""
    file = out / FILE
    runs: dict[str, RunRecord] = {}
    unreadable = 0
    known = set(RunRecord.__dataclass_fields__) - {"run_id", "started_at"}
    text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    for line in text.splitlines():
        try:
            event = json.loads(line)
            run = runs.setdefault(
                event["run_id"],
                RunRecord(event["run_id"], datetime.fromisoformat(event["at"])),
            )
            if event["event"] == "done":
                run.step_seconds[event["step"]] = event["seconds"]
                continue
            for name in known & set(event):
                setattr(run, name, event[name])
        except (ValueError, KeyError, TypeError):
            unreadable += 1
    return list(runs.values()), unreadable


def found_in(database: Path) -> dict[str, object]:
    """What a finished build has to say in the history."""
    with duckdb.connect(str(database), read_only=True) as con:
        counts = records(con, "select entity, n_raw, n_rejected from intermediate.int_row_counts")
        (as_of,) = con.execute("select max(as_of) from intermediate.int_as_of").fetchone()
        levels = {
            level
            for (level,) in con.execute(
                "select last_level from marts.alert_episodes where is_open"
            ).fetchall()
        }
    return {
        "as_of": as_of and as_of.isoformat(),
        "rows": {row["entity"]: row["n_raw"] for row in counts},
        "rejected": {row["entity"]: row["n_rejected"] for row in counts},
        "worst_level": next((level for level in STYLE if level in levels), "ok"),
    }


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """One run at a time in `out`. The lock goes with its process, however that ends."""
    work = work_folder(out)
    work.mkdir(parents=True, exist_ok=True)
    holder = work / "run.json"
    lock = FileLock(work / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise CannotRunError(
            f"Another run is under way in {out}{who_holds(holder)}. "
            "Wait for it, or give this one another --out."
        ) from None
    try:
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        holder.write_text(json.dumps({"pid": os.getpid(), "since": now}), encoding="utf-8")
        yield
    finally:
        lock.release()


def is_under_way(out: Path) -> bool:
    try:
        with FileLock(work_folder(out) / LOCK, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def who_holds(holder: Path) -> str:
    try:
        found = json.loads(holder.read_text(encoding="utf-8"))
        return f" (process {found['pid']}, since {found['since']} UTC)"
    except (OSError, ValueError, KeyError):
        return ""


def show(out: Path, console: Console, last: int) -> None:
    """The last runs as a table, the newest at the bottom."""
    runs, unreadable = read_runs(out)
    if not runs:
        raise CannotRunError(f"No runs in {out / FILE}. Run `kpi run` first.")
    if runs[-1].seconds is None and is_under_way(out):
        runs[-1].status = "under way"
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("started (UTC)", "took", "ended", "data as of", "rows", "rejected", "level"):
        justify = "right" if name in ("took", "rows", "rejected") else "left"
        table.add_column(name, justify=justify, no_wrap=True)
    for run in runs[-last:]:
        table.add_row(
            f"{run.started_at:%Y-%m-%d %H:%M}",
            duration(run.seconds) if run.seconds is not None else "",
            coloured(run.status, STATUS_STYLE),
            (run.as_of or "").partition("T")[0],
            f"{sum(run.rows.values()):,}" if run.rows else "",
            f"{sum(run.rejected.values()):,}" if run.rows else "",
            coloured(run.worst_level, STYLE) if run.worst_level else "",
        )
    console.print(table)
    for run in runs[-last:]:
        if run.status != "ok":
            said = ": ".join(text for text in (run.step, run.message) if text)
            console.print(f"{run.started_at:%Y-%m-%d %H:%M}  {escape(said)}")
    if unreadable:
        console.print(f"[dim]{unreadable} lines of {out / FILE} could not be read.[/dim]")


def coloured(word: str, styles: dict[str, str]) -> str:
    return f"[{styles.get(word, 'default')}]{escape(word)}[/]"


def write_table(con: duckdb.DuckDBPyConnection, name: str, out: Path) -> None:
    """Every run before the one under way as a table, oldest first."""
    runs, _ = read_runs(out)
    if runs and runs[-1].seconds is None:
        runs.pop()
    con.execute(TABLE.format(name=name))
    rows = [
        (
            run.run_id,
            run.started_at.replace(tzinfo=None),
            run.seconds,
            run.status,
            run.step,
            run.as_of,
            sum(run.rows.values()) if run.rows else None,
            sum(run.rejected.values()) if run.rows else None,
            run.warnings,
            run.worst_level,
            run.message,
        )
        for run in runs
    ]
    if rows:
        marks = ", ".join("?" * len(rows[0]))
        con.executemany(f"insert into {name} values ({marks})", rows)
