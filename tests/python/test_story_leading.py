"""The story's leading indicators against its planted truth: what moved first, who may say so."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from agent_kpis.statistics.calibration import expected_calibration_error
from warehouse import Build

WHOLE = "agent_name = 'atlas' and segment_type = 'all'"


def movements(story: Build, where: str) -> list[dict[str, Any]]:
    columns = (
        "segment, kpi, moved_on, moved_on_lower, moved_on_upper, direction, first_mover, "
        "lead_days, lead_days_lower, lead_days_upper, indicator_before, indicator_after"
    )
    found = story.rows(f"select {columns} from marts.first_movers where {where} order by moved_on")
    return [dict(zip(columns.split(", "), row, strict=True)) for row in found]


def test_tool_accuracy_fell_before_completion_did(story: Build, truth: dict[str, Any]) -> None:
    fell, mended = movements(story, f"{WHOLE} and kpi = 'task_completion_rate'")
    assert fell["direction"] == "worse"
    planted = date.fromisoformat(truth["days"]["completion_falls_from"])
    assert fell["moved_on_lower"] <= planted <= fell["moved_on_upper"]
    assert fell["first_mover"] == "tool_call_accuracy"
    lead = truth["tool_call_accuracy"]["lead_days"]
    assert 0 < fell["lead_days_lower"] <= lead <= fell["lead_days_upper"]
    assert abs(fell["lead_days"] - lead) <= 1
    assert fell["indicator_before"] == pytest.approx(truth["tool_call_accuracy"]["usual"], abs=0.02)
    assert fell["indicator_after"] < 0.85
    # Mended on one day: completion and accuracy together.
    assert mended["direction"] == "better"
    planted = date.fromisoformat(truth["days"]["tool_mended"])
    assert mended["moved_on_lower"] <= planted <= mended["moved_on_upper"]
    assert mended["first_mover"] == "order_not_distinguishable"


def test_nothing_moved_where_nothing_was_planted(story: Build, truth: dict[str, Any]) -> None:
    planted = {
        date.fromisoformat(truth["days"][name])
        for name in (
            "completion_falls_from",
            "tool_mended",
            "under_escalation_from",
            "under_escalation_to",
        )
    }
    for row in movements(story, "true"):
        assert any(abs(row["moved_on"] - day) <= timedelta(days=2) for day in planted), row
        assert row["segment"] != "policy_question", "its tools were never broken"


def test_the_old_rubric_tracks_satisfaction_and_the_new_one_does_not(
    story: Build, truth: dict[str, Any]
) -> None:
    judge = truth["judge"]
    found = dict(
        story.rows(
            "select evaluator_version, status from marts.judge_calibration "
            f"where evaluator_name = '{judge['name']}'"
        )
    )
    assert found == {
        version: "calibrated" if tracks else "not_calibrated"
        for version, tracks in judge["tracks_satisfaction"].items()
    }
    first, last = story.row(
        "select min(cohort_date), max(cohort_date) from marts.leading_indicators "
        f"where {WHOLE} and judges_not_calibrated like '%response_quality%'"
    )
    assert first == date.fromisoformat(truth["days"]["judge_switch"])
    assert last > first
    spread = dict(
        story.rows(
            "select evaluator_version, max(expected_csat) - min(expected_csat) "
            f"from marts.judge_deciles where evaluator_name = '{judge['name']}' group by 1"
        )
    )
    assert spread["rubric-1"] > 60
    assert spread["rubric-2"] < 15


def test_every_indicator_has_its_panel(story: Build) -> None:
    days, with_data = story.row(
        "select count(*), count(*) filter (status = 'ok' and n_tool_call_accuracy > 0) "
        f"from marts.leading_indicators where {WHOLE}"
    )
    assert with_data > 0.9 * days
    recall = dict(
        story.rows(
            "select segment, sum(context_recall * n_context_recall) / sum(n_context_recall) "
            "from marts.leading_indicators where segment_type = 'turn_bucket' group by 1"
        )
    )
    assert recall["1-3"] == pytest.approx(0.93, abs=0.01)
    assert recall["4-7"] == pytest.approx(0.88, abs=0.01)
    assert recall["8+"] == pytest.approx(0.79, abs=0.02)
    tools = {
        row[0]
        for row in story.rows(
            "select segment from marts.leading_indicators where segment_type = 'tool' "
            "and cohort_date between '2026-04-23' and '2026-05-20' group by 1 "
            "having sum(tool_call_accuracy * n_tool_call_accuracy) / sum(n_tool_call_accuracy) < .9"
        )
    }
    assert "order_lookup" in tools
    assert "calendar" not in tools


def test_broken_calls_mostly_succeed(story: Build) -> None:
    """Success alone would hardly have shown it: the call returns, with the wrong arguments."""
    success, accuracy = story.row(
        "select sum(tool_success_rate * n_tool_success_rate) / sum(n_tool_success_rate), "
        "sum(tool_call_accuracy * n_tool_call_accuracy) / sum(n_tool_call_accuracy) "
        f"from marts.leading_indicators where {WHOLE} "
        "and cohort_date between '2026-04-23' and '2026-05-20'"
    )
    assert success > 0.90
    assert accuracy < 0.82


def test_stated_confidence_is_too_high(story: Build, truth: dict[str, Any]) -> None:
    pairs = np.array(
        story.rows(
            "select e.value, i.is_completed::int from facts.fct_evaluations as e "
            "join facts.fct_interactions as i using (interaction_id) "
            "where e.indicator = 'confidence' and i.is_completed is not null"
        )
    )
    (n, value), *rest = story.rows(
        """
        select sum(n), sum(abs(distance)) / sum(n) from (
            select sum(n) as n, sum(value_sum) as distance from intermediate.int_indicator_days
            where indicator = 'confidence_calibration' and segment_type = 'all' group by bin
        )
        """
    )
    assert not rest
    assert n == len(pairs) > 1000
    assert value == pytest.approx(expected_calibration_error(*pairs.T), abs=1e-9)
    stated, right = pairs.mean(axis=0)
    planted = truth["confidence"]
    assert stated == pytest.approx(
        right * planted["stated_when_completed"] + (1 - right) * planted["stated_when_not"],
        abs=0.01,
    )
    assert value > stated - right - 1e-9 > 0.1


def test_most_of_what_it_cannot_do_it_hands_over(story: Build, truth: dict[str, Any]) -> None:
    abstained, silent, n = story.row(
        "select sum(abstain_rate * n_abstain_rate), "
        "sum(silent_failure_rate * n_silent_failure_rate), sum(n_abstain_rate) "
        f"from marts.leading_indicators where {WHOLE}"
    )
    planted = truth["outcomes"]["by_arm"]["ai"]
    assert n == planted["mature"]
    assert round(silent) == planted["abandoned"]
    gaps = sum(phase["counts"]["capability_gap"] for phase in truth["escalation_reasons"].values())
    assert round(abstained) == gaps
    week = story.row(
        "select sum(silent_failure_rate * n_silent_failure_rate) / sum(n_silent_failure_rate) "
        f"from marts.leading_indicators where {WHOLE} and cohort_date "
        f"between '{truth['days']['under_escalation_from']}' and '2026-06-14'"
    )[0]
    assert week > 2 * silent / n, "the week in which it keeps what it cannot do"
