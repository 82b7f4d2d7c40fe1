"""MetricFlow: its metrics are those of the registry, and give the numbers of the marts."""

from __future__ import annotations

import csv
import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support import REPOSITORY, code_blocks, copy_project
from warehouse import Build

DIMENSIONS = ["agent_name", "agent_version", "arm", "task_type", "channel", "tier"]
BIN = Path(sys.executable).parent
DOCUMENT = (REPOSITORY / "docs" / "bi.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def metrics(story: Build) -> dict[str, dict[str, Any]]:
    return {metric["name"]: metric for metric in story.manifest["metrics"].values()}


@pytest.fixture(scope="module")
def semantic_models(story: Build) -> dict[str, dict[str, Any]]:
    return {model["name"]: model for model in story.manifest["semantic_models"].values()}


def test_the_metrics_are_those_of_the_registry(
    story: Build, metrics: dict[str, dict[str, Any]]
) -> None:
    registry = {
        (kpi, label, numerator, denominator)
        for kpi, label, numerator, denominator in story.rows(
            "select kpi, label, numerator, denominator from marts.dim_kpis "
            "where numerator is not null"
        )
    }
    assert len(registry) >= 9
    declared = {
        (
            name,
            metric["label"],
            metric["type_params"]["numerator"]["name"],
            metric["type_params"]["denominator"]["name"],
        )
        for name, metric in metrics.items()
        if metric["type"] == "ratio"
    }
    assert declared == registry
    medians = dict(story.rows("select kpi, label from marts.dim_kpis where method = 'median'"))
    derived = {name: m["label"] for name, m in metrics.items() if m["type"] == "derived"}
    assert derived == medians == {"time_to_resolution": "Time to resolution"}


def test_every_additive_part_is_a_measure(
    story: Build,
    semantic_models: dict[str, dict[str, Any]],
    metrics: dict[str, dict[str, Any]],
) -> None:
    columns = {
        name
        for (name,) in story.rows(
            "select column_name from information_schema.columns "
            "where table_schema = 'marts' and table_name = 'kpi_daily'"
        )
    }
    parts = {name for name in columns - {*DIMENSIONS, "cohort_date"} if "square_sum" not in name}
    measures = {measure["name"]: measure for measure in semantic_models["kpi_daily"]["measures"]}
    assert set(measures) == parts
    assert {measure["agg"] for measure in measures.values()} == {"sum"}
    assert all(measure["expr"] in (None, name) for name, measure in measures.items())
    assert {name for name, metric in metrics.items() if metric["type"] == "simple"} == {
        *parts,
        "median_time_or_infinity",
    }


def test_both_semantic_models_are_cut_the_same_way(
    semantic_models: dict[str, dict[str, Any]],
) -> None:
    for model in semantic_models.values():
        entities = [entity["name"] for entity in model["entities"] if entity["type"] == "foreign"]
        assert entities == DIMENSIONS
        assert model["defaults"]["agg_time_dimension"] == "cohort_date"


@dataclass(frozen=True)
class MetricFlow:
    """A copy of the project beside a finished run, and what the document's commands printed."""

    project: Path
    environment: dict[str, str]
    printed: str

    def query(self, *arguments: str) -> list[dict[str, str]]:
        """The rows of `mf query`."""
        file = self.project / "rows.csv"
        done = subprocess.run(
            [BIN / "mf", "query", "--quiet", *arguments, "--csv", file],
            capture_output=True,
            text=True,
            cwd=self.project,
            env=self.environment,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        with file.open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def metricflow(story: Build, tmp_path_factory: pytest.TempPathFactory) -> MetricFlow:
    if not (BIN / "mf").is_file():
        pytest.skip("no mf: install requirements/metricflow.txt")
    project = copy_project(tmp_path_factory.mktemp("metricflow") / "project")
    work = project / "out" / ".work"
    work.mkdir(parents=True)
    shutil.copy(story.database, work)
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    for name in ("DBT_TARGET_PATH", "DBT_LOG_PATH", "DBT_PROJECT_DIR", "DBT_PROFILES_DIR"):
        environment.pop(name, None)
    (commands,) = (block for block in code_blocks(DOCUMENT, "sh") if "mf query" in block)
    done = subprocess.run(
        ["bash", "-euc", commands],
        capture_output=True,
        text=True,
        cwd=project,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    environment["AGENT_KPIS_DATABASE"] = str(work / story.database.name)
    return MetricFlow(project, environment, done.stdout)


def test_the_commands_of_the_document_run(metricflow: MetricFlow) -> None:
    assert "[WARNING]" not in metricflow.printed, "dbt parse has nothing to say"
    validated = metricflow.printed.count("(ERRORS: 0, FUTURE_ERRORS: 0, WARNINGS: 0)")
    assert validated == 6, "semantics, models, dimensions, entities, measures, metrics"
    assert "72.88" in metricflow.printed, "the agent's CSAT"
    assert "2026-05-18" in metricflow.printed


def number(text: str) -> float | None:
    return float(text) if text else None


def ratio_names(metrics: dict[str, dict[str, Any]]) -> list[str]:
    return sorted(name for name, metric in metrics.items() if metric["type"] == "ratio")


def test_every_metric_is_that_of_the_scorecard(
    story: Build, metricflow: MetricFlow, metrics: dict[str, dict[str, Any]]
) -> None:
    names = [*ratio_names(metrics), "time_to_resolution"]
    (start, end), *others = story.rows(
        "select distinct window_start, window_end from marts.kpi_scorecard "
        "where agent_name = 'atlas'"
    )
    assert not others
    scored = {
        (arm, kpi): value
        for arm, kpi, value in story.rows(
            "select arm, kpi, value from marts.kpi_scorecard "
            "where agent_name = 'atlas' and segment_type = 'all'"
        )
    }
    window = ["--start-time", str(start), "--end-time", str(end)]
    by = ["--metrics", ",".join(names), "--group-by", "agent_name,arm"]
    rows = [row for row in metricflow.query(*by, *window) if row["agent_name"] == "atlas"]
    assert {row["arm"] for row in rows} == {"ai", "human"}
    for row in rows:
        for name in names:
            wanted = scored.get((row["arm"], name))
            assert number(row[name]) == (wanted and pytest.approx(wanted, rel=1e-12)), (name, row)
    assert ("human", "deflection_rate") not in scored
    assert scored["ai", "time_to_resolution"] == 8849


@pytest.mark.parametrize("segment_type", ["task_type", "tier", "agent_version"])
def test_segments_are_those_of_the_scorecard(
    story: Build, metricflow: MetricFlow, segment_type: str
) -> None:
    names = ["task_completion_rate", "time_to_resolution", "csat"]
    scored = {
        (segment, kpi): value
        for segment, kpi, value in story.rows(
            "select segment, kpi, value from marts.kpi_scorecard where agent_name = 'atlas' "
            f"and arm = 'ai' and segment_type = '{segment_type}'"
        )
    }
    rows = metricflow.query(
        *("--metrics", ",".join(names), "--group-by", segment_type),
        *("--where", "{{ Entity('agent_name') }} = 'atlas' and {{ Entity('arm') }} = 'ai'"),
        *("--start-time", "2026-02-16", "--end-time", "2026-07-01"),
    )
    found = {(row[segment_type], name): number(row[name]) for row in rows for name in names}
    wanted = {key: value for key, value in scored.items() if key[1] in names}
    assert len(wanted) >= 3
    for key, value in wanted.items():
        assert found[key] == (value and pytest.approx(value, rel=1e-12)), key
    extra = {segment for segment, _ in set(found) - set(wanted)}
    assert extra <= {"unallocated", "(none)", "gift_card"}, "what the scorecard leaves out"


def test_the_median_counts_the_unresolved_as_longer_than_any(
    story: Build, metricflow: MetricFlow
) -> None:
    """By day and task type, where some groups have more than half unresolved."""
    times: dict[tuple[str, str], list[float]] = {}
    for day, task_type, seconds in story.rows(
        "select cast(opened_at as date), task_type, time_to_resolution_seconds "
        "from facts.fct_interactions "
        "where agent_name = 'atlas' and arm = 'ai' and outcome not in ('excluded', 'pending')"
    ):
        group = times.setdefault((str(day), task_type), [])
        group.append(math.inf if seconds is None else seconds)
    medians = {key: sorted(group)[(len(group) - 1) // 2] for key, group in times.items()}
    rows = metricflow.query(
        *("--metrics", "time_to_resolution", "--group-by", "metric_time__day,task_type"),
        *("--where", "{{ Entity('agent_name') }} = 'atlas' and {{ Entity('arm') }} = 'ai'"),
    )
    found = {
        (row["metric_time__day"][:10], row["task_type"]): number(row["time_to_resolution"])
        for row in rows
    }
    assert math.inf in medians.values()
    assert {key: found.get(key) for key in medians} == {
        key: None if median == math.inf else median for key, median in medians.items()
    }


def test_weeks_are_sums_over_sums(story: Build, metricflow: MetricFlow) -> None:
    rows = metricflow.query(
        *("--metrics", "task_completion_rate,n_completed,n_mature"),
        *("--group-by", "metric_time__week"),
        *("--where", "{{ Entity('agent_name') }} = 'atlas' and {{ Entity('arm') }} = 'ai'"),
    )
    weeks = story.rows(
        "select dates.week_start, sum(n_completed), sum(n_mature) from marts.kpi_daily as daily "
        "inner join facts.dim_dates as dates on daily.cohort_date = dates.date_day "
        "where agent_name = 'atlas' and arm = 'ai' group by 1"
    )
    wanted = {str(week): (float(done), float(mature)) for week, done, mature in weeks}
    found = {
        row["metric_time__week"][:10]: (float(row["n_completed"]), float(row["n_mature"]))
        for row in rows
    }
    assert found == wanted
    assert len(found) == 20
    for row in rows:
        done, mature = wanted[row["metric_time__week"][:10]]
        rate = done / mature if mature else None
        assert number(row["task_completion_rate"]) == (rate and pytest.approx(rate, rel=1e-12))
