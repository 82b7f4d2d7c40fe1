"""The `kpi` command from end to end, as a user runs it."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from agent_kpis.build import DBT
from agent_kpis.display import amount, duration, signed
from agent_kpis.errors import CannotRunError
from agent_kpis.scorecard import difference, interval, show
from support import REPOSITORY, code_blocks, kpi, readme_blocks, shared_data


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
    completion = next(line for line in lines if line.strip().startswith("Task completion"))
    assert re.split(r"  +", completion.strip()) == [
        "Task completion",
        "33.3%",
        "65.9%",
        "-32.7 pp",
        "catastrophic",
    ]
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


def scorecard(database: Path, width: int = 120) -> str:
    """What is printed, without the rows read."""
    console = Console(width=width, file=io.StringIO(), highlight=False, soft_wrap=True)
    show(database, console)
    return console.file.getvalue().partition("rows read")[0]


def row(text: str, label: str) -> list[str]:
    """The cells of a metric's row."""
    line = next(line for line in text.splitlines() if line.strip().startswith(label))
    return re.split(r"  +", line.strip())


@pytest.fixture
def changed(run: Run, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the served database after some statements: `changed("update ...")`."""

    def change(*statements: str) -> Path:
        copy = tmp_path / "changed.duckdb"
        shutil.copy(run.out / "agent_kpis.duckdb", copy)
        with duckdb.connect(str(copy)) as con:
            for statement in statements:
                con.execute(statement)
        return copy

    return change


CRITICAL_BY_ITSELF = (
    "update marts.kpi_scorecard set delta = null, delta_lower_bound = null, "
    "delta_upper_bound = null, level = case kpi when 'task_completion_rate' then 'critical' "
    "else 'no_reference' end, level_direction = case when kpi = 'task_completion_rate' then 'low' "
    "end"
)


def test_the_agent_stands_beside_people_on_the_same_work(run: Run) -> None:
    text = scorecard(run.out / "agent_kpis.duckdb")
    agent, people, delta, level = row(text, "Task completion")[1:]
    assert (agent, people, level) == ("33.3% (32.3-34.2)", "65.9%", "catastrophic low")
    assert delta.startswith("-32.7 pp (-")
    assert row(text, "Deflection *") == ["Deflection *", "60.7% (59.7-61.7)"], "nobody's to match"
    assert row(text, "Time to resolution")[2] == "38 min"
    assert row(text, "Time to resolution")[3].startswith("+1.8 h (+1")
    assert row(text, "Cost per success")[3].startswith("+$0.56 (-0.")
    assert row(text, "CSAT")[2] == "81.8"
    assert row(text, "CSAT")[3].startswith("-8.7 points (-1")
    lines = [line.strip() for line in text.splitlines()]
    assert lines[lines.index("early: 73.1") - 1].startswith("CSAT")
    assert lines[lines.index("early: 33.4%") - 1].startswith("Task completion")
    who = "People: the holdout, 1,618 requests of customers drawn at random to stay with people"
    assert f"{who}; same time, same mix of task types." in text
    crude = "The trap: beside everything that people handled, the agent's completion is +5.0 pp"
    assert f"{crude}, but that was other work. Like for like it is -32.7 pp (-" in text


def test_what_is_flagged_stands_below(run: Run) -> None:
    text = scorecard(run.out / "agent_kpis.duckdb").partition("Flagged, as known on 2026-07-04")[2]
    _, level, since, now, away, who = row(text, "Task completion")
    assert (level, since, who) == ("catastrophic low", "2026-02-20", "the agent")
    assert re.fullmatch(r"3\d\.\d%", now)
    assert re.fullmatch(r"-3\d\.\d pp", away)
    assert row(text, "CSAT")[1].endswith(" low")
    assert "in single task types, channels, tiers or tools: marts.alert_episodes" in text
    first = "First mover: tool call accuracy moved 3 days before task completion did, on 2026-04-26"
    assert first in text
    assert "An order in time, not a reason." in text
    assert "Last release: 1.3.0, 2026-05-21. Task completion +10." in text
    assert "it moved as expected." in text


def test_a_release_that_says_nothing_says_so(changed: Callable[..., Path]) -> None:
    text = scorecard(
        changed(
            "update marts.release_effects set verdict = 'overlapping', effect = null, "
            "is_decided = false where agent_version = '1.3.0'",
            "delete from marts.first_movers",
            "update marts.alert_episodes set is_open = false where segment_type = 'all'",
        )
    )
    assert "Task completion: no verdict: another release is in its window, so far." in text
    assert "Nothing over all requests." in text
    assert "First mover" not in text
    silent = changed(
        "update marts.alert_episodes set is_open = false",
        "update marts.threshold_flags set evaluated_on = null",
    )
    assert "No new data for 28 days: nothing can be flagged." in scorecard(silent)


def test_a_limit_of_hindsight_is_marked(changed: Callable[..., Path]) -> None:
    text = scorecard(changed("update marts.alert_episodes set is_set_after_launch = true"))
    assert "catastrophic low *" in text
    assert "* limit set after launch" in text


@pytest.mark.parametrize("width", [80, 106, 120])
def test_the_scorecard_reads_at_the_width_of_a_terminal(run: Run, width: int) -> None:
    lines = scorecard(run.out / "agent_kpis.duckdb", width).splitlines()
    table = [line for line in lines if line.startswith(" ")]
    assert max(map(len, table)) <= width
    assert "…" not in "".join(table)
    assert any("(+22." in line and line.rstrip().endswith("high") for line in table)


def test_without_a_trap_none_is_shown(changed: Callable[..., Path]) -> None:
    assert "The trap" not in scorecard(
        changed("update marts.holdout_comparison set mix_confounded_delta = -0.05")
    )


def test_a_trap_is_shown_only_beside_limits(changed: Callable[..., Path]) -> None:
    few = changed(
        "update marts.kpi_scorecard set delta_lower_bound = null, delta_upper_bound = null",
        "update marts.holdout_comparison set note = 'fewer_than_30_customers'",
    )
    text = scorecard(few)
    assert "The trap" not in text
    assert row(text, "Task completion")[3] == "-32.7 pp (no limits: under 30 customers)"


def test_a_withheld_comparison_says_why_and_what_to_do(changed: Callable[..., Path]) -> None:
    text = scorecard(
        changed(
            "update marts.holdout_comparison set is_withheld = true, delta = null, "
            "note = 'sample_ratio_mismatch'",
            "update marts.holdout_balance set status = 'sample_ratio_mismatch', "
            "has_sample_ratio_mismatch = true, planned_share = 0.12, sample_ratio_p_value = 1e-8",
            CRITICAL_BY_ITSELF,
        )
    )
    assert row(text, "Task completion")[2:] == ["-", "- withheld", "critical low"]
    assert row(text, "CSAT")[2:] == ["-", "- withheld", "no reference"]
    assert "65.9%" not in text, "nobody is to subtract it"
    assert "15.0% of the customers where 12.0% were to be drawn (p = 1e-08)" in text
    assert "marts.holdout_balance" in text
    assert "The trap" not in text
    assert "People: the holdout" not in text


@pytest.mark.parametrize("kind", ["before_launch", "retroactive"])
def test_people_before_launch_are_another_time(changed: Callable[..., Path], kind: str) -> None:
    text = scorecard(
        changed(
            *(
                f"update marts.{mart} set comparison_type = 'pre_launch', "
                f"is_time_confounded = true, baseline_kind = '{kind}' "
                "where comparison_type = 'holdout'"
                for mart in ("kpi_scorecard", "holdout_comparison")
            ),
            "update marts.holdout_comparison set n_reference = 3078, covered_share = 0.83",
        )
    )
    assert row(text, "Task completion")[2] == "65.9%"
    who = "People: before launch, 3,078 requests, opened 2026-01-05 to 2026-02-15"
    assert f"{who}; same mix of task types. Time-confounded: whatever else changed" in text
    assert ("Retroactive: the baseline was written down after launch." in text) == (
        kind == "retroactive"
    )
    assert "covers 83.0% of the agent's requests" in text
    assert "same time" not in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("", "No reference: nobody was drawn into a holdout"),
        (", window_name = 'last_7_days'", "No reference: comparisons are since launch"),
    ],
)
def test_without_a_reference_there_is_a_dash(
    changed: Callable[..., Path], change: str, reason: str
) -> None:
    text = scorecard(
        changed(
            "delete from marts.holdout_comparison",
            "update marts.kpi_scorecard set comparison_type = 'no_reference', "
            f"reference_value = null, is_time_confounded = null{change}",
            CRITICAL_BY_ITSELF,
        )
    )
    assert row(text, "Task completion")[2:] == ["-", "-", "critical low"]
    assert row(text, "CSAT")[2:] == ["-", "-", "no reference"]
    assert row(text, "Resolution rate *")[2:] == ["-", "-"]
    assert reason in text
    assert "hold on every look" not in text, "there are no differences"


def test_the_early_reading_stands_in_for_what_is_not_known_yet(
    changed: Callable[..., Path],
) -> None:
    young = changed(
        "update marts.kpi_scorecard set n = 0, value = null, lower_bound = null, "
        "upper_bound = null, note = 'no_mature_interactions', level = 'no_data'",
        "update marts.kpi_scorecard set provisional_value = null where kpi = 'csat'",
        "update marts.holdout_comparison set note = 'no_mature_interactions_in_reference'",
        CRITICAL_BY_ITSELF.replace("critical", "no_data").replace("no_reference", "no_data"),
    )
    text = scorecard(young)
    assert "nothing to score yet" in text
    assert row(text, "Task completion")[1] == "none old enough to judge"
    assert row(text, "Task completion")[3] == "- people: none old enough"
    assert "early: 33.4% (32.5-34.3)" in text
    assert "early: 73.1" not in text
    assert "early: 33.4%\n" in re.sub(" +\n", "\n", scorecard(young, width=80))


def test_what_could_not_be_told_says_what_would_show(changed: Callable[..., Path]) -> None:
    text = scorecard(
        changed(
            "update marts.kpi_scorecard set level = 'insufficient_data', "
            "minimum_detectable_effect = 0.123 where kpi = 'escalation_rate'",
            "update marts.kpi_scorecard set note = 'nonresponse_risk' where kpi = 'csat'",
        )
    )
    assert "Escalation: too few to tell; a difference under 12.3 pp would often go" in text
    assert text.count("too few to tell") == 1
    assert "CSAT: other people answer surveys here" in text


def test_a_holdout_that_was_not_planned_or_not_clean_says_so(changed: Callable[..., Path]) -> None:
    text = scorecard(
        changed(
            "update marts.holdout_balance set status = 'share_not_planned', "
            "holdout_unit = 'interaction', is_contaminated = true, contamination_rate = 0.017"
        )
    )
    assert "1,618 requests drawn at random to stay with people" in text
    assert "the draw could not be tested" in text
    assert "The agent acted in 1.7% of the holdout" in text


def test_every_agent_has_its_table(changed: Callable[..., Path]) -> None:
    marts = ("kpi_scorecard", "holdout_comparison", "holdout_balance")
    two = changed(
        *(
            f"insert into marts.{mart} select 'borea [x]' as agent_name, * exclude (agent_name) "
            f"from marts.{mart} where agent_name = 'atlas'"
            for mart in marts
        ),
        "delete from marts.holdout_comparison where agent_name = 'atlas'",
        "update marts.kpi_scorecard set comparison_type = 'no_reference', delta = null "
        "where agent_name = 'atlas'",
    )
    atlas, borea = scorecard(two).split("borea [x]: since launch")
    assert "No reference" in atlas
    assert "People: the holdout, 1,618 requests" in borea
    assert row(borea, "Task completion")[2] == "65.9%"


def test_people_alone_are_shown_as_they_are(changed: Callable[..., Path]) -> None:
    text = scorecard(
        changed(
            "delete from marts.kpi_scorecard where arm = 'ai'",
            "delete from marts.holdout_comparison",
        )
    )
    assert row(text, "Task completion") == ["Task completion", "28.2% (27.0-29.5)", "no reference"]
    assert "difference" not in text
    assert "No reference" not in text


def test_an_empty_scorecard_says_so(changed: Callable[..., Path]) -> None:
    assert scorecard(changed("delete from marts.kpi_scorecard")).strip() == (
        "No mature interactions: nothing to score yet."
    )


def test_a_database_of_another_version_is_said(changed: Callable[..., Path]) -> None:
    with pytest.raises(CannotRunError, match=r"changed\.duckdb .*kpi_scorecard.*Run `kpi run`"):
        show(changed("drop table marts.kpi_scorecard"), Console(file=io.StringIO()))


def test_a_plan_reads_the_baseline_of_the_run(run: Run) -> None:
    done = kpi("plan", "--out", run.out, "--agent", "atlas", "--share", 15)
    assert done.returncode == 0, done.stderr
    who = "atlas: people complete 66.2% of 80 requests a day (3,360 requests, 2026-01-05 to 2026-"
    assert who in done.stdout
    assert row(done.stdout, "15%")[:3] == ["15%", "5", "834"]
    assert "4 days later (96 h)" in done.stdout
    assert "26.8% of requests give an answer" in done.stdout
    other = kpi("plan", "--out", run.out, "--agent", "borea")
    assert other.returncode == 2
    assert "It has atlas." in other.stderr


def test_values_read_as_people_write_them() -> None:
    assert amount(0.3327, "share") == "33.3%"
    assert amount(1234.5, "usd") == "$1,234.50"
    assert amount(74.04, "points") == "74.0"
    assert [duration(s) for s in (45, 600, 9000, 400000)] == ["45 s", "10 min", "2.5 h", "4.6 d"]
    limits = {"unit": "seconds", "lower_bound": 3180.0, "upper_bound": 29880.0}
    assert interval(limits) == "53 min-8.3 h"
    assert interval({"unit": "share", "lower_bound": 0.1, "upper_bound": 0.2}) == "10.0-20.0"


def test_differences_read_as_people_write_them() -> None:
    assert signed(-0.3266, "share") == "-32.7 pp"
    assert signed(0.0004, "share") == signed(-0.0004, "share") == "0.0 pp"
    assert signed(-1234.5, "usd") == "-$1,234.50"
    assert signed(8.0, "points") == "+8.0 points"
    assert signed(-7200, "seconds") == "-2.0 h"

    def read(unit: str, *values: float | None) -> tuple[str, str]:
        names = ("delta", "delta_lower_bound", "delta_upper_bound")
        return difference({"unit": unit, **dict(zip(names, values, strict=True))})

    assert read("share", -0.1, -0.2, 0.05) == ("-10.0 pp", "(-20.0 to +5.0)")
    assert read("usd", 1.789, -0.5, 2.9) == ("+$1.79", "(-0.50 to +2.90)")
    assert read("points", -8.7, -13.3, -4.0) == ("-8.7 points", "(-13.3 to -4.0)")
    assert read("seconds", 7200, 5400, 9000) == ("+2.0 h", "(+1.5 to +2.5)")
    assert read("seconds", 300, -7200, 9000) == ("+5 min", "(-2.0 h to +2.5 h)")
    assert read("share", -0.1, None, None) == ("-10.0 pp", "")


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
