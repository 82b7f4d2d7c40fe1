"""What goes wrong in a run breaks nothing that is served, is said, and is over with the next."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from agent_kpis.build import DATABASE
from agent_kpis.history import FILE, RunLog, only_run, read_runs
from agent_kpis.run import STEPS
from scenarios import World
from support import KPI, REPOSITORY, kpi
from warehouse import write_landing

# Every step but the build, over the private database that is there.
WITHOUT_BUILD = """
import sys
from pathlib import Path
from agent_kpis.run import STEPS, Settings, run
steps = {name: step for name, step in STEPS.items() if name != "dbt build"}
outcome = run(Settings.of(Path(sys.argv[1]), None, Path(sys.argv[2])), steps=steps)
sys.exit(outcome.exit_code)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = World()
    for day in range(20):
        for arm in ("ai", "human"):
            world.request(datetime(2026, 4, 1, 9) + timedelta(days=day), arm, task_type="refund")
    return write_landing(tmp_path_factory.mktemp("landing"), world.landing)


@pytest.fixture(scope="module")
def out(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one run has been served."""
    folder = tmp_path_factory.mktemp("run") / "out"
    done = kpi("run", "--data", data, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


def digest(out: Path) -> str:
    """Of all that readers see."""
    content = hashlib.sha256()
    for path in (out / DATABASE, *sorted((out / "marts").iterdir()), out / "report.html"):
        content.update(path.name.encode() + path.read_bytes())
    return content.hexdigest()


def can_be_read(out: Path) -> bool:
    with duckdb.connect(str(out / DATABASE), read_only=True) as con:
        (rows,) = con.execute("select count(*) from marts.kpi_daily").fetchone()
    (in_file,) = duckdb.execute(f"from '{out}/marts/kpi_daily.parquet' select count(*)").fetchone()
    return rows == in_file > 0 and (out / "report.html").stat().st_size > 0


def kill_at(step: str, command: list[str], out: Path, after: float) -> list[int]:
    """Start a run and kill it (-9) `after` seconds into a step; its children at that moment."""
    known = len((out / FILE).read_text().splitlines())
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        new = (out / FILE).read_text().splitlines()[known:]
        if any(f'"begin", "step": "{step}"' in line for line in new):
            break
        assert process.poll() is None, f"the run ended before {step}"
        time.sleep(0.001)
    time.sleep(after)
    children = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return children


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == pid:
                found.append(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("after", [0.5, 8])
def test_a_run_killed_during_dbt_leaves_what_is_served_and_takes_dbt_with_it(
    data: Path, out: Path, after: float
) -> None:
    before = digest(out)
    command = [str(KPI), "run", "--data", str(data), "--out", str(out)]
    children = kill_at("dbt build", command, out, after)
    assert digest(out) == before
    assert children, "dbt was under way"
    deadline = time.monotonic() + 10
    while any(map(is_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, children)), "dbt ends with the run that started it"
    runs, _ = read_runs(out)
    assert (runs[-1].status, runs[-1].step) == ("interrupted", "dbt build")
    refused = kpi("publish", "--out", out)
    assert refused.returncode == 2
    assert "did not come to a good end" in refused.stderr
    assert digest(out) == before
    done = kpi("run", "--data", data, "--out", out)
    assert done.returncode == 0, done.stderr
    assert can_be_read(out)
    shown = kpi("history", "--out", out)
    assert shown.returncode == 0
    assert "interrupted" in shown.stdout


@pytest.mark.parametrize("step", [step for step in STEPS if step != "dbt build"])
def test_a_run_killed_at_any_other_step(data: Path, out: Path, step: str) -> None:
    """Moments within publishing are in test_publish.py."""
    before = digest(out)
    command = [sys.executable, "-c", WITHOUT_BUILD, str(data), str(out)]
    kill_at(step, command, out, after=0.05)
    assert can_be_read(out)
    if step not in ("report", "alerts"):
        assert digest(out) == before
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    assert can_be_read(out)
    assert read_runs(out)[0][-1].status == "ok"


def test_one_run_at_a_time(data: Path, out: Path) -> None:
    before = digest(out)
    with only_run(out):
        refused = kpi("run", "--data", data, "--out", out)
    assert refused.returncode == 2
    assert f"Another run is under way in {out} (process {os.getpid()}, since " in refused.stderr
    assert "Traceback" not in refused.stderr
    assert digest(out) == before


def test_the_private_database_open_in_a_client(data: Path, out: Path) -> None:
    before = digest(out)
    with duckdb.connect(str(out / ".work" / DATABASE)):
        refused = kpi("run", "--data", data, "--out", out)
    assert refused.returncode == 2
    assert f"is open in another program: {Path(sys.executable).resolve()}" in refused.stderr
    assert f"PID {os.getpid()}" in refused.stderr
    assert digest(out) == before
    assert read_runs(out)[0][-1].status == "could not run"


def test_a_damaged_private_database_is_built_anew(data: Path, out: Path) -> None:
    (out / ".work" / DATABASE).write_bytes(b"not a database" * 1000)
    done = kpi("run", "--data", data, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "was damaged" in done.stdout
    assert can_be_read(out)


def test_a_failed_step_is_in_the_history(out: Path, tmp_path: Path) -> None:
    failed = kpi("run", "--data", tmp_path, "--out", out)
    assert failed.returncode == 2
    run = read_runs(out)[0][-1]
    assert run.status == "could not run"
    assert "No landing file for " in run.message
    assert f"dbt build: {run.message}" in kpi("history", "--out", out).stdout


def test_history_of_nothing_is_said(tmp_path: Path) -> None:
    done = kpi("history", "--out", tmp_path)
    assert done.returncode == 2
    assert "Run `kpi run` first" in done.stderr


def test_a_torn_line_of_the_history_costs_only_itself(tmp_path: Path) -> None:
    first = RunLog(tmp_path, Path("a"), Path("c"))
    first.begin("dbt build")
    with (tmp_path / FILE).open("a") as lines:
        lines.write('{"run_id": "cut off in the mid')
    second = RunLog(tmp_path, Path("b"), Path("c"))
    second.end("ok", rows={"events": 3})
    runs, unreadable = read_runs(tmp_path)
    assert unreadable == 1
    assert [(run.data, run.status, run.step) for run in runs] == [
        ("a", "interrupted", "dbt build"),
        ("b", "ok", ""),
    ]
    assert runs[1].rows == {"events": 3}
    assert all(json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()[-2:])
