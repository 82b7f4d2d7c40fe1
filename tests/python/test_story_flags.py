"""The story's flags against its planted truth, and against what was known on an earlier day."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from warehouse import Build, Replay

MATURE = timedelta(days=4)


def planted(truth: dict[str, Any], name: str) -> date:
    return date.fromisoformat(truth["days"][name])


def rounded(row: tuple) -> list:
    """Sums over more days are rounded otherwise."""
    return [f"{cell:.9g}" if isinstance(cell, float) else cell for cell in row]


def episodes(story: Build, where: str) -> list[dict[str, Any]]:
    columns = (
        "segment, direction, opened_on, cleared_on, worst_level, worst_on, cause, note, top_reasons"
    )
    found = story.rows(
        f"select {columns} from marts.alert_episodes where {where} order by opened_on"
    )
    return [dict(zip(columns.split(", "), row, strict=True)) for row in found]


def test_the_trap_is_flagged_before_anybody_is_pleased(story: Build, truth: dict[str, Any]) -> None:
    (found,) = episodes(story, "kpi = 'task_completion_rate' and segment_type = 'all'")
    assert found["opened_on"] <= planted(truth, "launch") + MATURE + timedelta(days=1)
    assert found["cleared_on"] is None
    assert (found["worst_level"], found["cause"]) == ("catastrophic", "ai_specific")
    on_the_day_of_praise = story.row(
        "select level, action from marts.threshold_flags where kpi = 'task_completion_rate' "
        f"and segment_type = 'all' and evaluation_date = '{truth['days']['praise']}'"
    )
    assert on_the_day_of_praise == ("catastrophic", "consider taking the agent offline")


@pytest.mark.parametrize("kpi", ["tool_call_accuracy", "tool_success_rate"])
def test_the_broken_tool_is_flagged_within_days_and_clears(
    story: Build, truth: dict[str, Any], kpi: str
) -> None:
    (found,) = episodes(story, f"kpi = '{kpi}' and segment_type = 'all'")
    broken, mended = planted(truth, "tool_broken_from"), planted(truth, "tool_mended")
    # Before completion falls, let alone before that can be known.
    assert broken <= found["opened_on"] < planted(truth, "completion_falls_from")
    assert mended <= found["cleared_on"] <= mended + timedelta(days=10)
    assert found["worst_level"] == "critical"


def test_the_flags_name_the_tools(story: Build, truth: dict[str, Any]) -> None:
    found = episodes(story, "kpi = 'tool_call_accuracy' and segment_type = 'tool'")
    assert {row["segment"] for row in found} == set(truth["tool_call_accuracy"]["affected_tools"])


def test_the_week_of_silence_is_flagged_as_under_escalation(
    story: Build, truth: dict[str, Any]
) -> None:
    first, end = (
        planted(truth, f"under_escalation_{name}") + MATURE - timedelta(days=1)
        for name in ("from", "to")
    )
    found = episodes(
        story, "kpi = 'escalation_rate' and segment_type = 'all' and direction = 'low'"
    )
    assert len(found) == 1
    assert found[0]["note"] == "possible_under_escalation"
    # The third day in a row.
    assert first + timedelta(days=2) <= found[0]["opened_on"] <= first + timedelta(days=4)
    assert end <= found[0]["cleared_on"] <= end + timedelta(days=5)
    silent = episodes(story, "kpi = 'silent_failure_rate' and segment_type = 'all'")
    assert len(silent) == 1
    assert first <= silent[0]["opened_on"] <= end


def test_the_slow_market_is_a_shared_shock_and_nothing_else_is(
    story: Build, truth: dict[str, Any]
) -> None:
    found = episodes(story, "cause = 'shared_shock'")
    assert found
    for row in found:
        assert row["opened_on"] > planted(truth, "slow_from")
    shocked = story.rows(
        "select distinct kpi, segment from marts.alert_episodes where cause = 'shared_shock'"
    )
    assert ("time_to_resolution", "chat") in shocked
    assert {kpi for kpi, _ in shocked} == {"time_to_resolution"}


def test_escalations_that_page_say_why(story: Build) -> None:
    (found,) = episodes(
        story, "kpi = 'escalation_rate' and segment_type = 'all' and direction = 'high'"
    )
    assert found["top_reasons"].startswith("capability_gap (")
    assert found["top_reasons"].count("(") == 3


def test_every_kpi_is_judged_on_every_day_since_launch(story: Build, truth: dict[str, Any]) -> None:
    rows = story.rows(
        "select kpi, direction, min(evaluation_date), max(evaluation_date), count(*) "
        "from marts.threshold_flags where segment_type = 'all' and role in ('primary', 'kpi') "
        "group by 1, 2"
    )
    assert {(kpi, direction) for kpi, direction, *_ in rows} == {
        ("task_completion_rate", "low"),
        ("escalation_rate", "low"),
        ("escalation_rate", "high"),
        ("time_to_resolution", "high"),
        ("cost_per_successful_outcome", "high"),
        ("csat", "low"),
    }
    last_complete = datetime.fromisoformat(truth["watermark"]).date() - timedelta(days=1)
    for kpi, _, first, last, n in rows:
        assert (first, last) == (planted(truth, "launch"), last_complete), kpi
        assert n == (last - first).days + 1, kpi


def test_a_past_day_is_what_was_known_on_it(
    story: Build, story_replay: Replay, truth: dict[str, Any]
) -> None:
    """Run as of an earlier day, every row up to it is the same."""
    as_of = datetime(2026, 5, 12)
    story_replay.run(None, as_of)
    columns = (
        "cast(evaluation_date as varchar), cast(evaluated_on as varchar), "
        "agent_name, segment_type, segment, kpi, direction, "
        "window_days, n, value, reference_value, judged_delta, judged_bound, point_level, level, "
        "cause, holdout_delta, slope_per_week, top_reasons, top_task_types"
    )
    # Whether a judge may alert is as of the run.
    query = (
        f"select {columns} from marts.threshold_flags where evaluation_date < '2026-05-12' "
        "and kpi != 'response_quality' order by all"
    )
    then, now = story_replay.rows(query), story.rows(query)
    assert len(then) == len(now) > 3000
    for one, other in zip(then, now, strict=True):
        assert rounded(one) == rounded(other)
