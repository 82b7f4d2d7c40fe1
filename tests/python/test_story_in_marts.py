"""What the story planted, the models find again."""

from __future__ import annotations

from typing import Any

import pytest

from warehouse import Build

OUTCOMES = ["completed", "escalated", "reopened", "resolved_late", "abandoned"]
PARTS = ", ".join(f"sum(n_{outcome})" for outcome in ["mature", *OUTCOMES, "resolved"])


def test_every_data_and_unit_test_ran(story: Build) -> None:
    assert set(story.results.values()) <= {"success", "pass", "warn"}
    assert list(story.results.values()).count("pass") > 50


def test_rows_read_rejected_and_superseded(story: Build, truth: dict[str, Any]) -> None:
    counts = story.rows(
        "select entity, n_raw, n_superseded, n_accepted + n_rejected + n_superseded "
        "from intermediate.int_row_counts"
    )
    assert {row[0]: row[1] for row in counts} == truth["rows"]["raw"]
    assert {row[0]: row[2] for row in counts} == truth["rows"]["superseded"]
    assert all(row[1] == row[3] for row in counts)
    rejected: dict[str, dict[str, int]] = {}
    for entity, reason, n in story.rows(
        "select entity, reason, count(*) from marts.rejected_rows group by 1, 2"
    ):
        rejected.setdefault(entity, {})[reason] = n
    assert rejected == truth["rows"]["rejected"]


@pytest.mark.parametrize("arm", ["ai", "human"])
def test_outcomes_by_arm(story: Build, truth: dict[str, Any], arm: str) -> None:
    planted = truth["outcomes"]["by_arm"][arm]
    found = story.row(f"select {PARTS} from marts.kpi_daily where arm = '{arm}'")
    assert found == tuple(planted[name] for name in ["mature", *OUTCOMES, "resolved"])
    pending, excluded = story.row(
        f"select sum(n_pending), sum(n_excluded) from marts.kpi_daily where arm = '{arm}'"
    )
    assert pending == truth["interactions"]["pending"][arm]
    assert excluded == truth["interactions"]["excluded"][arm]


def test_outcomes_by_task_type(story: Build, truth: dict[str, Any]) -> None:
    found = {
        (arm, task_type): tuple(parts)
        for arm, task_type, *parts in story.rows(
            f"select arm, task_type, {PARTS} from marts.kpi_daily "
            "where n_mature > 0 group by arm, task_type"
        )
    }
    planted = {
        (row["arm"], row["task_type"]): tuple(
            row[name] for name in ["mature", *OUTCOMES, "resolved"]
        )
        for row in truth["outcomes"]["by_arm_and_task_type"]
    }
    assert found == planted


def test_outcomes_by_period(story: Build, truth: dict[str, Any]) -> None:
    for name, period in truth["periods"].items():
        found = story.row(
            f"select {', '.join(f'coalesce(sum(n_{part}), 0)' for part in ['mature', *OUTCOMES])} "
            f"from marts.kpi_daily where arm = 'ai' "
            f"and cohort_date >= '{period['from']}' and cohort_date < '{period['to']}'"
        )
        assert found == tuple(period["ai"][part] for part in ["mature", *OUTCOMES]), name


def test_the_scorecard_shows_deflection_beside_completion(
    story: Build, truth: dict[str, Any]
) -> None:
    planted = truth["outcomes"]["by_arm"]["ai"]
    found = dict(
        story.rows(
            "select kpi, value from marts.kpi_scorecard "
            "where agent_name = 'atlas' and arm = 'ai' and segment_type = 'all'"
        )
    )
    assert found["deflection_rate"] == pytest.approx(planted["deflection_rate"], abs=1e-6)
    assert found["task_completion_rate"] == pytest.approx(planted["completed_rate"], abs=1e-6)
    assert found["escalation_rate"] == pytest.approx(planted["escalated_rate"], abs=1e-6)
    assert found["resolution_rate"] == pytest.approx(planted["resolved_rate"], abs=1e-6)


def test_the_gap_between_deflected_and_completed_has_its_causes(
    story: Build, truth: dict[str, Any]
) -> None:
    planted = truth["outcomes"]["by_arm"]["ai"]
    found = story.row(
        "select sum(n_gap), sum(n_gap_reopened), sum(n_gap_abandoned), sum(n_gap_resolved_late) "
        "from marts.deflection_gap"
    )
    causes = (planted["reopened"], planted["abandoned"], planted["resolved_late"])
    assert found == (planted["deflected"] - planted["completed"], *causes)


def test_escalation_moves_from_preference_to_capability(
    story: Build, truth: dict[str, Any]
) -> None:
    for phase in truth["escalation_reasons"].values():
        found = dict(
            story.rows(
                "select reason_class, sum(n_escalated) from marts.escalation_reasons "
                "where arm = 'ai' "
                f"and week_start >= '{phase['from']}' and week_start < '{phase['to']}' group by 1"
            )
        )
        assert found == phase["counts"]


def test_satisfaction_of_people_before_launch(story: Build, truth: dict[str, Any]) -> None:
    planted = truth["csat"]["baseline"]
    sent, answered, mean = story.row(
        "select sum(n_surveys_sent), sum(n_surveys_answered), "
        "sum(score_sum) / sum(n_surveys_answered) from marts.kpi_daily "
        "where tier = 'tier_1' and arm = 'human' and cohort_date < '2026-02-16'"
    )
    assert (sent, answered) == (planted["sent"], planted["answers"])
    assert mean == pytest.approx(planted["mean"], abs=0.001)


def test_costs(story: Build, truth: dict[str, Any]) -> None:
    planted = truth["costs"]
    found = dict(
        story.rows(
            "select component, cast(sum(amount_usd) as double) from facts.fct_costs "
            "where source_entity = 'costs' group by 1"
        )
    )
    assert found == pytest.approx(planted["usd_by_component"])
    before, after, unpriced = story.row(
        "select cast(sum(cost_usd) filter (started_at < '2026-05-01') as double), "
        "cast(sum(cost_usd) filter (started_at >= '2026-05-01') as double), "
        "count(*) filter (cost_usd is null) from facts.fct_spans"
    )
    assert before == pytest.approx(planted["model_usd_before_price_change"], abs=1e-5)
    assert after == pytest.approx(planted["model_usd_after_price_change"], abs=1e-5)
    assert unpriced == planted["steps_without_price"]
    shared = story.value(
        "select cast(sum(amount_usd) as double) from facts.fct_costs "
        "where interaction_id is null and source_entity = 'spans'"
    )
    assert shared == pytest.approx(planted["model_usd_without_interaction"], abs=1e-5)


def test_a_week_is_sum_over_sum_not_the_mean_of_its_days(story: Build) -> None:
    weekly, mean_of_days = story.row(
        """
        with days as (
            select cohort_date, sum(n_completed) as done, sum(n_mature) as n
            from marts.kpi_daily where arm = 'ai' and n_mature > 0
                and cohort_date between '2026-03-02' and '2026-03-08'
            group by 1
        )
        select sum(done) / sum(n), avg(done / n) from days
        """
    )
    in_the_mart = story.value(
        "select task_completion_rate from marts.deflection_gap where week_start = '2026-03-02'"
    )
    assert in_the_mart == pytest.approx(weekly, abs=1e-12)
    assert abs(weekly - mean_of_days) > 1e-4


def test_the_machine_is_well_while_customers_are_not_helped(story: Build) -> None:
    days, failing = story.row(
        "select count(*), count(*) filter (health_ok_but_failing) from marts.agent_health "
        "where agent_name = 'atlas' and n_mature > 0"
    )
    assert failing > days / 3, "a day of 70 requests can rarely prove it, but many do"


def test_a_longer_window_never_helps(story: Build) -> None:
    found = story.rows(
        "select arm, list(n_completed order by window_hours), count(distinct n) "
        "from marts.definition_sensitivity where agent_name = 'atlas' group by 1"
    )
    for arm, completed, populations in found:
        assert completed == sorted(completed, reverse=True), arm
        assert completed[0] > completed[1], "some resolutions were undone within a day"
        assert populations == 1


def test_the_same_request_of_two_definitions_is_told_apart(story: Build) -> None:
    hashes = story.value("select count(distinct definition_hash) from facts.fct_interactions")
    assert hashes == 3, "three definitions with the same windows"
