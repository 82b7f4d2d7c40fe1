"""Who is told: the rows of alert_routes.csv, and the addresses that only the environment has."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent_kpis.errors import CannotRunError

FILE = "alert_routes.csv"
NEEDED = ("agent_name", "minimum_level", "route", "owner", "effective_from")
LEVELS = ("watch", "warning", "critical", "catastrophic")
DIGEST_ABOVE = 5


def severity(level: str | None) -> int:
    """Levels in order, 0 for what is none."""
    return LEVELS.index(level) + 1 if level in LEVELS else 0


@dataclass(frozen=True)
class RouteRow:
    """One line of the file. `agent_name` empty: every agent."""

    agent_name: str
    minimum_level: str
    route: str
    owner: str
    effective_from: datetime
    renotify_hours: float | None
    digest_above: int | None


@dataclass(frozen=True)
class Route:
    """A route with the rows that are in force."""

    name: str
    rows: tuple[RouteRow, ...]

    @property
    def variable(self) -> str:
        """The environment variable that holds its address."""
        return f"AGENT_KPIS_ROUTE_{self.name.upper()}"

    @property
    def digest_above(self) -> int:
        given = [row.digest_above for row in self.rows if row.digest_above is not None]
        return min(given, default=DIGEST_ABOVE)

    def accepts(self, level: str, agent: str | None = None) -> bool:
        """Is a level sent here? Without an agent: of any (what concerns them all)."""
        return any(severity(level) >= severity(row.minimum_level) for row in self._of(agent))

    def renotify_after(self, agent: str | None = None) -> timedelta | None:
        """How long until the same is told again; None for never."""
        given = [row.renotify_hours for row in self._of(agent) if row.renotify_hours is not None]
        return timedelta(hours=min(given)) if given else None

    def _of(self, agent: str | None) -> list[RouteRow]:
        return [row for row in self.rows if agent is None or row.agent_name in ("", agent)]

    def address(self, environment: Mapping[str, str]) -> str | None:
        """The apprise URL, or None where the environment has none."""
        return environment.get(self.variable, "").strip() or None


def read_routes(config: Path) -> list[RouteRow]:
    """The file of a configuration folder. Raises CannotRunError naming file, line and column."""
    file = config / FILE
    if not file.is_file():
        raise CannotRunError(f"{file} is missing: it says who is told of alerts.")
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, skipinitialspace=True)
            header = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = header
            missing = [column for column in NEEDED if column not in header]
            if missing:
                raise CannotRunError(
                    f"{file} lacks the column{'s' if len(missing) > 1 else ''} "
                    f"{', '.join(missing)}. It has: {', '.join(header) or 'nothing'}."
                )
            return [_row(file, reader.line_num, cells) for cells in reader if any(cells.values())]
    except UnicodeDecodeError:
        raise CannotRunError(f"{file} is not UTF-8 text.") from None
    except csv.Error as error:
        raise CannotRunError(f"{file} is not a proper CSV file: {error}.") from None


def in_force(rows: Sequence[RouteRow], moment: datetime) -> list[Route]:
    """The routes at a moment: per agent and route the latest row that has begun."""
    latest: dict[tuple[str, str], RouteRow] = {}
    for row in sorted(rows, key=lambda row: row.effective_from):
        if row.effective_from <= moment:
            latest[row.route, row.agent_name] = row
    names = dict.fromkeys(row.route for row in rows if any(row.route == key[0] for key in latest))
    return [
        Route(name, tuple(row for (route, _), row in latest.items() if route == name))
        for name in names
    ]


def _row(file: Path, line: int, cells: Mapping[str, str | list[str] | None]) -> RouteRow:
    if None in cells or None in cells.values():
        raise CannotRunError(f"{file}, line {line}: not as many cells as the header has.")
    row = {name: str(value).strip() for name, value in cells.items()}

    def read(column: str, parse: Callable, rule: str) -> object:
        try:
            return parse(row[column])
        except ValueError:
            raise CannotRunError(
                f"{file}, line {line}, column {column}: {row[column] or '(empty)'}; {rule}."
            ) from None

    def optional(column: str, parse: Callable, rule: str) -> object:
        return read(column, parse, rule) if row.get(column) else None

    return RouteRow(
        agent_name=row["agent_name"],
        minimum_level=read("minimum_level", _level, f"must be one of {', '.join(LEVELS)}"),
        route=read("route", _name, "must be lower-case letters, digits and underscores"),
        owner=row["owner"],
        effective_from=read(
            "effective_from", _moment, "must be a time such as 2026-03-09 or 2026-03-09T12:00:00Z"
        ),
        renotify_hours=optional("renotify_hours", _hours, "must be a number above 0, or empty"),
        digest_above=optional("digest_above", _count, "must be a whole number above 0, or empty"),
    )


def _level(text: str) -> str:
    if text not in LEVELS:
        raise ValueError
    return text


def _name(text: str) -> str:
    if not re.fullmatch("[a-z0-9_]+", text):
        raise ValueError
    return text


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 < hours < float("inf"):
        raise ValueError
    return hours


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count
