"""One dbt build: checks of the configuration before it, progress during it, and what it found."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import yaml

from agent_kpis.contract import project_dir, seed_columns
from agent_kpis.errors import CannotRunError

DATABASE = "agent_kpis.duckdb"
DBT = "from dbt.cli.main import cli; cli()"
# Its standard input is a pipe from the run, so it ends with the run, however that ended.
DBT_OF_A_RUN = (
    "import os, threading\n"
    "def follow(): os.read(0, 1); os._exit(1)\n"
    "threading.Thread(target=follow, daemon=True).start()\n"
) + DBT
RESULTS = Path("target", "run_results.json")
SHOWN_ROWS = 5
GENERIC = {
    "none_missing": "A column that must be filled is empty.",
    "rows_satisfy": "Rows break a condition.",
    "unique_together": "Rows share a key.",
}
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Problem:
    """A test that did not pass, or a node that could not be built."""

    node: str
    status: str  # error, fail or warn
    message: str


@dataclass
class BuildResult:
    """What a build left: the private database, its problems, and how long dbt took."""

    database: Path
    seconds: float
    nodes: int
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.status == "error"]

    @property
    def failures(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.status == "fail"]

    @property
    def warnings(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.status == "warn"]

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a test failed, 2 something could not be built."""
        if self.errors:
            return 2
        return 1 if self.failures else 0


def work_folder(out: Path) -> Path:
    """Where a run into `out` keeps dbt's private database and artifacts."""
    return out / ".work"


def parse_as_of(text: str | None) -> str:
    """A time in ISO 8601 as UTC text; empty for the watermark. Raises CannotRunError."""
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CannotRunError(
            f"--as-of {text}: not a time. Write 2026-03-09 or 2026-03-09T12:00:00Z."
        ) from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat()


def check_config(folder: Path) -> None:
    """Every configuration file is there with its columns. Raises CannotRunError."""
    if not folder.is_dir():
        raise CannotRunError(f"No configuration folder {folder}. Name one with --config.")
    example = project_dir() / "seeds"
    for name, columns in seed_columns().items():
        file = folder / f"{name}.csv"
        if not file.is_file():
            raise CannotRunError(
                f"{file} is missing. It may be empty but for its header: copy the first line of "
                f"{example / file.name}."
            )
        with file.open(newline="", encoding="utf-8-sig") as lines:
            header = [cell.strip() for cell in next(csv.reader(lines), [])]
        missing = [column for column in columns if column not in header]
        if missing:
            raise CannotRunError(
                f"{file} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}. "
                f"It has: {', '.join(header) or 'nothing'}. "
                f"models/config/{name}.yml says what each one means."
            )


def copies_of(owner: Path) -> Path:
    """Where `owner` (the folder of a run) keeps its copy of a configuration from elsewhere."""
    digest = hashlib.sha256(str(owner.resolve()).encode()).hexdigest()[:12]
    return project_dir().resolve() / ".kpi" / digest


def inside_project(config: Path, owner: Path) -> str:
    """The configuration folder as dbt may have it: inside the project, relative to it.

    dbt writes a seed's compiled SQL to target/<path of the seed>; for a path outside the project
    that is the CSV itself. So a folder elsewhere is copied in, to a place of its own for `owner`.
    """
    project = project_dir().resolve()
    folder = config.resolve()
    if folder.is_relative_to(project):
        return str(folder.relative_to(project))
    copy = copies_of(owner)
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for name in seed_columns():
        shutil.copyfile(folder / f"{name}.csv", copy / f"{name}.csv")
    return str(copy.relative_to(project))


def build(
    data: Path,
    config: Path,
    work: Path,
    as_of: str | None = None,
    progress: Progress | None = None,
) -> BuildResult:
    """Run `dbt build` over the landing files in `data` with the configuration in `config`.

    Everything dbt writes goes to `work`. `progress` is called with (done, total, node name).
    Raises CannotRunError where dbt could not start; a result with errors where nodes failed.
    """
    check_input(data, config)
    moment = parse_as_of(as_of)
    work.mkdir(parents=True, exist_ok=True)
    results_file = work / RESULTS
    results_file.unlink(missing_ok=True)
    set_aside = check_private(work / DATABASE)
    inputs = dbt_inputs(data, config, work, moment)
    process = start_dbt(
        # Unit tests test the models, not the data: they belong to `dbt build` and CI.
        ["build", "--exclude-resource-type", "unit_test"],
        work,
        work / "target",
        inputs,
    )
    try:
        messages, notes = follow(process, progress)
        code = process.wait()
    finally:
        shutil.rmtree(copies_of(work), ignore_errors=True)
    if not results_file.is_file():
        reason = "\n".join(messages[-20:]) or f"dbt ended with exit code {code}"
        raise CannotRunError(readable(reason))
    result = summarise(results_file, work / DATABASE, [*set_aside, *notes])
    copy = str(project_dir() / inputs["AGENT_KPIS_CONFIG"])
    result.problems = [
        replace(problem, message=problem.message.replace(copy, str(config)))
        for problem in result.problems
    ]
    return result


def check_input(data: Path, config: Path) -> None:
    """The folders of a run are there, with what they must hold. Raises CannotRunError."""
    if not data.is_dir():
        raise CannotRunError(
            f"No data folder {data}. Name the folder of your landing files with --data, "
            "or make the story's with `kpi story --to data/story`."
        )
    check_config(config)


def check_private(database: Path) -> list[str]:
    """dbt can write its private database; one that is damaged is moved aside, with a note.

    It holds nothing that a build does not make again. Raises CannotRunError where somebody has it
    open.
    """
    if not database.exists():
        return []
    try:
        duckdb.connect(str(database)).close()
        return []
    except duckdb.Error as error:
        if holder := re.search(r"Conflicting lock is held in (.+?)\. ", str(error)):
            raise CannotRunError(
                f"{database} is open in another program: {holder[1]}. Close it there and run "
                "again. It is dbt's own file; the one to read is the served copy."
            ) from error
        if isinstance(error, duckdb.IOException) and "Permission denied" in str(error):
            raise CannotRunError(f"{database} may not be written by this user.") from error
    aside = database.with_suffix(".damaged.duckdb")
    os.replace(database, aside)
    database.with_suffix(".duckdb.wal").unlink(missing_ok=True)
    return [f"{database} was damaged and is now {aside.name}; everything is built anew."]


def dbt_inputs(data: Path, config: Path, work: Path, as_of: str) -> dict[str, str]:
    """What dbt's environment says of the data, the configuration and the moment of a run."""
    return {
        "AGENT_KPIS_DATA": str(data.resolve()),
        "AGENT_KPIS_CONFIG": inside_project(config, work),
        "AGENT_KPIS_AS_OF": as_of,
    }


def dbt_outputs(work: Path, target: Path) -> dict[str, str]:
    """dbt's environment so that it writes to `work` only, and its artifacts to `target`."""
    return {
        "AGENT_KPIS_DATABASE": str((work / DATABASE).resolve()),
        "DBT_TARGET_PATH": str(target.resolve()),
        "DBT_LOG_PATH": str((work / "logs").resolve()),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "PYTHONIOENCODING": "utf-8",
    }


def start_dbt(
    arguments: Sequence[str], work: Path, target: Path, inputs: Mapping[str, str]
) -> subprocess.Popen[str]:
    """dbt on the private database in `work`; it logs JSON lines, and ends with this process."""
    project = str(project_dir())
    command = [sys.executable, "-c", DBT_OF_A_RUN, "--log-format", "json", *arguments]
    return subprocess.Popen(
        [*command, "--project-dir", project, "--profiles-dir", project],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env={**os.environ, **inputs, **dbt_outputs(work, target)},
        cwd=project,
    )


def is_complete(work: Path) -> bool:
    """The last build in `work` came to its end without an error or a failed test."""
    try:
        results = json.loads((work / RESULTS).read_text(encoding="utf-8"))["results"]
    except (OSError, ValueError, KeyError):
        return False
    return all(result["status"] not in ("error", "fail", "skipped") for result in results)


def follow(
    process: subprocess.Popen[str], progress: Progress | None
) -> tuple[list[str], list[str]]:
    """Read dbt's log lines until it ends; errors and notes are returned, nodes reported."""
    errors: list[str] = []
    notes: list[str] = []
    done, total = 0, 0
    for line in process.stdout or ():
        try:
            event = json.loads(line)
            name, data, text = event["info"]["name"], event["data"], event["info"]["msg"]
            level = event["info"]["level"]
        except (ValueError, KeyError, TypeError):
            errors.append(line.rstrip())
            continue
        if text.startswith("Note: "):
            notes.append(text.removeprefix("Note: "))
        elif level == "error" or name == "MainEncounteredError":
            errors.append(text)
        if name.startswith("Log") and name.endswith("Result") and "node_info" in data:
            done += 1
            total = int(data.get("total") or data.get("num_models") or total)
            if progress:
                progress(done, max(total, done), data["node_info"]["node_name"])
    return errors, notes


def summarise(results_file: Path, database: Path, notes: list[str]) -> BuildResult:
    found = json.loads(results_file.read_text(encoding="utf-8"))
    manifest = json.loads((results_file.parent / "manifest.json").read_text(encoding="utf-8"))
    says = test_descriptions()
    problems = []
    for result in found["results"]:
        if result["status"] not in ("error", "fail", "warn"):
            continue
        node = manifest["nodes"].get(result["unique_id"]) or manifest["unit_tests"].get(
            result["unique_id"], {}
        )
        message = readable(result.get("message") or "")
        if node.get("resource_type") == "test" and result["status"] != "error":
            test = node.get("test_metadata") or {}
            message = says.get(node["name"]) or GENERIC.get(test.get("name"), message)
            required = test["kwargs"]["columns"] if test.get("name") == "none_missing" else []
            sql = result.get("compiled_code") or ""
            message += examples(database, sql, result["failures"], required)
        problems.append(Problem(title(node, result["unique_id"]), result["status"], message))
    done = [result for result in found["results"] if result["status"] != "no-op"]  # exposures
    return BuildResult(database, found["elapsed_time"], len(done), problems, notes)


def test_descriptions() -> dict[str, str]:
    """What each singular test says when it finds something."""
    text = (project_dir() / "tests" / "singular.yml").read_text(encoding="utf-8")
    return {test["name"]: test["description"] for test in yaml.safe_load(text)["data_tests"]}


def title(node: dict, unique_id: str) -> str:
    """A generic test by what it tests and how; anything else by its name."""
    tested = node.get("attached_node") or node.get("file_key_name") or ""
    generic = (node.get("test_metadata") or {}).get("name")
    if generic and tested:
        return f"{tested.split('.')[-1]}: {generic}"
    return node.get("name", unique_id)


def examples(database: Path, sql: str, n: int | None, required: Sequence[str] = ()) -> str:
    """The first rows that a test found, as text, with what they lack of `required`."""
    with duckdb.connect(str(database), read_only=True) as con:
        cursor = con.execute(f"select * from ({sql}) limit {SHOWN_ROWS}")
        names = [column[0] for column in cursor.description]
        rows = [
            ", ".join(
                f"{name} {'(empty)' if value is None else value}"
                for name, value in zip(names, row, strict=True)
                if value is not None or name in required
            )
            for row in cursor.fetchall()
        ]
    more = "" if n is None or n <= len(rows) else f"\n  ... {n} rows in all"
    return "".join(f"\n  {row}" for row in rows) + more


def readable(message: str) -> str:
    """dbt's message without its frame: where in our macros it came from does not help a user."""
    if found := csv_problem(message):
        return found
    lines = [line.rstrip() for line in message.splitlines()]
    frame = re.compile(
        r"^(Encountered an error:|(Compilation|Runtime|Database) Error.*)$"
        r"|^\s*> in macro|^\s*> called by|^\s*compiled code at|^\s*in macro "
    )
    kept = [line.strip() for line in lines if line.strip() and not frame.match(line)]
    return "\n".join(kept[:8])


def csv_problem(message: str) -> str:
    """DuckDB's page about a CSV file in one line: file, line, and what is wrong; else nothing."""
    file = re.search(r"^\s*file = (.+)$", message, re.MULTILINE)
    if not file or "CSV" not in message:
        return ""
    line = re.search(r"CSV Error on Line: (\d+)", message)
    where = f"{file[1]}, line {line[1]}" if line else file[1]
    counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    value = re.search(r"Error when converting column (.+?)\. (Could not convert .+)", message)
    if counts:
        what = f"{counts[2]} cells, but the header has {counts[1]}"
    elif value:
        what = f"column {value[1]}: {value[2]}".rstrip(".")
    elif "unterminated quote" in message:
        what = "a quote is opened and not closed as it should be"
    elif "not utf-8 encoded" in message:
        what = "not UTF-8 text"
    elif "invalid state" in message:
        what = "not a proper CSV file: line ends of two kinds, or a quote in the wrong place"
    elif "Maximum line size" in message:
        what = "a line of more than 2 MB; is a quote not closed?"
    else:
        what = "not a proper CSV file"
    text = re.search(r"Original Line:\s*(.{1,80})", message) if line else None
    return f"{where}: {what}." + (f" The line begins: {text[1].strip()}" if text else "")
