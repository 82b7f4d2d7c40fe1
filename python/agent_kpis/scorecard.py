"""The scorecard as a table for a terminal: the KPIs by arm, deflection beside completion."""

from __future__ import annotations

from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

SHOWN = [
    "deflection_rate",
    "task_completion_rate",
    "escalation_rate",
    "time_to_resolution",
    "cost_per_successful_outcome",
    "csat",
    "resolution_rate",
]
WHY = {
    "no_mature_interactions": "none old enough to judge",
    "no_priced_interactions": "no prices",
    "no_successes": "no successes",
    "no_answers": "no answers",
    "no_surveys": "no surveys",
    "more_than_half_unresolved": "over half unresolved",
}
STYLE = {"catastrophic": "bold red", "critical": "red", "warning": "yellow", "ok": "green"}


def amount(value: float, unit: str) -> str:
    """A value in its unit, for people."""
    if unit == "share":
        return f"{100 * value:.1f}%"
    if unit == "usd":
        return f"${value:,.2f}"
    if unit == "seconds":
        return duration(value)
    return f"{value:.1f}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} d"


def cell(row: dict | None) -> str:
    """Value with its interval and n; why there is none; empty where it makes no sense."""
    if row is None:
        return ""
    if row["value"] is None:
        return f"[dim]{WHY.get(row['note'], row['level'])}[/dim]"
    text = amount(row["value"], row["unit"])
    if row["lower_bound"] is not None and row["upper_bound"] is not None:
        low, high = (amount(row[side], row["unit"]) for side in ("lower_bound", "upper_bound"))
        text += f" [dim]({low.removesuffix('%')} - {high.removesuffix('%')})[/dim]"
    return text


def records(con: duckdb.DuckDBPyConnection, sql: str, *values: object) -> list[dict]:
    cursor = con.execute(sql, list(values))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def show(database: Path, console: Console) -> None:
    """Print the scorecard of every agent, then what was rejected."""
    with duckdb.connect(str(database), read_only=True) as con:
        as_of = con.execute("select as_of from intermediate.int_as_of").fetchone()[0]
        rows = records(
            con,
            "select s.*, k.label, k.display_order from marts.kpi_scorecard s "
            "join marts.dim_kpis k on s.kpi = k.kpi where s.segment_type = 'all' "
            "order by s.agent_name, k.display_order",
        )
        gaps = records(
            con,
            """
            select g.agent_name, sum(n_mature) as n, sum(n_gap) as gap,
                sum(n_gap_reopened) as reopened,
                sum(n_gap_abandoned) as abandoned, sum(n_gap_resolved_late) as late
            from marts.deflection_gap g
            where week_start >= (select min(window_start) from marts.kpi_scorecard s
                where s.agent_name = g.agent_name and s.arm = 'ai') - interval 6 day
            group by 1
            """,
        )
        counts = records(con, "select * from intermediate.int_row_counts order by entity")
    scored = sorted({row["agent_name"] for row in rows if row["n"]})
    if not scored:
        console.print("No mature interactions: nothing to score yet.")
    for agent in scored:
        print_agent(console, [row for row in rows if row["agent_name"] == agent], as_of)
        for gap in gaps:
            if gap["agent_name"] == agent and gap["n"]:
                print_gap(console, gap)
    print_counts(console, counts)


def print_agent(console: Console, rows: list[dict], as_of: object) -> None:
    window = rows[0]
    name = window["agent_name"]
    span = f"{window['window_start']} to {window['window_end']}"
    title = "no agent" if name == "(none)" else name
    table = Table(
        title=f"{title}: {window['window_name'].replace('_', ' ')}, {span} (as of {as_of} UTC)",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("KPI")
    arms = [arm for arm in ("ai", "human") if any(row["arm"] == arm for row in rows)]
    found = {(row["arm"], row["kpi"]): row for row in rows}
    for arm in arms:
        n = max(found[arm, kpi]["n"] for kpi in SHOWN if (arm, kpi) in found)
        label = "AI agent" if arm == "ai" else "humans"
        table.add_column(f"{label} (n = {n:,})")
    table.add_column("level")
    for kpi in SHOWN:
        cells = [found.get((arm, kpi)) for arm in arms]
        known = next((row for row in cells if row), None)
        if known is None:
            continue
        label = known["label"] + (" *" if known["role"] == "context" else "")
        row = found.get(("ai", kpi)) or known
        level = "" if row["role"] == "context" else row["level"].replace("_", " ")
        if row["level_direction"]:
            level += f" ({row['level_direction']})"
        style = STYLE.get(row["level"], "dim")
        label = f"[bold]{label}[/bold]" if known["is_primary"] else label
        table.add_row(label, *map(cell, cells), f"[{style}]{level}[/{style}]")
    console.print(table)
    console.print("[dim]* context: explains, never success. Small print: 95% interval.[/dim]")


def print_gap(console: Console, gap: dict) -> None:
    share = 100 * gap["gap"] / gap["n"]
    console.print(
        f"{share:.1f}% of requests were deflected and not completed: {gap['reopened']:,} undone, "
        f"{gap['abandoned']:,} abandoned, {gap['late']:,} too late."
    )


def print_counts(console: Console, counts: list[dict]) -> None:
    table = Table(title="rows", title_justify="left", title_style="bold")
    for name in ("file", "read", "accepted", "superseded", "rejected"):
        table.add_column(name, justify="left" if name == "file" else "right")
    for row in counts:
        numbers = [row[f"n_{name}"] for name in ("raw", "accepted", "superseded", "rejected")]
        table.add_row(row["entity"], *(f"{number:,}" for number in numbers))
    console.print(table)
    if any(row["n_rejected"] for row in counts):
        console.print("[dim]Every rejected row and its reason: marts.rejected_rows[/dim]")
