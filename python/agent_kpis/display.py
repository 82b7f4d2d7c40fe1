"""How numbers read to people, and what the commands that print share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from rich.console import Console

from agent_kpis.errors import CannotRunError

# Worst first.
LEVELS = ("catastrophic", "critical", "warning", "watch", "ok")
STYLE = {"catastrophic": "bold red", "critical": "red", "warning": "yellow", "ok": "green"}


def amount(value: float, unit: str) -> str:
    """A value in its unit, for people."""
    if unit == "share":
        return f"{100 * value:.1f}%"
    if unit == "usd":
        return f"${value:,.2f}"
    if unit == "seconds":
        return duration(value)
    if unit == "ms":
        return f"{value:,.0f} ms"
    return f"{value:,.1f}"


def duration(seconds: float) -> str:
    """Seconds, not negative, in the unit that reads best."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} d"


def distance(value: float, unit: str) -> str:
    """The size of a difference, without its sign: shares in points (pp), the rest in its unit."""
    size = abs(value)
    if unit == "share":
        return f"{100 * size:.1f} pp"
    return f"{size:.1f} points" if unit == "points" else amount(size, unit)


def signed(value: float, unit: str) -> str:
    """A difference with its sign; what rounds to nothing has none."""
    text = distance(value, unit)
    if not re.search("[1-9]", text):
        return text
    return ("-" if value < 0 else "+") + text


def records(con: duckdb.DuckDBPyConnection, sql: str, *values: object) -> list[dict]:
    cursor = con.execute(sql, list(values))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextmanager
def reading(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A served database, to be read; CannotRunError where it is not what this version writes."""
    try:
        with duckdb.connect(str(database), read_only=True) as con:
            yield con
    except (duckdb.CatalogException, duckdb.BinderException, duckdb.IOException) as error:
        first_line = str(error).splitlines()[0]
        raise CannotRunError(
            f"{database} cannot be read as a database of this version ({first_line}). "
            "Run `kpi run` again."
        ) from error


def say(console: Console, text: str) -> None:
    """Print sentences: wrapped between words on a screen, whole in a pipe."""
    console.print(text, soft_wrap=console.soft_wrap and not console.is_terminal)
