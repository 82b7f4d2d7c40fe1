"""The report's charts: Altair specifications over small rows, drawn by Vega in the page.

Colours are CSS variables of style.css: Vega's SVG takes them as they are, so that dark mode and
print need no second drawing. Every chart comes with a table of the same numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import altair as alt

from agent_kpis.display import LEVELS, amount, signed
from agent_kpis.report.data import ROLLING_DAYS, Agent, Row
from agent_kpis.report.words import level_in_words

LEFT = 42
"""Width of the vertical axis: alike in all charts, so that their days are below each other."""
AGENT, PEOPLE, MUTED = "var(--agent)", "var(--people)", "var(--muted)"
CONFIG: dict[str, Any] = {
    "aria": False,
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "padding": {"left": 2, "right": 12, "top": 4, "bottom": 2},
    "autosize": {"type": "fit-x", "contains": "padding"},
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelLimit": 130,
    },
    "text": {"color": "var(--ink)", "fontSize": 11},
}
GAP = {
    "n_completed": ("completed", "var(--agent)"),
    "n_gap_reopened": ("deflected, then undone", "var(--gap-1)"),
    "n_gap_abandoned": ("deflected, then abandoned", "var(--gap-2)"),
    "n_gap_resolved_late": ("deflected, resolved too late", "var(--gap-3)"),
}
# What the agent was not able to do comes first, and is warm; what it was not to do is cool.
REASONS = {
    "capability_gap": ("could not do it", "var(--reason-1)", True),
    "preference_after_failure": ("asked for a person after it failed", "var(--reason-2)", True),
    "system_failure": ("a system failed", "var(--reason-3)", True),
    "unknown": ("no reason given", "var(--reason-4)", None),
    "customer_preference": ("customer wanted a person", "var(--reason-5)", False),
    "policy_required": ("policy asks for a person", "var(--reason-6)", False),
    "planned": ("planned hand-over", "var(--reason-7)", False),
    "safety": ("safety", "var(--reason-8)", False),
}
TICKS = {"share": ".0%", "usd": "$,.2~f", "points": ".0f", "hours": ",.1~f", "minutes": ",.0f"}
TIPS = {"share": ".1%", "usd": "$,.2f", "points": ".1f", "hours": ",.2f", "minutes": ",.1f"}


@dataclass(frozen=True)
class Table:
    """The numbers of a chart, for reading: texts, the first column being the row's header."""

    columns: list[str]
    rows: list[list[str]]
    caption: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart with what it shows in words; without a specification where there is no data."""

    id: str
    title: str
    description: str
    table: Table | None = None
    spec: dict[str, Any] | None = None
    note: str = ""
    missing: str = ""
    legend: list[tuple[str, str]] = field(default_factory=list)
    """What the colours mean, in HTML, which wraps where Vega's legends do not: colour, words."""
    below: list[Chart] = field(default_factory=list)
    """Charts over the same days; their numbers are in this one's table."""


class Datasets:
    """The rows of a chart's layers, put beside the chart: Altair would walk through every value."""

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, rows: Iterable[Row], columns: dict[str, str]) -> alt.NamedData:
        """Add rows under short names; numbers short, days as text, without what is missing."""
        name = f"d{len(self._rows)}"
        self._rows[name] = [
            {
                short: value
                for short, column in columns.items()
                if (value := _value(row[column])) is not None
            }
            for row in rows
        ]
        return alt.NamedData(name)

    def spec(self, chart: alt.TopLevelMixin, height: int) -> dict[str, Any]:
        """As the page has it. Validating takes longer than all the rest: a test does."""
        spec = chart.properties(width="container", height=height).to_dict(validate=False)
        # The page's own configuration holds, and a schema's address is nothing to load.
        kept = {name: part for name, part in spec.items() if name not in ("config", "$schema")}
        return kept | {"datasets": self._rows}


def _value(value: object) -> object:
    """A cell as the page's data has it."""
    if isinstance(value, date):
        return str(value)
    return value if isinstance(value, (str, bool)) else _number(value)


def _number(value: object) -> float | None:
    """A number in six digits; missing where it is none."""
    if value is None or not math.isfinite(float(value)):
        return None
    return float(f"{float(value):.6g}")


def _timestamp(day: date) -> int:
    """Milliseconds, as Vega counts."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _day(title: str, name: str = "d") -> alt.Tooltip:
    """A day in a tooltip, whatever the reader's time zone."""
    return alt.Tooltip(f"utcyearmonthdate({name}):T", title=title, format="%Y-%m-%d")


def _time(first: date, last: date, labels: bool = True) -> alt.X:
    """Days, alike in all charts of an agent."""
    domain = [_timestamp(first), _timestamp(last + timedelta(days=1))]
    axis = alt.Axis(
        title=None,
        format="%b %-d" if (last - first).days < 60 else "%b",
        tickCount="month" if (last - first).days >= 60 else 4,
        labels=labels,
        ticks=labels,
        grid=False,
        labelAlign="left",
        labelOffset=2,
        labelBound=True,
    )
    return alt.X("d:T", scale=alt.Scale(domain=domain, type="utc"), axis=axis)


def _value_axis(unit: str, count: int = 4) -> alt.Axis:
    return alt.Axis(title=None, format=TICKS[unit], tickCount=count, minExtent=LEFT, maxExtent=LEFT)


def _in(unit: str, rows: Sequence[Row], *names: str) -> tuple[str, Callable[[Row], Row]]:
    """Durations are drawn in hours or minutes: the unit, and what turns rows into it."""
    if unit != "seconds":
        return unit, lambda row: row
    largest = max((abs(row[n]) for row in rows for n in names if row[n] is not None), default=0)
    size, shown = (3600, "hours") if largest >= 2 * 3600 else (60, "minutes")
    return shown, lambda row: row | {n: None if row[n] is None else row[n] / size for n in names}


def shown(value: float | None, unit: str, why: str = "no data") -> str:
    """A value as the tables have it; why it is missing where it is."""
    return why if value is None else amount(value, unit)


# Deflection ---------------------------------------------------------------------------------


def deflection_gap(agent: Agent, id: str) -> Chart:
    """What was deflected, split into what was completed and what only looked so; CSAT below."""
    weeks = [row for row in agent.gap_weeks if row["n_mature"]]
    title = "Deflected is not resolved: what became of requests that no person touched"
    if not weeks:
        return Chart(id, title, title, missing="No request of the agent is old enough to judge.")
    rows = [
        {
            "week": row["week_start"],
            "part": words,
            "n": row[name],
            "share": row[name] / row["n_mature"],
            "place": place,
        }
        for row in weeks
        for place, (name, (words, _)) in enumerate(GAP.items())
    ]
    data, data_of_scores = Datasets(), Datasets()
    parts = [words for words, _ in GAP.values()]
    x = _weeks(weeks)
    bars = (
        alt.Chart(data(rows, {"d": "week", "p": "part", "v": "share", "n": "n", "o": "place"}))
        .mark_bar(width={"band": 0.86})
        .encode(
            x=x,
            y=alt.Y("v:Q", axis=_value_axis("share"), stack="zero"),
            color=alt.Color(
                "p:N",
                scale=alt.Scale(domain=parts, range=[colour for _, colour in GAP.values()]),
                legend=None,
            ),
            order=alt.Order("o:Q"),
            tooltip=[
                alt.Tooltip("d:O", title="Week of"),
                alt.Tooltip("p:N", title="Outcome"),
                alt.Tooltip("v:Q", title="Share", format=".1%"),
                alt.Tooltip("n:Q", title="Requests"),
            ],
        )
    )
    layers = [bars]
    completion = agent.score("task_completion_rate")
    reference = completion["reference_value"] if completion else None
    note = "Shares of all requests of the agent that are old enough to judge, by week of opening."
    if reference is not None and not completion["is_withheld"]:
        line = alt.Chart(data([{"reference": reference}], {"v": "reference"}))
        layers.append(
            line.mark_rule(color=PEOPLE, strokeDash=[6, 4], strokeWidth=2).encode(y="v:Q")
        )
        layers.append(
            line.mark_text(
                align="right", dy=-7, color=PEOPLE, fontWeight="bold", text="people complete"
            ).encode(y="v:Q", x=alt.value("width"))
        )
        note += f" Dashed: what people complete, {amount(reference, 'share')}."
    scores = alt.Chart(data_of_scores(weeks, {"d": "week_start", "v": "csat"}))
    csat = alt.layer(
        scores.mark_line(color=AGENT, strokeWidth=2, point=alt.OverlayMarkDef(color=AGENT)).encode(
            x=_weeks(weeks),
            y=alt.Y("v:Q", axis=_value_axis("points", 3), scale=alt.Scale(zero=False, nice=True)),
            tooltip=[
                alt.Tooltip("d:O", title="Week of"),
                alt.Tooltip("v:Q", title="CSAT", format=".1f"),
            ],
        )
    )
    last = weeks[-1]
    deflected, completed = (amount(last[n], "share") for n in _GAP_RATES)
    return Chart(
        id,
        title,
        f"Bars by week: the completed share, and above it what was deflected but not completed, "
        f"by cause. In the week of {last['week_start']}: {deflected} deflected, {completed} "
        f"completed.",
        Table(
            [
                *("Week of", "Requests", "Deflected", "Completed"),
                *("Undone", "Abandoned", "Too late", "CSAT", "Answers"),
            ],
            [
                [
                    str(row["week_start"]),
                    f"{row['n_mature']:,}",
                    amount(row["deflection_rate"], "share"),
                    amount(row["task_completion_rate"], "share"),
                    *(amount(row[n] / row["n_mature"], "share") for n in list(GAP)[1:]),
                    shown(row["csat"], "points", "no answers"),
                    f"{row['n_surveys_answered'] or 0:,}",
                ]
                for row in weeks
            ],
        ),
        data.spec(alt.layer(*layers), 220),
        note,
        legend=[(colour, text) for text, colour in GAP.values()],
        below=[
            Chart(
                f"{id}-csat",
                "CSAT of the same weeks (0-100)",
                "Mean score of the answers to requests of each week.",
                spec=data_of_scores.spec(csat, 70),
            )
        ],
    )


_GAP_RATES = ("deflection_rate", "task_completion_rate")


def _weeks(weeks: Sequence[Row]) -> alt.X:
    """Weeks as places of their own, by their Mondays; labelled as far as there is room."""
    return alt.X(
        "d:O",
        sort=None,
        scale=alt.Scale(domain=[str(row["week_start"]) for row in weeks]),
        axis=alt.Axis(
            title=None,
            labelAngle=0,
            labelOverlap="parity",
            labelExpr="utcFormat(toDate(datum.value), '%b %-d')",
            grid=False,
        ),
    )


# Both layers over time ----------------------------------------------------------------------


def both_layers(agent: Agent, kpi: str, label: str, id: str) -> Chart | None:
    """A KPI with its reference, limits and episodes; below it the signals that come before."""
    own = [row for row in agent.days if row["kpi"] == kpi]
    if not own:
        return None
    unit = own[0]["unit"]
    names = ["value", "reference_value", "warning", "critical", "catastrophic", "alarming_value"]
    drawn_unit, convert = _in(unit, own, *names)
    drawn = [convert(row) for row in own]
    first, last = own[0]["day"], own[-1]["day"]
    known = [row for row in own if row["value"] is not None]
    suffix = f" (axis in {drawn_unit})" if drawn_unit != unit else ""
    indicators = _indicators(agent, kpi)
    mover = _mover(agent, kpi)
    return Chart(
        id,
        _kpi_title(label, known, unit) + suffix,
        _kpi_description(label, own, known, unit),
        _both_layers_table(own, unit, label, indicators),
        _kpi_spec(agent, kpi, drawn, drawn_unit, first, last) if known else None,
        missing="" if known else "No request was old enough to judge on any of these days.",
        below=[
            _indicator_chart(agent, found, days, mover, first, last, f"{id}-{place}")
            for place, (found, days) in enumerate(indicators)
        ],
    )


def _kpi_title(label: str, known: list[Row], unit: str) -> str:
    if not known:
        return label
    last = known[-1]
    text = f"{label}: {amount(last['value'], unit)}"
    if last["reference_value"] is not None:
        text += f", people {amount(last['reference_value'], unit)}"
    return text


def _kpi_description(label: str, own: list[Row], known: list[Row], unit: str) -> str:
    if not known:
        return f"{label}: no data."
    values = [row["value"] for row in known]
    return (
        f"{label} as known on each day, {own[0]['day']} to {own[-1]['day']}: between "
        f"{amount(min(values), unit)} and {amount(max(values), unit)}, on the last day "
        f"{amount(known[-1]['value'], unit)}, level {level_in_words(own[-1]['level'])}."
    )


def _kpi_spec(
    agent: Agent, kpi: str, rows: list[Row], unit: str, first: date, last: date
) -> dict[str, Any]:
    data = Datasets()
    columns = {
        "d": "day",
        "v": "value",
        "r": "reference_value",
        "w": "warning",
        "c": "critical",
        "k": "catastrophic",
        "a": "alarming_value",
        "l": "level",
        "n": "n",
    }
    numbers = [row[n] for row in rows for n in list(columns.values())[1:7] if row[n] is not None]
    low, high = min(numbers), max(numbers)
    margin = (high - low or abs(high) or 1) * 0.08
    low, high = (max(low - margin, 0) if low >= 0 else low - margin), high + margin
    edge = low if rows[0]["direction"] == "low" else high
    days = data(rows, columns)
    y = alt.Y(
        "v:Q",
        scale=alt.Scale(domain=[_number(low), _number(high)], nice=False, zero=False),
        axis=_value_axis(unit),
    )
    x = _time(first, last)
    base = alt.Chart().encode(x=x)
    bands = [
        base.mark_area(color=f"var(--band-{level})", clip=True).encode(
            y=alt.Y(f"{short}:Q"), y2=end
        )
        for level, short, end in (
            ("warning", "w", alt.Y2("c:Q")),
            ("critical", "c", alt.Y2("k:Q")),
            ("catastrophic", "k", alt.Y2Datum(_number(edge))),
        )
    ]
    tooltip = [
        _day("Day"),
        alt.Tooltip("v:Q", title="Value", format=TIPS[unit]),
        alt.Tooltip("r:Q", title="Reference", format=TIPS[unit]),
        alt.Tooltip("l:N", title="Level"),
        alt.Tooltip("n:Q", title="n"),
    ]
    layers = [
        *bands,
        *_episodes(agent, kpi, last, data),
        *_releases(agent, first, last, data, labels=True),
        base.mark_line(color=PEOPLE, strokeDash=[6, 4], strokeWidth=1.5).encode(y="r:Q"),
    ]
    if any(row["alarming_value"] is not None for row in rows):
        layers.append(
            base.mark_line(color=AGENT, strokeDash=[2, 3], strokeWidth=1.5).encode(y="a:Q")
        )
    layers.append(base.mark_line(color=AGENT, strokeWidth=2.2).encode(y=y))
    layers.append(
        base.mark_point(color=AGENT, size=60, opacity=0, filled=True).encode(y=y, tooltip=tooltip)
    )
    return data.spec(alt.layer(*layers, data=days), 170)


def _episodes(agent: Agent, kpi: str, last: date, data: Datasets) -> list[alt.Chart]:
    """A strip at the top, in the colour of the worst level, where people were told."""
    found = [
        row | {"end": row["cleared_on"] or last + timedelta(days=1)}
        for row in agent.episodes
        if row["kpi"] == kpi
    ]
    if not found:
        return []
    columns = {"d": "opened_on", "e": "end", "l": "worst_level", "s": "direction"}
    levels = list(LEVELS[:3])
    return [
        alt.Chart(data(found, columns))
        .mark_rect(clip=True, opacity=opacity)
        .encode(
            x=alt.X("d:T", scale=alt.Scale(type="utc")),
            x2="e:T",
            y=alt.value(0),
            y2=alt.value(height),
            color=alt.Color(
                "l:N",
                scale=alt.Scale(domain=levels, range=[f"var(--{level})" for level in levels]),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip("l:N", title="Worst level"),
                alt.Tooltip("s:N", title="Side"),
                _day("From"),
                _day("To", "e"),
            ],
        )
        for opacity, height in ((0.06, "height"), (1, 6))
    ]


def _releases(
    agent: Agent, first: date, last: date, data: Datasets, labels: bool
) -> list[alt.Chart]:
    found = [row for row in agent.versions if first <= row["valid_from"].date() <= last]
    if not found:
        return []
    rows = [
        {"day": row["valid_from"].date(), "name": row["agent_version"], "what": row["summary"]}
        for row in found
    ]
    base = alt.Chart(data(rows, {"d": "day", "t": "name", "w": "what"})).encode(
        x=_time(first, last, labels)
    )
    rules = base.mark_rule(color=MUTED, strokeDash=[1, 3], strokeWidth=1.5).encode(
        tooltip=[
            alt.Tooltip("t:N", title="Release"),
            alt.Tooltip("w:N", title="What"),
            _day("On"),
        ]
    )
    if not labels:
        return [rules]
    names = base.mark_text(
        align="left", baseline="bottom", dx=-1, color=MUTED, fontSize=10, limit=60
    ).encode(y=alt.value(-3), text="t:N")
    return [rules, names]


def _indicators(agent: Agent, kpi: str) -> list[tuple[Row, dict[date, Row]]]:
    """The mapped indicators of a KPI in the order of diagnosis, each with its days."""
    days: dict[str, dict[date, Row]] = {}
    for row in agent.indicators:
        days.setdefault(str(row["indicator"]), {})[row["day"]] = row
    return [
        (row, days.get(str(row["indicator"]), {})) for row in agent.diagnosis if row["kpi"] == kpi
    ]


def _mover(agent: Agent, kpi: str) -> list[Row]:
    return [row for row in agent.movers if row["kpi"] == kpi and row["lead_days"] is not None]


def _indicator_chart(
    agent: Agent,
    indicator: Row,
    days: dict[date, Row],
    movers: list[Row],
    first: date,
    last: date,
    id: str,
) -> Chart:
    label, unit = str(indicator["label"]), indicator["unit"]
    unit = unit if unit in TICKS else "points"
    own = [days[day] for day in sorted(days)]
    title = f"{indicator['diagnosis_order']}. {label}"
    if not own:
        return Chart(id, title, title, missing=f"No scores of {label.lower()} in this time.")
    title += f": {amount(own[-1]['value'], indicator['unit'])}"
    if indicator["status"] == "judge_not_calibrated":
        title += " (its judge is not calibrated: may not alert)"
    values = [row["value"] for row in own]
    if indicator["warning"] is not None:
        values.append(indicator["warning"])
    margin = (max(values) - min(values) or 0.1) * 0.15
    domain = [_number(max(min(values) - margin, 0)), _number(max(values) + margin)]
    if unit == "share":
        domain[1] = min(domain[1], 1.0)
    x = _time(first, last, labels=False)
    y = alt.Y(
        "v:Q", scale=alt.Scale(domain=domain, nice=False, zero=False), axis=_value_axis(unit, 2)
    )
    data = Datasets()
    layers: list[alt.Chart] = [*_releases(agent, first, last, data, labels=False)]
    if indicator["warning"] is not None:
        limit = alt.Chart(data([indicator], {"v": "warning"}))
        layers.append(limit.mark_rule(color="var(--warning)", strokeWidth=1.5).encode(y=y))
    base = alt.Chart().encode(x=x, y=y)
    layers.append(base.mark_line(color="var(--signal)", strokeWidth=1.8))
    layers.append(
        base.mark_point(color="var(--signal)", size=50, opacity=0, filled=True).encode(
            tooltip=[
                _day("Day"),
                alt.Tooltip("v:Q", title="Value", format=TIPS[unit]),
                alt.Tooltip("n:Q", title="n"),
            ]
        )
    )
    moved = [
        {"day": row["moved_on"] - timedelta(days=row["lead_days"])}
        for row in movers
        if row["first_mover"] == indicator["indicator"]
    ]
    description = f"{label}, over {ROLLING_DAYS} days up to each day."
    if moved:
        is_low = indicator["bad_direction"] == "low"
        mark = alt.Chart(data(moved, {"d": "day"})).encode(x=x)
        layers.append(mark.mark_rule(color="var(--signal)", strokeWidth=2))
        layers.append(
            mark.mark_text(
                align="right",
                baseline="bottom" if is_low else "top",
                dx=-5,
                fontWeight="bold",
                color="var(--signal)",
                text="moved first",
            ).encode(y=alt.value("height" if is_low else 2))
        )
        description += f" It moved first: {', '.join(str(row['day']) for row in moved)}."
    scores = data(own, {"d": "day", "v": "value", "n": "n"})
    return Chart(id, title, description, spec=data.spec(alt.layer(*layers, data=scores), 62))


def _both_layers_table(
    own: list[Row], unit: str, label: str, indicators: list[tuple[Row, dict[date, Row]]]
) -> Table:
    rows = []
    for row in own:
        cells = [
            str(row["day"]),
            shown(row["value"], unit),
            shown(row["reference_value"], unit, "none"),
            shown(row["warning"], unit, "none"),
            level_in_words(row["level"]),
        ]
        for indicator, days in indicators:
            found = days.get(row["day"])
            cells.append(shown(found and found["value"], indicator["unit"]))
        rows.append(cells)
    columns = ["Day", label, "Reference", "Warning from", "Level"]
    return Table([*columns, *(str(found["label"]) for found, _ in indicators)], rows)


# Beside people ------------------------------------------------------------------------------

SEGMENTS = ("all", "task_type", "channel")
SHOWN_SEGMENTS = 12


def beside_people(agent: Agent, kpi: str, id: str) -> Chart | None:
    """The difference from people with its limits, over all requests and by segment."""
    own = _named([row for row in agent.comparisons if row["kpi"] == kpi])
    if not own:
        return None
    label, unit = str(own[0]["label"]), own[0]["unit"]
    told = [row for row in own if row["delta"] is not None and row["segment_type"] in SEGMENTS][
        :SHOWN_SEGMENTS
    ]
    whole = next((row for row in own if row["segment_type"] == "all"), own[0])
    table = Table(
        [
            *("Requests", "Agent", "People", "Difference"),
            *("Limits on every look", "Limits of one look", "n agent", "n people"),
        ],
        [
            [
                row["name"],
                shown(row["ai_value"], unit),
                "withheld" if row["is_withheld"] else shown(row["reference_value"], unit),
                (row["note"] or "no data").replace("_", " ")
                if row["delta"] is None
                else signed(row["delta"], unit),
                _limits(row, "delta"),
                _limits(row, "fixed"),
                f"{row['n_ai'] or 0:,}",
                f"{row['n_reference'] or 0:,}",
            ]
            for row in own
        ],
    )
    title = label
    if whole["delta"] is not None:
        title = f"{label}: {signed(whole['delta'], unit)}"
    if not told:
        why = (whole["note"] or "nothing to compare").replace("_", " ")
        return Chart(id, title, title, table, missing=f"No difference: {why}.")
    names = ("delta", "delta_lower_bound", "delta_upper_bound", "fixed_lower_bound")
    drawn_unit, convert = _in(unit, told, *names, "fixed_upper_bound")
    drawn = [convert(row) for row in told]
    better = {"high": "right of the line: better than people", "low": "left of the line: better"}
    return Chart(
        id,
        title,
        f"{label}, agent less people, with 95% limits: "
        + "; ".join(f"{row['name']} {signed(row['delta'], unit)}" for row in told[:6])
        + ".",
        table,
        _difference_spec(drawn, drawn_unit),
        note=better.get(str(own[0]["better"]), "neither side is better as such")
        + (f", in {drawn_unit}" if drawn_unit != unit else ""),
    )


def _named(rows: list[Row]) -> list[Row]:
    """Rows with the names of their segments; where two have one, with the kind of segment."""
    often = Counter(row["segment"] for row in rows)
    return [
        row
        | {
            "name": "All requests"
            if row["segment_type"] == "all"
            else f"{row['segment']} ({row['segment_type'].replace('_', ' ')})"
            if often[row["segment"]] > 1
            else str(row["segment"])
        }
        for row in rows
    ]


def _limits(row: Row, which: str) -> str:
    low, high = row[f"{which}_lower_bound"], row[f"{which}_upper_bound"]
    if low is None or high is None:
        return "none"
    return f"{signed(low, row['unit'])} to {signed(high, row['unit'])}"


def _difference_spec(rows: list[Row], unit: str) -> dict[str, Any]:
    data = Datasets()
    scale = 100 if unit == "share" else 1
    keys = ("delta", "delta_lower_bound", "delta_upper_bound", "fixed_lower_bound")
    keys = (*keys, "fixed_upper_bound")
    rows = [row | {k: None if row[k] is None else row[k] * scale for k in keys} for row in rows]
    suffix = {"share": " pp", "hours": " h", "minutes": " min"}.get(unit, "")
    dollar = "$" if unit == "usd" else ""
    columns = {"s": "name", "v": "delta", "a": "delta_lower_bound", "b": "delta_upper_bound"}
    columns |= {"p": "fixed_lower_bound", "q": "fixed_upper_bound", "t": "segment_type"}
    order = [row["name"] for row in rows]
    base = alt.Chart().encode(
        y=alt.Y(
            "s:N",
            sort=order,
            axis=alt.Axis(title=None, ticks=False, domain=False, labelPadding=6, labelFontSize=12),
        )
    )
    axis = alt.Axis(
        title=None,
        tickCount=4,
        labelOverlap=True,
        labelSeparation=8,
        labelExpr="datum.value === 0 ? '0' : (datum.value < 0 ? '\u2212' : '+') + "
        f"'{dollar}' + format(abs(datum.value), '.3~g') + '{suffix}'",
    )
    zero = alt.Chart(data([{"v": 0}], {"v": "v"}))
    x = alt.X("v:Q", axis=axis)
    layers = [
        zero.mark_rule(color="var(--ink)", strokeWidth=1.5).encode(x=x),
        base.mark_rule(color=AGENT, strokeWidth=1.5).encode(x=alt.X("a:Q", axis=axis), x2="b:Q"),
        base.mark_rule(color=AGENT, strokeWidth=5, opacity=0.45).encode(x="p:Q", x2="q:Q"),
        base.mark_point(color=AGENT, filled=True, opacity=1).encode(
            x=x,
            shape=alt.condition("datum.t === 'all'", alt.value("diamond"), alt.value("circle")),
            size=alt.condition("datum.t === 'all'", alt.value(130), alt.value(60)),
            tooltip=[
                alt.Tooltip("s:N", title="Requests"),
                alt.Tooltip("v:Q", title="Difference", format="+.2f"),
                alt.Tooltip("a:Q", title="Lower limit", format="+.2f"),
                alt.Tooltip("b:Q", title="Upper limit", format="+.2f"),
            ],
        ),
    ]
    return data.spec(alt.layer(*layers, data=data(rows, columns)), 22 * len(rows) + 8)


# CSAT ---------------------------------------------------------------------------------------


def csat(agent: Agent, id: str) -> Chart:
    """CSAT by week of the request, with what is still provisional; response below."""
    weeks = agent.csat_weeks
    known = [row for row in weeks if row["completed_mean"] is not None]
    title = "CSAT by the week of the request"
    if not known:
        return Chart(id, title, title, missing="No surveys, or no answers yet.")
    last_final = next((row for row in reversed(known) if not row["is_provisional"]), None)
    if last_final:
        title += f": {amount(last_final['completed_mean'], 'points')} in the last final week"
    rows = [row | {"status": _status(row)} for row in known]
    data, data_of_response = Datasets(), Datasets()
    columns = {"d": "week_start", "v": "completed_mean", "a": "lower_bound", "b": "upper_bound"}
    columns |= {"o": "observed_mean", "s": "status"}
    x = _weeks(weeks)
    scale = alt.Scale(zero=False, nice=True)
    axis = _value_axis("points")
    base = alt.Chart().encode(x=x)
    layers = []
    row = agent.score("csat")
    if row and row["reference_value"] is not None and not row["is_withheld"]:
        people = alt.Chart(data([row], {"v": "reference_value"}))
        layers = [
            people.mark_rule(color=PEOPLE, strokeDash=[6, 4], strokeWidth=2).encode(y="v:Q"),
            people.mark_text(
                align="left", dy=-7, color=PEOPLE, fontWeight="bold", text="people", dx=4
            ).encode(y="v:Q", x=alt.value(0)),
        ]
    kinds = ["final", "provisional"]
    layers += [
        base.mark_rule(color=AGENT, strokeWidth=1.5, opacity=0.6).encode(
            y=alt.Y("a:Q", scale=scale, axis=axis), y2="b:Q"
        ),
        base.mark_line(color=AGENT, strokeWidth=1.5, opacity=0.5).encode(y="v:Q"),
        base.mark_point(color=AGENT, size=70, strokeWidth=2, opacity=1).encode(
            y=alt.Y("v:Q", scale=scale, axis=axis),
            fill=alt.Fill(
                "s:N",
                scale=alt.Scale(domain=kinds, range=["var(--agent)", "var(--surface)"]),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip("d:O", title="Week of"),
                alt.Tooltip("v:Q", title="Once all answers are in", format=".1f"),
                alt.Tooltip("a:Q", title="Lower limit", format=".1f"),
                alt.Tooltip("b:Q", title="Upper limit", format=".1f"),
                alt.Tooltip("o:Q", title="Answers so far", format=".1f"),
                alt.Tooltip("s:N", title="Status"),
            ],
        ),
        base.transform_filter("datum.s === 'provisional'")
        .mark_tick(color="var(--gap-1)", thickness=3, width=16)
        .encode(y="o:Q"),
    ]
    response = alt.Chart(
        data_of_response(weeks, {"d": "week_start", "v": "response_rate"})
    ).mark_bar(color="var(--signal)", opacity=0.75, width={"band": 0.7})
    response = response.encode(
        x=x,
        y=alt.Y("v:Q", axis=_value_axis("share", 2)),
        tooltip=[
            alt.Tooltip("d:O", title="Week of"),
            alt.Tooltip("v:Q", title="Answered so far", format=".1%"),
        ],
    )
    return Chart(
        id,
        title,
        "Weekly mean score of the agent's requests with 95% limits; the newest weeks are "
        f"provisional. In the week of {rows[-1]['week_start']}: "
        f"{amount(rows[-1]['completed_mean'], 'points')}, {rows[-1]['status']}.",
        Table(
            [
                *("Week of", "CSAT", "95% limits", "Answers so far say"),
                *("Status", "Sent", "Answered", "Response"),
            ],
            [
                [
                    str(row["week_start"]),
                    shown(row["completed_mean"], "points", "no answers"),
                    "none"
                    if row["lower_bound"] is None
                    else f"{row['lower_bound']:.1f}-{row['upper_bound']:.1f}",
                    shown(row["observed_mean"], "points", "no answers"),
                    _status(row),
                    f"{row['n_sent']:,}",
                    f"{row['n_answered']:,}",
                    shown(row["response_rate"], "share"),
                ]
                for row in weeks
            ],
        ),
        data.spec(alt.layer(*layers, data=data(rows, columns)), 190),
        "Point: the mean once all answers are in, hollow where it is provisional. Line: 95% "
        "limits. Short bar: what the answers so far say, where more are to come; early answers "
        "are not like late ones.",
        below=[
            Chart(
                f"{id}-response",
                "Share of surveys answered so far",
                "Answered over sent surveys by week.",
                spec=data_of_response.spec(response, 50),
            )
        ],
    )


def _status(row: Row) -> str:
    return "provisional" if row["is_provisional"] else "final"


# Why requests are handed over ---------------------------------------------------------------


def escalation_reasons(agent: Agent, id: str) -> Chart:
    """Escalations by week and reason: what the agent could not do apart from what it was not to."""
    rows = [row for row in agent.reasons if row["n_mature"]]
    title = "Requests handed over, by reason"
    if not rows:
        return Chart(id, title, title, missing="No request of the agent was handed over.")
    found = {str(row["reason_class"]) for row in rows}
    classes = [name for name in REASONS if name in found] + sorted(found - set(REASONS))
    words = {name: REASONS.get(name, (name.replace("_", " "), MUTED, None)) for name in classes}
    n = sum(row["n_escalated"] for row in rows)
    unable = sum(row["n_escalated"] for row in rows if words[str(row["reason_class"])][2])
    if n:
        title = f"{amount(unable / n, 'share')} of hand-overs: the agent was not able to help"
    drawn = [
        row
        | {
            "reason": words[str(row["reason_class"])][0],
            "place": classes.index(str(row["reason_class"])),
        }
        for row in rows
    ]
    data = Datasets()
    weeks = list({row["week_start"]: row for row in rows}.values())
    columns = {"d": "week_start", "p": "reason", "v": "escalation_rate", "n": "n_escalated"}
    columns |= {"h": "share_of_escalations", "o": "place"}
    bars = (
        alt.Chart(data(drawn, columns))
        .mark_bar(width={"band": 0.86})
        .encode(
            x=_weeks(weeks),
            y=alt.Y("v:Q", axis=_value_axis("share"), stack="zero"),
            color=alt.Color(
                "p:N",
                scale=alt.Scale(
                    domain=[words[name][0] for name in classes],
                    range=[words[name][1] for name in classes],
                ),
                legend=None,
            ),
            order=alt.Order("o:Q"),
            tooltip=[
                alt.Tooltip("d:O", title="Week of"),
                alt.Tooltip("p:N", title="Reason"),
                alt.Tooltip("v:Q", title="Of all requests", format=".1%"),
                alt.Tooltip("h:Q", title="Of hand-overs", format=".1%"),
                alt.Tooltip("n:Q", title="Hand-overs"),
            ],
        )
    )
    cells = {(row["week_start"], str(row["reason_class"])): row for row in rows}
    table = [
        [
            str(week),
            f"{one['n_escalated_total']:,} of {one['n_mature']:,}",
            *(
                amount(cell["share_of_escalations"] or 0, "share") if cell else "0.0%"
                for cell in (cells.get((week, name)) for name in classes)
            ),
        ]
        for week, one in ((row["week_start"], row) for row in weeks)
    ]
    return Chart(
        id,
        title,
        f"Bars by week: share of the agent's requests that were handed over, by reason. {n:,} "
        f"hand-overs in all, {unable:,} because the agent was not able to help.",
        Table(
            ["Week of", "Handed over", *(words[name][0].capitalize() for name in classes)],
            table,
            "Shares of the week's hand-overs.",
        ),
        data.spec(bars, 220),
        "Warm colours, at the bottom: the agent could not help. Cool colours: wish, policy, plan.",
        legend=[(words[name][1], words[name][0]) for name in classes],
    )


# Task types ---------------------------------------------------------------------------------


def task_types(agent: Agent, id: str) -> Chart:
    """Which task types lose most completions."""
    rows = agent.task_types
    title = "Completions lost, by task type"
    if not rows:
        return Chart(id, title, title, missing="No week with requests that are old enough yet.")
    told = [row for row in rows if row["lost_completions"] is not None][:SHOWN_SEGMENTS]
    table = Table(
        [
            *("Task type", "Lost", "Completed", "People", "Requests"),
            *("Escalated", "Undone", "Abandoned", "Too late"),
        ],
        [
            [
                str(row["task_type"]),
                "no reference"
                if row["lost_completions"] is None
                else f"{row['lost_completions']:.0f}",
                amount(row["task_completion_rate"], "share"),
                shown(row["reference_rate"], "share", "no reference"),
                f"{row['n_mature']:,}",
                *(f"{row[f'n_{name}']:,}" for name in _FAILURES),
            ]
            for row in rows
        ],
    )
    if not told:
        return Chart(
            id, title, title, table, missing="Nothing to compare with: no reference for any type."
        )
    worst = told[0]
    if worst["lost_completions"] > 0:
        title = (
            f"{worst['task_type']} lost most: about {worst['lost_completions']:.0f} requests that "
            "people would have completed"
        )
    data = Datasets()
    columns = {"s": "task_type", "v": "lost_completions"}
    base = alt.Chart(data(told, columns)).encode(
        y=alt.Y(
            "s:N",
            sort=[row["task_type"] for row in told],
            axis=alt.Axis(title=None, ticks=False, domain=False, labelPadding=6, labelFontSize=12),
        ),
        x=alt.X("v:Q", axis=alt.Axis(title=None, tickCount=4, format=".0f")),
    )
    bars = base.mark_bar(color="var(--critical)", height={"band": 0.65}).encode(
        tooltip=[
            alt.Tooltip("s:N", title="Task type"),
            alt.Tooltip("v:Q", title="Lost completions", format=".1f"),
        ]
    )
    text = base.mark_text(align="left", dx=4).encode(text=alt.Text("v:Q", format=".0f"))
    return Chart(
        id,
        title,
        "Lost completions by task type: "
        + "; ".join(f"{row['task_type']} {row['lost_completions']:.0f}" for row in told[:6])
        + ".",
        table,
        data.spec(alt.layer(bars, text), 26 * len(told) + 8),
        "Lost: (what people complete - what the agent completes) x requests of the week.",
    )


_FAILURES = ("escalated", "reopened", "abandoned", "resolved_late")
