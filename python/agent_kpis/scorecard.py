"""The scorecard as a table for a terminal: the agent, people on the same work, the difference."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent_kpis.display import STYLE, amount, distance, reading, records, say, signed
from agent_kpis.flagged import flagged, print_flagged

SHOWN = [
    "deflection_rate",
    "task_completion_rate",
    "escalation_rate",
    "time_to_resolution",
    "cost_per_successful_outcome",
    "csat",
    "resolution_rate",
]
COMPLETION = "task_completion_rate"
WHY = {
    "no_mature_interactions": "none old enough to judge",
    "no_priced_interactions": "no prices",
    "no_successes": "no successes",
    "no_answers": "no answers",
    "no_surveys": "no surveys",
    "more_than_half_unresolved": "over half unresolved",
}
WHY_NO_DIFFERENCE = {
    "sample_ratio_mismatch": "withheld",
    "no_mature_interactions_in_ai": "agent: none old enough",
    "no_mature_interactions_in_reference": "people: none old enough",
    "no_priced_interactions_in_ai": "agent: no prices",
    "no_priced_interactions_in_reference": "people: no prices",
    "no_answers_in_ai": "agent: no answers",
    "no_answers_in_reference": "people: no answers",
    "no_task_type_in_common": "no task type in common",
    "value_cannot_be_told": "cannot be told",
    "fewer_than_30_customers": "no limits: under 30 customers",
}


def interval(row: dict) -> str:
    """Both limits; the unit once, where it is the same."""
    low, high = (amount(row[side], row["unit"]) for side in ("lower_bound", "upper_bound"))
    if row["unit"] in ("share", "usd"):
        return f"{low.strip('$%')}-{high.strip('$%')}"
    if low.split()[1:] == high.split()[1:]:
        low = low.split()[0]
    return f"{low}-{high}"


def difference(row: dict) -> tuple[str, str]:
    """The difference and, in brackets, its limits; the unit once, where it is the same."""
    value, *limits = (
        None if row[name] is None else signed(row[name], row["unit"])
        for name in ("delta", "delta_lower_bound", "delta_upper_bound")
    )
    if None in limits:
        return value, ""
    if row["unit"] == "usd":
        limits = [limit.replace("$", "") for limit in limits]
    elif len({text.split()[1] for text in (value, *limits)}) == 1:
        limits = [limit.split()[0] for limit in limits]
    return value, f"({' to '.join(limits)})"


def early(row: dict, glue: str = " ") -> str:
    """The reading that does not wait, where there is one and it reads differently."""
    if row["provisional_value"] is None:
        return ""
    text = amount(row["provisional_value"], row["unit"])
    if row["value"] is not None:
        return "" if text == amount(row["value"], row["unit"]) else f"early: {text}"
    limits = {side: row[f"provisional_{side}"] for side in ("lower_bound", "upper_bound")}
    if None not in limits.values():
        text += f"{glue}({interval(limits | {'unit': row['unit']})})"
    return f"early: {text}"


def why_no_value(row: dict) -> str:
    """Why a metric has no value."""
    return WHY.get(row["note"]) or (row["level"] or "no_data").replace("_", " ")


def why_no_difference(row: dict) -> str:
    """Why there is no difference; empty where the comparison type says it."""
    return WHY_NO_DIFFERENCE.get(row["comparison_note"], "")


def priced(row: dict, n_mature: int) -> str:
    """How many of the requests have prices."""
    return f"{100 * row['n'] / n_mature:.0f}% priced"


def cell(row: dict | None, n_mature: int, glue: str = " ") -> str:
    """Value with its interval; why there is none; the early reading in a line of its own.

    Empty where the metric makes no sense. `glue` stands before what is in brackets.
    """
    if row is None:
        return ""
    if row["value"] is None:
        text = f"[dim]{why_no_value(row)}[/dim]"
    else:
        text = amount(row["value"], row["unit"])
        if row["lower_bound"] is not None and row["upper_bound"] is not None:
            text += f"{glue}[dim]({interval(row)})[/dim]"
        if row["note"] == "partly_priced":
            text += f"{glue}[yellow]{priced(row, n_mature)}[/yellow]"
    ahead = early(row, glue)
    return f"{text}\n[cyan]{ahead}[/cyan]" if ahead else text


def reference_cells(row: dict | None, glue: str = " ") -> tuple[str, str]:
    """What people achieve and the difference from it; a dash, with the reason, where there is none.

    Empty where no comparison makes sense.
    """
    if row is None or row["kpi"] == "deflection_rate":
        return "", ""
    reason = why_no_difference(row)
    if row["is_withheld"] or row["comparison_type"] == "no_reference":
        return "-", f"- [dim]{reason}[/dim]" if reason else "-"
    people = "-"
    if row["reference_value"] is not None:
        people = amount(row["reference_value"], row["unit"])
    if row["delta"] is None:
        return people, f"- [dim]{reason}[/dim]"
    value, limits = difference(row)
    style = STYLE.get(row["level"], "none")
    return people, f"[{style}]{value}[/{style}]{glue}[dim]{limits or f'({reason})'}[/dim]"


def level_cell(row: dict) -> str:
    """The level and the side of it; a metric that only explains has none."""
    if row["role"] == "context" or row["level"] is None:
        return ""
    style = STYLE.get(row["level"], "dim")
    direction = f" {row['level_direction']}" if row["level_direction"] else ""
    return f"[{style}]{row['level'].replace('_', ' ')}{direction}[/{style}]"


def compared_with(row: dict, balance: dict | None, baseline: dict | None) -> list[str]:
    """Who the people are, in sentences; or why there is no difference and what to do.

    `row` is that of completion, with what `READ` joins to it; `balance` and `baseline` are the
    agent's rows of holdout_balance and kpi_baselines.
    """
    if row["comparison_type"] == "no_reference":
        if row["window_name"].startswith("last_"):
            return ["No reference: comparisons are since launch, not over the last days."]
        return [
            "No reference: nobody was drawn into a holdout, and there are no requests of people "
            "before launch on these task types. agent_scopes.csv names both (holdout_share; "
            "launched_at and baseline_from)."
        ]
    if row["is_withheld"]:
        return [_withheld(balance)]
    n = f"{row['n_reference'] or 0:,} requests"
    if row["comparison_type"] == "holdout":
        sentences = [_holdout(n, balance)]
    else:
        days = f", opened {baseline['window_start']} to {baseline['window_end']}"
        sentences = [
            f"People: before launch, {n}{days if baseline else ''}; same mix of task types.",
            "Time-confounded: whatever else changed since is in the difference.",
        ]
        if row["baseline_kind"] == "retroactive":
            sentences.append("Retroactive: the baseline was written down after launch.")
    if row["covered_share"] is not None and row["covered_share"] < 0.9995:
        sentences.append(
            f"The difference covers {100 * row['covered_share']:.1f}% of the agent's requests: the "
            "task types that people had, too."
        )
    return sentences


def _holdout(n: str, balance: dict | None) -> str:
    of = " of customers" if balance and balance["holdout_unit"] == "customer" else ""
    text = (
        f"People: the holdout, {n}{of} drawn at random to stay with people; same time, same mix of "
        "task types."
    )
    if balance and balance["status"] == "share_not_planned":
        text += " Nobody planned its share (holdout_share), so the draw could not be tested."
    if balance and balance["is_contaminated"]:
        share = f"{100 * balance['contamination_rate']:.1f}%"
        text += (
            f" The agent acted in {share} of the holdout: differences look smaller than they are."
        )
    return text


def _withheld(balance: dict) -> str:
    unit = f"{balance['holdout_unit']}s" if balance["holdout_unit"] else "requests"
    unit = {"interactions": "requests"}.get(unit, unit)
    return (
        f"Differences are withheld: the holdout has {100 * balance['actual_share']:.1f}% of the "
        f"{unit} where {100 * balance['planned_share']:.1f}% were to be drawn "
        f"(p = {balance['sample_ratio_p_value']:.1g}), so the arms are not what chance made. Find "
        f"out where {unit} leave an arm after the draw (filters, handovers that rewrite the arm, "
        "a draw that is not repeatable), or correct holdout_share in agent_scopes.csv, and run "
        "again. The numbers: marts.holdout_balance."
    )


def trap(row: dict) -> str:
    """The crude difference, where it points the other way; else nothing."""
    crude, fair = row["mix_confounded_delta"], row["delta"]
    if crude is None or fair is None or row["delta_lower_bound"] is None or crude * fair >= 0:
        return ""
    return (
        f"The trap: beside everything that people handled, the agent's completion is "
        f"{signed(crude, 'share')}, but that was other work. Like for like it is "
        f"{' '.join(difference(row))}."
    )


def too_few(row: dict) -> str:
    """What a difference that could not be told would have to be to show; else nothing."""
    if row["level"] != "insufficient_data" or row["minimum_detectable_effect"] is None:
        return ""
    if row["delta"] is None:
        return ""
    least = distance(row["minimum_detectable_effect"], row["unit"])
    return f"{row['label']}: too few to tell; a difference under {least} would often go unseen."


def other_people_answer(row: dict) -> str:
    """A warning where the arms answer surveys at different rates; else nothing."""
    if row["note"] != "nonresponse_risk":
        return ""
    return f"{row['label']}: other people answer surveys here than in the reference."


READ = """
select
    s.*, k.label, k.display_order, c.note as comparison_note,
    coalesce(c.is_withheld, false) as is_withheld, c.n_reference, c.covered_share,
    c.mix_confounded_delta
from marts.kpi_scorecard as s
inner join marts.dim_kpis as k on s.kpi = k.kpi
left join marts.holdout_comparison as c
    on s.arm = 'ai' and s.agent_name = c.agent_name and s.segment_type = c.segment_type
    and s.segment = c.segment and s.kpi = c.kpi and s.comparison_type = c.comparison_type
where s.segment_type = 'all'
order by s.agent_name, k.display_order
"""
GAPS = """
select
    agent_name, n_mature as n, n_deflected - n_completed as gap, n_reopened as reopened,
    n_abandoned as abandoned, n_resolved_late as late
from intermediate.int_kpi_segments
where arm = 'ai' and segment_type = 'all'
"""
BALANCES = "select * from marts.holdout_balance"
BASELINES = "select * from marts.kpi_baselines where segment_type = 'all' and kpi = ?"
COUNTS = "select * from intermediate.int_row_counts order by entity"


def show(database: Path, console: Console) -> None:
    """Print the scorecard of every agent with what is flagged, then what was rejected."""
    with reading(database) as con:
        as_of = con.execute("select as_of from intermediate.int_as_of").fetchone()[0]
        rows = records(con, READ)
        gaps = records(con, GAPS)
        balances = records(con, BALANCES)
        baselines = records(con, BASELINES, COMPLETION)
        counts = records(con, COUNTS)
        flags = {agent: flagged(con, agent) for agent in {row["agent_name"] for row in rows}}
    if not any(row["n"] for row in rows):
        console.print("No mature interactions: nothing to score yet.\n")
    read = {row["agent_name"] for row in rows if row["n"] or row["provisional_value"] is not None}
    for agent in sorted(read):
        gap, balance, baseline = (
            next((row for row in found if row["agent_name"] == agent), None)
            for found in (gaps, balances, baselines)
        )
        own = [row for row in rows if row["agent_name"] == agent]
        print_agent(console, own, as_of, balance, baseline)
        if gap and gap["n"]:
            say(console, gap_in_words(gap))
        print_legend(console, own)
        print_flagged(console, flags[agent])
        console.print()
    print_counts(console, counts)


def save_picture(database: Path, file: Path) -> None:
    """The scorecard as an SVG picture that loads nothing from elsewhere."""
    canvas = Console(record=True, width=106, highlight=False, file=io.StringIO())
    show(database, canvas)
    picture = canvas.export_svg(title="kpi run")
    file.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")


def print_agent(
    console: Console,
    rows: list[dict],
    as_of: object,
    balance: dict | None = None,
    baseline: dict | None = None,
) -> None:
    """The table of one agent and what it is compared with."""
    window = rows[0]
    name = window["agent_name"]
    span = f"{window['window_start']} to {window['window_end']}"
    title = "no agent" if name == "(none)" else escape(name)
    moment = str(as_of).partition(".")[0]
    of = f"{title}: {window['window_name'].replace('_', ' ')}, {span} (as of {moment} UTC)"
    say(console, f"[bold]{of}[/bold]")
    found = {(row["arm"], row["kpi"]): row for row in rows}
    table = agent_table(found, glue=" ")
    wide = console.options.update_width(1000)
    if console.measure(table, options=wide).maximum > console.width:
        table = agent_table(found, glue="\n")
    console.print(table)
    if ("ai", COMPLETION) not in found:
        return
    completion = found["ai", COMPLETION]
    who = " ".join(compared_with(completion, balance, baseline))
    say(console, f"[yellow]{who}[/yellow]" if needs_care(completion) else who)
    if trap(completion):
        say(console, f"[yellow]{trap(completion)}[/yellow]")
    for kpi in SHOWN:
        for remark in (too_few, other_people_answer):
            if ("ai", kpi) in found and remark(found["ai", kpi]):
                say(console, f"[dim]{remark(found['ai', kpi])}[/dim]")


def needs_care(row: dict) -> bool:
    """The comparison is missing, withheld, or from another time."""
    return row["comparison_type"] != "holdout" or row["is_withheld"]


def agent_table(found: dict[tuple[str, str], dict], glue: str) -> Table:
    """The rows of one agent, by arm and KPI. People alone, where there is no agent's arm."""
    arm = "ai" if ("ai", COMPLETION) in found else "human"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    n_mature = found[arm, COMPLETION]["n"]
    table.add_column("KPI", no_wrap=True)
    table.add_column(f"{'AI agent' if arm == 'ai' else 'people'}\n[dim]n = {n_mature:,}[/dim]")
    if arm == "ai":
        n = found[arm, COMPLETION]["n_reference"]
        table.add_column("people" + (f"\n[dim]n = {n:,}[/dim]" if n else ""))
        table.add_column("difference\n[dim](95% limits)[/dim]")
    table.add_column("level", max_width=None if glue == " " else len("catastrophic"))
    for kpi in SHOWN:
        row = found.get((arm, kpi))
        if row is None:
            continue
        label = row["label"] + (" *" if row["role"] == "context" else "")
        label = f"[bold]{label}[/bold]" if row["is_primary"] else label
        compared = reference_cells(row, glue) if arm == "ai" else ()
        table.add_row(label, cell(row, n_mature, glue), *compared, level_cell(row))
    return table


def print_legend(console: Console, rows: list[dict]) -> None:
    """What the marks in the table mean; only those that it has."""
    said = ["* context: explains, never success.", "In brackets: 95% limits."]
    if any(row["delta_lower_bound"] is not None for row in rows):
        said = [said[0], "In brackets: 95% limits; those of the difference hold on every look."]
    said.append("Time to resolution is a median.")
    if any(row["arm"] == "ai" and early(row) for row in rows):
        said.append("early: with pending requests and late answers estimated.")
    if any(row["kpi"] == "csat" and row["delta"] is not None for row in rows):
        said.append("CSAT's difference allows for late answers.")
    say(console, f"[dim]{' '.join(said)}[/dim]")


def gap_in_words(gap: dict) -> str:
    """How much of the deflection was no help, by cause."""
    return (
        f"{amount(gap['gap'] / gap['n'], 'share')} of requests were deflected and not completed: "
        f"{gap['reopened']:,} undone, {gap['abandoned']:,} abandoned, {gap['late']:,} too late."
    )


def print_counts(console: Console, counts: list[dict]) -> None:
    table = Table(title="rows read", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name in ("file", "read", "accepted", "superseded", "rejected"):
        table.add_column(name, justify="left" if name == "file" else "right")
    for row in counts:
        numbers = [row[f"n_{name}"] for name in ("raw", "accepted", "superseded", "rejected")]
        table.add_row(row["entity"], *(f"{number:,}" for number in numbers))
    console.print(table)
    if any(row["n_rejected"] for row in counts):
        console.print("[dim]Every rejected row and its reason: marts.rejected_rows[/dim]")
