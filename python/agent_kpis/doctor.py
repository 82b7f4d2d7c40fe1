"""Was success defined before launch: what each agent has, what it lacks, and the line to add."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent_kpis.display import reading, records, say
from agent_kpis.errors import CannotRunError

TITLES = {
    "completion_definition": "Definition",
    "baseline": "Baseline",
    "holdout": "Holdout",
    "thresholds": "Thresholds",
    "alert_route": "Alert route",
    "weekly_review": "Weekly review",
}
FILES = {
    "completion_definition": "task_types",
    "baseline": "agent_scopes",
    "holdout": "agent_scopes",
    "thresholds": "thresholds",
    "alert_route": "alert_routes",
    "weekly_review": "weekly_reviews",
}
STATUS = {
    ("before_launch", True): "[green]before launch[/green]",
    ("before_launch", False): "[green]before launch[/green]",
    ("set_after_launch", True): "[yellow]set after launch[/yellow]",
    ("set_after_launch", False): "[dim]set after launch[/dim]",
    ("missing", True): "[red]missing[/red]",
    ("missing", False): "[dim]not required[/dim]",
}
# Examples: what a team may start from.
HOLDOUT = {"holdout_share": "0.15", "holdout_unit": "customer"}
USUAL = {
    "completion_definition": {
        "definition": "resolved_not_reopened",
        "resolve_within_hours": 72,
        "reopen_window_hours": 24,
        "reopen_rule": "any",
        "threshold_profile": "default",
    },
    "alert_route": {"minimum_level": "critical", "route": "on_call"},
    "weekly_review": {"weekday": "monday"},
}
NO_AGENT = "(none)"
NOBODY = "your-team"
BASELINE_DAYS = 42
_MIDNIGHT = datetime.min.time()
Row = dict[str, object]


@dataclass(frozen=True)
class Diagnosis:
    """What the served database says, and what is needed to write a line of a configuration file."""

    as_of: datetime
    rows: list[Row]
    """Of launch_readiness."""
    scopes: dict[tuple[str, str], Row] = field(default_factory=dict)
    """The latest row of agent_scopes by agent and task type."""
    columns: dict[str, list[str]] = field(default_factory=dict)
    """Columns of each configuration file, in the order of the user's file."""
    kpis: dict[str, Row] = field(default_factory=dict)
    """Unit and good side of each metric."""

    @property
    def agents(self) -> list[str]:
        return sorted({str(row["agent_name"]) for row in self.rows})

    def of(self, agent: str) -> list[Row]:
        """The agent's items, in the order of `TITLES`."""
        own = [row for row in self.rows if row["agent_name"] == agent]
        order = list(TITLES)
        return sorted(own, key=lambda row: (order.index(row["item_type"]), row["item"]))

    def missing(self) -> list[Row]:
        return [row for row in self.rows if row["is_required"] and row["status"] == "missing"]

    def late(self) -> list[Row]:
        return [
            row for row in self.rows if row["is_required"] and row["status"] == "set_after_launch"
        ]

    def exit_code(self, strict: bool = False) -> int:
        """0 ready; 1 a required item is missing (strict: or was set after launch), or no agent."""
        if not self.rows or self.missing():
            return 1
        return 1 if strict and self.late() else 0


@dataclass(frozen=True)
class Mending:
    """Items that lack the same thing, and what to do about it."""

    title: str
    sentence: str
    advice: str = ""
    lines: tuple[str, ...] = ()


def read(database: Path) -> Diagnosis:
    """The diagnosis from a database that a run left. Raises CannotRunError."""
    if not database.is_file():
        raise CannotRunError(f"No served database {database}. Run `kpi run` first.")
    with reading(database) as con:
        scopes = records(con, "select * from config.agent_scopes order by effective_from")
        return Diagnosis(
            as_of=con.execute("select as_of from intermediate.int_as_of").fetchone()[0],
            rows=records(con, "select * from marts.launch_readiness"),
            scopes={(row["agent_name"], row["task_type"]): row for row in scopes},
            columns={name: _columns(con, name) for name in set(FILES.values())},
            kpis={row["kpi"]: row for row in records(con, "select * from marts.dim_kpis")},
        )


def _columns(con: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    found = con.execute(
        "select column_name from information_schema.columns "
        "where table_schema = 'config' and table_name = ? order by ordinal_position",
        [name],
    ).fetchall()
    return [column for (column,) in found]


# What to write ------------------------------------------------------------------------------


def mendings(diagnosis: Diagnosis, rows: Iterable[Row]) -> list[Mending]:
    """What to do about rows that are missing or late; those that lack the same thing as one."""
    groups: dict[tuple[object, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["status"], _cause(row)), []).append(row)
    return [_mending(diagnosis, group) for group in groups.values()]


def _name(row: Row) -> str:
    """What the detail calls the item: its task type, or its KPI."""
    return str(row["item"]).rpartition(": ")[2]


def _named(row: Row) -> re.Pattern[str]:
    return re.compile(rf"\b(task_type|kpi|people on) {re.escape(_name(row))}(?!\w)")


def _cause(row: Row) -> str:
    """The detail without the name of the task type or KPI."""
    return _named(row).sub(r"\1 ...", str(row["detail"]))


def _mending(diagnosis: Diagnosis, group: list[Row]) -> Mending:
    first = group[0]
    titles = listed(dict.fromkeys(TITLES[row["item_type"]] for row in group)).capitalize()
    names = ", ".join(dict.fromkeys(_name(row) for row in group))
    sentence = _named(first).sub(lambda found: f"{found[1]} {names}", str(first["detail"]))
    sentence = sentence.replace(" 00:00:00", "")
    if first["status"] == "set_after_launch":
        return Mending(titles, sentence)
    file = FILES[first["item_type"]]
    written = [line for row in group if (line := example(diagnosis, row))]
    if not written:
        return Mending(
            titles,
            sentence,
            "Move baseline_from back (or correct baseline_tier) in agent_scopes.csv, or load older "
            "requests of people.",
        )
    advice = f"Add to {file}.csv (values are examples):"
    if any(_is_dated_later(diagnosis, row) for row in group):
        advice = f"Change {'that row' if len(group) == 1 else 'those rows'} of {file}.csv to:"
    elif file == "agent_scopes" and _scope(diagnosis, first):
        advice = f"Add to {file}.csv; the later row replaces the earlier (values are examples):"
    if first["item_type"] == "alert_route":
        advice = f"Set AGENT_KPIS_ROUTE_ON_CALL to the address. {advice}"
    if first["agent_name"] == NO_AGENT:
        advice = f"Name the agent in interactions (agent_name), or: {advice}"
    return Mending(titles, sentence, advice, tuple(dict.fromkeys(written)))


def _scope(diagnosis: Diagnosis, row: Row) -> Row | None:
    return diagnosis.scopes.get((row["agent_name"], row["task_type"]))


def _is_dated_later(diagnosis: Diagnosis, row: Row) -> bool:
    """A new row would not come after the one that is there."""
    scope = _scope(diagnosis, row)
    return (
        FILES[row["item_type"]] == "agent_scopes"
        and scope is not None
        and scope["effective_from"].date() >= diagnosis.as_of.date()
    )


def example(diagnosis: Diagnosis, row: Row) -> str:
    """A line for the user's file that would define the item; empty where data is what is missing.

    It is dated `as_of`: a line that is added now was not there before.
    """
    owners = [s["owner"] for (name, _), s in diagnosis.scopes.items() if name == row["agent_name"]]
    values: Row = {
        "agent_name": "your-agent" if row["agent_name"] == NO_AGENT else row["agent_name"],
        "owner": owners[-1] if owners else NOBODY,
        "effective_from": diagnosis.as_of.date(),
    }
    if row["item_type"] in ("baseline", "holdout"):
        scope = _scope(diagnosis, row)
        if row["item_type"] == "baseline" and scope and scope["baseline_from"]:
            return ""
        values |= _of_scope(row, scope, diagnosis.as_of)
    elif row["item_type"] == "thresholds":
        values |= _of_limit(row, diagnosis.kpis)
    else:
        values |= {"task_type": row["task_type"]} | USUAL[row["item_type"]]
    return line(values, diagnosis.columns[FILES[row["item_type"]]])


def _of_scope(row: Row, scope: Row | None, as_of: datetime) -> Row:
    """The agent's terms on the task type with what they lack; whole ones where there are none."""
    baseline = {"baseline_from": row["launched_at"].date() - timedelta(days=BASELINE_DAYS)}
    if scope is None:
        terms = {"task_type": row["task_type"], "launched_at": row["launched_at"]}
        return terms | baseline | HOLDOUT
    today = datetime.combine(as_of, _MIDNIGHT)
    added = baseline if row["item_type"] == "baseline" else HOLDOUT
    return scope | {"effective_from": max(scope["effective_from"], today)} | added


def _of_limit(row: Row, kpis: Mapping[str, Row]) -> Row:
    profile, _, kpi = str(row["item"]).rpartition(": ")
    in_points = kpis[kpi]["unit"] in ("share", "points")
    limits = (5, 10, 20) if in_points else (10, 20, 40)
    return {
        "threshold_profile": profile,
        "kpi": kpi,
        "direction": "low" if kpis[kpi]["better"] == "high" else "high",
        "unit": "pp" if in_points else "percent",
        "sustained_periods": 2,
    } | dict(zip(("warning", "critical", "catastrophic"), limits, strict=True))


def line(values: Mapping[str, object], columns: Iterable[str]) -> str:
    """A line of a CSV with these columns."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([_cell(values.get(name)) for name in columns])
    return text.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, datetime) and value.time() == _MIDNIGHT:
        value = value.date()
    return "" if value is None else str(value)


# What to print ------------------------------------------------------------------------------


def show(diagnosis: Diagnosis, console: Console) -> None:
    """Print every agent's items, then what to do about those that are missing or late."""
    if not diagnosis.rows:
        say(
            console,
            "[red]No agent[/red]: agent_scopes.csv names none, and no request was an agent's. "
            "Add a row for each task type that the agent is to serve:",
        )
        scope = {
            "agent_name": "your-agent",
            "task_type": "a task type of task_types.csv",
            "launched_at": diagnosis.as_of.date() + timedelta(days=BASELINE_DAYS),
            "baseline_from": diagnosis.as_of.date(),
            "owner": NOBODY,
            "effective_from": diagnosis.as_of.date(),
        } | HOLDOUT
        console.print(f"  {','.join(diagnosis.columns['agent_scopes'])}", markup=False)
        console.print(f"  {line(scope, diagnosis.columns['agent_scopes'])}", markup=False)
    for number, agent in enumerate(diagnosis.agents):
        if number:
            console.print()
        print_agent(diagnosis, agent, console)


def print_agent(diagnosis: Diagnosis, agent: str, console: Console) -> None:
    rows = diagnosis.of(agent)
    name = "no agent" if agent == NO_AGENT else escape(agent)
    as_of: date = diagnosis.as_of.date()
    of_agent = [row for row in rows if row["item_type"] == "alert_route"]
    launched_at = min(row["launched_at"] for row in of_agent or rows)
    verb = "launches" if launched_at > diagnosis.as_of else "launched"
    say(console, f"[bold]{name}: {verb} {_cell(launched_at)} (as of {as_of})[/bold]")
    console.print(table(rows))
    missing = [row for row in rows if row in diagnosis.missing()]
    late = [row for row in rows if row in diagnosis.late()]
    if missing:
        what = listed(dict.fromkeys(TITLES[row["item_type"]].lower() for row in missing))
        say(console, f"[red]Not ready.[/red] Missing: {what}.")
    else:
        say(console, "[green]Ready: nothing that is required is missing.[/green]")
    for mending in mendings(diagnosis, missing):
        print_mending(mending, console)
    if late:
        console.print()
        what = listed(dict.fromkeys(TITLES[row["item_type"]].lower() for row in late))
        say(
            console,
            f"[yellow]Set after launch: {what}.[/yellow] A warning: agreed before launch and only "
            "written down later, correct effective_from in the row; else leave it, it is what "
            "happened.",
        )
        for mending in mendings(diagnosis, late):
            print_mending(mending, console)
    optional = [row for row in rows if row["status"] == "missing" and not row["is_required"]]
    if optional:
        console.print()
        say(console, "[dim]Missing, but not required:[/dim]")
        for mending in mendings(diagnosis, optional):
            say(console, f"[dim]- {escape(mending.sentence)}[/dim]")


def listed(words: Iterable[str]) -> str:
    """one, two and three"""
    words = list(words)
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def table(rows: list[Row]) -> Table:
    """One line for items of a kind that have the same status, date and owner."""
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("item", "status", "since", "owner"):
        found.add_column(name, no_wrap=name != "item")
    for (item_type, status, is_required, since, owner), items in grouped(rows).items():
        found.add_row(
            f"{TITLES[item_type]}[dim]{escape(counted(item_type, items))}[/dim]",
            STATUS[status, is_required],
            _cell(since),
            escape(str(owner or "")),
        )
    return found


def grouped(rows: Iterable[Row]) -> dict[tuple, list[str]]:
    """Items by what they have in common: kind, status, whether required, date and owner."""
    groups: dict[tuple, list[str]] = {}
    for row in rows:
        key = (row["item_type"], row["status"], row["is_required"], row["defined_at"], row["owner"])
        groups.setdefault(key, []).append(str(row["item"]))
    return groups


def counted(item_type: str, items: list[str]) -> str:
    """What the items are of: the only one by name, several by their number."""
    if item_type in ("alert_route", "weekly_review"):
        return ""
    if len(items) == 1:
        return f": {items[0]}"
    if item_type != "thresholds":
        return f": {len(items)} task types"
    profiles = dict.fromkeys(item.rpartition(": ")[0] for item in items)
    return f": {len(items)} KPIs of {listed(profiles)}"


def print_mending(mending: Mending, console: Console) -> None:
    say(console, f"\n[bold]{mending.title}[/bold]: {escape(mending.sentence)}")
    if mending.advice:
        say(console, f"  {escape(mending.advice)}")
    for text in mending.lines:
        console.print(f"    {text}", markup=False, soft_wrap=True)
