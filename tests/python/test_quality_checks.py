"""Limits, reports, profiles and the command of the quality gates."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
import yaml

from agent_kpis.contract import entities
from agent_kpis.errors import CannotRunError
from agent_kpis.quality import (
    CHECKS,
    CheckResult,
    Profile,
    Report,
    accept_profiles,
    judge,
    offer_profile,
    read_limits,
    read_profile,
    write_profile,
    write_report,
)
from agent_kpis.quality.judging import Measurement, Mix, Point, amount
from agent_kpis.quality.limits import Limit
from agent_kpis.quality.report import ROW_COLUMNS
from quality_world import configuration, world, write_world
from support import REPOSITORY, kpi

SEEDS = REPOSITORY / "seeds"


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


# Limits


def test_the_seeds_have_a_limit_for_every_check_that_does_not_need_the_clock() -> None:
    assert {row.check for row in read_limits(SEEDS).rows} == set(CHECKS) - {"age_hours"}


def test_the_description_names_every_check() -> None:
    path = REPOSITORY / "models" / "config" / "quality_checks.yml"
    (seed,) = yaml.safe_load(path.read_text())["seeds"]
    text = next(c["description"] for c in seed["columns"] if c["name"] == "check_name")
    assert set(re.findall(r"`(\w+)`", text)) == set(CHECKS)
    page = (REPOSITORY / "docs" / "quality_checks.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` ", page, re.MULTILINE)) == set(CHECKS)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"check_name": "daydrop"}, r"'daydrop' is not a check\. There are: missing_columns, "),
        ({"table_name": "tickets"}, r"no table_name 'tickets'\. There are: .*interactions"),
        ({"check_name": "mature_lost", "table_name": "events"}, "There are: kpi_daily"),
        ({"table_name": "events", "column_name": "reason"}, "leave column_name 'reason' out"),
        ({"check_name": "mix_shift"}, "needs a table_name and a column_name"),
        (
            {"check_name": "mix_shift", "table_name": "surveys", "column_name": "score"},
            "no column_name 'score' of surveys. There are: survey_id, ",
        ),
        (
            {"check_name": "mean_shift", "table_name": "surveys", "column_name": "survey_kind"},
            "There are: score",
        ),
        ({"warning": ""}, "neither a warning nor a critical limit"),
        ({"warning": "much"}, "warning 'much' is not a number"),
        ({"critical": "-1"}, "critical '-1' is not a number"),
        ({"minimum_n": "nan"}, "minimum_n 'nan' is not a number"),
        ({"critical": "0.2"}, "warning 0.3 lies beyond critical 0.2"),
        ({"effective_from": "soon"}, "effective_from 'soon' is not a time"),
    ],
)
def test_a_row_that_means_nothing_is_named(row: dict[str, str], says: str, tmp_path: Path) -> None:
    config = configuration(tmp_path / "config")
    file = config / "quality_checks.csv"
    whole = {"check_name": "day_drop", "warning": "0.3", "effective_from": "2026-01-01"} | row
    with file.open(newline="") as lines:
        header = next(csv.reader(lines))
    n = len(file.read_text().splitlines())
    with file.open("a", newline="") as lines:
        csv.DictWriter(lines, header).writerow(whole)
    with pytest.raises(CannotRunError, match=says) as error:
        read_limits(config)
    assert f"{file}, line {n + 1}: " in str(error.value)


def test_a_row_that_stands_twice_is_named(tmp_path: Path) -> None:
    config = configuration(tmp_path / "config")
    with (config / "quality_checks.csv").open("a") as file:
        file.write("day_drop,,,0.9,,,me,2026-02-01\n")
    with pytest.raises(CannotRunError, match=r"day_drop .* stands twice"):
        read_limits(config)


def test_a_configuration_without_the_file_is_told_where_to_copy_it_from(tmp_path: Path) -> None:
    config = configuration(tmp_path / "config")
    (config / "quality_checks.csv").unlink()
    with pytest.raises(CannotRunError, match=r"copy the first line of .*quality_checks.csv"):
        read_limits(config)


def test_the_more_exact_row_goes_first_whatever_its_place(tmp_path: Path) -> None:
    def added(*where: str) -> dict[str, Any]:
        table, column = where
        return {"check_name": "unreadable_share", "table_name": table, "column_name": column}

    config = configuration(
        tmp_path / "config",
        added("surveys", "score") | {"warning": 0.3, "critical": 0.31},
        added("surveys", "") | {"warning": 0.4, "critical": 0.41},
        added("", "score") | {"warning": 0.5, "critical": 0.51},
    )
    limits = read_limits(config)
    found = {
        (table, column): limits.of("unreadable_share", table, column).warning
        for table in ("surveys", "spans")
        for column in ("score", "sent_at")
    }
    assert found == {
        ("surveys", "score"): 0.3,
        ("surveys", "sent_at"): 0.4,
        ("spans", "score"): 0.5,
        ("spans", "sent_at"): 0.02,
    }


# Judging


def limit(warning: float | None, critical: float | None, minimum_n: float = 0) -> Limit:
    return Limit("day_drop", "", "", warning, critical, minimum_n, pd.Timestamp("2026-01-01"))


@pytest.mark.parametrize(
    ("observed", "warning", "critical", "expected"),
    [
        (0.1, 0.5, 0.9, (True, "warning", 0.5)),
        (0.5, 0.5, 0.9, (True, "warning", 0.5)),
        (0.51, 0.5, 0.9, (False, "warning", 0.5)),
        (0.9, 0.5, 0.9, (False, "warning", 0.5)),
        (0.91, 0.5, 0.9, (False, "critical", 0.9)),
        (0.91, None, 0.9, (False, "critical", 0.9)),
        (0.89, None, 0.9, (True, "critical", 0.9)),
        (5.0, 0.5, None, (False, "warning", 0.5)),
        (0.1, 0.0, 0.0, (False, "critical", 0.0)),
    ],
)
def test_severity_is_that_of_the_limit_that_was_passed(
    observed: float, warning: float | None, critical: float | None, expected: tuple
) -> None:
    measurement = Measurement(
        "day_drop", "events", "", limit(warning, critical), [Point(observed, "{observed} fewer")]
    )
    (result,), _ = judge([measurement])
    assert (result.passed, result.severity, result.limit) == expected
    assert result.observed == observed
    assert result.n_failing == (0 if result.passed else 1)
    assert ("Export and load it again" in result.message) == (not result.passed)


def test_measurements_are_judged_each_by_its_own_limit() -> None:
    measurements = [
        Measurement("day_drop", table, "", limit(low, high), [Point(value, "")])
        for table, value, low, high in [
            ("events", 0.6, 0.5, 0.9),
            ("spans", 0.6, 0.7, None),
            ("surveys", 0.6, None, 0.5),
        ]
    ]
    results, _ = judge(measurements)
    assert [(r.table, r.passed, r.severity) for r in results] == [
        ("events", False, "warning"),
        ("spans", True, "warning"),
        ("surveys", False, "critical"),
    ]


def test_of_several_agents_the_worst_speaks_and_all_are_kept() -> None:
    points = [
        Point(0.6, "a: {observed}", "a", 100),
        Point(0.95, "b: {observed}", "b", 100),
        Point(0.1, "c", "c", 100),
        Point(0.99, "d: too few", "d", 5),
    ]
    measurement = Measurement("mature_lost", "kpi_daily", "", limit(0.5, 0.9, 30), points)
    (result,), rows = judge([measurement])
    assert (result.severity, result.observed, result.n_failing) == ("critical", 0.95, 2)
    assert result.message.startswith("b: 95% (critical above 90%). ")
    assert list(zip(rows.row_key, rows.value, strict=True)) == [("a", "60%"), ("b", "95%")]
    assert set(rows.stage) == {"marts"}


def test_a_divergence_of_many_rows_is_that_of_their_shares() -> None:
    """A week of millions of rows is told by ten thousand."""

    def divergence(n: int) -> float:
        mix = Mix({"a": 3 * n, "b": n}, {"a": n, "b": 3 * n})
        (result,), _ = judge([Measurement("mix_shift", "events", "reason", limit(9, 10), mix=mix)])
        return result.observed

    assert divergence(1_000_000) == pytest.approx(0.549306, abs=1e-5)  # (ln 3) / 2
    assert divergence(1_000) == pytest.approx(0.549306, abs=1e-3)


def test_a_mix_of_nothing_is_not_judged() -> None:
    mix = Mix({}, {"a": 3})
    (result,), _ = judge([Measurement("mix_shift", "events", "reason", limit(0, 1), mix=mix)])
    assert (result.passed, result.observed) == (True, None)


def test_nothing_to_judge_gives_nothing() -> None:
    results, rows = judge([])
    assert results == []
    assert list(rows.columns) == list(ROW_COLUMNS)


def test_numbers_read_as_people_write_them() -> None:
    assert [amount(0.5, "share"), amount(0.0014, "share"), amount(0.15, "points")] == [
        "50%",
        "0.1%",
        "15 points",
    ]
    assert [amount(3, "count"), amount(402.3, "hours"), amount(2.28, "times")] == [
        "3",
        "402 hours",
        "2.3 times",
    ]


# Reports


def report(stage: str = "landing", *, passed: bool = False, n: int = 2) -> Report:
    rows = pd.DataFrame(
        [[stage, "surveys", "unreadable_share", "score", f"s{k}", None] for k in range(n)],
        columns=ROW_COLUMNS,
        dtype="string",
    )
    results = [
        CheckResult(stage, "events", None, "day_drop", "warning", True, None, 0.5, "Not judged."),
        CheckResult(
            stage,
            "surveys",
            "score",
            "unreadable_share",
            "critical",
            passed,
            0.3,
            0.2,
            'Mend, "quoted"',
            n,
        ),
    ]
    return Report(stage, results, rows, Profile(), as_of="2026-02-12T19:32:00")


def written(out: Path, sql: str) -> list[tuple]:
    with duckdb.connect(str(out / "checks" / "checks.duckdb"), read_only=True) as con:
        return con.execute(sql).fetchall()


def test_a_report_is_written_three_ways(tmp_path: Path) -> None:
    folder = write_report(report(), tmp_path)
    assert sorted(file.name for file in folder.iterdir()) == [
        "check_results.json",
        "checks.duckdb",
        "failing_rows.csv",
    ]
    rows = written(
        tmp_path,
        "select check_name, passed, limit_value, cast(as_of as varchar) from check_results",
    )
    assert rows == [
        ("unreadable_share", False, 0.2, "2026-02-12 19:32:00"),
        ("day_drop", True, 0.5, "2026-02-12 19:32:00"),
    ]
    found = json.loads((folder / "check_results.json").read_text())
    assert found[0]["message"] == 'Mend, "quoted"'
    assert found[0]["as_of"] == "2026-02-12T19:32:00"
    with (folder / "failing_rows.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["row_key"] for line in lines] == ["s0", "s1"]
    assert written(tmp_path, "select row_key from failing_rows") == [("s0",), ("s1",)]


def test_a_landing_report_begins_a_new_round_and_marts_stand_beside_it(tmp_path: Path) -> None:
    stages = "select stage, count(*) from check_results group by all order by all"
    write_report(report(), tmp_path)
    write_report(report("marts", n=1), tmp_path)
    write_report(report("marts", n=3), tmp_path)
    assert written(tmp_path, stages) == [("landing", 2), ("marts", 2)]
    keys = "select stage, count(*) from failing_rows group by all order by all"
    assert written(tmp_path, keys) == [("landing", 2), ("marts", 3)]
    write_report(report(n=0), tmp_path)
    assert written(tmp_path, stages) == [("landing", 2)]
    assert written(tmp_path, keys) == []


def test_a_reader_keeps_the_file_it_opened(tmp_path: Path) -> None:
    write_report(report(n=2), tmp_path)
    with duckdb.connect(str(tmp_path / "checks" / "checks.duckdb"), read_only=True) as con:
        process = python(
            "import sys; sys.path.insert(0, sys.argv[2])\n"
            "from pathlib import Path\n"
            "from test_quality_checks import report, write_report\n"
            "write_report(report(n=5), Path(sys.argv[1]))",
            tmp_path,
            Path(__file__).parent,
        )
        assert process.returncode == 0, process.stderr
        assert con.execute("select count(*) from failing_rows").fetchall() == [(2,)]
    assert written(tmp_path, "select count(*) from failing_rows") == [(5,)]


def test_a_broken_file_of_before_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "checks.duckdb").write_bytes(b"broken")
    write_report(report("marts"), tmp_path)
    assert written(tmp_path, "select distinct stage from check_results") == [("marts",)]


def test_the_exit_code_is_1_only_for_what_is_critical() -> None:
    failing = report()
    assert (failing.exit_code, len(failing.critical), len(failing.warnings)) == (1, 1, 0)
    assert report(passed=True).exit_code == 0
    failing.results = [replace(r, severity="warning") for r in failing.results]
    assert (failing.exit_code, len(failing.warnings)) == (0, 1)


# Profiles


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_profile(tmp_path / "work") == (None, "")
    landing = Profile(data="/data", rows={"events": 3}, columns={"events": ["event_id"]})
    marts = Profile(as_of="2026-02-12T19:32:00", n_mature={"atlas": 9})
    offer_profile(tmp_path / "work", "landing", landing)
    offer_profile(tmp_path / "work", "marts", marts)
    assert read_profile(tmp_path / "work") == (None, ""), "not before the run went well"
    accept_profiles(tmp_path / "work")
    assert read_profile(tmp_path / "work") == (
        Profile(
            "/data", {"events": 3}, {"events": ["event_id"]}, "2026-02-12T19:32:00", {"atlas": 9}
        ),
        "",
    )
    assert [file.name for file in (tmp_path / "work").iterdir()] == ["profile.json"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"rows": {"events": "many"}}', "null", "\x00"]
)
def test_a_profile_that_cannot_be_read_is_a_note(text: str, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(text)
    profile, note = read_profile(tmp_path)
    assert profile is None
    assert "profile.json cannot be read" in note


# The process


def test_the_command_starts_without_the_slow_imports() -> None:
    done = python(
        "import sys, agent_kpis.cli, agent_kpis.quality\n"
        "print([m for m in ('great_expectations', 'pandas', 'dbt') if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_great_expectations_is_set_up_once_quietly_and_without_the_network(tmp_path: Path) -> None:
    data = write_world(tmp_path / "data", world())
    done = python(
        "import socket, sys\n"
        "from pathlib import Path\n"
        "called = []\n"
        "def refuse(self, address): called.append(address); raise OSError('no network')\n"
        "socket.socket.connect = refuse\n"
        "from agent_kpis.quality import check_landing, judge\n"
        "for _ in range(2): check_landing(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "import agent_kpis.quality.judging as judging\n"
        "print(judging._context.cache_info().misses, called)",
        data,
        SEEDS,
    )
    assert done.stdout.strip() == "1 []", done.stderr
    assert done.stderr == ""


# The command


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "data", world())


def test_landing_that_passes(data: Path, tmp_path: Path) -> None:
    done = kpi("check", "landing", "--data", data, "--out", tmp_path, width=200)
    assert done.returncode == 0, done.stderr
    assert re.search(r"landing: \d+ checks, 0 critical, 0 warnings", done.stdout)
    assert done.stderr == ""
    assert (tmp_path / "checks" / "checks.duckdb").is_file()
    assert read_profile(tmp_path / ".work") == (None, ""), (
        "only a whole run may say that all was well"
    )


def test_landing_that_fails_says_what_and_where(tmp_path: Path) -> None:
    rows = world()
    for survey in rows["surveys"][::3]:
        survey["sent_at"] = "yesterday"
    folder = write_world(tmp_path / "data", rows)
    done = kpi("check", "landing", "--data", folder, "--out", tmp_path / "out", width=200)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    line = next(line for line in lines if line.startswith("critical"))
    assert line.split()[1:3] == ["unreadable_share", "surveys.sent_at"]
    n = len(rows["surveys"][::3])
    assert f"{n} failing rows in {tmp_path / 'out' / 'checks' / 'failing_rows.csv'}" in done.stdout
    assert written(tmp_path / "out", "select count(*) from failing_rows") == [(n,)]


def test_landing_is_compared_with_the_last_good_run(data: Path, tmp_path: Path) -> None:
    work = tmp_path / ".work"
    write_profile(work, Profile(data=str(data), rows={"events": 10_000}))
    done = kpi("check", "landing", "--data", data, "--out", tmp_path, width=200)
    assert done.returncode == 1
    assert "rows_lost" in done.stdout
    assert json.loads((work / "profile.json").read_text())["rows"] == {"events": 10_000}
    (work / "profile.json").write_text("broken")
    done = kpi("check", "landing", "--data", data, "--out", tmp_path, width=200)
    assert done.returncode == 0, done.stderr
    assert "profile.json cannot be read" in done.stdout


def test_what_could_not_run_ends_with_2(data: Path, tmp_path: Path) -> None:
    config = configuration(tmp_path / "config", {"check_name": "day_drop", "warning": "x"})
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "events.parquet").write_bytes(b"broken")
    for arguments, says in [
        (("landing", "--data", data, "--config", config), "quality_checks.csv, line 6"),
        (("landing", "--data", tmp_path / "nowhere"), "No data folder"),
        (("landing", "--data", broken), "events.parquet"),
        (("marts",), "Run `kpi build` first"),
    ]:
        done = kpi("check", *arguments, "--out", tmp_path / "out", width=200)
        assert done.returncode == 2, done.stdout
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_every_entity_of_the_contract_can_have_limits() -> None:
    assert set(CHECKS["rejected_share"].known_tables()) == set(entities())
