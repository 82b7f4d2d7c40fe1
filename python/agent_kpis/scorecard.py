"""The scorecard as a table for a terminal: the KPIs by arm, deflection beside completion."""

from __future__ import annotations

import io
import re
from pathlib import Path

import duckdb
from rich import box
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


def interval(row: dict) -> str:
    """Both limits; the unit once, where it is the same."""
    low, high = (amount(row[side], row["unit"]) for side in ("lower_bound", "upper_bound"))
    if row["unit"] in ("share", "usd"):
        return f"{low.strip('$%')}-{high.strip('$%')}"
    if low.split()[1:] == high.split()[1:]:
        low = low.split()[0]
    return f"{low}-{high}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} d"


def cell(row: dict | None, n_mature: int) -> str:
    """Value with its interval; why there is none; empty where it makes no sense."""
    if row is None:
        return ""
    if row["value"] is None:
        return f"[dim]{WHY.get(row['note'], row['level'])}[/dim]"
    text = amount(row["value"], row["unit"])
    if row["lower_bound"] is not None and row["upper_bound"] is not None:
        text += f" [dim]({interval(row)})[/dim]"
    if row["note"] == "partly_priced":
        text += f" [yellow]{100 * row['n'] / n_mature:.0f}% priced[/yellow]"
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
            "select agent_name, n_mature as n, n_deflected - n_completed as gap, "
            "n_reopened as reopened, n_abandoned as abandoned, n_resolved_late as late "
            "from intermediate.int_kpi_segments where arm = 'ai' and segment_type = 'all'",
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


def save_picture(database: Path, file: Path) -> None:
    """The scorecard as an SVG picture that loads nothing from elsewhere."""
    canvas = Console(record=True, width=100, highlight=False, file=io.StringIO())
    show(database, canvas)
    picture = canvas.export_svg(title="kpi run")
    file.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")


def print_agent(console: Console, rows: list[dict], as_of: object) -> None:
    window = rows[0]
    name = window["agent_name"]
    span = f"{window['window_start']} to {window['window_end']}"
    title = "no agent" if name == "(none)" else name
    table = Table(
        title=f"{title}: {window['window_name'].replace('_', ' ')}, {span} (as of {as_of} UTC)",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("KPI")
    arms = [arm for arm in ("ai", "human") if any(row["arm"] == arm for row in rows)]
    found = {(row["arm"], row["kpi"]): row for row in rows}
    n_mature = {arm: found[arm, "task_completion_rate"]["n"] for arm in arms}
    for arm in arms:
        label = "AI agent" if arm == "ai" else "humans"
        table.add_column(f"{label}, n = {n_mature[arm]:,}")
    table.add_column("level")
    for kpi in SHOWN:
        measured = [found.get((arm, kpi)) for arm in arms]
        known = next((row for row in measured if row), None)
        if known is None:
            continue
        label = known["label"] + (" *" if known["role"] == "context" else "")
        row = found.get(("ai", kpi)) or known
        level = "" if row["role"] == "context" else row["level"].replace("_", " ")
        if row["level_direction"]:
            level += f" {row['level_direction']}"
        style = STYLE.get(row["level"], "dim")
        label = f"[bold]{label}[/bold]" if known["is_primary"] else label
        cells = [cell(row, n_mature[arm]) for row, arm in zip(measured, arms, strict=True)]
        table.add_row(label, *cells, f"[{style}]{level}[/{style}]")
    console.print(table)
    console.print(
        "[dim]* context: explains, never success. In brackets: 95% interval. "
        "Time to resolution is a median.[/dim]"
    )
    if len(arms) > 1:
        console.print(
            "[yellow]The arms may have been given different work: no comparison yet.[/yellow]"
        )


def print_gap(console: Console, gap: dict) -> None:
    share = 100 * gap["gap"] / gap["n"]
    console.print(
        f"{share:.1f}% of requests were deflected and not completed: {gap['reopened']:,} undone, "
        f"{gap['abandoned']:,} abandoned, {gap['late']:,} too late."
    )


def print_counts(console: Console, counts: list[dict]) -> None:
    console.print()
    table = Table(title="rows read", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name in ("file", "read", "accepted", "superseded", "rejected"):
        table.add_column(name, justify="left" if name == "file" else "right")
    for row in counts:
        numbers = [row[f"n_{name}"] for name in ("raw", "accepted", "superseded", "rejected")]
        table.add_row(row["entity"], *(f"{number:,}" for number in numbers))
    console.print(table)
    if any(row["n_rejected"] for row in counts):
        console.print("[dim]Every rejected row and its reason: marts.rejected_rows[/dim]")
