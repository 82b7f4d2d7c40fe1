"""What every loader shares: reading files, writing landing files and a configuration folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from agent_kpis.contract import Column, entities, project_dir, seed_columns
from agent_kpis.loaders import LoadError

Progress = Callable[[str], None] | None

_DUCKDB_TYPES = {"string": "varchar"}


def connect(zone: str = "UTC") -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB whose text without an offset is a time in `zone`.

    Raises LoadError where DuckDB does not know the zone.
    """
    connection = duckdb.connect()
    try:
        connection.execute(f"set timezone = {text(zone)}")
    except duckdb.Error as error:
        raise LoadError(
            f"time.zone: {zone!r} is no time zone; give an IANA name such as Europe/Berlin or UTC"
        ) from error
    return connection


def ident(name: str) -> str:
    """A name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def text(value: object) -> str:
    """A value as an SQL text literal; None is null."""
    return "null" if value is None else "'" + str(value).replace("'", "''") + "'"


def tell(progress: Progress, message: str) -> None:
    """Passes `message` to `progress`, where there is one."""
    if progress is not None:
        progress(message)


def require_columns(path: Path, have: Iterable[str], needed: Mapping[str, str]) -> None:
    """Raises LoadError where `path` lacks a column of `needed` (column: what asks for it)."""
    have = list(have)
    missing = [f"{name!r} ({why})" for name, why in needed.items() if name not in have]
    if missing:
        raise LoadError(
            f"{path}: no column {', '.join(missing)}; the file has: {', '.join(map(repr, have))}"
        )


def read_parquet(connection: duckdb.DuckDBPyConnection, path: Path, name: str) -> list[str]:
    """Makes the view `name` over a parquet file and returns its columns.

    Raises LoadError where the file is missing or not parquet.
    """
    if not path.is_file():
        raise LoadError(f"{path}: no such file")
    try:
        # Parameters are not allowed in a view's definition.
        connection.execute(f"create view {ident(name)} as select * from read_parquet({text(path)})")
        described = connection.execute(f"describe {ident(name)}").fetchall()
    except duckdb.Error as error:
        raise LoadError(f"{path}: not readable as parquet: {first_line(error)}") from error
    return [row[0] for row in described]


def first_line(error: Exception) -> str:
    """What an engine's message says, without the advice below it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # For a row of a CSV, the number of the line comes first and the reason two lines later.
    return "; ".join(lines[: 3 if "CSV Error on Line" in lines[0] else 1]) if lines else "unknown"


def check_target(to: Path, written: Iterable[str]) -> None:
    """Raises LoadError where `to` holds landing files that this load would leave beside its own.

    Two sources in one folder would be read as one data set.
    """
    written = set(written)
    if to.exists() and not to.is_dir():
        raise LoadError(f"{to}: not a folder; choose another place to write to")
    stale = [
        f"{name}.{ending}"
        for name in entities()
        for ending in ("csv", "parquet")
        if not (ending == "parquet" and name in written) and (to / f"{name}.{ending}").exists()
    ]
    if stale:
        raise LoadError(
            f"{to}: holds landing files of another source ({', '.join(stale)}); "
            "choose an empty folder, or remove them"
        )


def write_landing(
    connection: duckdb.DuckDBPyConnection,
    to: Path,
    names: Iterable[str],
    progress: Progress = None,
) -> dict[str, int]:
    """Writes the tables `names` of `connection` to `to/<entity>.parquet`; returns rows by entity.

    A table is named like its entity. Contract columns it lacks are written as nulls; each column
    gets the contract's type; rows are ordered by key, so equal input gives equal files. An empty
    table writes no file. Raises LoadError where `to` holds landing files of another source.
    """
    rows = {name: _count(connection, name) for name in names}
    check_target(to, [name for name, n in rows.items() if n])
    to.mkdir(parents=True, exist_ok=True)
    for name, n in rows.items():
        if not n:
            continue
        tell(progress, f"writing {name}.parquet: {n:,} rows")
        entity = entities()[name]
        have = {row[0] for row in connection.execute(f"describe {ident(name)}").fetchall()}
        unknown = have - {column.name for column in entity.columns}
        if unknown:
            raise AssertionError(f"{name}: columns outside the contract: {sorted(unknown)}")
        columns = ", ".join(
            f"cast({ident(c.name) if c.name in have else 'null'} as {sql_type(c)})"
            f" as {ident(c.name)}"
            for c in entity.columns
        )
        order = ", ".join(ident(column) for column in entity.key)
        target = to / f"{name}.parquet"
        # Written aside and moved, so that a reader never meets half a file.
        aside = to / f".{name}.parquet.part"
        connection.execute(
            f"copy (select {columns} from {ident(name)} order by {order}) to {text(aside)}"
            " (format parquet, compression zstd)"
        )
        os.replace(aside, target)
    return rows


def sql_type(column: Column) -> str:
    """DuckDB's type of a contract column."""
    return _DUCKDB_TYPES.get(column.type, column.type)


def write_config(
    to: Path,
    rows: Mapping[str, list[Mapping[str, object]]],
    owner: str,
    effective_from: datetime,
    progress: Progress = None,
) -> None:
    """Writes every configuration CSV to the folder `to`.

    `rows` holds, by file, rows as column: value; what a row lacks is left empty, `owner` and
    `effective_from` are filled in. A file without rows has its header only, save `thresholds` and
    `quality_checks`: the default profile and the limits of the project's seeds. Raises LoadError
    where a file or a column is not part of a configuration.
    """
    columns = seed_columns()
    unknown = sorted(set(rows) - set(columns))
    if unknown:
        raise LoadError(
            f"config: no such file {', '.join(map(repr, unknown))}; there are: "
            + ", ".join(sorted(columns))
        )
    contents = {
        "thresholds": default_thresholds(),
        "quality_checks": default_rows("quality_checks"),
        **rows,
    }
    for name, file_rows in contents.items():
        for row in file_rows:
            extra = sorted(set(row) - set(columns[name]))
            if extra:
                raise LoadError(
                    f"config.{name}: no column {', '.join(map(repr, extra))}; there are: "
                    + ", ".join(columns[name])
                )
    tell(progress, f"writing the configuration: {len(columns)} files")
    to.mkdir(parents=True, exist_ok=True)
    standard = {"owner": owner, "effective_from": effective_from}
    for name, header in columns.items():
        with (to / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            for row in contents.get(name, []):
                whole = {**standard, **{k: v for k, v in row.items() if v is not None}}
                writer.writerow([_cell(whole.get(column)) for column in header])


def default_thresholds() -> list[dict[str, str]]:
    """The default profile of the project's seeds, without owner and date."""
    rows = default_rows("thresholds")
    return [row for row in rows if row["threshold_profile"] == "default"]


def default_rows(name: str) -> list[dict[str, str]]:
    """A file of the project's seeds, without owner and date."""
    path = project_dir() / "seeds" / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("owner", "effective_from")}
            for row in csv.DictReader(file)
        ]


def day_before(moment: datetime) -> datetime:
    """Midnight of the day before: a configuration that applies from the first event on."""
    return datetime(moment.year, moment.month, moment.day) - timedelta(days=1)


def maturity(
    connection: duckdb.DuckDBPyConnection, task_types: Iterable[Mapping[str, object]]
) -> dict[str, object]:
    """What of the tables `interactions` and `events` is decided at the default `as_of`.

    Returns `watermark` (the latest opening or event, UTC), `all_mature_at` (the moment from which
    no interaction with a definition is pending, UTC) and `pending` (interactions younger than
    their definition's windows at the watermark). `task_types` are configuration rows; of several
    with one name the longest windows count.
    """
    hours: dict[str, float] = {}
    for row in task_types:
        span = float(row["resolve_within_hours"]) + float(row["reopen_window_hours"])
        hours[str(row["task_type"])] = max(span, hours.get(str(row["task_type"]), 0.0))
    values = ", ".join(f"({text(name)}, {span})" for name, span in sorted(hours.items()))
    found = connection.execute(
        f"""
        with windows (task_type, hours) as (values {values or "(null, null)"}),
        watermark as (
            select greatest(
                (select max(opened_at) from interactions),
                (select max(occurred_at) from events)
            ) as moment
        ),
        matures as (
            select i.opened_at + to_microseconds(cast(w.hours * 3600e6 as bigint)) as moment
            from interactions as i inner join windows as w using (task_type)
        )
        select
            (select moment from watermark),
            (select max(moment) from matures),
            (select count(*) from matures where moment > (select moment from watermark))
        """
    ).fetchone()
    return dict(zip(("watermark", "all_mature_at", "pending"), found, strict=True))


def _count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    return connection.execute(f"select count(*) from {ident(name)}").fetchone()[0]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        midnight = value.time() == datetime.min.time()
        return value.date().isoformat() if midnight else value.isoformat(sep=" ")
    return str(value)
