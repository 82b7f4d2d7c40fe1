"""The `kpi` command from end to end, as a user runs it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from agent_kpis.build import DBT
from agent_kpis.scorecard import amount, duration, interval
from support import REPOSITORY, code_blocks, readme_blocks, shared_data

KPI = Path(sys.executable).parent / "kpi"


def kpi(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(KPI), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )


@dataclass(frozen=True)
class Run:
    out: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def run(story_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("run") / "out"
    return Run(out, kpi("run", "--data", story_folder, "--out", out))


def test_a_run_prints_the_scorecard_and_where_the_outputs_are(run: Run) -> None:
    assert run.done.returncode == 0, run.done.stderr
    lines = run.done.stdout.splitlines()
    assert any(line.strip().startswith("Deflection *") and "60.7%" in line for line in lines)
    assert any(line.strip().startswith("Task completion") and "33.3%" in line for line in lines)
    assert any("agent_kpis.duckdb" in line for line in lines)
    gap = "27.4% of requests were deflected and not completed: 1,085 undone, 1,123 abandoned, 342"
    assert gap in run.done.stdout
    assert "undefined_task_types" in run.done.stderr
    assert "gift_card" in run.done.stderr, "a warning names what it found"


def test_the_served_copy_has_what_readers_query(run: Run) -> None:
    with duckdb.connect(str(run.out / "agent_kpis.duckdb"), read_only=True) as con:
        schemas = {
            schema
            for (schema,) in con.execute(
                "select distinct table_schema from information_schema.tables"
            ).fetchall()
        }
        assert {"input", "facts", "marts"} <= schemas
        assert "staging" not in schemas
        comment = con.execute(
            "select comment from duckdb_columns() "
            "where table_name = 'kpi_daily' and column_name = 'n_mature'"
        ).fetchone()
        assert comment == ("Judged: the denominator.",)
        marts = con.execute(
            "select table_name from information_schema.tables where table_schema = 'marts'"
        ).fetchall()
        assert {f"{name}.parquet" for (name,) in marts} == {
            file.name for file in (run.out / "marts").iterdir()
        }
        for (name,) in marts:
            served = con.execute(f"select count(*) from marts.{name}").fetchall()
            file = run.out / "marts" / f"{name}.parquet"
            assert duckdb.execute(f"select count(*) from '{file}'").fetchall() == served


def test_the_file_is_in_the_format_of_older_clients(run: Run) -> None:
    with duckdb.connect(str(run.out / "agent_kpis.duckdb"), read_only=True) as con:
        tags = con.execute(
            "select tags from duckdb_databases() where database_name = 'agent_kpis'"
        ).fetchone()[0]
    assert tags["storage_version"].startswith("v1.4")


def test_a_run_that_fails_leaves_what_was_published(run: Run, tmp_path: Path) -> None:
    def digest() -> str:
        return hashlib.sha256((run.out / "agent_kpis.duckdb").read_bytes()).hexdigest()

    before = digest()
    failed = kpi("run", "--data", tmp_path, "--out", run.out)
    assert failed.returncode == 2
    assert "No landing file for interactions" in failed.stderr
    assert "What was published before is untouched." in failed.stderr
    assert digest() == before


def test_a_reader_keeps_the_file_it_opened(run: Run) -> None:
    served = run.out / "agent_kpis.duckdb"
    reader = (
        "import duckdb, sys; con = duckdb.connect(sys.argv[1], read_only=True); "
        "print(con.execute('select count(*) from marts.kpi_daily').fetchone()[0], flush=True); "
        "sys.stdin.readline(); "
        "print(con.execute('select count(*) from marts.kpi_daily').fetchone()[0], flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", reader, str(served)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    first = process.stdout.readline()
    published = kpi("publish", "--out", run.out)
    assert published.returncode == 0, published.stderr
    second, _ = process.communicate("\n", timeout=60)
    assert first.strip() == second.strip() != ""


def test_the_scorecard_is_a_picture_too(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "scorecard.svg"
    done = kpi("scorecard", "--out", run.out, "--svg", picture)
    assert done.returncode == 0, done.stderr
    text = picture.read_text()
    assert "33.3%" in text
    assert "@font-face" not in text


@pytest.mark.parametrize(
    "arguments",
    [("scorecard", "--out", "nowhere"), ("publish", "--out", "nowhere")],
)
def test_nothing_to_show_is_said(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = kpi(arguments[0], "--out", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "Run `kpi" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_story_is_written_by_the_command(tmp_path: Path) -> None:
    done = kpi("story", "--to", tmp_path / "story", "--seed", 7)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "story" / "truth.json").is_file()


def test_an_event_log_is_loaded_and_run_by_the_commands(tmp_path: Path) -> None:
    """The example of the documentation, as a user would type it."""
    text = (REPOSITORY / "docs" / "event_log_mapping.md").read_text(encoding="utf-8")
    log, mapping, to = tmp_path / "calls.csv", tmp_path / "calls.yml", tmp_path / "landing"
    log.write_text(code_blocks(text, "csv")[0])
    missing = kpi("load", "event-log", log, "--map", mapping, "--to", to)
    assert missing.returncode == 2
    assert "calls.yml" in missing.stderr
    assert "Traceback" not in missing.stderr
    mapping.write_text(code_blocks(text, "yaml")[0])
    loaded = kpi("load", "event-log", log, "--map", mapping, "--to", to)
    assert loaded.returncode == 0, loaded.stderr
    out = tmp_path / "out"
    done = kpi("run", "--data", to, "--out", out, "--as-of", "2026-04-01")
    assert done.returncode == 0, done.stderr
    with duckdb.connect(str(out / "agent_kpis.duckdb"), read_only=True) as con:
        facts = con.execute(
            "select interaction_id, outcome from facts.fct_interactions order by 1"
        ).fetchall()
    assert facts == [("0071", "escalated"), ("0072", "reopened")]


def test_real_runs_are_loaded_by_the_command(tmp_path: Path) -> None:
    loaded = kpi("load", "tau2", shared_data("tau2"), "--to", tmp_path / "landing")
    assert loaded.returncode == 0, loaded.stderr
    assert "interactions: 471" in loaded.stdout
    assert "--as-of" in loaded.stdout, "what is still pending, and how to count it"


def test_a_shipped_mapping_goes_by_its_name(tmp_path: Path) -> None:
    log = shared_data("bpi13") / "incidents.parquet"
    loaded = kpi("load", "event-log", log, "--map", "bpi13", "--to", tmp_path / "landing")
    assert loaded.returncode == 0, loaded.stderr
    assert "reopened: 514" in loaded.stdout


def test_plain_dbt_refuses_a_configuration_it_would_write_over(
    tmp_path: Path, story_folder: Path
) -> None:
    config = tmp_path / "config"
    shutil.copytree(REPOSITORY / "seeds", config)
    before = {file.name: file.read_bytes() for file in config.iterdir()}
    environment = os.environ | {
        "AGENT_KPIS_CONFIG": str(config),
        "AGENT_KPIS_DATA": str(story_folder),
        "AGENT_KPIS_DATABASE": str(tmp_path / "agent_kpis.duckdb"),
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "DBT_LOG_PATH": str(tmp_path / "logs"),
    }
    done = subprocess.run(
        [sys.executable, "-c", DBT, "seed", "--profiles-dir", str(REPOSITORY)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode != 0
    assert "Use `kpi run --config`" in done.stdout
    assert {file.name: file.read_bytes() for file in config.iterdir()} == before


def test_values_read_as_people_write_them() -> None:
    assert amount(0.3327, "share") == "33.3%"
    assert amount(1234.5, "usd") == "$1,234.50"
    assert amount(74.04, "points") == "74.0"
    assert [duration(s) for s in (45, 600, 9000, 400000)] == ["45 s", "10 min", "2.5 h", "4.6 d"]
    limits = {"unit": "seconds", "lower_bound": 3180.0, "upper_bound": 29880.0}
    assert interval(limits) == "53 min-8.3 h"
    assert interval({"unit": "share", "lower_bound": 0.1, "upper_bound": 0.2}) == "10.0-20.0"


def test_the_landing_files_of_the_readme_run(tmp_path: Path) -> None:
    data = tmp_path / "landing"
    data.mkdir()
    for name, text in zip(("interactions", "events"), readme_blocks("csv"), strict=True):
        (data / f"{name}.csv").write_text(text)
    out = tmp_path / "out"
    done = kpi("run", "--data", data, "--out", out, "--as-of", "2026-03-09")
    assert done.returncode == 0, done.stderr
    with duckdb.connect(str(out / "agent_kpis.duckdb"), read_only=True) as con:
        facts = con.execute("select interaction_id, outcome from facts.fct_interactions").fetchall()
    assert facts == [("T-1001", "reopened")]
    early = kpi("run", "--data", data, "--out", out)
    assert early.returncode == 0, early.stderr
    assert "nothing to score yet" in early.stdout


def test_a_run_takes_the_configuration_beside_the_data(tmp_path: Path) -> None:
    data = tmp_path / "landing"
    (data / "config").mkdir(parents=True)
    done = kpi("build", "--data", data, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert str(data / "config") in done.stderr
