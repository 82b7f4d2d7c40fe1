"""The story's marts against its planted truth: better or worse than people, and known when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from agent_kpis.story import plot
from warehouse import Build, Replay

WHOLE = "agent_name = 'atlas' and segment_type = 'all'"


def comparison(build: Build | Replay, kpi: str) -> dict[str, Any]:
    columns = (
        "comparison_type, delta, delta_lower_bound, delta_upper_bound, fixed_lower_bound, "
        "fixed_upper_bound, mix_confounded_delta, time_confounded_delta, ai_value, "
        "reference_value, n_ai, n_reference, covered_share, is_withheld"
    )
    (row,) = build.rows(
        f"select {columns} from marts.holdout_comparison where {WHOLE} and kpi = '{kpi}'"
    )
    return dict(zip(columns.split(", "), row, strict=True))


def test_the_crude_comparison_has_the_wrong_sign(story: Build, truth: dict[str, Any]) -> None:
    planted, found = truth["completion_difference"], comparison(story, "task_completion_rate")
    assert found["comparison_type"] == "holdout"
    assert found["delta"] == pytest.approx(planted["by_task_type_randomised"], abs=1e-6)
    assert found["mix_confounded_delta"] == pytest.approx(
        planted["crude_all_human_handled"], abs=1e-6
    )
    assert found["delta_upper_bound"] < 0 < found["mix_confounded_delta"]
    assert found["delta_lower_bound"] < found["fixed_lower_bound"]
    assert found["fixed_upper_bound"] < found["delta_upper_bound"]


def test_the_drop_in_satisfaction_is_found(story: Build, truth: dict[str, Any]) -> None:
    """What all answers will say in the end lies within the limits; no difference does not."""
    planted, found = truth["csat"], comparison(story, "csat")
    drop = planted["atlas"]["mean"] - planted["holdout"]["mean"]
    assert found["fixed_lower_bound"] < drop < found["fixed_upper_bound"] < 0
    assert found["delta_upper_bound"] < 0
    assert found["ai_value"] == pytest.approx(planted["atlas"]["mean"], abs=0.5)
    assert found["reference_value"] == pytest.approx(planted["holdout"]["mean"], abs=0.5)


def test_the_baseline_is_what_was_known_at_launch(
    story: Build, story_replay: Replay, truth: dict[str, Any]
) -> None:
    sql = f"select kpi, value, n from marts.kpi_baselines where {WHOLE} order by kpi"
    now = story.rows(sql)
    story_replay.run(None, datetime(2026, 2, 16))
    # Sums of floating-point numbers differ in their last digits from run to run.
    assert [row[:1] for row in story_replay.rows(sql)] == [row[:1] for row in now]
    assert [row[2] for row in story_replay.rows(sql)] == [row[2] for row in now]
    assert [row[1] for row in story_replay.rows(sql)] == pytest.approx(
        [row[1] for row in now], rel=1e-12
    )
    restated = dict(
        story.rows(f"select kpi, restated_value from marts.kpi_baselines where {WHOLE}")
    )
    assert restated["csat"] == pytest.approx(truth["csat"]["baseline"]["mean"], abs=0.001)
    known = {kpi: value for kpi, value, _ in now}
    assert known["csat"] < restated["csat"], "content customers answer later"
    assert all(known[kpi] is not None for kpi in (*restated, "resolution_rate"))


def test_people_of_another_tier_are_not_in_the_baseline(story: Build) -> None:
    n, of_tier, of_all = story.row(
        f"""
        select restated_n,
            (select count(*) from facts.fct_interactions where arm = 'human' and tier = 'tier_1'
                and opened_at < '2026-02-16' and outcome != 'excluded'),
            (select count(*) from facts.fct_interactions where arm = 'human'
                and opened_at < '2026-02-16' and outcome != 'excluded')
        from marts.kpi_baselines where {WHOLE} and kpi = 'task_completion_rate'
        """
    )
    assert n == of_tier < of_all


def test_the_holdout_is_what_was_planned(story: Build, truth: dict[str, Any]) -> None:
    planned, actual, status, contaminated, both = story.row(
        "select planned_share, actual_share, status, n_contaminated, n_units_in_both_arms "
        "from marts.holdout_balance"
    )
    assert planned == pytest.approx(plot.HOLDOUT_PER_20 / 20)
    assert actual == pytest.approx(planned, abs=0.01)
    assert (status, contaminated, both) == ("ok", plot.CONTAMINATED, 0)


def test_three_weeks_after_launch_the_claim_is_already_contradicted(
    story: Build, story_replay: Replay, truth: dict[str, Any]
) -> None:
    """'It handles 60% without a human' is true that day, and so is what stands beside it."""
    praise = truth["praise"]
    story_replay.run(None, datetime.fromisoformat(praise["as_of"]))
    found = {
        row["kpi"]: row
        for row in story_replay.records(
            f"select * from marts.kpi_scorecard where {WHOLE} and arm = 'ai'"
        )
    }
    deflection, completion, csat = (
        found[kpi] for kpi in ("deflection_rate", "task_completion_rate", "csat")
    )
    assert deflection["value"] == pytest.approx(praise["atlas"]["deflection_rate"], abs=1e-6)
    assert completion["value"] == pytest.approx(praise["atlas"]["completed_rate"], abs=1e-6)
    assert (completion["level"], completion["level_direction"]) == ("catastrophic", "low")
    assert completion["comparison_type"] == "holdout"
    assert completion["delta_upper_bound"] < -0.10
    assert completion["reference_value"] == pytest.approx(
        praise["holdout"]["completed_rate"], abs=0.02
    )
    # CSAT waits: nothing is final, and the few answers do not decide.
    assert csat["level"] not in ("ok", "critical", "catastrophic")
    statuses = story_replay.rows(
        "select distinct status from marts.csat_cohorts "
        "where arm = 'ai' and cohort_date > '2026-03-02'"
    )
    assert statuses == [("provisional",)]

    unknown_then = story_replay.rows(
        "select (select max(opened_at) from facts.fct_interactions), "
        "(select max(responded_at) from facts.fct_surveys), "
        "(select max(started_at) from facts.fct_spans)"
    )
    assert all(moment <= datetime(2026, 3, 9) for moment in unknown_then[0])

    # The early reading counts what is still pending; it holds what became of the same requests.
    (became,) = story.row(
        """
        select avg(case when is_completed then 1.0 else 0.0 end) from facts.fct_interactions
        where arm = 'ai' and agent_name = 'atlas' and outcome != 'excluded'
            and opened_at >= '2026-02-16' and opened_at < '2026-03-09'
        """
    )
    assert completion["provisional_n"] > completion["n"]
    assert completion["provisional_lower_bound"] < became < completion["provisional_upper_bound"]
    assert completion["provisional_value"] == pytest.approx(became, abs=0.01)


def test_six_weeks_after_launch_early_anger_is_taken_out_of_csat(
    story_replay: Replay, truth: dict[str, Any]
) -> None:
    planted = truth["csat"]
    story_replay.run(None, datetime(2026, 3, 30))
    row = story_replay.record(
        "select value, provisional_value, provisional_lower_bound, provisional_upper_bound, "
        "delta, delta_lower_bound, delta_upper_bound, comparison_type "
        f"from marts.kpi_scorecard where {WHOLE} and arm = 'ai' and kpi = 'csat'"
    )
    final = planted["atlas_first_six_weeks"]["mean"]
    ((naive,),) = story_replay.rows(
        "select observed_mean from marts.csat_response where population = 'ai'"
    )
    assert naive == pytest.approx(
        planted["atlas_first_six_weeks"]["mean_of_answers_by_disillusion"], abs=0.01
    )
    assert naive < row["provisional_value"]
    assert abs(row["provisional_value"] - final) < abs(naive - final)
    assert row["provisional_lower_bound"] < final < row["provisional_upper_bound"]
    assert row["delta_lower_bound"] < planted["delta_after_six_weeks"] < row["delta_upper_bound"]


def test_both_arms_have_a_bad_week_and_the_difference_does_not(
    story: Build, truth: dict[str, Any]
) -> None:
    """A week in which everybody completes less: people fall with the agent."""
    dip = "cohort_date >= '2026-04-06' and cohort_date < '2026-04-13'"
    rates = {
        (arm, is_dip): rate
        for arm, is_dip, rate in story.rows(
            f"""
            select arm, {dip} as is_dip, sum(n_completed) / sum(n_mature)
            from marts.kpi_daily
            where tier = 'tier_1' and cohort_date >= '2026-02-16' and cohort_date < '2026-04-23'
            group by 1, 2
            """
        )
    }
    for arm in ("ai", "human"):
        assert rates[arm, True] - rates[arm, False] < -0.02
    change = (rates["ai", True] - rates["human", True]) - (
        rates["ai", False] - rates["human", False]
    )
    assert abs(change) < 0.04


def test_past_nowcasts_held(story: Build) -> None:
    for arm in ("ai", "human"):
        coverage, naive, nowcast, days = story.row(
            "select any_value(coverage), avg(abs(observed_mean - final_mean)), "
            "avg(abs(nowcast_mean - final_mean)), count(*) "
            f"from marts.csat_nowcast_backtest where agent_name = 'atlas' and arm = '{arm}'"
        )
        assert days > 60
        assert coverage >= 0.85
        assert nowcast < naive


def test_the_agent_has_no_delta_without_its_kind(story: Build) -> None:
    nameless = story.value(
        "select count(*) from marts.kpi_scorecard "
        "where delta is not null and comparison_type not in ('holdout', 'pre_launch')"
    )
    assert nameless == 0
    kinds = story.rows(
        "select distinct comparison_type, is_time_confounded from marts.kpi_scorecard "
        "where comparison_type != 'no_reference'"
    )
    assert kinds == [("holdout", False)]
