"""Dagster: the run as assets, its checks as asset checks, once a day. Needs the extra `dagster`.

    landing -> every dbt model, its tests as asset checks -> marts -> served -> alerts

The checks of the landing files block dbt, dbt's tests and the checks of the marts block what is
served, and where a step fails one message takes the place of the alerts. docs/orchestration.md
says how to run it.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetSpec,
    ConfigurableResource,
    Definitions,
    EnvVar,
    Failure,
    MaterializeResult,
    ScheduleDefinition,
    asset,
    define_asset_job,
    in_process_executor,
)
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets

from agent_kpis.build import (
    RESULTS,
    check_input,
    check_private,
    copies_of,
    dbt_inputs,
    dbt_outputs,
    parse_as_of,
    summarise,
)
from agent_kpis.contract import project_dir
from agent_kpis.history import only_run
from agent_kpis.quality import CHECKS
from agent_kpis.run import (
    STEPS,
    Settings,
    Stage,
    StepResult,
    Watcher,
    attempt,
    data_alert,
    first_words,
    of_build,
)

NAME = "agent_kpis"
EVERY_DAY = "0 6 * * *"


class Folders(ConfigurableResource):
    """Where the landing files and the configuration are, and where results go."""

    data: str
    config: str = ""
    out: str = "out"
    as_of: str = ""

    def settings(self) -> Settings:
        config = Path(self.config) if self.config else None
        return Settings.of(Path(self.data), config, Path(self.out), self.as_of or None)


class Translator(DagsterDbtTranslator):
    """dbt's models, with the landing files above those that read them."""

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        node = manifest["nodes"].get(unique_id, {})
        if node.get("resource_type") == "model" and "staging" in node["fqn"]:
            return spec.replace_attributes(deps=[*spec.deps, "landing"])
        return spec


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """dbt beside this Python on the path, and `values`, in the environment that dbt inherits."""
    before = dict(os.environ)
    beside = f"{Path(sys.executable).parent}{os.pathsep}{before.get('PATH', '')}"
    os.environ.update({**values, "PATH": beside})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def dbt_project() -> DbtProject:
    """The project with its manifest, parsed anew where a file of it is newer."""
    folder = project_dir().resolve()
    project = DbtProject(folder, target_path=folder / ".kpi" / "dagster", profiles_dir=folder)
    sources = [folder / "dbt_project.yml"]
    for name in ("models", "macros", "seeds", "tests"):
        sources += [path for path in (folder / name).rglob("*") if "python" not in path.parts]
    made = project.manifest_path.stat().st_mtime if project.manifest_path.exists() else 0
    if any(path.stat().st_mtime > made for path in sources):
        project.manifest_path.parent.mkdir(parents=True, exist_ok=True)
        quiet = {"DBT_LOG_PATH": str(project.manifest_path.parent), "AGENT_KPIS_CONFIG": "seeds"}
        with environment(quiet):
            project.preparer.prepare(project)
    return project


PROJECT = dbt_project()


def take(context: AssetExecutionContext, folders: Folders, *steps: str) -> list[StepResult]:
    """Steps of `kpi run`, as that does them. Raises Failure with what is to be mended."""
    stage = Stage(folders.settings())
    results = []
    with only_run(stage.settings.out):
        for step in steps:
            result = attempt(STEPS[step], stage, Watcher().advance)
            say(context, stage.settings, step, result)
            if result.exit_code and not result.checks:
                raise Failure(first_words(result), allow_retries=False)
            results.append(result)
    return results


def say(context: AssetExecutionContext, settings: Settings, step: str, result: StepResult) -> None:
    """Log what a step found; where it failed, tell the routes that alerts are blocked."""
    for problem in result.problems:
        context.log.warning(f"{problem.node}: {problem.message}")
    blocked = data_alert(settings, step, result) if result.exit_code and step != "alerts" else []
    for note in (*result.notes, *blocked):
        context.log.info(note)


def specs(stage: str) -> list[AssetCheckSpec]:
    """The checks of a stage as asset checks that block what is below."""
    return [
        AssetCheckSpec(name, asset=stage, blocking=True)
        for name, check in CHECKS.items()
        if check.stage == stage
    ]


def checked(result: StepResult, stage: str) -> MaterializeResult:
    """What the checks of a stage found. A warning is told and stops nothing."""
    found = []
    for spec in specs(stage):
        failed = [check for check in result.checks if check.check == spec.name and not check.passed]
        critical = any(check.severity == "critical" for check in failed)
        found.append(
            AssetCheckResult(
                check_name=spec.name,
                passed=not failed,
                severity=AssetCheckSeverity.ERROR if critical else AssetCheckSeverity.WARN,
                description="\n".join(check.message for check in failed) or None,
            )
        )
    return MaterializeResult(asset_key=stage, check_results=found)


@asset(check_specs=specs("landing"), group_name="run")
def landing(context: AssetExecutionContext, folders: Folders) -> MaterializeResult:
    """The landing files, looked at before anything is built."""
    (result,) = take(context, folders, "landing checks")
    return checked(result, "landing")


@dbt_assets(manifest=PROJECT.manifest_path, project=PROJECT, dagster_dbt_translator=Translator())
def dbt_models(
    context: AssetExecutionContext, dbt: DbtCliResource, folders: Folders
) -> Iterator[Any]:
    """dbt build over the landing files, into the private database of the run."""
    settings = folders.settings()
    check_input(settings.data, settings.config)
    with only_run(settings.out):
        notes = check_private(settings.private)
        moment = parse_as_of(settings.as_of)
        inputs = dbt_inputs(settings.data, settings.config, settings.work, moment)
        target = (settings.work / "target").resolve()
        (settings.work / RESULTS).unlink(missing_ok=True)
        try:
            with environment(inputs | dbt_outputs(settings.work, target)):
                build = dbt.cli(
                    ["build", "--exclude-resource-type", "unit_test"],
                    context=context,
                    target_path=target,
                    raise_on_error=False,
                )
                yield from build.stream()
        finally:
            shutil.rmtree(copies_of(settings.work), ignore_errors=True)
        if (settings.work / RESULTS).is_file():
            result = of_build(summarise(settings.work / RESULTS, settings.private, notes))
        else:
            result = StepResult(2, str(build.get_error() or "dbt could not start"))
        say(context, settings, "dbt build", result)
        if result.exit_code:
            raise Failure(first_words(result), allow_retries=False)


@asset(deps=[dbt_models], check_specs=specs("marts"), group_name="run")
def marts(context: AssetExecutionContext, folders: Folders) -> MaterializeResult:
    """The marts of the private database, looked at before they are served."""
    (result,) = take(context, folders, "mart checks")
    return checked(result, "marts")


@asset(deps=[marts], group_name="run")
def served(context: AssetExecutionContext, folders: Folders) -> MaterializeResult:
    """The served database, the marts as parquet and the report, changed in one step."""
    take(context, folders, "publish", "report")
    return MaterializeResult(metadata={"report": str(Path(folders.out) / "report.html")})


@asset(deps=[served], group_name="run")
def alerts(context: AssetExecutionContext, folders: Folders) -> MaterializeResult:
    """What opened, got worse or cleared, told to the routes."""
    (result,) = take(context, folders, "alerts")
    return MaterializeResult(metadata={"told": result.summary})


job = define_asset_job(NAME, selection="*", executor_def=in_process_executor)

defs = Definitions(
    assets=[landing, dbt_models, marts, served, alerts],
    jobs=[job],
    schedules=[ScheduleDefinition(job=job, cron_schedule=EVERY_DAY, execution_timezone="UTC")],
    resources={
        "dbt": DbtCliResource(
            project_dir=PROJECT, dbt_executable=str(Path(sys.executable).parent / "dbt")
        ),
        "folders": Folders(
            data=EnvVar("AGENT_KPIS_DATA"),
            config=os.environ.get("AGENT_KPIS_CONFIG", ""),
            out=os.environ.get("AGENT_KPIS_OUT", "out"),
            as_of=os.environ.get("AGENT_KPIS_AS_OF", ""),
        ),
    },
)
