"""The `kpi` command. Exit codes: 0 fine, 1 failed, 2 could not run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from agent_kpis.build import DATABASE, Problem, check_input, is_complete, work_folder
from agent_kpis.errors import CannotRunError
from agent_kpis.history import only_run
from agent_kpis.run import (
    STEPS,
    Settings,
    Stage,
    StepResult,
    Watcher,
    attempt,
    build_step,
    look,
)
from agent_kpis.run import run as run_all

if TYPE_CHECKING:
    from agent_kpis.alerts import Delivery

console = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("data/story"),
    show_default=True,
    help="Folder of the landing files.",
)
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the configuration CSVs. Default: DATA/config where it exists, else seeds.",
)
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out"),
    show_default=True,
    help="Where the results go.",
)
as_of_option = click.option(
    "--as-of",
    default=None,
    metavar="TIME",
    help="Speak for this moment (UTC, ISO 8601). Default: the latest event in the data.",
)
exit_level_option = click.option(
    "--exit-level",
    type=click.Choice(["warning", "critical", "catastrophic"]),
    is_flag=False,
    flag_value="warning",
    default=None,
    help="The exit code tells the worst level that is open, from this one on (alone: warning).",
)
to_option = click.option(
    "--to", type=click.Path(path_type=Path), required=True, help="Folder to write to."
)


@click.group()
@click.version_option(package_name="agent-kpis")
def cli() -> None:
    """Hold an AI support agent accountable to business KPIs."""


@cli.command()
@to_option
@click.option("--seed", type=int, default=None, help="Another story of the same plot.")
def story(to: Path, seed: int | None) -> None:
    """Write the landing files of a company that lived the article's case."""
    from agent_kpis.story import write_story

    arguments = {} if seed is None else {"seed": seed}
    write_story(to, progress=lines("story"), **arguments)
    console.print(f"The story's landing files and its planted truth (truth.json) are in {to}")


@cli.group()
def load() -> None:
    """Turn data of another shape into landing files with their configuration."""


@load.command("tau2")
@click.argument("source", type=click.Path(path_type=Path))
@to_option
def load_tau2_command(source: Path, to: Path) -> None:
    """Load the runs of the tau2 benchmark from the folder SOURCE."""
    from agent_kpis.loaders.tau2 import load_tau2

    report_load(load_tau2(source, to, progress=lines("load")), to)


@load.command("event-log")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--map",
    "mapping",
    type=click.Path(path_type=Path),
    required=True,
    help="Mapping file, or the name of one that is shipped (bpi13).",
)
@to_option
def load_event_log_command(file: Path, mapping: Path, to: Path) -> None:
    """Load a flat event log (CSV or parquet, one row an event) by a mapping file."""
    from agent_kpis.loaders.event_log import load_event_log

    shipped = files("agent_kpis") / "loaders" / "mappings" / f"{mapping.name}.yml"
    if not mapping.exists() and shipped.is_file():
        mapping = Path(str(shipped))
    report_load(load_event_log(file, mapping, to, progress=lines("load")), to)


def report_load(summary: dict, to: Path) -> None:
    for name, value in summary.items():
        if name != "warnings" and not isinstance(value, dict):
            console.print(f"  {name.replace('_', ' ')}: {value}")
    for warning in summary.get("warnings", []):
        console.print(f"[yellow]warning:[/yellow] {warning}")
    console.print(f"Now: kpi run --data {to}")


@cli.command()
@data_option
@config_option
@out_option
@as_of_option
@exit_level_option
@click.option("--no-alerts", is_flag=True, help="Tell nobody: for a replay of another day.")
def run(
    data: Path,
    config: Path | None,
    out: Path,
    as_of: str | None,
    exit_level: str | None,
    no_alerts: bool,
) -> None:
    """The whole run: checks, dbt build, publish, report, alerts.

    Until the last thing is written, what was published before stays as it is. A step that fails
    ends the run.
    """
    from agent_kpis.scorecard import show

    if no_alerts and exit_level:
        raise CannotRunError("--exit-level needs the alerts: leave out --no-alerts.")
    settings = Settings.of(data, config, out, as_of)
    steps = {name: step for name, step in STEPS.items() if not (no_alerts and name == "alerts")}
    outcome = run_all(settings, Printer(), steps)
    if not outcome.is_served:
        kept = "What was published before is untouched." if (out / DATABASE).exists() else ""
        stderr.print(f"Nothing was published. {kept}".rstrip())
        sys.exit(outcome.exit_code)
    show(out / DATABASE, console)
    console.print(f"\nReport           {out / 'report.html'}")
    console.print(f"Served database  {out / DATABASE}  (schemas input, facts, marts, checks)")
    console.print(f"Marts as parquet {out / 'marts'}")
    level = outcome.delivery.exit_code(exit_level) if outcome.delivery else 0
    sys.exit(outcome.exit_code or level)


@cli.command("build")
@data_option
@config_option
@out_option
@as_of_option
def build_command(data: Path, config: Path | None, out: Path, as_of: str | None) -> None:
    """dbt build alone, into OUT's private database."""
    sys.exit(one_build(Settings.of(data, config, out, as_of)).exit_code)


@cli.command("publish")
@out_option
def publish_command(out: Path) -> None:
    """Swap the last build into the served database and the parquet files."""
    from agent_kpis.publish import publish

    private = work_folder(out) / DATABASE
    if not private.is_file():
        raise CannotRunError(f"Nothing to publish: no {private}. Run `kpi build` first.")
    if not is_complete(work_folder(out)):
        raise CannotRunError(
            f"The last build in {out} did not come to a good end, so it is not published. "
            "Run `kpi build` again."
        )
    with only_run(out):
        for path in publish(private, out):
            console.print(str(path))


@cli.command("history")
@out_option
@click.option("--last", type=int, default=14, show_default=True, help="So many runs.")
def history_command(out: Path, last: int) -> None:
    """The last runs: how they ended, how long they took, what they read and found."""
    from agent_kpis.history import show

    show(out, console, last)


@cli.command("docs")
@out_option
def docs_command(out: Path) -> None:
    """Write OUT/docs.html: every table and column described, in one file that opens offline."""
    from agent_kpis.docs import write_docs

    page = write_docs(work_folder(out), out)
    console.print(f"{page}  ({page.stat().st_size / 1e6:.1f} MB, opens offline)")


@cli.command()
@out_option
@click.option("--svg", type=click.Path(path_type=Path), help="Also save it as a picture.")
def scorecard(out: Path, svg: Path | None) -> None:
    """Print the scorecard of the served database."""
    from agent_kpis.scorecard import save_picture, show

    served = out / DATABASE
    if not served.is_file():
        raise CannotRunError(f"No served database {served}. Run `kpi run` first.")
    show(served, console)
    if svg:
        save_picture(served, svg)


@cli.command("report")
@out_option
def report_command(out: Path) -> None:
    """Write OUT/report.html, a page that needs nothing else, from the served database."""
    from agent_kpis.report import write_report

    started = time.monotonic()
    file = write_report(out / DATABASE, out / "report.html", progress=lines("report"))
    size = file.stat().st_size / 1e6
    console.print(f"{file}  ({size:.1f} MB, {time.monotonic() - started:.0f} s)")


@cli.command("alert")
@out_option
@data_option
@config_option
@click.option("--dry-run", is_flag=True, help="Print the messages; send and record nothing.")
@click.option("--strict", is_flag=True, help="Exit code 2 where a route has no address.")
@exit_level_option
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    help="Seconds a route may take for attempts that fail.",
)
def alert_command(
    out: Path,
    data: Path,
    config: Path | None,
    dry_run: bool,
    strict: bool,
    exit_level: str | None,
    patience: float,
) -> None:
    """Tell the routes of alert_routes.csv what opened, got worse or cleared.

    Reads the served database in OUT. The address of route on_call is the environment variable
    AGENT_KPIS_ROUTE_ON_CALL, a URL of apprise (slack://, pagerduty://, mailto://); where it is not
    set, the messages are printed. What was told to whom is in OUT/alerts.sqlite, without addresses.
    AGENT_KPIS_REPORT_URL is the link in the messages. --data only names the configuration, as for
    kpi run.

    \b
    Exit codes:
      0   fine
      1   messages were not delivered; the next run tries again
      2   could not run, or a route has no proper address
      11  warning is the worst level that is open      (with --exit-level)
      12  critical                                     (with --exit-level)
      13  catastrophic                                 (with --exit-level)
    """
    from agent_kpis.alerts import Sender

    served = out / DATABASE
    if not served.is_file():
        raise CannotRunError(f"No served database {served}. Run `kpi run` first.")
    sender = Sender(
        Settings.of(data, config, out).config,
        out,
        dry_run=dry_run,
        patience=patience,
        say=lambda text: console.print(text, markup=False),
    )
    delivery = sender.alerts(served)
    report_delivery(delivery, strict)
    sys.exit(delivery.exit_code(exit_level, strict))


def report_delivery(delivery: Delivery, strict: bool = False) -> None:
    """Print what became of the messages, and what is to mend."""
    numbers = {
        "sent": delivery.sent,
        "printed": delivery.printed,
        "waiting": delivery.waiting,
        "open and told before": delivery.skipped,
    }
    shown = ", ".join(f"{number} {name}" for name, number in numbers.items() if number)
    console.print(f"Alerts: {shown or 'nothing to tell'}")
    for mistake in delivery.mistakes:
        stderr.print("[red]error:[/red] ", end="")
        stderr.print(mistake, markup=False)
    for sentence in delivery.undelivered:
        stderr.print("[red]not delivered:[/red] ", end="")
        stderr.print(sentence, markup=False)
    if delivery.without_address:
        colour = "red" if strict else "dim"
        names = ", ".join(delivery.without_address)
        stderr.print(f"[{colour}]No address in the environment: {names}[/{colour}]")


@cli.command("doctor")
@out_option
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=None,
    help="Build first, from these landing files; nothing is published.",
)
@config_option
@as_of_option
@click.option("--strict", is_flag=True, help="Fail also on what was set after launch.")
def doctor_command(
    out: Path, data: Path | None, config: Path | None, as_of: str | None, strict: bool
) -> None:
    """Was success defined before launch? What is missing, and the line to add.

    Reads the served database in OUT, or builds from --data first: people's requests are enough, so
    ask before the launch. Exit code 1: something required is missing.
    """
    from agent_kpis import doctor

    database = out / DATABASE
    if data is None and (config or as_of):
        raise CannotRunError("--config and --as-of need --data: they are for a build.")
    if data is not None:
        settings = Settings.of(data, config, out, as_of)
        if one_build(settings).exit_code:
            raise CannotRunError("There is nothing to look at: the build failed.")
        database = settings.private
    diagnosis = doctor.read(database)
    doctor.show(diagnosis, console)
    sys.exit(diagnosis.exit_code(strict))


@cli.command("plan")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Plan from the baseline in OUT's served database.",
)
@click.option("--agent", metavar="NAME", help="Of this agent only. Default: all with a baseline.")
@click.option("--per-day", type=float, help="By hand: requests a day.")
@click.option("--completion", type=float, help="By hand: share that people complete, such as 0.70.")
@click.option(
    "--csat", type=float, help="By hand: mean score; without --csat-sd the % of satisfied answers."
)
@click.option("--csat-sd", type=float, help="By hand: standard deviation of single scores.")
@click.option("--response-rate", type=float, help="By hand: share of requests that give an answer.")
@click.option(
    "--effect",
    "effects",
    type=float,
    multiple=True,
    help="Drop in completion to be seen, in points; repeatable.  [default: 5]",
)
@click.option(
    "--csat-effect",
    "csat_effects",
    type=float,
    multiple=True,
    help="Drop in CSAT to be seen, in points; repeatable.  [default: 8]",
)
@click.option(
    "--share",
    "shares",
    type=float,
    multiple=True,
    help="The holdout's share, 0.15 or 15; repeatable.  [default: 5 10 15 20 30%]",
)
@click.option("--power", type=float, default=0.8, show_default=True, help="Chance to see the drop.")
@click.option(
    "--maturity-hours",
    type=float,
    help="Until an outcome is known. Default: of the agent's task types; 96 by hand.",
)
def plan_command(
    out: Path | None,
    agent: str | None,
    per_day: float | None,
    effects: tuple[float, ...],
    csat_effects: tuple[float, ...],
    shares: tuple[float, ...],
    power: float,
    maturity_hours: float | None,
    **known: float | None,
) -> None:
    """How large a holdout, and how many days, to see an effect.

    From the baseline that `kpi run` found (--out), or by hand (--per-day, --completion).
    """
    from agent_kpis import plan

    if out is None and per_day is None:
        raise CannotRunError(
            "A plan needs --out (the baseline that `kpi run` found), or --per-day and --completion."
        )
    if out is not None:
        given = [name for name, value in {"per_day": per_day, **known}.items() if value is not None]
        if given:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise CannotRunError(f"--out takes the baseline from a database: leave out {options}.")
        baselines = plan.read_baselines(out / DATABASE, agent, maturity_hours)
    elif agent is not None:
        raise CannotRunError("--agent names an agent of a database: give --out, too.")
    else:
        baselines = [plan.by_hand(per_day, maturity_hours=maturity_hours, **known)]
    if csat_effects and not any(baseline.csat for baseline in baselines):
        raise CannotRunError("--csat-effect: no CSAT to plan with. By hand, give --csat.")
    plan.show(
        baselines,
        console,
        plan.checked_shares(shares),
        effects or (plan.EFFECT,),
        csat_effects or (plan.CSAT_EFFECT,),
        plan.checked_power(power),
    )


@cli.group()
def check() -> None:
    """Quality gates around the build: exit code 1 where something critical failed."""


@check.command("landing")
@data_option
@config_option
@out_option
def check_landing_command(data: Path, config: Path | None, out: Path) -> None:
    """Before dbt: are the landing files whole, current, and like those of yesterday?"""
    sys.exit(show_checks(Settings.of(data, config, out), "landing"))


@check.command("marts")
@data_option
@config_option
@out_option
def check_marts_command(data: Path, config: Path | None, out: Path) -> None:
    """After dbt: are the marts in OUT's private database plausible?"""
    sys.exit(show_checks(Settings.of(data, config, out), "marts"))


def show_checks(settings: Settings, stage: str) -> int:
    """Check, print what failed, and return the exit code."""
    from agent_kpis import quality

    report, folder = look(settings, stage, lines("check"))
    for text in report.notes:
        console.print(f"[dim]note: {escape(text)}[/dim]")
    quality.show(report, folder, console)
    return report.exit_code


def one_build(settings: Settings) -> StepResult:
    """dbt build alone, with progress, and what went wrong."""
    check_input(settings.data, settings.config)
    printer = Printer()
    with only_run(settings.out):
        started = time.monotonic()
        printer.begin("dbt build")
        result = attempt(build_step, Stage(settings), printer.advance)
        printer.end("dbt build", time.monotonic() - started, result)
    if result.exit_code:
        stderr.print("Nothing was published.")
    return result


class Printer(Watcher):
    """A run for people: a bar while a step goes on (in a terminal), a line when it has ended."""

    def begin(self, step: str) -> None:
        self.step = step
        self.bar = progress_bar() if console.is_terminal else None
        if self.bar:
            self.task = self.bar.add_task(step, total=None)
            self.bar.start()

    def advance(self, text: str, done: int | None = None, total: int | None = None) -> None:
        if self.bar:
            self.bar.update(
                self.task, completed=done, total=total, description=f"{self.step}: {text[:40]}"
            )

    def end(self, step: str, seconds: float, result: StepResult) -> None:
        if self.bar:
            self.bar.stop()
        if result.exit_code == 2 and not result.problems:
            stderr.print(f"[red]could not run:[/red] {step}: ", end="")
            stderr.print(result.summary, markup=False)
        else:
            said = f"{step:<14} {seconds:5.1f} s  {escape(result.summary)}".rstrip()
            console.print(f"[dim]{said}[/dim]")
        for note in result.notes:
            console.print(f"[dim]note: {escape(note)}[/dim]")
        for problem in result.problems:
            print_problem(problem)


def print_problem(problem: Problem) -> None:
    colour = "yellow" if problem.status == "warn" else "red"
    word = {"warn": "warning", "fail": "failed", "error": "error"}[problem.status]
    stderr.print(f"[{colour}]{word}:[/{colour}] {problem.node}: ", end="")
    stderr.print(problem.message, markup=False)


def progress_bar() -> Progress:
    """A bar that goes when its step is over."""
    columns = [
        TextColumn("{task.description}", table_column=Column(width=56, no_wrap=True)),
        BarColumn(),
        MofNCompleteColumn(),
    ]
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)


def lines(name: str) -> Callable[[str], None]:
    """Progress as lines with a name in front."""
    return lambda text: console.print(f"[dim]{name}: {text}[/dim]")


def main() -> None:
    """Entry point: errors that the user can mend become one message and exit code 2."""
    from agent_kpis.loaders import LoadError

    try:
        cli(standalone_mode=False)
    except (CannotRunError, LoadError, FileNotFoundError, PermissionError) as error:
        stderr.print("[red]could not run:[/red] ", end="")
        stderr.print(str(error), markup=False)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Abort:
        stderr.print("stopped; what was published before is untouched")
        sys.exit(2)
