"""`kpi doctor`, as a user runs it: before the launch, after it, and where it cannot run."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from agent_kpis import doctor
from agent_kpis.errors import CannotRunError
from scenarios import BASELINE_FROM, LAUNCH, World, scope, spread
from support import kpi
from test_readiness import whole
from warehouse import write_config, write_landing

FULL = {"baseline_from": BASELINE_FROM, "holdout_share": 0.1, "holdout_unit": "customer"}


@dataclass(frozen=True)
class Before:
    """Folders of a team that has not launched yet: people's requests, until a week before."""

    data: Path
    config: Path
    out: Path


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Before:
    """`kpi run` over people's requests alone, with everything defined."""
    folder = tmp_path_factory.mktemp("before")
    world = World()
    for task_type in ("billing", "refund"):
        world.requests(spread(BASELINE_FROM, 35, 40), "human", 30, task_type=task_type, score=80)
    data = write_landing(folder / "data", world.landing)
    scopes = [scope(task_type, **FULL) for task_type in ("billing", "refund")]
    config = write_config(folder / "config", whole(*scopes))
    out = folder / "out"
    done = kpi("run", "--data", data, "--config", config, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "agents_not_ready" not in done.stderr
    return Before(data, config, out)


def empty(file: Path) -> None:
    """Leave the header of a file."""
    file.write_text(file.read_text().splitlines()[0] + "\n")


def to_paste(text: str) -> dict[str, list[str]]:
    """The lines that are printed for each file."""
    found: dict[str, list[str]] = {}
    for text_line in text.splitlines():
        if named := re.search(r"(?:Add to|Change .*rows? of) (\w+)\.csv", text_line):
            file = named[1]
        elif text_line.startswith("    ") and text_line.strip():
            found.setdefault(file, []).append(text_line.strip())
    return found


def test_before_the_launch_people_alone_are_enough(before: Before) -> None:
    done = kpi("doctor", "--out", before.out)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "atlas: launches 2026-02-16 (as of 2026-02-08)"
    cells = [re.split(r"  +", line.strip()) for line in lines if "before launch" in line]
    assert cells == [
        ["Definition: 2 task types", "before launch", "2026-01-01", "team"],
        ["Baseline: 2 task types", "before launch", "2026-01-01", "team"],
        ["Holdout: 2 task types", "before launch", "2026-01-01", "team"],
        ["Thresholds: 5 KPIs of default", "before launch", "2026-01-01", "team"],
        ["Alert route", "before launch", "2026-01-01", "team"],
        ["Weekly review", "before launch", "2026-01-01", "team"],
    ]
    assert "Ready: nothing that is required is missing." in lines
    assert "Missing" not in done.stdout
    assert max(map(len, lines)) <= 80


def test_the_lines_that_are_printed_mend_it(before: Before, tmp_path: Path) -> None:
    """Everything is taken away; pasting what is printed makes the launch ready."""
    config = tmp_path / "config"
    shutil.copytree(before.config, config)
    for name in ("alert_routes", "weekly_reviews"):
        empty(config / f"{name}.csv")
    thresholds = (config / "thresholds.csv").read_text().splitlines()
    kept = [row for row in thresholds if "csat" not in row and "cost" not in row]
    (config / "thresholds.csv").write_text("\n".join(kept) + "\n")
    task_types = (config / "task_types.csv").read_text().splitlines()
    (config / "task_types.csv").write_text("\n".join(task_types[:2]) + "\n")
    bare = [scope("billing"), scope("refund", baseline_from=BASELINE_FROM)]
    write_config(tmp_path / "scopes", whole(*bare))
    shutil.copy(tmp_path / "scopes" / "agent_scopes.csv", config)
    # A user's own order of columns.
    header, *rows = (config / "thresholds.csv").read_text().splitlines()
    turned = [",".join(reversed(row.split(","))) for row in (header, *rows)]
    (config / "thresholds.csv").write_text("\n".join(turned) + "\n")

    out = tmp_path / "out"
    ask = ("doctor", "--data", before.data, "--config", config, "--out", out)
    done = kpi(*ask)
    assert done.returncode == 1, done.stderr
    assert "agents_not_ready" in done.stderr, "a run warns, too"
    assert (
        "Not ready. Missing: definition, baseline, holdout, thresholds, alert route and weekly"
        in done.stdout
    )
    assert "task_types.csv has no row for task_type refund" in done.stdout
    assert "agent_name atlas, task_type billing: baseline_from is empty." in done.stdout
    assert "Set AGENT_KPIS_ROUTE_ON_CALL" in done.stdout
    lines = to_paste(done.stdout)
    assert set(lines) == {
        "task_types",
        "agent_scopes",
        "thresholds",
        "alert_routes",
        "weekly_reviews",
    }
    assert lines["weekly_reviews"] == ["atlas,monday,team,2026-02-08"]
    assert sorted(lines["thresholds"]) == [
        "2026-02-08,team,2,20,10,5,pp,low,csat,default",
        "2026-02-08,team,2,40,20,10,percent,high,cost_per_successful_outcome,default",
    ]
    assert not (out / "agent_kpis.duckdb").exists(), "nothing is published"

    # Of baseline and holdout one is enough.
    lines["agent_scopes"] = [row for row in lines["agent_scopes"] if ",0.15," not in row]
    for name, added in lines.items():
        file = config / f"{name}.csv"
        end = "\r\n" if b"\r\n" in file.read_bytes() else "\n"
        with file.open("a", newline="") as text:
            text.write(end.join([*added, ""]))
    again = kpi(*ask)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "missing" not in again.stdout.replace("is required is missing", "")
    assert "not required" in again.stdout, "the holdouts"


@pytest.fixture
def changed(before: Before, tmp_path: Path) -> Callable[..., Path]:
    """A copy of OUT whose database went through some statements."""

    def change(*statements: str) -> Path:
        out = tmp_path / "changed"
        out.mkdir(exist_ok=True)
        shutil.copy(before.out / "agent_kpis.duckdb", out)
        with duckdb.connect(str(out / "agent_kpis.duckdb")) as con:
            for statement in statements:
                con.execute(statement)
        return out

    return change


def late(*item_types: str) -> str:
    kinds = ", ".join(f"'{item_type}'" for item_type in item_types)
    return (
        "update marts.launch_readiness set status = 'set_after_launch', "
        "defined_at = launched_at + interval 1 second, "
        "detail = 'agent_scopes.csv, agent_name atlas, task_type ' || item || ': late.' "
        f"where item_type in ({kinds})"
    )


def test_set_after_launch_is_a_warning_unless_strict(changed: Callable[..., Path]) -> None:
    out = changed(late("completion_definition", "weekly_review"))
    done = kpi("doctor", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "Set after launch: definition and weekly review." in done.stdout
    assert "correct effective_from" in done.stdout
    assert "task_type billing, refund" in done.stdout
    assert "2026-02-16 00:00:01" in done.stdout
    assert kpi("doctor", "--out", out, "--strict").returncode == 1
    ready = changed()
    assert kpi("doctor", "--out", ready, "--strict").returncode == 0


def test_what_is_not_required_fails_nothing(changed: Callable[..., Path]) -> None:
    out = changed(
        late("holdout"),
        "update marts.launch_readiness set status = 'missing', defined_at = null, owner = null, "
        "is_required = false, detail = 'no row for task_type ' || item || '.' "
        "where item_type = 'baseline'",
        "update marts.launch_readiness set is_required = false where item_type = 'holdout'",
    )
    done = kpi("doctor", "--out", out, "--strict")
    assert done.returncode == 0, done.stdout
    assert "- no row for task_type billing, refund." in done.stdout
    assert "Add to" not in done.stdout


def test_one_agent_that_is_not_ready_fails_all(changed: Callable[..., Path]) -> None:
    out = changed(
        "insert into marts.launch_readiness select 'borea [x]' as agent_name, "
        "* exclude (agent_name) from marts.launch_readiness",
        "update marts.launch_readiness set status = 'missing', defined_at = null, owner = null, "
        "detail = 'nobody' where agent_name like 'borea%' and item_type = 'weekly_review'",
    )
    done = kpi("doctor", "--out", out)
    assert done.returncode == 1
    atlas, borea = done.stdout.split("borea [x]: launches")
    assert "Ready" in atlas
    assert "Not ready. Missing: weekly review." in borea
    assert "borea [x],monday,your-team,2026-02-08" in borea


def test_without_any_agent_it_says_so(changed: Callable[..., Path]) -> None:
    done = kpi("doctor", "--out", changed("delete from marts.launch_readiness"))
    assert done.returncode == 1
    assert "No agent: agent_scopes.csv names none" in done.stdout
    header, example = done.stdout.splitlines()[-2:]
    assert header.split(",")[:3] == ["  agent_name", "task_type", "launched_at"]
    assert len(example.split(",")) == len(header.split(","))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--out", "nowhere"), "Run `kpi run` first."),
        (("--out", "nowhere", "--config", "seeds"), "need --data"),
        (("--out", "nowhere", "--as-of", "2026-01-01"), "need --data"),
        (("--out", "nowhere", "--data", "nowhere"), "No data folder"),
    ],
)
def test_what_cannot_run_is_two(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    paths = [tmp_path / word if word == "nowhere" else word for word in arguments]
    done = kpi("doctor", *paths)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_configuration_without_the_new_files_names_them(before: Before, tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(before.config, config)
    (config / "weekly_reviews.csv").unlink()
    done = kpi("doctor", "--data", before.data, "--config", config, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "weekly_reviews.csv is missing. It may be empty but for its header" in done.stderr


def test_a_build_that_fails_is_no_diagnosis(before: Before, tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(before.config, config)
    routes = config / "alert_routes.csv"
    routes.write_text(routes.read_text().replace("critical", "urgent"))
    done = kpi("doctor", "--data", before.data, "--config", config, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "alert_routes" in done.stderr
    assert "the build failed" in done.stderr


def test_a_database_of_another_version_is_said(changed: Callable[..., Path]) -> None:
    out = changed("drop table marts.launch_readiness")
    with pytest.raises(CannotRunError, match=r"launch_readiness.*Run `kpi run` again"):
        doctor.read(out / "agent_kpis.duckdb")


# What to write ------------------------------------------------------------------------------

AS_OF = datetime(2026, 2, 8, 13)
COLUMNS = {
    "agent_scopes": [
        "agent_name",
        "task_type",
        "launched_at",
        "baseline_from",
        "baseline_tier",
        "holdout_share",
        "holdout_unit",
        "owner",
        "effective_from",
    ]
}


def item(item_type: str, **more: object) -> dict[str, object]:
    return {
        "agent_name": "atlas",
        "item_type": item_type,
        "item": "refund",
        "task_type": "refund",
        "launched_at": LAUNCH,
        "defined_at": None,
        "status": "missing",
        "is_required": True,
        "owner": None,
        "detail": "agent_scopes.csv, agent_name atlas, task_type refund: something is empty.",
    } | more


def diagnosis(*rows: dict[str, object], since: datetime = BASELINE_FROM) -> doctor.Diagnosis:
    stated = scope("refund") | {"effective_from": since}
    known = {column: stated.get(column) for column in COLUMNS["agent_scopes"]}
    return doctor.Diagnosis(AS_OF, list(rows), {("atlas", "refund"): known}, COLUMNS)


def test_a_line_for_a_scope_keeps_what_the_scope_has() -> None:
    assert doctor.example(diagnosis(), item("holdout")) == (
        "atlas,refund,2026-02-16,,,0.15,customer,team,2026-02-08"
    )
    assert doctor.example(diagnosis(), item("baseline")) == (
        "atlas,refund,2026-02-16,2026-01-05,,,,team,2026-02-08"
    )


def test_a_row_that_is_younger_than_the_data_is_changed_not_followed() -> None:
    row = item("holdout")
    (mending,) = doctor.mendings(diagnosis(row, since=AS_OF + timedelta(days=2)), [row])
    assert mending.advice == "Change that row of agent_scopes.csv to:"
    assert mending.lines == ("atlas,refund,2026-02-16,,,0.15,customer,team,2026-02-10 13:00:00",)


def test_an_agent_without_a_scope_gets_a_whole_one() -> None:
    lacks = "agent_scopes.csv has no row for agent_name borea, task_type refund."
    rows = [item(kind, agent_name="borea", detail=lacks) for kind in ("baseline", "holdout")]
    (mending,) = doctor.mendings(diagnosis(*rows), rows)
    assert mending.title == "Baseline and holdout"
    assert mending.sentence == lacks
    assert mending.lines == (
        "borea,refund,2026-02-16,2026-01-05,,0.15,customer,your-team,2026-02-08",
    )


def test_requests_that_name_no_agent_are_told_to() -> None:
    row = item("holdout", agent_name="(none)")
    unknown = diagnosis(row)
    (mending,) = doctor.mendings(unknown, [row])
    assert mending.advice.startswith("Name the agent in interactions (agent_name), or: Add to")
    assert mending.lines[0].startswith("your-agent,refund,")
    console = Console(width=80, file=io.StringIO())
    doctor.print_agent(unknown, "(none)", console)
    assert console.file.getvalue().startswith("no agent: launches 2026-02-16")


def test_no_line_is_invented_where_requests_are_missing() -> None:
    row = item("baseline", detail="There are no requests of people on refund from then on.")
    stated = diagnosis(row)
    stated.scopes["atlas", "refund"]["baseline_from"] = BASELINE_FROM
    (mending,) = doctor.mendings(stated, [row])
    assert mending.lines == ()
    assert "load older requests" in mending.advice


def test_names_that_are_words_of_the_sentence_stay_apart() -> None:
    rows = [
        item(
            "holdout",
            item=name,
            task_type=name,
            detail=f"agent_scopes.csv, agent_name is, task_type {name}: holdout_share is empty.",
        )
        for name in ("is", "is empty", "a+b")
    ]
    stated = diagnosis(*rows)
    (mending,) = doctor.mendings(stated, rows)
    assert mending.sentence == (
        "agent_scopes.csv, agent_name is, task_type is, is empty, a+b: holdout_share is empty."
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_reads_at_the_width_of_a_terminal(width: int) -> None:
    rows = [
        item("completion_definition", status="before_launch", defined_at=LAUNCH, owner="team"),
        item("baseline", status="set_after_launch", defined_at=LAUNCH, owner="head-of-support"),
    ]
    console = Console(width=width, file=io.StringIO())
    console.print(doctor.table(rows))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
