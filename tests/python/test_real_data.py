"""Data that this project did not make, through the loaders and the models."""

from __future__ import annotations

import math
from pathlib import Path

import duckdb
import pytest
from scipy.special import stdtrit

from agent_kpis.loaders.event_log import load_event_log
from agent_kpis.loaders.tau2 import load_tau2
from agent_kpis.quality import check_landing, check_marts
from support import REPOSITORY, shared_data
from warehouse import Build, dbt

MAPPING = REPOSITORY / "python" / "agent_kpis" / "loaders" / "mappings" / "bpi13.yml"


# Unit tests do not depend on the data.
BUILD = ("build", "--exclude-resource-type", "unit_test")


@pytest.fixture(scope="module")
def tau2(tmp_path_factory: pytest.TempPathFactory) -> Build:
    source = shared_data("tau2")
    folder = tmp_path_factory.mktemp("tau2")
    summary = load_tau2(source, folder / "data")
    build = dbt(
        folder,
        *BUILD,
        data=folder / "data",
        config=folder / "data" / "config",
        as_of=summary["all_mature_at"],
    )
    assert build.returncode == 0, build.output
    return build


@pytest.fixture(scope="module")
def bpi13(tmp_path_factory: pytest.TempPathFactory) -> Build:
    source = shared_data("bpi13") / "incidents.parquet"
    folder = tmp_path_factory.mktemp("bpi13")
    load_event_log(source, MAPPING, folder / "data")
    build = dbt(folder, *BUILD, data=folder / "data", config=folder / "data" / "config")
    assert build.returncode == 0, build.output
    return build


def test_tau2_by_version_and_domain(tau2: Build) -> None:
    """Every group of the files, counted there and in kpi_daily."""
    simulations = shared_data("tau2") / "simulations.parquet"
    expected = duckdb.execute(
        f"""
        select impl, agent, domain, count(*), count(*) filter (reward >= 1),
            count(*) filter (xfer > 0), sum(agent_cost),
            count(*) filter (reward >= 1 and xfer = 0)
        from '{simulations}' group by all order by all
        """
    ).fetchall()
    found = tau2.rows(
        """
        select agent_name, agent_version, task_type, sum(n_mature), sum(n_resolved),
            sum(n_escalated), cast(sum(cost_usd) as double), sum(n_completed)
        from marts.kpi_daily group by all order by all
        """
    )
    assert len(found) == len(expected) == 13
    for left, right in zip(found, expected, strict=True):
        assert left[:6] == right[:6]
        assert left[6] == pytest.approx(right[6] or 0.0, abs=1e-6)
        assert left[7] == right[7]


def test_tau2_one_group_as_the_readme_has_it(tau2: Build) -> None:
    found = tau2.row(
        "select sum(n_mature), sum(n_escalated), round(sum(cost_usd), 4), "
        "sum(n_resolved) / sum(n_mature) from marts.kpi_daily "
        "where agent_version = 'gpt-4.1' and agent_name = 'llm_agent' and task_type = 'telecom'"
    )
    assert (found[0], found[1], float(found[2]), found[3]) == (40, 25, 3.1110, 0.45)


def test_tau2_a_version_is_compared_task_by_task(tau2: Build) -> None:
    """The base model against the fine-tuned one that ran before it, straight from the files."""
    simulations = shared_data("tau2") / "simulations.parquet"
    by_domain = duckdb.execute(
        f"""
        with tasks as (
            select domain, task,
                avg((reward >= 1 and xfer = 0)::int) filter (agent = 'gpt-4.1')
                    - avg((reward >= 1 and xfer = 0)::int) filter (agent like 'ft:%') as change
            from '{simulations}' where impl = 'llm_agent' group by all
        )
        select domain, count(change), avg(change), var_samp(change)
        from tasks where change is not null group by all order by all
        """
    ).fetchall()
    assert [(domain, n) for domain, n, _, _ in by_domain] == [
        ("airline", 20),
        ("retail", 40),
        ("telecom", 40),
    ]
    effect = sum(n * mean for _, n, mean, _ in by_domain) / 100
    error = math.sqrt(sum((n / 100) ** 2 * variance / n for _, n, _, variance in by_domain))
    half_width = stdtrit(97, 0.975) * error
    found = tau2.row(
        "select comparison_type, n_pairs, effect, lower_bound, upper_bound, verdict, "
        "minimum_detectable_effect, min_effect, is_decided, is_time_confounded "
        "from marts.release_effects where agent_name = 'llm_agent' "
        "and agent_version = 'gpt-4.1' and kpi = 'task_completion_rate' and is_target"
    )
    assert found[:2] == ("paired", 100)
    assert found[2:5] == pytest.approx((effect, effect - half_width, effect + half_width))
    # Ten points fewer, and even a hundred tasks cannot rule out chance.
    assert effect == pytest.approx(-0.10)
    assert found[4] > 0
    assert found[5] == "not_sensitive_enough"
    assert found[6] > found[7] == 0.05
    assert found[8:] == (True, False)


def test_tau2_no_version_is_judged_by_other_tasks(tau2: Build) -> None:
    """Versions without a task in common have no effect; the first of an agent has no row."""
    found = dict(
        tau2.rows(
            "select agent_version, n_pairs from marts.release_effects "
            "where agent_name = 'llm_agent' and kpi = 'task_completion_rate'"
        )
    )
    pairs = {version.split("-2025")[0]: n for version, n in found.items()}
    assert pairs == {"ft:gpt-4.1": 20, "gpt-4.1": 100, "gpt-4o": None, "claude-sonnet-4-5": None}
    untold = tau2.rows(
        "select distinct verdict, effect, lower_bound from marts.release_effects "
        "where n_pairs is null"
    )
    assert untold == [("inconclusive", None, None)]
    assert (
        tau2.value("select count(*) from facts.fct_interactions where agent_version like 'unkn%'")
        == 0
    )


def test_tau2_what_is_not_there_is_null_not_zero(tau2: Build) -> None:
    assert tau2.value("select sum(n_interactions) from marts.kpi_daily") == 471
    unpriced = tau2.rows(
        "select distinct value, note, level from marts.kpi_scorecard "
        "where kpi = 'cost_per_successful_outcome' and segment like 'ft:%'"
    )
    assert unpriced == [(None, "no_priced_interactions", "no_data")]
    csat = tau2.rows("select distinct value, level from marts.kpi_scorecard where kpi = 'csat'")
    assert csat == [(None, "no_data")]
    assert tau2.value("select count(*) from marts.kpi_scorecard where arm = 'human'") == 0
    assert tau2.value("select sum(n_reopened) from marts.kpi_daily") == 0
    evidence = tau2.rows(
        "select distinct completion_evidence from facts.fct_interactions where is_completed"
    )
    assert evidence == [("verified",)]


def nothing_is_compared(build: Build) -> None:
    """Without people beside the agent there is no difference anywhere, and no zero for one."""
    for mart in ("kpi_baselines", "holdout_comparison", "csat_nowcast_backtest"):
        assert build.value(f"select count(*) from marts.{mart}") == 0, mart
    references = build.rows(
        "select distinct comparison_type, reference_value, delta, minimum_detectable_effect, "
        "is_time_confounded from marts.kpi_scorecard"
    )
    assert references == [("no_reference", None, None, None, None)]
    answers = build.rows(
        "select distinct status, observed_mean, completed_mean, response_rate "
        "from marts.csat_cohorts"
    )
    assert answers == [("no_data", None, None, None)]


def test_tau2_has_nobody_to_compare_with(tau2: Build) -> None:
    nothing_is_compared(tau2)
    levels = tau2.rows(
        "select distinct level from marts.kpi_scorecard "
        "where kpi = 'task_completion_rate' and segment_type = 'all'"
    )
    assert "ok" not in {level for (level,) in levels}
    holdouts = tau2.rows("select distinct status, n_units, actual_share from marts.holdout_balance")
    assert holdouts == [("no_holdout", 0, None)]


def test_tau2_early_reading_is_the_value_once_all_is_mature(tau2: Build) -> None:
    pairs = tau2.rows(
        "select value, provisional_value, lower_bound, provisional_lower_bound "
        "from marts.kpi_scorecard where kpi = 'task_completion_rate' and value is not null"
    )
    assert len(pairs) > 10
    for value, early, lower, early_lower in pairs:
        assert early == pytest.approx(value, abs=1e-9)
        assert early_lower == pytest.approx(lower, abs=0.03)


def test_bpi13_has_nobody_to_compare_with(bpi13: Build) -> None:
    nothing_is_compared(bpi13)
    assert bpi13.value("select count(*) from marts.holdout_balance") == 0


def test_bpi13_interactions_and_reopenings(bpi13: Build) -> None:
    found = bpi13.row(
        """
        select count(*), count(*) filter (resolution_was_ever_undone),
            count(*) filter (
                resolution_first_undo_at <= resolution_first_completed_at + interval 24 hour
            ),
            count(*) filter (resolution_first_completed_at is null),
            median(epoch(resolution_first_completed_at - opened_at)) / 3600
        from intermediate.int_interaction_timeline
        """
    )
    assert found[:4] == (7554, 514, 293, 8)
    assert found[4] == pytest.approx(6.03, abs=0.005)
    flagged = bpi13.value("select count(*) filter (was_reopened) from facts.fct_interactions")
    assert flagged == 514


def test_bpi13_escalation_from_the_first_line(bpi13: Build) -> None:
    found = bpi13.row(
        """
        with went_higher as (
            select interaction_id, min(occurred_at) as handed_off_at
            from input.input_events where event_type = 'handed_off' group by 1
        )
        select count(*), count(handed_off_at),
            count(*) filter (handed_off_at <= matures_at), count(*) filter (is_escalated)
        from facts.fct_interactions left join went_higher using (interaction_id)
        where tier = '1st'
        """
    )
    assert found[:2] == (6702, 2156)
    assert found[2] == found[3] < 2156, "what happened after maturity does not count"


def test_bpi13_what_is_not_there_is_null_not_zero(bpi13: Build) -> None:
    found = bpi13.rows(
        "select kpi, value, level from marts.kpi_scorecard "
        "where segment_type = 'all' and kpi in ('csat', 'cost_per_successful_outcome') order by 1"
    )
    assert found == [
        ("cost_per_successful_outcome", None, "no_data"),
        ("csat", None, "no_data"),
    ]
    for mart in ("deflection_gap", "agent_health", "rejected_rows"):
        assert bpi13.value(f"select count(*) from marts.{mart}") == 0, mart


def test_loading_again_gives_the_same_facts(bpi13: Build, tmp_path: Path) -> None:
    load_event_log(shared_data("bpi13") / "incidents.parquet", MAPPING, tmp_path / "data")
    again = dbt(tmp_path, "run", "--empty", "--select", "stg_files__events", data=tmp_path / "data")
    assert again.returncode == 0, again.output
    ((n,),) = duckdb.execute(f"select count(*) from '{tmp_path}/data/events.parquet'").fetchall()
    assert n == bpi13.value("select count(*) from input.input_events")


@pytest.mark.parametrize("name", ["tau2", "bpi13"])
def test_the_default_limits_stop_neither(name: str, request: pytest.FixtureRequest) -> None:
    """Runs of a benchmark on a few days, and a log whose last weeks only close what was open."""
    build: Build = request.getfixturevalue(name)
    data = build.folder / "data"
    landing = check_landing(data, data / "config")
    marts = check_marts(build.database, data / "config")
    assert len(landing.results) > 20
    assert len(marts.results) > 4
    assert [result.message for result in landing.critical + marts.critical] == []
