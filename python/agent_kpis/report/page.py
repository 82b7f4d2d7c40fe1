"""The page: one HTML file that loads nothing, a pure function of the served database."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import altair as alt
import jinja2
import vl_convert
from markupsafe import Markup

from agent_kpis import doctor
from agent_kpis.display import amount, distance, duration, signed
from agent_kpis.flagged import (
    CAUSES,
    effect_in_words,
    movement_in_words,
    release_in_words,
    verdict_in_words,
)
from agent_kpis.report import charts, words
from agent_kpis.report.charts import CONFIG, Table
from agent_kpis.report.data import Agent, Report, Row, read
from agent_kpis.scorecard import (
    COMPLETION,
    SHOWN,
    difference,
    early,
    gap_in_words,
    interval,
    needs_care,
    other_people_answer,
    priced,
    too_few,
    trap,
    why_no_difference,
    why_no_value,
)

KPIS = [kpi for kpi in SHOWN if kpi not in ("deflection_rate", "resolution_rate")]
STATUS = {
    ("before_launch", True): ("before launch", "ok"),
    ("before_launch", False): ("before launch", "ok"),
    ("set_after_launch", True): ("set after launch", "warning"),
    ("set_after_launch", False): ("set after launch", "no_data"),
    ("missing", True): ("missing", "critical"),
    ("missing", False): ("not required", "no_data"),
}
VERDICT_LEVELS = {"moved_as_expected": "ok", "moved_against": "critical"}
TRAITS = {
    "tool_use": "called {}",
    "tool_error": "an error in a call of {}",
    "tool_accuracy": "mean score of the calls of {}",
    "score": "score: {}",
    "agent_version": "version {}",
}


@dataclass(frozen=True)
class Score:
    """A line of the scorecard, in words."""

    label: str
    is_primary: bool
    is_context: bool
    value: str
    limits: str
    n: str
    remarks: list[str]
    people: str = ""
    difference: str = ""
    difference_limits: str = ""
    compared: str = ""
    detectable: str = ""
    level: str = ""
    direction: str = ""


def write_report(database: Path, file: Path, progress: Callable[[str], None] | None = None) -> Path:
    """Write the report of a served database to `file`, in one step (os.replace).

    The same database gives the same bytes. Raises CannotRunError where the database is not there
    or not of this version.
    """
    say = progress or (lambda _: None)
    say("reading the marts")
    report = read(database)
    say("drawing the charts")
    text = render(report)
    file.parent.mkdir(parents=True, exist_ok=True)
    # What is served is a link: the page belongs beside the database that it was made from.
    place = file.resolve()
    fresh = place.with_name(f".{place.name}.new")
    fresh.write_text(text, encoding="utf-8", newline="\n")
    os.replace(fresh, place)
    return file


def render(report: Report) -> str:
    """The whole page."""
    sections = [_section(agent, report, place) for place, agent in enumerate(report.agents)]
    specs = {
        drawn.id: drawn.spec
        for section in sections
        for chart in section["charts"]
        for drawn in (chart, *chart.below)
        if drawn.spec is not None
    }
    style, script = _text("style.css"), _text("report.js")
    return _template().render(
        as_of=f"{report.as_of:%Y-%m-%d %H:%M}",
        sections=sections,
        quality=_quality(report),
        payload={"config": CONFIG, "charts": specs},
        style=Markup(style),
        bundle=Markup(_bundle() if specs else ""),
        script=Markup(script if specs else ""),
        policy=_policy([_bundle(), script] if specs else []),
        level_in_words=words.level_in_words,
    )


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed, once."""
    version = alt.SCHEMA_VERSION.removeprefix("v").rpartition(".")[0]
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)


def _policy(scripts: list[str]) -> str:
    """What the page may do: run its own scripts, and load nothing.

    Vega compiles its expressions, hence unsafe-eval.
    """
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    own = " ".join(f"'sha256-{value}'" for value in hashes)
    allowed = f"script-src {own} 'unsafe-eval'" if own else "script-src 'none'"
    return f"default-src 'none'; {allowed}; style-src 'unsafe-inline'; img-src data:"


def _text(name: str) -> str:
    return (files("agent_kpis.report") / name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.policies["json.dumps_function"] = json.dumps
    return environment.from_string(_text("template.html.j2"))


# Sections -----------------------------------------------------------------------------------


def _section(agent: Agent, report: Report, place: int) -> dict[str, Any]:
    """What the template needs of one agent."""
    id = f"a{place}"
    has_agent = agent.arm == "ai"
    drawn: dict[str, Any] = {}
    if has_agent:
        labels = dict(zip(KPIS, words.labels(agent, KPIS), strict=True))
        drawn = {
            "gap": charts.deflection_gap(agent, f"{id}-gap"),
            "layers": [
                chart
                for kpi in KPIS
                if (
                    chart := charts.both_layers(
                        agent, kpi, labels.get(kpi, kpi), f"{id}-over-{kpi}"
                    )
                )
            ],
            "comparisons": [
                chart
                for kpi in KPIS
                if (chart := charts.beside_people(agent, kpi, f"{id}-beside-{kpi}"))
            ],
            "csat": charts.csat(agent, f"{id}-csat"),
            "reasons": charts.escalation_reasons(agent, f"{id}-reasons"),
            "task_types": charts.task_types(agent, f"{id}-types"),
        }
    all_charts = [
        chart
        for found in drawn.values()
        for chart in (found if isinstance(found, list) else [found])
    ]
    return {
        "id": id,
        "agent": agent,
        "name": "People" if agent.name == "(none)" else agent.name,
        "has_agent": has_agent,
        "headline": words.headline(agent, report.as_of),
        "window": _window(agent),
        "scores": _scores(agent),
        "said": _said(agent),
        "gap_said": gap_in_words(agent.gap) if agent.gap and agent.gap["n"] else "",
        "definitions": words.definitions_in_words(agent),
        "health": words.health_in_words(agent),
        **dict.fromkeys(("gap", "csat", "reasons", "task_types")),
        "layers": [],
        "comparisons": [],
        **drawn,
        "charts": all_charts,
        "episodes": _episodes(agent),
        "movement": (movement_in_words(agent.flagged.movement) if agent.flagged.movement else ""),
        "response": _response(agent),
        "traits": _traits(agent),
        "review": _review(agent),
        "releases": _releases(agent),
        "last_release": (release_in_words(agent.flagged.release) if agent.flagged.release else ""),
        "readiness": _readiness(agent, report.diagnosis),
    }


def _window(agent: Agent) -> str:
    row = agent.score(COMPLETION, agent.arm)
    if row is None:
        if agent.baseline is None:
            return ""
        first, last = agent.baseline["window_start"], agent.baseline["window_end"]
        return f"The baseline, people's requests of {first} to {last}"
    return f"{words.window_in_words(row)}: {row['window_start']} to {row['window_end']}"


def _scores(agent: Agent) -> list[Score]:
    completion = agent.score(COMPLETION, agent.arm)
    n_mature = completion["n"] if completion else 0
    if completion is None:
        # Before launch: what people achieve is the baseline.
        return [_score(row | _UNCOMPARED, 0, "human") for row in agent.baselines]
    rows = (agent.score(kpi, agent.arm) for kpi in SHOWN)
    # The KPIs first: deflection explains, it never is success.
    found = [_score(row, n_mature, agent.arm) for row in rows if row]
    return sorted(found, key=lambda score: score.is_context)


_UNCOMPARED = dict.fromkeys(
    ("level", "level_direction", "provisional_value", "delta", "comparison_note")
)


def _score(row: Row, n_mature: int, arm: str) -> Score:
    unit = row["unit"]
    remarks = []
    if row["value"] is None:
        value, limits = why_no_value(row), ""
    else:
        value = amount(row["value"], unit)
        known = None not in (row["lower_bound"], row["upper_bound"])
        limits = f"({interval(row)})" if known else ""
        if row["note"] == "partly_priced" and n_mature:
            remarks.append(priced(row, n_mature))
    remarks += [early(row), too_few(row), other_people_answer(row)]
    score = {
        "label": str(row["label"]),
        "is_primary": row["is_primary"],
        "is_context": row["role"] == "context",
        "value": value,
        "limits": limits,
        "n": f"n = {row['n']:,}" if row["n"] else "",
        "remarks": [words.sentence_case(remark) for remark in remarks if remark],
    }
    if row["role"] != "context" and row["level"]:
        score |= {"level": row["level"], "direction": row["level_direction"] or ""}
    if arm == "ai" and row["kpi"] != "deflection_rate":
        score |= _compared(row)
    return Score(**score)


def _compared(row: Row) -> dict[str, str]:
    """The reference, and the difference or why there is none."""
    found = {"compared": words.comparison_in_words(row)}
    reason = why_no_difference(row)
    if row["is_withheld"] or row["comparison_type"] == "no_reference":
        return found | {"people": "none", "difference": reason or "none"}
    people = row["reference_value"]
    found["people"] = "none" if people is None else amount(people, row["unit"])
    if row["delta"] is None:
        return found | {"difference": reason or "no data"}
    value, limits = difference(row)
    if row["minimum_detectable_effect"] is not None:
        least = distance(row["minimum_detectable_effect"], row["unit"])
        found["detectable"] = f"smallest that would show: {least}"
    return found | {"difference": value, "difference_limits": limits or f"({reason})"}


def _said(agent: Agent) -> list[tuple[str, bool]]:
    """Sentences below the scorecard, and whether one has to be careful."""
    row = agent.score(COMPLETION)
    if row is None:
        return []
    found = [(" ".join(words.who_people_are(agent)), needs_care(row))]
    if trap(row):
        found.append((trap(row), True))
    return found


def _episodes(agent: Agent) -> list[dict[str, str]]:
    """Stretches beyond a limit over all requests, the open ones first, then the newest."""
    found = sorted(agent.episodes, key=lambda row: row["opened_on"], reverse=True)
    found = sorted(found, key=lambda row: not row["is_open"])
    return [
        {
            "label": str(row["label"]),
            "level": row["worst_level"],
            "direction": row["direction"],
            "start": str(row["opened_on"]),
            "end": str(row["cleared_on"] or "now"),
            "value": "no data"
            if row["worst_value"] is None
            else amount(row["worst_value"], row["unit"]),
            "cause": words.sentence_case(CAUSES.get(row["cause"], "nobody can tell")),
            "late": row["is_set_after_launch"],
        }
        for row in found
    ]


def _response(agent: Agent) -> str:
    """Who answers surveys, the arms beside each other."""
    rates = {
        str(row["population"]): row
        for row in agent.csat_response
        if row["response_rate"] is not None
    }
    names = {"ai": "the agent's", "holdout": "the holdout's", "baseline": "people's before launch"}
    told = [
        f"{amount(rates[name]['response_rate'], 'share')} of {words_}"
        for name, words_ in names.items()
        if name in rates
    ]
    if not told:
        return ""
    text = f"Answered surveys: {doctor.listed(told)}."
    if any(row["nonresponse_risk"] for row in rates.values()):
        text += " The rates differ: other people answer, which no correction mends."
    return text


def _traits(agent: Agent) -> list[dict[str, Any]]:
    """What differs between completed and failed requests, by task type."""
    groups: dict[str, list[Row]] = {}
    for row in agent.traits:
        groups.setdefault(str(row["task_type"]), []).append(row)
    return [
        {
            "task_type": task_type,
            "n": f"{rows[0]['n_passing']:,} completed, {rows[0]['n_failing']:,} not",
            "rows": [
                {
                    "trait": _trait(row),
                    "passing": _trait_value(row, "passing"),
                    "failing": _trait_value(row, "failing"),
                    "before": _trait_value(row, "value_before"),
                    "value": _trait_value(row, "value"),
                    "mark": "changed most" if row["rank_by_change"] == 1 else "",
                }
                for row in rows
            ],
        }
        for task_type, rows in groups.items()
    ]


def _trait(row: Row) -> str:
    name = str(row["trait"])
    known = TRAITS.get(row["trait_group"])
    return known.format(name) if known else name.replace("_", " ")


def _trait_value(row: Row, name: str) -> str:
    value = row[name]
    if value is None:
        return "no data"
    if row["unit"] == "share":
        return amount(value, "share")
    if row["unit"] == "usd":
        return f"${value:,.4f}"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def _review(agent: Agent) -> dict[str, Any] | None:
    if not agent.review:
        return None
    first = agent.review[0]
    return {
        "week": words.week_in_words(first),
        "within": words.within_limits_in_words(agent.review),
        "drifting": words.drifting_in_words(agent.review),
        "decision": words.decision_in_words(first),
        "aim": words.aim_in_words(first),
        "report_only": first["report_only"],
        "history": [
            {
                "week": str(row["week_start"]) + ("" if row["is_complete"] else " (running)"),
                "beyond": f"{row['n_beyond']:,} of {row['n_metrics']:,}",
                "decision": words.decision_in_words(row),
                "aim": words.aim_in_words(row),
            }
            for row in agent.decisions
        ],
    }


def _releases(agent: Agent) -> list[dict[str, Any]]:
    """Each release with the verdict on its target, and what the other KPIs did."""
    groups: dict[str, list[Row]] = {}
    for row in agent.releases:
        groups.setdefault(str(row["agent_version"]), []).append(row)
    found = []
    for version, rows in groups.items():
        target = next((row for row in rows if row["is_target"]), rows[0])
        aim = ""
        if target["min_effect"] is not None:
            sign = -1 if target["expected_direction"] == "down" else 1
            aim = f"{signed(sign * target['min_effect'], target['unit'])} or more"
        found.append(
            {
                "version": version,
                "on": f"{target['released_at']:%Y-%m-%d}",
                "change": f"{(target['change_type'] or 'change').replace('_', ' ')}",
                "summary": target["summary"] or "",
                "target": str(target["label"]),
                "aim": aim,
                "effect": effect_in_words(target) or "no data",
                "verdict": words.sentence_case(verdict_in_words(target)),
                "level": VERDICT_LEVELS.get(target["verdict"], "no_data"),
                "confounded": target["is_time_confounded"],
                "others": [
                    f"{row['label']} {effect_in_words(row) or 'no data'}: {verdict_in_words(row)}"
                    for row in rows
                    if row is not target
                ],
            }
        )
    return found


def _readiness(agent: Agent, diagnosis: doctor.Diagnosis) -> dict[str, Any] | None:
    rows = diagnosis.of(agent.name)
    if not rows:
        return None
    missing = [row for row in rows if row["is_required"] and row["status"] == "missing"]
    late = [row for row in rows if row["is_required"] and row["status"] == "set_after_launch"]
    what = [
        f"{word}: {doctor.listed(dict.fromkeys(doctor.TITLES[r['item_type']].lower() for r in of))}"
        for word, of in (("Missing", missing), ("Set after launch", late))
        if of
    ]
    launched_at = min(row["launched_at"] for row in rows)
    verb = "Launches" if launched_at > diagnosis.as_of else "Launched"
    return {
        "launch": f"{verb} {launched_at:%Y-%m-%d}.",
        "said": ". ".join(what) + "." if what else "Everything required was there before launch.",
        "is_ready": not missing and not late,
        "rows": [
            {
                "item": doctor.TITLES[item_type] + doctor.counted(item_type, items),
                "status": STATUS[status, required][0],
                "level": STATUS[status, required][1],
                "since": f"{since:%Y-%m-%d}" if since else "",
                "owner": owner or "",
            }
            for (item_type, status, required, since, owner), items in doctor.grouped(rows).items()
        ],
    }


def _quality(report: Report) -> dict[str, Any]:
    """Rows read and kept, and what does not count."""
    numbers = ("raw", "accepted", "superseded", "rejected")
    return {
        "counts": [
            {"entity": str(row["entity"]), "cells": [f"{row[f'n_{name}']:,}" for name in numbers]}
            for row in report.counts
        ],
        "n_rejected": sum(row["n_rejected"] for row in report.counts),
        "n_read": sum(row["n_raw"] for row in report.counts),
        "rejected": Table(
            ["File", "Reason", "Column", "Rows"],
            [
                [
                    str(row["entity"]),
                    (row["reason"] or "").replace("_", " "),
                    row["column_name"] or "",
                    f"{row['n']:,}",
                ]
                for row in report.rejected
            ],
        ),
        "undefined": [f"{row['task_type']} ({row['n']:,})" for row in report.undefined],
        "excluded": [
            f"{(row['exclusion_reason'] or 'unknown').replace('_', ' ')} ({row['n']:,})"
            for row in report.excluded
        ],
        "n_checks": sum(row["observed"] is not None for row in report.checks),
        "warned": [
            f"{row['table_name']}: {row['message']}" for row in report.checks if not row["passed"]
        ],
        "runs": Table(
            ["Run (UTC)", "Took", "Ended", "Data as of", "Rows", "Rejected", "Worst level"],
            [
                [
                    f"{row['started_at']:%Y-%m-%d %H:%M}",
                    "" if row["seconds"] is None else duration(row["seconds"]),
                    row["status"] if row["status"] == "ok" else f"{row['status']}: {row['step']}",
                    f"{row['as_of']:%Y-%m-%d}" if row["as_of"] else "",
                    "" if row["rows_read"] is None else f"{row['rows_read']:,}",
                    "" if row["rows_rejected"] is None else f"{row['rows_rejected']:,}",
                    row["worst_level"] or "",
                ]
                for row in report.runs
            ],
        ),
    }
