"""The Dagster job, executed for real: all well, bad landing files, a dbt test that fails."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from agent_kpis.build import DATABASE
from alerting import Server, web_server
from quality_world import world, write_world
from support import REPOSITORY
from warehouse import write_config

pytest.importorskip("dagster", reason="Dagster is not installed: scripts/setup dagster")
DAGSTER = Path(sys.executable).parent / "dagster"


@dataclass
class Job:
    code: int
    log: str

    def step(self, name: str) -> str:
        """How a step went: the last that Dagster says of it."""
        words = ("STEP_START", "STEP_SUCCESS", "STEP_FAILURE")
        said = [word for word in words if f" - {name} - {word}" in self.log]
        return said[-1] if said else "not begun"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dagster")
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return folder


@pytest.fixture(scope="module")
def server():
    with web_server() as found:
        yield found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("landing"), world())


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "out"


def execute(home: Path, data: Path, config: Path, out: Path, server: Server) -> Job:
    """The job in a process of its own, as docs/orchestration.md says it."""
    server.requests.clear()
    done = subprocess.run(
        [str(DAGSTER), "job", "execute", "-m", "agent_kpis.dagster", "-j", "agent_kpis"],
        env={
            **os.environ,
            "DAGSTER_HOME": str(home),
            "AGENT_KPIS_DATA": str(data),
            "AGENT_KPIS_CONFIG": str(config),
            "AGENT_KPIS_OUT": str(out),
            "AGENT_KPIS_ROUTE_SUPPORT_CHANNEL": f"json://{server.host}/desk",
            "PATH": "/usr/bin:/bin",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
        cwd=REPOSITORY,
    )
    return Job(done.returncode, done.stdout)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("config"), {})


@pytest.fixture(scope="module")
def good(home: Path, data: Path, config: Path, out: Path, server: Server) -> Job:
    return execute(home, data, config, out, server)


def test_everything_is_built_checked_and_served(good: Job, out: Path) -> None:
    assert good.code == 0, good.log[-5000:]
    for step in ("landing", "dbt_models", "marts", "served", "alerts"):
        assert good.step(step) == "STEP_SUCCESS"
    assert "Asset check 'missing_columns' on 'landing' passed" in good.log
    assert "Asset check 'primary_kpi_missing' on 'marts' passed" in good.log
    assert "interactions_are_conserved" in good.log, "dbt's tests are asset checks"
    with duckdb.connect(str(out / DATABASE), read_only=True) as con:
        (n,) = con.execute("select sum(n_interactions) from marts.kpi_daily").fetchone()
        (checks,) = con.execute("select count(*) from checks.check_results").fetchone()
    assert n == len(world()["interactions"])
    assert checks > 0
    assert (out / "report.html").stat().st_size > 0
    assert not (REPOSITORY / ".kpi" / "dagster" / "run_results.json").exists()


def test_landing_files_that_fail_stop_the_job_before_dbt(
    good: Job, home: Path, data: Path, config: Path, out: Path, server: Server, tmp_path: Path
) -> None:
    served = (out / DATABASE).resolve()
    broken = tmp_path / "landing"
    shutil.copytree(data, broken)
    with (data / "events.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    with (broken / "events.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, [name for name in rows[0] if name != "actor_kind"])
        writer.writeheader()
        writer.writerows({k: v for k, v in row.items() if k != "actor_kind"} for row in rows)
    job = execute(home, broken, config, out, server)
    assert job.code != 0
    assert "Asset check 'missing_columns' on 'landing' did not pass" in job.log
    for step in ("dbt_models", "marts", "served", "alerts"):
        assert job.step(step) == "not begun"
    assert (out / DATABASE).resolve() == served
    (told,) = server.texts()
    assert told.startswith("KPI alerts are blocked: landing checks failed")
    assert "missing_columns of events" in told


def test_a_dbt_test_that_fails_blocks_the_alerts(
    good: Job, home: Path, data: Path, out: Path, server: Server, tmp_path: Path
) -> None:
    served = (out / DATABASE).resolve()
    config = write_config(tmp_path / "config", {})
    with (config / "thresholds.csv").open("a") as lines:
        lines.write("default,deflection_rate,low,pp,-1,-2,-3,1,lead,2026-01-01\n")
    job = execute(home, data, config, out, server)
    assert job.code != 0
    assert job.step("landing") == "STEP_SUCCESS"
    assert job.step("dbt_models") == "STEP_FAILURE"
    for step in ("marts", "served", "alerts"):
        assert job.step(step) == "not begun"
    assert (out / DATABASE).resolve() == served
    assert server.texts()[0].startswith("KPI alerts are blocked: dbt build failed")
    assert "thresholds_name_metrics_that_may_judge" in server.texts()[0]


def test_the_job_runs_every_day() -> None:
    from agent_kpis.dagster import defs

    (schedule,) = defs.schedules
    assert (schedule.cron_schedule, schedule.job_name) == ("0 6 * * *", "agent_kpis")
