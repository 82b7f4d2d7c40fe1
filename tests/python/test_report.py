"""The report says what the marts say, in words and numbers, and shows names as text."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import altair as alt
import duckdb
import pytest

from agent_kpis.display import amount, records, signed
from agent_kpis.errors import CannotRunError
from agent_kpis.flagged import Flagged
from agent_kpis.report import charts, page, words, write_report
from agent_kpis.report.data import POINTS, Agent, read
from reports import AGENT, HOSTILE, Page, changed, emptied, hostile, people_alone, several
from support import REPOSITORY
from warehouse import Build

KPI = Path(sys.executable).parent / "kpi"
# What Python, SQL and JavaScript call something that is missing.
NO_WORDS = re.compile(r"\b(nan|NaN|None|null|NULL|NaT|inf|Infinity)\b")


@pytest.fixture(scope="module")
def database(story: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return changed(story.database, tmp_path_factory.mktemp("served") / "agent_kpis.duckdb")


@pytest.fixture(scope="module")
def report(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(database, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def story_page(report: Path) -> Page:
    return Page(report.read_text(encoding="utf-8"))


@pytest.fixture
def page_of(tmp_path: Path, database: Path) -> Callable[..., Page]:
    """The page of a changed copy: by statements, or by a function of database and copy."""

    def make(*changes: str | Callable[[Path, Path], Path]) -> Page:
        copy = tmp_path / "copy.duckdb"
        if changes and callable(changes[0]):
            changes[0](database, copy)
        else:
            changed(database, copy, *changes)
        file = write_report(copy, tmp_path / "report.html")
        return Page(file.read_text(encoding="utf-8"))

    return make


def query(database: Path, sql: str, *values: object) -> list[dict[str, Any]]:
    with duckdb.connect(str(database), read_only=True) as con:
        return records(con, sql, *values)


def heading(found: Page, level: str = "h2") -> str:
    return next(found.root.all(level)).text


def facts(found: Page) -> dict[str, str]:
    block = next(found.root.all("dl", class_="facts"))
    return dict(
        zip((e.text for e in block.all("dt")), (e.text for e in block.all("dd")), strict=True)
    )


# The story in words -------------------------------------------------------------------------


def test_the_headline_says_what_is_true_now(story_page: Page) -> None:
    assert heading(story_page, "h1").startswith("Is the agent resolving requests")
    assert heading(story_page) == "atlas is deflecting, not resolving"
    said = next(story_page.root.all("p", class_="sentence")).text
    assert said == (
        "Since launch: 60.7% of requests handled without a person, 33.3% completed; people "
        "complete 65.9% of the same kinds of request."
    )
    found = facts(story_page)
    assert found["Worst now"].startswith("Task completion is too low, now 34.6%, -31.3 pp from")
    assert found["Since"] == "2026-02-20 (134 days)"
    assert found["Who"] == "The agent: people on the same work did not move."
    assert found["What to do"] == "Consider taking the agent offline."
    assert found["Data to"] == "2026-07-05 23:45 UTC, judged to 2026-07-04"
    beyond = [e.text for e in next(story_page.root.all("ul", class_="levels")).all("li")]
    assert beyond == [
        "Task completion catastrophic low",
        "Escalation catastrophic high",
        "Time to resolution catastrophic high",
        "CSAT critical low",
    ]


def test_a_level_is_a_word_a_colour_and_a_shape(story_page: Page) -> None:
    badges = list(story_page.root.all("span", class_="badge"))
    assert len(badges) > 10
    for badge in badges:
        level = badge.attributes["class"].split()[1]
        assert badge.one("use").attributes["href"] == f"#shape-{level}"
        assert level == "none" or badge.text.startswith(level)
    shapes = {e.attributes["id"] for e in story_page.root.all("symbol")}
    assert {f"shape-{level}" for level in ("catastrophic", "critical", "warning", "ok")} <= shapes


def test_what_moved_first_and_the_trap_are_named(story_page: Page) -> None:
    text = story_page.root.text
    for said in (
        "First mover: tool call accuracy moved 3 days before task completion did, on 2026-04-26",
        "The trap: beside everything that people handled, the agent's completion is +5.0 pp",
        "27.4% of requests were deflected and not completed: 1,085 undone, 1,123 abandoned, 342",
        "the machines looked well (latency, errors, tools) while customers were not helped",
        "Last release: 1.3.0, 2026-05-21. Task completion +10.6 pp",
        "Report only: no change was decided.",
        "Launched 2026-02-16. Everything required was there before launch.",
        "count in no KPI: gift_card (75)",
    ):
        assert said in text, said


# Rules on rows of our own -------------------------------------------------------------------


def scored(kpi: str = "task_completion_rate", **changes: Any) -> dict[str, Any]:
    row = {
        "agent_name": "nova",
        "arm": "ai",
        "kpi": kpi,
        "label": kpi,
        "role": "primary",
        "unit": "share",
        "window_name": "since_launch",
        "value": 0.60,
        "lower_bound": 0.58,
        "upper_bound": 0.62,
        "n": 1000,
        "reference_value": 0.61,
        "delta": -0.01,
        "delta_lower_bound": -0.03,
        "delta_upper_bound": 0.01,
        "comparison_type": "holdout",
        "comparison_note": None,
        "is_withheld": False,
        "level": "ok",
        "note": None,
    }
    return row | changes


def agent(*rows: dict[str, Any], **parts: Any) -> Agent:
    nothing = Flagged(day=None, evaluated_on=None, episodes=[], movement=None, release=None)
    return Agent("nova", list(rows), **({"flagged": nothing} | parts))


WORSE = {"delta": -0.3, "delta_lower_bound": -0.35, "delta_upper_bound": -0.25}
DEFLECTION = scored("deflection_rate", value=0.8, lower_bound=0.78, upper_bound=0.82)


@pytest.mark.parametrize(
    ("row", "deflection", "verdict"),
    [
        (WORSE | {"level": "catastrophic"}, DEFLECTION, "is deflecting, not resolving"),
        (WORSE | {"level": "critical"}, None, "completes fewer requests than people do"),
        (
            WORSE | {"level": "critical"},
            DEFLECTION | {"lower_bound": 0.61},
            "completes fewer requests than people do",
        ),
        ({}, DEFLECTION, "completes about as many requests as people do"),
        (
            {"delta": 0.1, "delta_lower_bound": 0.05, "delta_upper_bound": 0.15},
            DEFLECTION,
            "completes more requests than people do",
        ),
        ({"level": "insufficient_data"}, DEFLECTION, "cannot be told from people yet"),
        ({"is_withheld": True, "delta": None}, None, "has nobody to be compared with"),
        ({"comparison_type": "no_reference"}, None, "has nobody to be compared with"),
        ({"delta": None}, None, "cannot be compared yet"),
        ({"delta_lower_bound": None}, None, "cannot be compared yet"),
        ({"value": None, "level": "no_data"}, None, "cannot be judged yet"),
        (WORSE | {"level": "ok"}, None, "completes about as many requests as people do"),
    ],
)
def test_the_verdict_goes_by_rules(
    row: dict[str, Any], deflection: dict[str, Any] | None, verdict: str
) -> None:
    rows = [scored(**row), *([deflection] if deflection else [])]
    assert words.verdict(agent(*rows)) == verdict


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        (["critical", "ok"], "completed fewer requests than people did, and is within its limits"),
        (["ok", "critical"], "is deflecting, not resolving"),
        (["ok", "insufficient_data"], "is deflecting, not resolving"),
    ],
)
def test_an_agent_that_was_mended_is_told_so(levels: list[str], verdict: str) -> None:
    days = [
        day("task_completion_rate", level, date(2026, 3, place))
        for place, level in enumerate(levels, start=1)
    ]
    on = Flagged(date(2026, 3, 2), date(2026, 3, 2), [], None, None)
    worse = scored(**WORSE, level="critical")
    assert words.verdict(agent(worse, DEFLECTION, days=days, flagged=on)).startswith(verdict)


def test_the_sentence_says_why_there_is_no_comparison() -> None:
    nobody = agent(scored(comparison_type="no_reference", reference_value=None))
    assert words.sentence(nobody) == "Since launch: 60.0% completed. No comparison with people."
    withheld = agent(scored(is_withheld=True))
    assert "withheld: the holdout is not what was drawn" in words.sentence(withheld)
    assert "61.0%" not in words.sentence(withheld), "nobody is to subtract it"
    before = agent(scored(comparison_type="pre_launch"))
    assert "people before launch complete 61.0%" in words.sentence(before)
    young = agent(scored(value=None, note="no_mature_interactions", level="no_data"))
    assert words.sentence(young) == "Task completion: none old enough to judge."


def day(kpi: str, level: str, on: date = date(2026, 3, 1)) -> dict[str, Any]:
    return {"kpi": kpi, "level": level, "day": on}


@pytest.mark.parametrize(
    ("levels", "level", "said"),
    [
        (["ok", "ok"], "ok", "Every KPI is within its limits."),
        (["ok", "watch"], "watch", "Nothing is beyond its limits; watched: csat."),
        (["ok", "no_data"], "no_data", "Nothing is beyond its limits; not known: csat."),
        (["insufficient_data", "ok"], "insufficient_data", "not known: task_completion_rate."),
    ],
)
def test_a_calm_day_has_the_worst_of_what_is_left(levels: list, level: str, said: str) -> None:
    days = [day("task_completion_rate", levels[0]), day("csat", levels[1])]
    # Another day's level does not count.
    days.append(day("csat", "critical", date(2026, 2, 1)))
    on = Flagged(date(2026, 3, 1), date(2026, 3, 1), [], None, None)
    calm = agent(scored(), scored("csat"), days=days, flagged=on)
    found = words.headline(calm, datetime(2026, 3, 2))
    assert found.level == level
    assert found.facts[0][1].endswith(said)
    assert found.beyond == []


def test_who_moved_is_said_or_that_nobody_can_tell() -> None:
    episode = {
        "segment_type": "all",
        "label": "CSAT",
        "display_order": 5,
        "level": "warning",
        "direction": "low",
        "opened_on": date(2026, 2, 20),
        "value": None,
        "unit": "points",
        "delta": None,
        "comparison_type": "holdout",
        "cause": None,
        "cause_now": "shared_shock",
        "action": "investigate",
        "action_now": None,
        "is_set_after_launch": True,
    }
    for cause, said in (("shared_shock", "Everybody"), (None, "Nobody can tell")):
        rows = [episode | {"cause_now": cause}, episode | {"segment_type": "task_type"}]
        on = Flagged(date(2026, 3, 1), date(2026, 3, 1), rows, None, None)
        found = words.headline(agent(scored(), flagged=on), datetime(2026, 3, 2))
        told = dict(found.facts)
        assert told["Who"].startswith(said)
        assert told["Since"] == "2026-02-20 (9 days)"
        assert told["What to do"] == "Investigate."
        assert told["Limit"] == "Set after launch."
        assert len(found.beyond) == 1, "segments are not the headline"


def test_the_worst_level_leads_whatever_the_order() -> None:
    base = {
        "segment_type": "all",
        "direction": "low",
        "opened_on": date(2026, 2, 20),
        "value": 0.5,
        "unit": "share",
        "delta": -0.1,
        "comparison_type": "holdout",
        "cause_now": "ai_specific",
        "action_now": "act now",
        "is_set_after_launch": False,
    }
    rows = [
        base | {"label": "A", "display_order": 1, "level": "warning"},
        base | {"label": "B", "display_order": 2, "level": "critical"},
    ]
    on = Flagged(date(2026, 3, 1), date(2026, 3, 1), rows, None, None)
    found = words.headline(agent(scored(), flagged=on), datetime(2026, 3, 2))
    assert found.level == "critical"
    assert [row["label"] for row in found.beyond] == ["B", "A"]


@pytest.mark.parametrize(
    ("row", "said", "aim"),
    [
        ({"report_only": True, "next_change_summary": None}, "Report only: no change", ""),
        (
            {"report_only": True, "next_change_summary": "Look."},
            "Report only: Look. (no KPI, effect and date)",
            "",
        ),
        (
            {
                "report_only": False,
                "next_change_type": "knowledge_base",
                "next_change_summary": "Mend.",
                "next_change_kpi": "escalation_rate",
                "next_change_label": "Escalation",
                "next_change_unit": "share",
                "next_change_direction": "down",
                "next_change_min_effect": 0.05,
                "next_change_decide_by": date(2026, 6, 18),
                "next_change_owner": "ops",
            },
            "Knowledge base: Mend.",
            "Escalation -5.0 pp or more until 2026-06-18, by ops",
        ),
    ],
)
def test_a_review_ends_in_a_change_or_says_that_it_did_not(
    row: dict[str, Any], said: str, aim: str
) -> None:
    assert words.decision_in_words(row).startswith(said)
    assert words.aim_in_words(row) == aim


# Numbers equal the marts --------------------------------------------------------------------


def test_the_scorecard_is_the_mart(database: Path, story_page: Page) -> None:
    table = next(story_page.root.all("table", class_="scores")).table()
    shown = {row[0].removesuffix("context, never success").strip(): row[1:] for row in table[1:]}
    rows = query(
        database,
        "select s.*, k.label from marts.kpi_scorecard as s inner join marts.dim_kpis as k "
        "using (kpi) where s.arm = 'ai' and s.segment_type = 'all'",
    )
    by_label = {row["label"]: row for row in rows}
    assert len(shown) == 7
    for label, (value, people, difference, level) in shown.items():
        row = by_label[label]
        assert value.startswith(amount(row["value"], row["unit"]) + " ")
        assert f"n = {row['n']:,}" in value
        if row["delta"] is not None:
            assert people == f"{amount(row['reference_value'], row['unit'])} holdout, same time"
            assert difference.startswith(signed(row["delta"], row["unit"]) + " (")
            least = signed(row["minimum_detectable_effect"], row["unit"]).removeprefix("+")
            assert difference.endswith(f"smallest that would show: {least}")
        if row["role"] != "context":
            side = f" {row['level_direction']}" if row["level_direction"] else ""
            assert level == row["level"] + side
    assert shown["Deflection"][1:] == ["no comparison makes sense", "none", "context"]
    assert [row[0] for row in table[1:]][-2].startswith("Deflection"), "context comes last"


def close(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("kpi", "direction", "size"),
    [
        ("task_completion_rate", "low", 1),
        ("escalation_rate", "high", 1),
        ("csat", "low", 1),
        ("cost_per_successful_outcome", "high", 1),
        ("time_to_resolution", "high", 3600),
    ],
)
def test_a_kpi_over_time_is_its_flags(
    database: Path, story_page: Page, kpi: str, direction: str, size: int
) -> None:
    rows = query(
        database,
        "select * from marts.threshold_flags where segment_type = 'all' and kpi = ? "
        "and direction = ? order by evaluation_date",
        kpi,
        direction,
    )
    chart = f"a0-over-{kpi}"
    values = story_page.values(chart)
    table = story_page.figure(chart).one("table", class_="numbers").table()[1:]
    assert len(values) == len(rows) == len(table)
    for found, row, cells in zip(values, rows, table, strict=True):
        assert found["d"] == cells[0] == str(row["evaluation_date"])
        assert found["l"] == row["level"]
        assert cells[4] == row["level"].replace("_", " ")
        if row["value"] is None:
            assert "v" not in found
            assert cells[1] == "no data"
            continue
        assert close(found["v"] * size, row["value"])
        assert cells[1] == amount(row["value"], row["unit"])
        reference = row["reference_value"]
        assert close(found["r"] * size, reference)
        for short, name in (("w", "warning"), ("c", "critical"), ("k", "catastrophic")):
            if row["limit_unit"] == "percent":
                limit = reference * (1 + row[name] / 100)
            else:
                limit = reference + row[name] * (0.01 if row["unit"] == "share" else 1)
            assert close(found[short] * size, limit)
            assert name != "warning" or cells[3] == amount(limit, row["unit"])


def test_an_early_signal_is_the_mean_of_a_week(database: Path, story_page: Page) -> None:
    rows = query(
        database,
        "select cohort_date, tool_call_accuracy as value, n_tool_call_accuracy as n "
        "from marts.leading_indicators where segment_type = 'all'",
    )
    days = {row["cohort_date"]: row for row in rows if row["n"]}
    values = story_page.values("a0-over-task_completion_rate-0")
    assert len(values) == 139
    for found in values:
        last = date.fromisoformat(found["d"])
        week = [days[d] for d in (last - timedelta(days=i) for i in range(7)) if d in days]
        n = sum(row["n"] for row in week)
        assert found["n"] == n
        assert close(found["v"], sum(row["value"] * row["n"] for row in week) / n)


def test_both_layers_share_their_axis_and_the_first_mover_is_marked(story_page: Page) -> None:
    ids = [id for id in story_page.charts if id.startswith("a0-over-")]
    assert len(ids) == 5 + 8

    def axis(layer: dict[str, Any]) -> Any:
        return layer["encoding"].get("x", {}).get("scale", {}).get("domain")

    domains = {
        tuple(axis(layer)) for id in ids for layer in story_page.charts[id]["layer"] if axis(layer)
    }
    assert len(domains) == 1
    first = story_page.charts["a0-over-task_completion_rate-0"]
    (mark,) = [layer for layer in first["layer"] if layer["mark"].get("text") == "moved first"]
    assert first["datasets"][mark["data"]["name"]] == [{"d": "2026-04-23"}]
    table = story_page.figure("a0-over-csat").one("table", class_="numbers").table()
    assert table[0][5:] == ["Response quality", "Tone consistency", "Resolution accuracy"]


def test_deflection_and_reasons_are_their_weeks(database: Path, story_page: Page) -> None:
    rows = query(database, "select * from marts.deflection_gap order by week_start")
    values = story_page.values("a0-gap")
    for row in rows:
        own = [found for found in values if found["d"] == str(row["week_start"])]
        assert close(sum(found["v"] for found in own), row["deflection_rate"])
        assert close(own[0]["v"], row["task_completion_rate"])
    cells = story_page.figure("a0-gap").one("table").table()[1:]
    assert [row[2] for row in cells] == [amount(r["deflection_rate"], "share") for r in rows]
    assert [row[7] for row in cells] == [amount(r["csat"], "points") for r in rows]
    reasons = query(
        database, "select * from marts.escalation_reasons where arm = 'ai' order by week_start"
    )
    shown = story_page.values("a0-reasons")
    assert len(shown) == len(reasons)
    assert sum(found["n"] for found in shown) == sum(row["n_escalated"] for row in reasons)
    unable = sum(
        row["n_escalated"]
        for row in reasons
        if row["reason_class"] in ("capability_gap", "preference_after_failure", "system_failure")
    )
    share = amount(unable / sum(row["n_escalated"] for row in reasons), "share")
    title = story_page.figure("a0-reasons").one("span", class_="title").text
    assert title == f"{share} of hand-overs: the agent was not able to help"


def test_csat_weeks_add_up_and_the_young_ones_are_provisional(
    database: Path, story_page: Page
) -> None:
    rows = query(
        database,
        "select date_trunc('week', cohort_date)::date as week, sum(n_sent) as sent, "
        "sum(n_answered) as answered, sum(score_sum) / sum(n_answered) as observed, "
        "sum(n_expected * completed_mean) / sum(n_expected) as completed, "
        "bool_or(status = 'provisional') as provisional "
        "from marts.csat_cohorts where arm = 'ai' group by 1 having sum(n_sent) > 0 order by 1",
    )
    table = story_page.figure("a0-csat").one("table").table()[1:]
    assert len(table) == len(rows)
    for cells, row in zip(table, rows, strict=True):
        assert cells[0] == str(row["week"])
        assert cells[1] == amount(row["completed"], "points")
        assert cells[3] == amount(row["observed"], "points")
        assert cells[4] == ("provisional" if row["provisional"] else "final")
        assert cells[5:] == [
            f"{row['sent']:,}",
            f"{row['answered']:,}",
            amount(row["answered"] / row["sent"], "share"),
        ]
        low, high = map(float, cells[2].split("-"))
        assert low < row["completed"] < high
    assert [cells[4] for cells in table][-2:] == ["provisional", "provisional"]
    width = [float(c[2].split("-")[1]) - float(c[2].split("-")[0]) for c in table]
    assert width[-1] > max(width[3:-2]), "answers to come widen the limits"


def test_the_comparison_is_the_mart(database: Path, story_page: Page) -> None:
    rows = query(
        database, "select * from marts.holdout_comparison where kpi = 'task_completion_rate'"
    )
    by_segment = {
        "All requests" if row["segment_type"] == "all" else row["segment"]: row for row in rows
    }
    chart = "a0-beside-task_completion_rate"
    table = story_page.figure(chart).one("table").table()[1:]
    assert {cells[0] for cells in table} == set(by_segment)
    for cells in table:
        row = by_segment[cells[0]]
        limits = [signed(row[f"delta_{side}_bound"], "share") for side in ("lower", "upper")]
        assert cells[3] == signed(row["delta"], "share")
        assert cells[4] == " to ".join(limits)
        assert cells[6] == f"{row['n_ai']:,}"
    drawn = {found["s"]: found for found in story_page.values(chart)}
    assert "1.2.0" not in drawn, "versions are in the table"
    for segment, found in drawn.items():
        row = by_segment[segment]
        assert close(found["v"] / 100, row["delta"])
        assert close(found["a"] / 100, row["delta_lower_bound"])
        assert close(found["q"] / 100, row["fixed_upper_bound"])


def test_segments_of_one_name_stay_apart(database: Path) -> None:
    (found,) = read(database).agents
    rows = [
        row | {"segment": "email" if row["segment"] == "order_status" else row["segment"]}
        for row in found.comparisons
    ]
    chart = charts.beside_people(replace(found, comparisons=rows), "csat", "x")
    names = [row["s"] for row in chart.spec["datasets"]["d1"]]
    assert len(names) == len(set(names)) == 10
    assert {"email (task type)", "email (channel)"} <= set(names)
    shown = [row[0] for row in chart.table.rows]
    assert len(shown) == len(set(shown))


def test_the_review_the_releases_and_the_rows_read(database: Path, story_page: Page) -> None:
    text = story_page.root.text
    (week,) = query(
        database,
        "select max(week_start) as week_start from marts.weekly_review where is_complete",
    )
    assert f"Week {week['week_start']} to " in text
    lost = query(
        database,
        "select * from marts.weekly_task_types where week_start = ? order by "
        "rank_by_lost_completions",
        week["week_start"],
    )
    table = story_page.figure("a0-types").one("table").table()[1:]
    assert [row[0] for row in table] == [row["task_type"] for row in lost]
    assert [row[1] for row in table] == [f"{row['lost_completions']:.0f}" for row in lost]
    releases = next(
        element.table()
        for element in story_page.root.all("table")
        if element.table()[0][:1] == ["Release"]
    )
    assert [row[0] for row in releases[1:]] == [
        "1.3.0 2026-05-21",
        "1.2.0 2026-04-23",
        "1.1.0 2026-03-23",
    ]
    assert [row[4] for row in releases[1:]] == [
        "It moved as expected",
        "It moved against what was expected",
        "No effect: whatever it did is smaller than what would count",
    ]
    counts = query(database, "select * from intermediate.int_row_counts order by entity")
    rows = next(
        element.table()
        for element in story_page.root.all("table")
        if element.table()[0][:2] == ["File", "Read"]
    )
    assert rows[1:] == [
        [r["entity"], *(f"{r[f'n_{n}']:,}" for n in ("raw", "accepted", "superseded", "rejected"))]
        for r in counts
    ]
    rejected = story_page.root.one("section", id="quality").all("table", class_="numbers")
    assert sum(int(row[3]) for row in next(rejected).table()[1:]) == 288


def test_what_the_checks_found_and_the_runs_before_are_there(
    page_of: Callable[..., Page], story_page: Page
) -> None:
    assert "checks looked at" not in story_page.root.text, "built without them"
    page = page_of(
        "create schema checks",
        "create table checks.check_results as select * from (values "
        "('landing', 'events', null, 'day_drop', 'warning', false, 0.6, '60% fewer <b>rows</b>'), "
        "('landing', 'spans', null, 'day_drop', 'warning', true, 0.1, 'as usual'), "
        "('landing', 'costs', null, 'day_drop', 'warning', true, null, 'too few')) as t("
        "stage, table_name, column_name, check_name, severity, passed, observed, message)",
        "create table checks.runs as select timestamp '2026-07-05 06:00:00' as started_at, "
        "31.0 as seconds, 'failed' as status, 'dbt build' as step, null::timestamp as as_of, "
        "null::bigint as rows_read, null::bigint as rows_rejected, null as worst_level, "
        "'a test' as message",
    )
    quality = page.root.one("section", id="quality")
    assert "2 checks looked at the files before the build" in quality.text
    assert "events: 60% fewer <b>rows</b>" in quality.text
    assert "as usual" not in quality.text
    *_, runs = quality.all("table", class_="numbers")
    assert runs.table()[1:] == [["2026-07-05 06:00", "31 s", "failed: dbt build", "", "", "", ""]]


# The page -----------------------------------------------------------------------------------


def test_the_page_is_sound_html(story_page: Page) -> None:
    assert not story_page.unclosed
    ids = [e.attributes["id"] for e in story_page.root.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    links = {e.attributes["href"] for e in story_page.root.all("a")}
    assert links <= {f"#{id}" for id in ids}
    labelled = [
        e.attributes["aria-labelledby"] for e in story_page.root.all("section", class_="agent")
    ]
    assert set(labelled) <= set(ids)
    levels = [int(e.tag[1]) for e in story_page.root.all() if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels)), levels
    for header in story_page.root.all("th"):
        assert header.attributes["scope"] in ("row", "col")
    for landmark in ("header", "main", "footer"):
        story_page.root.one(landmark)
    assert story_page.root.one("html").attributes["lang"] == "en"


def test_every_chart_has_a_title_a_description_and_its_numbers(story_page: Page) -> None:
    assert len(story_page.charts) == 24
    for id in story_page.charts:
        plot = story_page.root.one("div", id=id).parent
        assert plot.attributes["role"] == "img"
        assert len(plot.attributes["aria-label"]) > 20
        figure = story_page.figure(id)
        assert len(figure.one("span", class_="title").text) > 5
        assert len(figure.one("details").one("table").table()) > 1


def test_the_charts_are_valid_vega_lite(story_page: Page) -> None:
    for id, spec in story_page.charts.items():
        kind = alt.LayerChart if "layer" in spec else alt.Chart
        assert kind.from_dict(spec) is not None, id


def test_the_page_names_no_address_and_allows_none(story_page: Page) -> None:
    scripts = "".join(f"<script>{'' or page._bundle()}</script>")
    assert scripts in story_page.html
    rest = story_page.html.replace(scripts, "")
    assert not re.search(r"(https?:)?//\w", re.sub(r"\s//.*", "", rest))
    (policy,) = [
        e.attributes["content"] for e in story_page.root.all("meta") if "http-equiv" in e.attributes
    ]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "'unsafe-inline'" not in policy.partition("style-src")[0]
    assert story_page.html.count("<script>") == 2, "one bundle, and what draws the charts"


def test_the_same_database_gives_the_same_bytes(
    database: Path, report: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    changed(database, out / "agent_kpis.duckdb")
    done = subprocess.run(
        [str(KPI), "report", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONHASHSEED": "7", "TZ": "Pacific/Auckland", "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
    assert (out / "report.html").read_bytes() == report.read_bytes()
    assert sorted(file.name for file in out.iterdir()) == ["agent_kpis.duckdb", "report.html"]


def test_the_page_is_small(report: Path, page_of: Callable[..., Page]) -> None:
    assert report.stat().st_size < 1.35e6
    ten = page_of(lambda database, copy: several(database, copy, 10))
    assert len(ten.html.encode()) < 5e6
    assert len(list(ten.root.all("section", class_="agent"))) == 10
    nav = next(ten.root.all("nav"))
    assert len(list(nav.all("a"))) == 11
    assert not ten.unclosed
    ids = [e.attributes["id"] for e in ten.root.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))


def test_a_long_history_is_thinned_and_keeps_its_last_day(database: Path, tmp_path: Path) -> None:
    # Each day becomes four.
    longer = changed(
        database,
        tmp_path / "longer.duckdb",
        "create table days as select f.* replace "
        "(date '2025-01-01' + ((evaluation_date - date '2026-02-16') * 4 + i)::integer "
        "as evaluation_date) "
        "from marts.threshold_flags as f, range(4) as r(i)",
        "delete from marts.threshold_flags",
        "insert into marts.threshold_flags select * replace "
        "(evaluation_date::date as evaluation_date) from days",
    )
    (found,) = read(longer).agents
    days = [row["day"] for row in found.days if row["kpi"] == "csat"]
    assert POINTS / 2 < len(days) <= POINTS
    assert len({b - a for a, b in pairwise(days)}) == 1
    (last,) = query(longer, "select max(evaluation_date) as day from marts.threshold_flags")
    assert days[-1] == last["day"]


# Names are text -----------------------------------------------------------------------------


def test_hostile_names_are_text(page_of: Callable[..., Page]) -> None:
    found = page_of(hostile)
    assert not found.unclosed
    assert [e.attributes.get("id") for e in found.root.all("script")] == ["charts", None, None]
    for tag in ("img", "iframe", "i", "b", "textarea"):
        assert not list(found.root.all(tag)), tag
    assert not [e for e in found.root.all() for name in e.attributes if name.startswith("on")]
    text = found.root.raw
    assert AGENT in text
    for name in ("task_type", "segment", "agent_version", "summary", "owner", "label", "trait"):
        assert HOSTILE[name] in text, name
    assert "49" not in HOSTILE["summary"]
    payload = found.html.partition('id="charts">')[2].partition("</script>")[0]
    assert not re.search("[<>&\u2028\u2029]", payload)
    names = {row["s"] for row in found.values("a0-types")}
    assert all(name.startswith(HOSTILE["task_type"]) for name in names)


# What is missing ----------------------------------------------------------------------------


def test_people_alone_have_a_page(page_of: Callable[..., Page], database: Path) -> None:
    found = page_of(people_alone)
    assert heading(found) == "People handle every request: there is no agent yet"
    assert not list(found.root.all("figure"))
    assert not list(found.root.all("script")), "nothing to draw"
    rows = found.root.one("table", class_="scores").table()[1:]
    assert [row[0].removesuffix("context, never success") for row in rows] == [
        "Task completion",
        "Escalation",
        "Time to resolution",
        "Cost per success",
        "CSAT",
        "Resolution rate",
    ]
    assert "No agent is named in agent_scopes.csv yet" in found.root.text
    assert not NO_WORDS.search(found.root.text)


def test_an_agent_before_launch_has_its_baseline(page_of: Callable[..., Page]) -> None:
    baseline_kept = [
        "delete from marts.kpi_scorecard",
        "delete from marts.threshold_flags",
        "delete from marts.alert_episodes",
        "delete from marts.release_effects",
        "delete from marts.first_movers",
        "update marts.launch_readiness set launched_at = timestamp '2026-09-01'",
    ]
    found = page_of(*baseline_kept)
    assert heading(found) == "atlas has not met customers yet"
    assert "that is what an agent has to match" in found.root.text
    assert "The baseline, people's requests of 2026-01-05 to 2026-02-15" in found.root.text
    assert "Launches 2026-09-01." in found.root.text
    assert not NO_WORDS.search(found.root.text)


def test_an_empty_database_has_a_page(page_of: Callable[..., Page]) -> None:
    found = page_of(emptied)
    assert "No data: no request and no agent." in found.root.text
    assert "Can the data be trusted?" in found.root.text
    assert not NO_WORDS.search(found.root.text)


NUMBERS = {
    "kpi_scorecard": "value lower_bound upper_bound reference_value delta delta_lower_bound "
    "minimum_detectable_effect provisional_value",
    "threshold_flags": "value reference_value delta judged_delta",
    "deflection_gap": "csat",
    "csat_cohorts": "completed_mean completed_lower_bound",
    "holdout_comparison": "ai_value reference_value delta fixed_lower_bound",
    "release_effects": "effect lower_bound min_effect",
    "weekly_task_types": "lost_completions reference_rate",
    "failing_and_passing": "passing failing value value_before",
    "alert_episodes": "worst_value",
    "csat_response": "response_rate",
    "kpi_diagnosis": "value",
}


@pytest.mark.parametrize("missing", ["null", "'NaN'::double"])
def test_what_is_missing_says_so(page_of: Callable[..., Page], missing: str) -> None:
    found = page_of(
        *(
            f"update marts.{table} set {column} = {missing}"
            for table, columns in NUMBERS.items()
            for column in columns.split()
        )
    )
    text = found.root.text
    assert not NO_WORDS.search(text)
    assert heading(found) == "atlas cannot be judged yet"
    assert text.count("No data: ") >= 5
    assert "no data" in found.figure("a0-gap").one("table").text or "no answers" in text


def test_any_part_may_be_absent(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The drawing library is not what is tested here.
    monkeypatch.setattr(page, "_bundle", lambda: "")
    monkeypatch.setattr(charts.Datasets, "spec", lambda *_: {"layer": []})
    report = read(database)
    (whole,) = report.agents
    whole = replace(whole, days=whole.days[::20], indicators=whole.indicators[::20])
    for part in fields(Agent):
        if part.name in ("name", "scorecard", "flagged"):
            continue
        empty = [] if isinstance(getattr(whole, part.name), list) else None
        less = replace(whole, **{part.name: empty})
        found = Page(page.render(replace(report, agents=[less])))
        assert heading(found) == "atlas is deflecting, not resolving"
        assert not NO_WORDS.search(found.root.text), part.name
        assert not found.unclosed, part.name


def test_a_withheld_comparison_shows_no_difference(page_of: Callable[..., Page]) -> None:
    found = page_of(
        "update marts.holdout_comparison set is_withheld = true, delta = null, "
        "delta_lower_bound = null, delta_upper_bound = null, note = 'sample_ratio_mismatch'",
        "update marts.holdout_balance set status = 'sample_ratio_mismatch', "
        "has_sample_ratio_mismatch = true, planned_share = 0.12, sample_ratio_p_value = 1e-8",
        "update marts.kpi_scorecard set delta = null, delta_lower_bound = null, "
        "delta_upper_bound = null",
    )
    assert heading(found) == "atlas has nobody to be compared with"
    assert "people complete" not in next(found.root.all("p", class_="sentence")).text
    assert "Differences are withheld: the holdout has 15.0% of the customers" in found.root.text
    assert "people complete 65.9%" not in found.root.text
    scores = found.root.one("table", class_="scores").table()
    assert scores[1][2:4] == ["none withheld", "withheld"], "nobody is to subtract it"
    table = next(e.table() for e in found.root.all("table") if e.table()[0][0] == "Requests")
    assert {row[2] for row in table[1:]} == {"withheld"}
    assert "No data: No difference: sample ratio mismatch." in found.root.text


def test_a_time_confounded_comparison_says_so(page_of: Callable[..., Page]) -> None:
    found = page_of(
        *(
            f"update marts.{mart} set comparison_type = 'pre_launch', is_time_confounded = true, "
            "baseline_kind = 'retroactive' where comparison_type = 'holdout'"
            for mart in ("kpi_scorecard", "holdout_comparison")
        )
    )
    people = found.root.one("table", class_="scores").table()[1][2]
    assert people == "65.9% before launch: time-confounded, and written down after launch"
    assert "people before launch complete 65.9%" in found.root.text
    assert "Time-confounded: whatever else changed since is in the difference." in found.root.text


# Files --------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_said(database: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="No served database"):
        write_report(tmp_path / "nothing.duckdb", tmp_path / "report.html")
    other = tmp_path / "other.duckdb"
    other.write_text("no database")
    with pytest.raises(CannotRunError, match="cannot be read as a database of this version"):
        write_report(other, tmp_path / "report.html")
    older = changed(
        database, tmp_path / "older.duckdb", "alter table marts.first_movers drop moved_on"
    )
    kept = tmp_path / "report.html"
    kept.write_text("before")
    with pytest.raises(CannotRunError, match="moved_on"):
        write_report(older, kept)
    assert kept.read_text() == "before"
    assert not list(tmp_path.glob(".*"))


def test_progress_is_told(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_bundle", lambda: "")
    said: list[str] = []
    file = tmp_path / "new" / "folder" / "report.html"
    assert write_report(database, file, said.append) == file
    assert said == ["reading the marts", "drawing the charts"]


def test_every_colour_is_one_of_the_page() -> None:
    style = (REPOSITORY / "python" / "agent_kpis" / "report" / "style.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    defined = set(re.findall(r"--[\w-]+(?=:)", light))
    assert defined == set(re.findall(r"--[\w-]+(?=:)", dark)), "each in both modes"
    source = Path(charts.__file__).read_text() + style
    used = set(re.findall(r"var\((--[a-z][\w-]*)\)", source))
    assert used <= defined
