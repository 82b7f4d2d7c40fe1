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

from agent_kpis.build import DATABASE, BuildResult, build
from agent_kpis.contract import project_dir
from agent_kpis.errors import CannotRunError

if TYPE_CHECKING:
    from agent_kpis.quality import Report

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
def run(data: Path, config: Path | None, out: Path, as_of: str | None) -> None:
    """The whole run: dbt build, publish, scorecard."""
    from agent_kpis.publish import publish
    from agent_kpis.scorecard import show

    started = time.monotonic()
    result = run_build(data, config, out, as_of)
    if result.exit_code:
        sys.exit(result.exit_code)
    written = publish(result.database, out)
    show(written[0], console)
    console.print(f"\nServed database  {written[0]}  (schemas input, facts, marts)")
    console.print(f"Marts as parquet {out / 'marts'}  ({len(written) - 1} files)")
    console.print(
        f"[dim]{time.monotonic() - started:.0f} s, of which dbt {result.seconds:.0f} s[/dim]"
    )


@cli.command("build")
@data_option
@config_option
@out_option
@as_of_option
def build_command(data: Path, config: Path | None, out: Path, as_of: str | None) -> None:
    """dbt build alone, into OUT's private database."""
    sys.exit(run_build(data, config, out, as_of).exit_code)


@cli.command("publish")
@out_option
def publish_command(out: Path) -> None:
    """Swap the last build into the served database and the parquet files."""
    from agent_kpis.publish import publish

    private = work_folder(out) / DATABASE
    if not private.is_file():
        raise CannotRunError(f"Nothing to publish: no {private}. Run `kpi build` first.")
    for file in publish(private, out):
        console.print(str(file))


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
        result = run_build(data, config, out, as_of)
        if result.exit_code:
            raise CannotRunError("There is nothing to look at: the build failed.")
        database = result.database
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
    from agent_kpis import quality

    history, note = quality.read_profile(work_folder(out))
    report = quality.check_landing(data, config_folder(data, config), history, lines("check"))
    sys.exit(show_checks(report, out, note))


@check.command("marts")
@data_option
@config_option
@out_option
def check_marts_command(data: Path, config: Path | None, out: Path) -> None:
    """After dbt: are the marts in OUT's private database plausible?"""
    from agent_kpis import quality

    history, note = quality.read_profile(work_folder(out))
    database = work_folder(out) / DATABASE
    report = quality.check_marts(database, config_folder(data, config), history, lines("check"))
    sys.exit(show_checks(report, out, note))


def show_checks(report: Report, out: Path, note: str = "") -> int:
    """Write what the checks found, print what failed, and return the exit code."""
    from agent_kpis import quality

    folder = quality.write_report(report, out)
    for text in filter(None, [note, *report.notes]):
        console.print(f"[dim]note: {escape(text)}[/dim]")
    quality.show(report, folder, console)
    return report.exit_code


def config_folder(data: Path, config: Path | None) -> Path:
    """The configuration that was named, else the one beside the data, else the project's."""
    own = data / "config"
    return config or (own if own.is_dir() else project_dir() / "seeds")


def work_folder(out: Path) -> Path:
    """Where dbt's private database and artifacts are."""
    return out / ".work"


def run_build(data: Path, config: Path | None, out: Path, as_of: str | None) -> BuildResult:
    """Build with progress, and say what went wrong."""
    config = config_folder(data, config)
    with progress_bar() as bar:
        task = bar.add_task("dbt build: reading the project", total=None)

        def advance(done: int, total: int, node: str) -> None:
            bar.update(task, completed=done, total=total, description=f"dbt build: {node[:40]}")

        result = build(data, config, work_folder(out), as_of, advance)
        bar.update(task, description="dbt build")
    for note in result.notes:
        console.print(f"[dim]note: {note}[/dim]", markup=True)
    for problem in result.problems:
        colour = "yellow" if problem.status == "warn" else "red"
        word = {"warn": "warning", "fail": "test failed", "error": "error"}[problem.status]
        stderr.print(f"[{colour}]{word}:[/{colour}] {problem.node}: ", end="")
        stderr.print(problem.message, markup=False)
    if result.exit_code:
        kept = "What was published before is untouched." if (out / DATABASE).exists() else ""
        stderr.print(f"Nothing was published. {kept}".rstrip())
    return result


def progress_bar() -> Progress:
    """A bar in a terminal; nothing that scrolls in a log file."""
    columns = [TextColumn("{task.description:<52}"), BarColumn(), MofNCompleteColumn()]
    return Progress(*columns, TimeElapsedColumn(), console=console)


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
        sys.exit(2)
