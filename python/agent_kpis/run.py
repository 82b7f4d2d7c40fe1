"""The whole run, step by step: what each step does, and what becomes of one that fails.

What is served changes in one step, after everything was written; until then yesterday's database,
marts and report stay as they are. A step that fails blocks the alerts about KPIs and is told in
their place.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent_kpis import history
from agent_kpis.build import DATABASE, BuildResult, Problem, build, check_input
from agent_kpis.contract import project_dir
from agent_kpis.errors import CannotRunError
from agent_kpis.publish import REPORT, prepare, serve

Advance = Callable[[str, int | None, int | None], None]


@dataclass(frozen=True)
class Settings:
    """Of one run: its data and configuration, where results go, the moment it speaks for."""

    data: Path
    config: Path
    out: Path
    as_of: str | None = None

    @classmethod
    def of(cls, data: Path, config: Path | None, out: Path, as_of: str | None = None) -> Settings:
        """Where no configuration is named: DATA/config, else the project's."""
        if config is None:
            own = data / "config"
            config = own if own.is_dir() else project_dir() / "seeds"
        return cls(data, config, out, as_of)

    @property
    def work(self) -> Path:
        """Where dbt's private database and artifacts are."""
        return work_folder(self.out)

    @property
    def private(self) -> Path:
        return self.work / DATABASE


@dataclass
class StepResult:
    """How a step went: 0 fine, 1 a check failed, 2 it could not run."""

    exit_code: int = 0
    summary: str = ""
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Stage:
    """What the steps of one run hand on."""

    settings: Settings
    profile: dict | None = None  # of the landing files and marts, for the next run to compare with
    version: Path | None = None  # written, not yet served
    is_served: bool = False


class Watcher:
    """Told of a run as it goes on. This one keeps silent; the command's prints."""

    def begin(self, step: str) -> None: ...

    def advance(self, text: str, done: int | None = None, total: int | None = None) -> None: ...

    def end(self, step: str, seconds: float, result: StepResult) -> None: ...


def work_folder(out: Path) -> Path:
    return out / ".work"


def build_step(stage: Stage, advance: Advance) -> StepResult:
    settings = stage.settings
    result = build(settings.data, settings.config, settings.work, settings.as_of, told(advance))
    return of_build(result)


def told(advance: Advance) -> Callable[[int, int, str], None]:
    return lambda done, total, node: advance(node, done, total)


def of_build(result: BuildResult) -> StepResult:
    counted = [f"{result.nodes} models and tests"]
    for name, found in (
        ("error", result.errors),
        ("failed test", result.failures),
        ("warning", result.warnings),
    ):
        if found:
            counted.append(f"{len(found)} {name}{'s' if len(found) > 1 else ''}")
    return StepResult(result.exit_code, ", ".join(counted), result.problems, result.notes)


def publish_step(stage: Stage, advance: Advance) -> StepResult:
    advance("copying the database, writing the marts as parquet")
    stage.version = prepare(stage.settings.private, stage.settings.out)
    return StepResult()


def report_step(stage: Stage, advance: Advance) -> StepResult:
    """Write the report of what was just written, then serve both."""
    from agent_kpis.report import write_report

    write_report(stage.version / DATABASE, stage.version / REPORT, advance)
    serve(stage.version, stage.settings.out)
    stage.is_served = True
    return StepResult()


Step = Callable[[Stage, Advance], StepResult]
STEPS: dict[str, Step] = {
    "dbt build": build_step,
    "publish": publish_step,
    "report": report_step,
}


@dataclass(frozen=True)
class Outcome:
    """Of a run. Exit code: 0 fine, 1 failed, 2 could not run; `step` is the one that ended it."""

    exit_code: int
    step: str
    is_served: bool


def run(
    settings: Settings, watcher: Watcher | None = None, steps: dict[str, Step] = STEPS
) -> Outcome:
    """Every step in order, until one fails.

    Raises CannotRunError where the run could not even begin: another one is under way in `out`, or
    a folder is missing.
    """
    watcher = watcher or Watcher()
    check_input(settings.data, settings.config)
    with history.only_run(settings.out):
        log = history.RunLog(settings.out, settings.data, settings.config)
        stage = Stage(settings)
        warnings = 0
        for step, do in steps.items():
            log.begin(step)
            watcher.begin(step)
            started = time.monotonic()
            result = attempt(do, stage, watcher.advance)
            seconds = time.monotonic() - started
            watcher.end(step, seconds, result)
            warnings += sum(problem.status == "warn" for problem in result.problems)
            log.write("done", step=step, seconds=round(seconds, 1))
            if result.exit_code:
                status = "failed" if result.exit_code == 1 else "could not run"
                log.end(status, warnings=warnings, message=first_words(result))
                return Outcome(result.exit_code, step, stage.is_served)
        log.end("ok", warnings=warnings, **history.found_in(settings.out / DATABASE))
    return Outcome(0, step, stage.is_served)


def attempt(do: Step, stage: Stage, advance: Advance) -> StepResult:
    """A step's result, also where it broke: what was served is safe, and the reason is kept."""
    try:
        return do(stage, advance)
    except CannotRunError as error:
        return StepResult(2, str(error))
    except Exception as error:
        trace = stage.settings.work / "error.txt"
        trace.write_text(traceback.format_exc(), encoding="utf-8")
        said = str(error).partition("\n")[0]
        return StepResult(2, f"{type(error).__name__}: {said} (the whole story is in {trace})")


def first_words(result: StepResult) -> str:
    """What went wrong, in one line."""
    serious = [problem for problem in result.problems if problem.status != "warn"]
    if not serious:
        return result.summary.partition("\n")[0]
    more = f" (and {len(serious) - 1} more)" if len(serious) > 1 else ""
    return f"{serious[0].node}: {serious[0].message.partition(chr(10))[0]}{more}"
