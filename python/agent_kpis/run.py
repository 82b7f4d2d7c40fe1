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
from typing import TYPE_CHECKING

from agent_kpis import history
from agent_kpis.build import (
    DATABASE,
    BuildResult,
    Problem,
    build,
    check_input,
    parse_as_of,
    work_folder,
)
from agent_kpis.contract import project_dir
from agent_kpis.errors import CannotRunError
from agent_kpis.publish import add_report, prepare, serve

if TYPE_CHECKING:
    from agent_kpis import quality
    from agent_kpis.alerts import Delivery

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
    checks: list[quality.CheckResult] = field(default_factory=list)


@dataclass
class Stage:
    """What the steps of one run hand on."""

    settings: Settings
    version: Path | None = None  # written, not yet served
    is_served: bool = False
    delivery: Delivery | None = None


class Watcher:
    """Told of a run as it goes on. This one keeps silent; the command's prints."""

    def begin(self, step: str) -> None: ...

    def advance(self, text: str, done: int | None = None, total: int | None = None) -> None: ...

    def end(self, step: str, seconds: float, result: StepResult) -> None: ...


def landing_checks_step(stage: Stage, advance: Advance) -> StepResult:
    check_input(stage.settings.data, stage.settings.config)
    return of_checks(*look(stage.settings, "landing", advance))


def mart_checks_step(stage: Stage, advance: Advance) -> StepResult:
    return of_checks(*look(stage.settings, "marts", advance))


def look(
    settings: Settings, stage: str, advance: Callable[[str], None]
) -> tuple[quality.Report, Path]:
    """The checks of a stage (landing or marts): what they found, and the folder that keeps it."""
    from agent_kpis import quality

    before, note = quality.read_profile(settings.work)
    if stage == "landing":
        report = quality.check_landing(settings.data, settings.config, before, advance)
    else:
        report = quality.check_marts(settings.private, settings.config, before, advance)
    report.notes[:0] = [note] if note else []
    if not report.critical:
        quality.offer_profile(settings.work, report.stage, report.profile)
    return report, quality.write_report(report, settings.out)


def of_checks(report: quality.Report, folder: Path) -> StepResult:
    from agent_kpis import quality

    problems = [
        Problem(
            f"{result.check} of {'.'.join(filter(None, (result.table, result.column)))}",
            "fail" if result.severity == "critical" else "warn",
            result.message,
        )
        for result in quality.in_order(report.results)
        if not result.passed
    ]
    notes = [*report.notes]
    if rows := len(report.failing_rows):
        word = "row is" if rows == 1 else "rows are"
        notes.append(f"{rows:,} failing {word} in {folder / 'failing_rows.csv'}")
    judged = sum(result.observed is not None for result in report.results)
    summary = counted(f"{judged} checks", problems)
    return StepResult(report.exit_code, summary, problems, notes, report.results)


def build_step(stage: Stage, advance: Advance) -> StepResult:
    settings = stage.settings
    result = build(settings.data, settings.config, settings.work, settings.as_of, told(advance))
    return of_build(result)


def told(advance: Advance) -> Callable[[int, int, str], None]:
    return lambda done, total, node: advance(node, done, total)


def of_build(result: BuildResult) -> StepResult:
    summary = counted(f"{result.nodes} models and tests", result.problems)
    return StepResult(result.exit_code, summary, result.problems, result.notes)


def counted(what: str, problems: list[Problem]) -> str:
    """What was looked at, and how many of its problems are of which kind."""
    words = [what]
    for status, name in (("error", "error"), ("fail", "failure"), ("warn", "warning")):
        if n := sum(problem.status == status for problem in problems):
            words.append(f"{n} {name}{'s' if n > 1 else ''}")
    return ", ".join(words)


def publish_step(stage: Stage, advance: Advance) -> StepResult:
    advance("copying the database, writing the marts as parquet")
    stage.version = prepare(stage.settings.private, stage.settings.out)
    return StepResult()


def report_step(stage: Stage, advance: Advance) -> StepResult:
    """Write the report of what was just written, then serve both."""
    settings = stage.settings
    add_report(stage.version, settings.out, advance)
    serve(stage.version, settings.out)
    stage.is_served = True
    return StepResult()


def alerts_step(stage: Stage, advance: Advance) -> StepResult:
    """Tell the routes. Without addresses nothing is sent, and how to see the messages is said."""
    from agent_kpis.alerts import Sender

    settings = stage.settings
    notes: list[str] = []
    sender = Sender(settings.config, settings.out, say=notes.append, print_unaddressed=False)
    cleared = sender.unblocked()
    advance("what opened, got worse or cleared")
    delivery = sender.alerts(settings.out / DATABASE)
    stage.delivery = delivery
    if delivery.printed:
        notes.append(
            f"{delivery.printed} messages were not sent (the worst: {delivery.worst_level}): no "
            f"address in {' and '.join(delivery.without_address)}. `kpi alert --dry-run` prints "
            "them, docs/alerts.md says more."
        )
    problems = [Problem("alerts", "error", text) for text in delivery.mistakes]
    problems += [
        Problem("alerts", "fail", text) for text in {*cleared.undelivered, *delivery.undelivered}
    ]
    sent = cleared.sent + delivery.sent
    exit_code = cleared.exit_code() or delivery.exit_code()
    return StepResult(exit_code, f"{sent} sent" if sent else "nothing sent", problems, notes)


def data_alert(settings: Settings, step: str, result: StepResult) -> list[str]:
    """Tell the routes that alerts are blocked, and by what; what there is to say about that."""
    from agent_kpis.alerts import Sender

    serious = [problem for problem in result.problems if problem.status != "warn"]
    found = [f"{problem.node}: {problem.message}" for problem in serious] or [result.summary]
    notes: list[str] = []
    try:
        sender = Sender(settings.config, settings.out, say=notes.append, print_unaddressed=False)
        delivery = sender.blocked(step, "\n".join(found))
    except CannotRunError as error:
        return [f"nobody was told of this: {error}"]
    if delivery.sent:
        notes.append(f"Told that alerts are blocked: {delivery.sent} of the routes.")
    return [*notes, *delivery.mistakes, *delivery.undelivered]


Step = Callable[[Stage, Advance], StepResult]
STEPS: dict[str, Step] = {
    "landing checks": landing_checks_step,
    "dbt build": build_step,
    "mart checks": mart_checks_step,
    "publish": publish_step,
    "report": report_step,
    "alerts": alerts_step,
}


@dataclass(frozen=True)
class Outcome:
    """Of a run. Exit code: 0 fine, 1 failed, 2 could not run; `step` is the one that ended it."""

    exit_code: int
    step: str
    is_served: bool
    delivery: Delivery | None = None


def run(
    settings: Settings, watcher: Watcher | None = None, steps: dict[str, Step] = STEPS
) -> Outcome:
    """Every step in order, until one fails. Without the step `alerts` nobody is told anything.

    Raises CannotRunError where the run could not even begin: another one is under way in `out`, or
    the time is none.
    """
    watcher = watcher or Watcher()
    parse_as_of(settings.as_of)
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
            if result.exit_code and not stage.is_served and "alerts" in steps:
                watcher.advance("telling the routes that alerts are blocked")
                result.notes += data_alert(settings, step, result)
            watcher.end(step, seconds, result)
            warnings += sum(problem.status == "warn" for problem in result.problems)
            log.write("done", step=step, seconds=round(seconds, 1))
            if result.exit_code:
                status = "failed" if result.exit_code == 1 else "could not run"
                log.end(status, warnings=warnings, message=first_words(result))
                return Outcome(result.exit_code, step, stage.is_served, stage.delivery)
        log.end("ok", warnings=warnings, **history.found_in(settings.out / DATABASE))
    return Outcome(0, step, stage.is_served, stage.delivery)


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
