"""The gate after dbt, over the story's marts with a fault put in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from agent_kpis.errors import CannotRunError
from agent_kpis.quality import CHECKS, Profile, Report, check_marts
from quality_world import configuration
from support import REPOSITORY
from warehouse import Build

SEEDS = REPOSITORY / "seeds"
Found = set[tuple[str, str, str]]
LAST_DAY = (
    "(select max(cohort_date) from marts.kpi_daily where arm = 'ai' and n_mature > 0 "
    "and cohort_date not in (select cohort_date from marts.kpi_daily where n_pending > 0))"
)


def failed(report: Report) -> Found:
    return {(r.check, r.table, r.severity) for r in report.results if not r.passed}


@pytest.fixture
def changed(story: Build, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the story's database after some SQL."""

    def change(*statements: str) -> Path:
        copy = tmp_path / "changed.duckdb"
        shutil.copy(story.database, copy)
        with duckdb.connect(str(copy)) as con:
            for statement in statements:
                assert con.execute(statement).fetchall() != [(0,)], "the fault changes nothing"
        return copy

    return change


@pytest.fixture(scope="module")
def good(story: Build) -> Report:
    return check_marts(story.database, SEEDS)


def test_the_story_passes(good: Report) -> None:
    assert failed(good) == set()
    assert good.exit_code == 0
    assert good.as_of == "2026-07-05T23:45:38"
    assert set(good.profile.n_mature) == {"atlas"}
    judged = {r.check for r in good.results if r.observed is not None}
    assert judged == {n for n, c in CHECKS.items() if c.stage == "marts"} - {"mature_lost"}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "update intermediate.int_row_counts set n_rejected = n_raw * 0.05 "
            "where entity = 'surveys'",
            {("rejected_share", "surveys", "warning")},
        ),
        (
            "update intermediate.int_row_counts set n_rejected = n_raw * 0.3 "
            "where entity = 'events'",
            {("rejected_share", "events", "critical")},
        ),
        (
            "update marts.kpi_scorecard set value = null "
            "where is_primary and arm = 'ai' and segment_type = 'all'",
            {("primary_kpi_missing", "kpi_scorecard", "critical")},
        ),
        (
            "delete from marts.kpi_scorecard where agent_name = 'atlas'",
            {("primary_kpi_missing", "kpi_scorecard", "critical")},
        ),
        (
            f"update marts.kpi_daily set n_completed = n_mature where cohort_date = {LAST_DAY}",
            {("completion_jump", "kpi_daily", "warning")},
        ),
        (
            "update marts.kpi_daily set n_priced = 0 "
            "where cohort_date >= date '2026-06-20' and task_type = 'refund_request'",
            {("unpriced_share", "kpi_daily", "warning")},
        ),
    ],
)
def test_a_fault_fires_its_check_and_only_that(
    sql: str, expected: Found, changed: Callable[..., Path]
) -> None:
    report = check_marts(changed(sql), SEEDS)
    assert failed(report) == expected
    assert report.exit_code == int(any(severity == "critical" for *_, severity in expected))


def test_what_failed_names_the_agent_and_the_numbers(changed: Callable[..., Path]) -> None:
    sql = f"update marts.kpi_daily set n_completed = n_mature where cohort_date = {LAST_DAY}"
    report = check_marts(changed(sql), SEEDS)
    (result,) = report.warnings
    assert "atlas: completion of 2026-07-01 is 100.0%, that of the 28 days before" in result.message
    assert list(report.failing_rows.row_key) == ["atlas"]
    assert result.n_failing == 1


def test_pending_days_are_not_judged(changed: Callable[..., Path]) -> None:
    """A day of which a part is pending has its early successes only."""
    sql = (
        "update marts.kpi_daily set n_mature = 50, n_completed = 50, n_priced = 50 "
        "where cohort_date = date '2026-07-03' and n_pending > 0 and arm = 'ai'"
    )
    assert failed(check_marts(changed(sql), SEEDS)) == set()


def test_an_agent_without_any_price_has_no_cost_data(changed: Callable[..., Path]) -> None:
    report = check_marts(changed("update marts.kpi_daily set n_priced = 0"), SEEDS)
    assert failed(report) == set()
    (result,) = [r for r in report.results if r.check == "unpriced_share"]
    assert result.observed is None


def test_a_new_agent_with_few_requests_is_left_alone(
    changed: Callable[..., Path], tmp_path: Path
) -> None:
    sql = "delete from marts.kpi_scorecard where agent_name = 'atlas'"
    config = configuration(
        tmp_path / "config", {"check_name": "primary_kpi_missing", "minimum_n": 1_000_000}
    )
    assert failed(check_marts(changed(sql), config)) == set()


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1.0, set()),
        (0.5, set()),
        (1.05, {("mature_lost", "kpi_daily", "warning")}),
        (2.0, {("mature_lost", "kpi_daily", "critical")}),
    ],
)
def test_mature_requests_do_not_go_away(
    factor: float, expected: Found, good: Report, story: Build
) -> None:
    before = {agent: round(n * factor) for agent, n in good.profile.n_mature.items()}
    history = replace(good.profile, n_mature=before)
    report = check_marts(story.database, SEEDS, history)
    assert failed(report) == expected
    assert report.notes == []


def test_an_agent_that_vanished_lost_all_of_them(good: Report, story: Build) -> None:
    history = replace(good.profile, n_mature=good.profile.n_mature | {"borea": 500})
    report = check_marts(story.database, SEEDS, history)
    assert failed(report) == {("mature_lost", "kpi_daily", "critical")}
    assert list(report.failing_rows.row_key) == ["borea"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"as_of": "2026-07-06T00:00:00"}, "later than this one"),
        ({"n_mature": {"borea": 500}}, "other agents (borea)"),
    ],
)
def test_a_replay_and_another_data_set_are_not_compared(
    changes: dict[str, Any], says: str, good: Report, story: Build
) -> None:
    whole = {"n_mature": {"atlas": 1_000_000}} | changes
    report = check_marts(story.database, SEEDS, replace(good.profile, **whole))
    assert failed(report) == set()
    assert says in report.notes[0]


def test_a_profile_of_landing_files_alone_compares_nothing(story: Build) -> None:
    report = check_marts(story.database, SEEDS, Profile(data="/data", rows={"events": 1}))
    assert (failed(report), report.notes) == (set(), [])


def test_limits_are_those_of_the_file(story: Build, tmp_path: Path) -> None:
    row = {"check_name": "rejected_share", "table_name": "costs", "warning": 0.01, "critical": 0.1}
    report = check_marts(story.database, configuration(tmp_path / "config", row))
    assert failed(report) == {("rejected_share", "costs", "warning")}
    (result,) = report.warnings
    assert "30 of 2,048 rows were rejected, 1.5%" in result.message
    assert "future_time 6" in result.message
    assert result.n_failing == 30


def test_a_database_of_another_version_is_said(changed: Callable[..., Path]) -> None:
    with pytest.raises(CannotRunError, match=r"cannot be read .* Run `kpi build` again"):
        check_marts(changed("drop table marts.kpi_daily"), SEEDS)


def test_the_limits_pass_the_tests_of_the_project(story: Build) -> None:
    names = ("is_unique", "is_complete", "holds_its_rules")
    assert {story.results[f"quality_checks_{name}"] for name in names} == {"pass"}
