"""Data in, alert out: what a whole run tells the routes, and what it tells where a step fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from agent_kpis.build import DATABASE
from agent_kpis.history import read_runs
from alerting import Server
from support import REPOSITORY
from warehouse import Build, write_config

SUPPORT, ON_CALL = "AGENT_KPIS_ROUTE_SUPPORT_CHANNEL", "AGENT_KPIS_ROUTE_ON_CALL"
# `kpi run` with the steps that are named; dbt has built before.
STEPS = """
import sys
from agent_kpis import cli, run
names = sys.argv.pop(1).split(",")
chosen = {name: run.STEPS[name] for name in names}
def run_chosen(settings, watcher, steps):
    return run.run(settings, watcher, {name: chosen[name] for name in chosen if name in steps})
cli.run_all = run_chosen
cli.main()
"""
AFTER_DBT = "mart checks,publish,report,alerts"


@pytest.fixture(scope="module")
def out(story: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where dbt has built the story, and nothing has been served."""
    folder = tmp_path_factory.mktemp("run") / "out"
    (folder / ".work").mkdir(parents=True)
    shutil.copy(story.database, folder / ".work" / DATABASE)
    shutil.copytree(story.folder / "target", folder / ".work" / "target")
    return folder


def run(
    steps: str, data: Path, out: Path, *options: str, **routes: str
) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AGENT_KPIS_ROUTE_")}
    command = [sys.executable, "-c", STEPS, steps, "run", "--data", str(data), "--out", str(out)]
    return subprocess.run(
        [*command, *options],
        env={**clean, **routes, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=REPOSITORY,
    )


def desk(server: Server) -> dict[str, str]:
    return {SUPPORT: f"json://{server.host}/desk?token=s3cret"}


def test_one_command_from_data_to_alert(story_folder: Path, out: Path, server: Server) -> None:
    first = run(AFTER_DBT, story_folder, out, "--exit-level", "critical", **desk(server))
    assert first.returncode == 13, first.stderr
    (digest,) = server.texts()
    assert digest.startswith("CATASTROPHIC: 36 alerts of atlas")
    assert f"Report: {(out / 'report.html')}" in digest
    assert "1 sent" in first.stdout
    assert f"no address in {ON_CALL}" in first.stdout
    again = run(AFTER_DBT, story_folder, out, **desk(server))
    assert again.returncode == 0, again.stderr
    assert len(server.requests) == 1, "told once"
    assert "nothing sent" in again.stdout
    assert "s3cret" not in first.stdout + first.stderr + again.stdout + again.stderr


def test_without_routes_a_run_says_how_to_see_the_messages(story_folder: Path, out: Path) -> None:
    done = run(AFTER_DBT, story_folder, out)
    assert done.returncode == 0, done.stderr
    assert "`kpi alert --dry-run` prints them" in done.stdout
    assert "CATASTROPHIC:" not in done.stdout


def test_a_replay_tells_nobody(
    story_folder: Path, out: Path, tmp_path: Path, server: Server
) -> None:
    replay = tmp_path / "replay"
    shutil.copytree(out / ".work", replay / ".work")
    done = run(AFTER_DBT, story_folder, replay, "--no-alerts", **desk(server))
    assert done.returncode == 0, done.stderr
    assert (replay / "report.html").is_file()
    failed = run("landing checks", tmp_path / "gone", replay, "--no-alerts", **desk(server))
    assert failed.returncode == 2
    assert server.requests == []


def test_bad_landing_files_send_one_data_alert_and_no_other(
    story_folder: Path, out: Path, tmp_path: Path, server: Server
) -> None:
    """A feed that lost a column: nothing is built, the routes hear why, and when it is over."""
    data = tmp_path / "landing"
    shutil.copytree(story_folder, data)
    file = data / "events.parquet"
    duckdb.execute(f"copy (select * exclude (actor_kind) from '{file}') to '{tmp_path}/e.parquet'")
    shutil.move(tmp_path / "e.parquet", file)
    served = (out / DATABASE).resolve()
    failed = run("landing checks," + AFTER_DBT, data, out, **desk(server))
    assert failed.returncode == 1
    assert "missing_columns of events" in failed.stderr
    assert "actor_kind" in failed.stderr
    assert "What was published before is untouched." in failed.stderr
    (told,) = server.texts()
    assert told.startswith("KPI alerts are blocked: landing checks failed")
    assert "actor_kind" in told
    assert (out / DATABASE).resolve() == served
    assert "actor_kind" in (out / "checks" / "check_results.json").read_text()
    assert not (out / ".work" / "profile.landing.json").exists(), "nothing to compare with"
    assert read_runs(out)[0][-1].status == "failed"

    again = run("landing checks," + AFTER_DBT, data, out, **desk(server))
    assert again.returncode == 1
    assert len(server.requests) == 1, "told once"

    mended = run("landing checks," + AFTER_DBT, story_folder, out, **desk(server))
    assert mended.returncode == 0, mended.stderr
    assert [text.partition("\n")[0] for text in server.texts()[1:]] == [
        "KPI alerts are back: landing checks passed",
        "CATASTROPHIC: 36 alerts of atlas",
    ], "what was held back is told now"
    kept = json.loads((out / ".work" / "profile.json").read_text())
    assert kept["rows"]["events"] > 100_000
    assert kept["n_mature"], "both parts of the run"


def test_implausible_marts_are_not_served(
    story_folder: Path, out: Path, tmp_path: Path, server: Server
) -> None:
    private = out / ".work" / DATABASE
    shutil.copy(private, tmp_path / "good.duckdb")
    with duckdb.connect(str(private)) as con:
        con.execute("delete from marts.kpi_scorecard where kpi = 'task_completion_rate'")
    served = (out / DATABASE).resolve()
    failed = run(AFTER_DBT, story_folder, out, **desk(server))
    shutil.copy(tmp_path / "good.duckdb", private)
    assert failed.returncode == 1
    assert "primary_kpi_missing of kpi_scorecard" in failed.stderr
    assert (out / DATABASE).resolve() == served
    assert server.texts()[0].startswith("KPI alerts are blocked: mart checks failed")
    assert run(AFTER_DBT, story_folder, out, **desk(server)).returncode == 0


def test_a_route_that_cannot_be_reached_costs_no_data(
    story_folder: Path, out: Path, tmp_path: Path, server: Server
) -> None:
    """What is served is new, the exit code says that somebody was not told, the next run does."""
    other = {ON_CALL: f"json://{server.host}/pager"}
    server.always = 403
    before = (out / DATABASE).resolve()
    failed = run(AFTER_DBT, story_folder, out, **other)
    assert failed.returncode == 1
    assert "on_call" in failed.stderr
    assert "403" in failed.stderr
    assert (out / DATABASE).resolve() != before
    assert "Nothing was published" not in failed.stderr
    assert read_runs(out)[0][-1].step == "alerts"
    server.always = 200
    server.requests.clear()
    assert run(AFTER_DBT, story_folder, out, **other).returncode == 0
    assert len(server.requests) == 1


def test_a_routes_file_that_cannot_be_read_still_says_what_failed(
    story_folder: Path, out: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "config", {})
    (config / "alert_routes.csv").write_text(
        "agent_name,minimum_level,route,owner,effective_from,renotify_hours,digest_above\n"
        ",loud,desk,lead,2026-01-01,,\n"
    )
    failed = run(AFTER_DBT, story_folder, out, "--config", str(config), **{SUPPORT: "json://x"})
    assert failed.returncode == 2
    assert "alert_routes.csv" in failed.stderr
    assert "loud" in failed.stderr
    assert "Traceback" not in failed.stderr
