"""What is flagged now, what moved first, and whether the last release helped: for a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import duckdb
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent_kpis.display import STYLE, amount, records, say, signed

EPISODES = """
select e.*, k.label, k.display_order, f.evaluation_date, f.value, f.delta, f.level, f.warning,
    f.action as action_now, f.cause as cause_now
from marts.alert_episodes as e
inner join marts.dim_kpis as k on e.kpi = k.kpi
inner join marts.threshold_flags as f
    on e.agent_name = f.agent_name and e.segment_type = f.segment_type and e.segment = f.segment
    and e.kpi = f.kpi and e.direction = f.direction
where e.is_open and e.agent_name = ?
    and f.evaluation_date = (select max(evaluation_date) from marts.threshold_flags)
order by k.display_order, e.direction
"""
DAY = """
select evaluation_date as day, max(evaluated_on) as evaluated_on
from marts.threshold_flags
where agent_name = ? and segment_type = 'all'
group by evaluation_date
order by evaluation_date desc
limit 1
"""
MOVEMENT = """
select m.*, k.label, i.label as indicator
from marts.first_movers as m
inner join marts.dim_kpis as k on m.kpi = k.kpi
inner join marts.dim_kpis as i on m.first_mover = i.kpi
where m.agent_name = ? and m.segment_type = 'all' and m.direction != 'better'
order by m.moved_on desc
limit 1
"""
RELEASE = """
select r.*, k.label
from marts.release_effects as r
inner join marts.dim_kpis as k on r.kpi = k.kpi
where r.agent_name = ? and r.is_target
order by r.released_at desc
limit 1
"""
VERDICTS = {
    "moved_as_expected": "it moved as expected",
    "moved_against": "it moved against what was expected",
    "no_effect": "no effect: whatever it did is smaller than what would count",
    "not_sensitive_enough": "cannot be told: so few requests would not have shown what counts",
    "overlapping": "no verdict: another release is in its window",
    "inconclusive": "inconclusive",
}
CAUSES = {"ai_specific": "the agent", "shared_shock": "everybody: people moved, too"}


@dataclass(frozen=True)
class Flagged:
    """Of one agent, as the marts have it.

    The last day, the last one up to it with any new data, and the episodes open on it; the last
    movement of a KPI that an early signal announced; the last release, on its target.
    """

    day: date | None
    evaluated_on: date | None
    episodes: list[dict]
    movement: dict | None
    release: dict | None


def flagged(con: duckdb.DuckDBPyConnection, agent: str) -> Flagged:
    """Read from a served database."""

    def first(sql: str) -> dict | None:
        return next(iter(records(con, sql, agent)), None)

    last = first(DAY) or {"day": None, "evaluated_on": None}
    return Flagged(
        **last,
        episodes=records(con, EPISODES, agent),
        movement=first(MOVEMENT),
        release=first(RELEASE),
    )


def print_flagged(console: Console, found: Flagged) -> None:
    """Nothing for an agent without limits."""
    if found.day is None:
        return
    whole = [row for row in found.episodes if row["segment_type"] == "all"]
    parts = len(found.episodes) - len(whole)
    say(
        console,
        f"\n[bold]Flagged, as known on {found.day}[/bold] [dim](the last 7 to 28 days)[/dim]",
    )
    if whole:
        console.print(_table(whole))
    elif found.evaluated_on is None:
        say(console, "No new data for 28 days: nothing can be flagged.")
    else:
        say(console, "Nothing over all requests.")
    if parts:
        say(
            console,
            f"[dim]and {parts} in single task types, channels, tiers or tools: "
            "marts.alert_episodes[/dim]",
        )
    if found.movement:
        say(console, escape(movement_in_words(found.movement)))
    if found.release:
        say(console, escape(release_in_words(found.release)))


def _table(rows: list[dict]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("KPI", "level", "since", "now", "from the reference", "who moved"):
        table.add_column(name)
    for row in rows:
        style = STYLE.get(row["level"], "none")
        late = " *" if row["is_set_after_launch"] else ""
        table.add_row(
            row["label"],
            f"[{style}]{row['level']} {row['direction']}[/{style}]{late}",
            str(row["opened_on"]),
            amount(row["value"], row["unit"]),
            signed(row["delta"], row["unit"]) if row["delta"] is not None else "",
            CAUSES.get(row["cause"], ""),
        )
    if any(row["is_set_after_launch"] for row in rows):
        table.caption, table.caption_justify = "* limit set after launch", "left"
    return table


def movement_in_words(row: dict) -> str:
    """Which early signal moved before a KPI did, and by how many days."""
    return (
        f"First mover: {row['indicator'].lower()} moved {row['lead_days']} days before "
        f"{row['label'].lower()} did, on {row['moved_on']} (between {row['lead_days_lower']} and "
        f"{row['lead_days_upper']}). An order in time, not a reason."
    )


def release_in_words(row: dict) -> str:
    """The last release and what became of its target."""
    name = f"Last release: {row['agent_version']}, {row['released_at']:%Y-%m-%d}"
    effect = effect_in_words(row)
    return f"{name}. {row['label']}{effect and ' '}{effect}: {verdict_in_words(row)}."


def verdict_in_words(row: dict) -> str:
    """The verdict on a release; provisional while its time is not over."""
    return VERDICTS[row["verdict"]] + ("" if row["is_decided"] else ", so far")


def effect_in_words(row: dict) -> str:
    """What a release did to a KPI, with limits; empty where nobody knows."""
    if row["effect"] is None:
        return ""
    effect = signed(row["effect"], row["unit"])
    if row["lower_bound"] is None:
        return effect
    limits = (signed(row[side], row["unit"]) for side in ("lower_bound", "upper_bound"))
    return f"{effect} ({' to '.join(limits)})"
