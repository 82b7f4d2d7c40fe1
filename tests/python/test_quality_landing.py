"""The gate before dbt: each check fires on its own fault and on nothing else."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from agent_kpis.errors import CannotRunError
from agent_kpis.quality import CHECKS, Profile, Report, check_landing
from quality_world import LAST_DAY, NOW, PER_DAY, Rows, configuration, world, write_world
from support import REPOSITORY

SEEDS = REPOSITORY / "seeds"
WHOLE = world()
TIME = {
    "interactions": "opened_at",
    "events": "occurred_at",
    "surveys": "sent_at",
    "spans": "started_at",
}
COMPLETE_DAY = LAST_DAY - timedelta(days=1)
Found = set[tuple[str, str, str | None, str]]


def failed(report: Report) -> Found:
    return {(r.check, r.table, r.column, r.severity) for r in report.results if not r.passed}


def on_day(entity: str, row: dict[str, Any], days: range) -> bool:
    """Whether a row is of one of these days before the last complete one (0)."""
    return (COMPLETE_DAY.date() - row[TIME[entity]].date()).days in days


def landing(folder: Path, rows: Rows, config: Path = SEEDS, **more: Any) -> Report:
    return check_landing(write_world(folder / "data", rows), config, now=NOW, **more)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return landing(tmp_path_factory.mktemp("good"), WHOLE)


@pytest.fixture
def rows() -> Rows:
    return copy.deepcopy(WHOLE)


def thin(entity: str, days: range, kept: float) -> Callable[[Rows], None]:
    """Keep a share of the rows of these days, evenly."""

    def change(rows: Rows) -> None:
        result, share = [], 0.0
        for row in rows[entity]:
            if on_day(entity, row, days):
                share += kept
                if share < 1:
                    continue
                share -= 1
            result.append(row)
        rows[entity] = result

    return change


def repeat(entity: str, days: range, times: int) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[entity] = [
            row for row in rows[entity] for _ in range(times if on_day(entity, row, days) else 1)
        ]

    return change


def put(entity: str, days: range, every: int = 1, **cells: Any) -> Callable[[Rows], None]:
    """Set cells of every so-many-th row of these days."""

    def change(rows: Rows) -> None:
        found = [row for row in rows[entity] if on_day(entity, row, days)]
        for row in found[::every]:
            row |= cells

    return change


def scale(days: range, factor: float) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        for row in rows["surveys"]:
            if row["score"] is not None and on_day("surveys", row, days):
                row["score"] += factor

    return change


LAST_WEEK, ALL = range(0, 7), range(-1, 100)
FAULTS: list[tuple[str, Callable[[Rows], None], Found]] = [
    ("half a day", thin("events", range(1), 0.3), {("day_drop", "events", None, "warning")}),
    ("no day", thin("spans", range(1), 0), {("day_drop", "spans", None, "critical")}),
    ("four days", repeat("surveys", range(1), 4), {("day_rise", "surveys", None, "warning")}),
    (
        "half a week",
        thin("interactions", range(1, 7), 0.4),
        {("week_drop", "interactions", None, "warning")},
    ),
    (
        "two weeks in one",
        repeat("events", range(1, 7), 3),
        {("week_rise", "events", None, "warning")},
    ),
    (
        "channel unknown",
        put("interactions", LAST_WEEK, channel="unknown"),
        {("mix_shift", "interactions", "channel", "critical")},
    ),
    (
        "more chat",
        put("interactions", LAST_WEEK, channel="chat"),
        {("mix_shift", "interactions", "channel", "warning")},
    ),
    (
        "one task type",
        put("interactions", LAST_WEEK, task_type=None),
        {
            ("mix_shift", "interactions", "task_type", "critical"),
            ("unreadable_share", "interactions", "task_type", "warning"),
        },
    ),
    (
        "people only",
        put("interactions", LAST_WEEK, assigned_arm="human"),
        {("mix_shift", "interactions", "assigned_arm", "warning")},
    ),
    (
        "no resolutions",
        put("events", LAST_WEEK, event_type="message"),
        {("mix_shift", "events", "event_type", "warning")},
    ),
    (
        "customers only",
        put("events", LAST_WEEK, actor_kind="customer"),
        {("mix_shift", "events", "actor_kind", "warning")},
    ),
    (
        "tools only",
        put("spans", LAST_WEEK, operation="tool"),
        {("mix_shift", "spans", "operation", "warning")},
    ),
    ("another scale", scale(LAST_WEEK, 1.5), {("mean_shift", "surveys", "score", "warning")}),
    ("far off", scale(LAST_WEEK, 95), {("mean_shift", "surveys", "score", "critical")}),
    (
        "no answers",
        put("surveys", LAST_WEEK, responded_at=None, score=None),
        {("filled_shift", "surveys", "responded_at", "warning")},
    ),
    (
        "errors",
        put("spans", LAST_WEEK, every=3, error_type="timeout"),
        {("filled_shift", "spans", "error_type", "warning")},
    ),
    (
        "stuck feed",
        thin("surveys", range(-1, 5), 0),
        {("hours_behind", "surveys", None, "warning")},
    ),
    (
        "few unreadable times",
        put("surveys", ALL, every=33, responded_at="yesterday"),
        {("unreadable_share", "surveys", "responded_at", "warning")},
    ),
    (
        "decimal commas",
        put("events", ALL, every=4, handle_seconds="12,5"),
        {("unreadable_share", "events", "handle_seconds", "critical")},
    ),
    (
        "no arm",
        put("interactions", ALL, every=3, assigned_arm=None),
        {("unreadable_share", "interactions", "assigned_arm", "critical")},
    ),
]


def test_the_world_without_a_fault_passes(good: Report) -> None:
    assert failed(good) == set()
    assert good.exit_code == 0
    assert len(good.failing_rows) == 0
    assert good.as_of == "2026-02-12T19:32:00"
    judged = {r.check for r in good.results if r.observed is not None}
    needs_more = {"rows_lost", "columns_gone", "unknown_columns", "age_hours"}
    assert judged == {n for n, c in CHECKS.items() if c.stage == "landing"} - needs_more


@pytest.mark.parametrize(
    ("change", "expected"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_a_fault_fires_its_check_and_only_that(
    change: Callable[[Rows], None], expected: Found, rows: Rows, tmp_path: Path
) -> None:
    change(rows)
    report = landing(tmp_path, rows)
    assert failed(report) == expected
    assert report.exit_code == int(any(severity == "critical" for *_, severity in expected))


def without_column(file: Path, column: str, rename: str | None = None) -> None:
    with file.open(newline="") as lines:
        table = list(csv.reader(lines))
    place = table[0].index(column)
    for number, cells in enumerate(table):
        if rename is None:
            del cells[place]
        elif number == 0:
            cells[place] = rename
    with file.open("w", newline="") as lines:
        csv.writer(lines).writerows(table)


def test_a_missing_required_column_is_critical_and_names_what_is_there(tmp_path: Path) -> None:
    data = write_world(tmp_path / "data", WHOLE)
    without_column(data / "surveys.csv", "survey_source")
    report = check_landing(data, SEEDS, now=NOW)
    assert failed(report) == {("missing_columns", "surveys", None, "critical")}
    (result,) = report.critical
    assert "lacks the required column survey_source. It has: survey_id, " in result.message
    assert "models/input/input_surveys.yml" in result.message
    assert list(report.failing_rows.row_key) == ["survey_source"]


def test_a_missing_time_leaves_the_checks_that_need_none(tmp_path: Path) -> None:
    data = write_world(tmp_path / "data", WHOLE)
    without_column(data / "events.csv", "occurred_at")
    report = check_landing(data, SEEDS, now=NOW)
    assert failed(report) == {("missing_columns", "events", None, "critical")}


def history_of(report: Report, data: Path, **changes: Any) -> Profile:
    return replace(report.profile, data=str(data), **changes)


def test_the_profile_is_what_the_next_run_compares_with(good: Report, tmp_path: Path) -> None:
    assert good.profile.rows == {name: len(rows) for name, rows in WHOLE.items()}
    assert good.profile.columns["surveys"][:2] == ["survey_id", "interaction_id"]
    again = landing(tmp_path, WHOLE, history=history_of(good, tmp_path / "data"))
    assert failed(again) == set()
    assert again.notes == []
    checks = {r.check for r in again.results if r.observed is not None}
    assert {"rows_lost", "columns_gone", "unknown_columns"} <= checks


def test_a_column_that_is_gone_and_one_that_is_new(good: Report, tmp_path: Path) -> None:
    data = write_world(tmp_path / "data", WHOLE)
    without_column(data / "interactions.csv", "customer_id", rename="client")
    report = check_landing(data, SEEDS, history_of(good, data), now=NOW)
    assert failed(report) == {
        ("columns_gone", "interactions", None, "warning"),
        ("unknown_columns", "interactions", None, "warning"),
    }
    keys = dict(zip(report.failing_rows.check_name, report.failing_rows.row_key, strict=True))
    assert keys == {"columns_gone": "customer_id", "unknown_columns": "client"}
    # Known from then on, and said once.
    later = check_landing(data, SEEDS, report.profile, now=NOW)
    assert failed(later) == set()


@pytest.mark.parametrize(("factor", "severity"), [(1.05, "warning"), (2, "critical")])
def test_a_file_that_shrank_lost_history(
    factor: float, severity: str, good: Report, tmp_path: Path
) -> None:
    before = {
        name: round(n * factor) if name == "events" else n for name, n in good.profile.rows.items()
    }
    history = history_of(good, tmp_path / "data", rows=before)
    report = landing(tmp_path, WHOLE, history=history)
    assert failed(report) == {("rows_lost", "events", None, severity)}
    (result,) = [r for r in report.results if not r.passed]
    assert result.n_failing == before["events"] - len(WHOLE["events"])
    assert f"{before['events']:,} in the last good run" in result.message


def test_a_file_that_vanished_lost_it_all(good: Report, tmp_path: Path) -> None:
    data = write_world(tmp_path / "data", WHOLE)
    (data / "spans.csv").unlink()
    assert failed(check_landing(data, SEEDS, now=NOW)) == set(), "absent is no failure by itself"
    report = check_landing(data, SEEDS, history_of(good, data), now=NOW)
    assert failed(report) == {("rows_lost", "spans", None, "critical")}


def test_another_data_set_is_not_compared(good: Report, tmp_path: Path) -> None:
    rows = {name: n * 9 for name, n in good.profile.rows.items()}
    history = history_of(good, tmp_path / "elsewhere", rows=rows)
    report = landing(tmp_path, WHOLE, history=history)
    assert failed(report) == set()
    assert "elsewhere" in report.notes[0]


def test_a_link_to_a_dated_folder_is_one_data_set(good: Report, tmp_path: Path) -> None:
    write_world(tmp_path / "monday", WHOLE)
    (tmp_path / "current").symlink_to(tmp_path / "monday")
    report = check_landing(tmp_path / "current", SEEDS, now=NOW)
    assert report.profile.data == str(tmp_path / "current")


def test_failing_rows_are_complete_and_have_their_keys(rows: Rows, tmp_path: Path) -> None:
    put("surveys", ALL, every=3, sent_at="yesterday")(rows)
    bad = [row for row in rows["surveys"] if row["sent_at"] == "yesterday"]
    bad[0]["survey_id"] = None
    number = rows["surveys"].index(bad[0]) + 1
    report = landing(tmp_path, rows)
    assert failed(report) == {("unreadable_share", "surveys", "sent_at", "critical")}
    (result,) = report.critical
    assert result.n_failing == len(bad) == len(report.failing_rows)
    assert f"{len(bad):,} of {len(rows['surveys']):,} cells of sent_at" in result.message
    assert set(report.failing_rows.row_key) == {
        f"row {number}",
        *(row["survey_id"] for row in bad[1:]),
    }
    assert set(report.failing_rows.value) == {"yesterday"}
    assert list(report.failing_rows.columns) == [
        "stage",
        "table_name",
        "check_name",
        "column_name",
        "row_key",
        "value",
    ]
    assert set(report.failing_rows.table_name) == {"surveys"}
    assert set(report.failing_rows.check_name) == {"unreadable_share"}


def test_what_does_not_parse_is_what_the_build_rejects(tmp_path: Path) -> None:
    """The cells that the input layer takes or refuses, one by one."""
    good_cells = ["2026-02-01", "2026-02-01T10:00:00+02:00", " 2026-02-01 10:00 ", "20", "1.0"]
    bad_cells = ["epoch", "infinity", "12/31/2026", "0x1F", "12,5", "1e400"]
    columns = "survey_id,interaction_id,survey_kind,survey_source,sent_at,responded_at,score"
    lines = [columns]
    for number, cell in enumerate(good_cells + bad_cells):
        is_time = "-" in cell or "/" in cell or cell in ("epoch", "infinity")
        sent, score = (f'"{cell}"', "") if is_time else ("2026-02-01", f'"{cell}"')
        lines.append(f"k{number},i,post_interaction,email_csat,{sent},,{score}")
    data = tmp_path / "data"
    data.mkdir()
    (data / "surveys.csv").write_text("\n".join(lines))
    config = configuration(tmp_path / "config", {"check_name": "unreadable_share", "minimum_n": 0})
    report = check_landing(data, config, now=NOW)
    assert sorted(report.failing_rows.value) == sorted(bad_cells)


def test_the_clock_counts_only_where_it_is_configured(rows: Rows, tmp_path: Path) -> None:
    data = write_world(tmp_path / "data", rows)
    late = NOW + timedelta(days=10)
    assert failed(check_landing(data, SEEDS, now=late)) == set()
    row = {"check_name": "age_hours", "table_name": "events", "warning": 24, "critical": 48}
    config = configuration(tmp_path / "config", row)
    assert failed(check_landing(data, config, now=NOW)) == set()
    report = check_landing(data, config, now=late)
    assert failed(report) == {("age_hours", "events", None, "critical")}


def test_times_in_the_far_future_are_not_believed(rows: Rows, tmp_path: Path) -> None:
    """The story has such rows; the input layer rejects them."""
    rows["interactions"][0]["opened_at"] = datetime(2126, 1, 1)
    rows["events"][0]["occurred_at"] = datetime(2126, 1, 1)
    report = landing(tmp_path, rows)
    assert report.as_of == "2026-02-12T19:32:00"
    assert failed(report) == set()


def test_limits_are_those_of_the_file(rows: Rows, tmp_path: Path) -> None:
    thin("events", range(1), 0.3)(rows)
    data = write_world(tmp_path / "data", rows)
    assert failed(check_landing(data, SEEDS, now=NOW)) == {("day_drop", "events", None, "warning")}

    def with_row(name: str, **cells: Any) -> Found:
        config = configuration(tmp_path / name, {"check_name": "day_drop"} | cells)
        return failed(check_landing(data, config, now=NOW))

    assert with_row("higher", warning=0.8) == set()
    assert with_row("lower", critical=0.6) == {("day_drop", "events", None, "critical")}
    assert with_row("more", minimum_n=PER_DAY * 3 + 1) == set()
    assert with_row("enough", minimum_n=PER_DAY * 3) == {("day_drop", "events", None, "warning")}
    # A row of the table goes before the one of all tables.
    assert with_row("exact", table_name="events", warning=0.9) == set()
    assert with_row("other", table_name="spans", warning=0.9) == {
        ("day_drop", "events", None, "warning")
    }


def test_a_limit_is_exceeded_above_it_not_at_it(rows: Rows, tmp_path: Path) -> None:
    thin("events", range(1), 0.5)(rows)
    report = landing(tmp_path, rows)
    (result,) = [r for r in report.results if (r.check, r.table) == ("day_drop", "events")]
    assert (result.observed, result.limit, result.passed) == (0.5, 0.5, True)


def test_limits_in_force_are_those_of_the_data(rows: Rows, tmp_path: Path) -> None:
    thin("events", range(1), 0.3)(rows)
    data = write_world(tmp_path / "data", rows)

    def later(day: str) -> Found:
        config = configuration(tmp_path / day)
        with (config / "quality_checks.csv").open("a") as file:
            file.write(f"day_drop,,,0.9,,30,me,{day}\n")
        return failed(check_landing(data, config, now=NOW))

    assert later("2026-02-12T00:00:00Z") == set()
    assert later("2026-02-13") == {("day_drop", "events", None, "warning")}


def test_little_data_does_not_cry(tmp_path: Path) -> None:
    few = {name: copy.deepcopy(rows[::40]) for name, rows in WHOLE.items()}
    for row in few["interactions"][-8:]:
        row["channel"] = "fax"
    report = landing(tmp_path, few)
    assert failed(report) == set()
    unjudged = [r for r in report.results if r.observed is None]
    assert {"mix_shift", "day_drop", "mean_shift"} <= {r.check for r in unjudged}
    assert all(r.message.startswith("Not judged: ") for r in unjudged)


def test_a_file_with_its_header_alone_is_no_fault(tmp_path: Path) -> None:
    assert failed(landing(tmp_path, {"interactions": WHOLE["interactions"]})) == set()


def test_parquet_is_read_like_csv(rows: Rows, tmp_path: Path, good: Report) -> None:
    data = write_world(tmp_path / "data", rows)
    for file in data.glob("*.csv"):
        target = file.with_suffix(".parquet")
        duckdb.sql(f"copy (from read_csv('{file}')) to '{target}' (format parquet)")
        file.unlink()
    report = check_landing(data, SEEDS, now=NOW)
    assert failed(report) == set()
    assert report.profile.rows == good.profile.rows
    observed = {(r.check, r.table, r.column): r.observed for r in good.results}
    for result in report.results:
        assert result.observed == pytest.approx(
            observed[result.check, result.table, result.column]
        ), result


def test_a_divergence_known_by_hand(rows: Rows, tmp_path: Path) -> None:
    """Of 280 requests of a week all are chat, of 1,120 before half: ln 2, but for the half rows."""
    put("interactions", LAST_WEEK, channel="chat")(rows)
    report = landing(tmp_path, rows)
    (result,) = [r for r in report.results if (r.check, r.column) == ("mix_shift", "channel")]
    assert result.observed == pytest.approx(0.693147, abs=1e-3)
    assert "email 50% to 0%" in result.message


def test_a_shift_of_the_mean_known_by_hand(rows: Rows, tmp_path: Path) -> None:
    scale(LAST_WEEK, 1.5)(rows)
    report = landing(tmp_path, rows)
    (result,) = report.warnings
    # Scores 1 to 5, equally often, 560 of them before: sd = root of 2 * 560 / 559.
    assert result.observed == pytest.approx(1.5 / (2 * 560 / 559) ** 0.5)
    assert list(report.failing_rows.row_key) == ["email_csat"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("events.csv", b"", "no header line"),
        ("events.csv", b'event_id,interaction_id\n"a', "events.csv"),
        ("events.parquet", b"no parquet", "events.parquet"),
        ("interactions.csv", b"opened_at,opened_at\n1,2\n", "more than one column opened_at"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    name: str, content: bytes, says: str, tmp_path: Path
) -> None:
    data = write_world(tmp_path / "data", WHOLE)
    (data / f"{name.split('.')[0]}.csv").unlink()
    (data / name).write_bytes(content)
    with pytest.raises(CannotRunError, match=says):
        check_landing(data, SEEDS, now=NOW)


def test_two_files_of_one_entity_stop(tmp_path: Path) -> None:
    data = write_world(tmp_path / "data", WHOLE)
    (data / "events.parquet").write_bytes(b"")
    with pytest.raises(CannotRunError, match="Two landing files for events"):
        check_landing(data, SEEDS, now=NOW)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    landing(tmp_path, WHOLE, progress=told.append)
    assert "events: counting" in told
    assert told[-1] == "judging"


def test_answers_still_to_come_are_not_answers_lost(rows: Rows, tmp_path: Path) -> None:
    """Whoever answers does so five days later: of the last week's surveys few have."""
    for row in rows["surveys"]:
        if row["score"] is not None:
            row["responded_at"] = row["sent_at"] + timedelta(days=5)
            if row["responded_at"] > NOW:
                row["responded_at"] = row["score"] = None
    report = landing(tmp_path, rows)
    assert failed(report) == set()
    (result,) = [r for r in report.results if r.check == "filled_shift" and r.table == "surveys"]
    assert result.observed == pytest.approx(0, abs=0.01)


def test_the_story_passes(story_folder: Path) -> None:
    """Its silent week and its broken tool are in the past."""
    report = check_landing(story_folder, SEEDS)
    assert failed(report) == set()
    assert len([r for r in report.results if r.observed is not None]) > 60
