"""Running the project's models in tests: whole builds with dbt, and replays of its compiled SQL."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from agent_kpis.build import DBT, copies_of, inside_project
from agent_kpis.contract import entities, seed_columns
from support import REPOSITORY

Rows = Sequence[Mapping[str, Any]]
LAYERS = ("staging", "input", "facts", "marts")


def as_text(value: Any) -> str:
    """A value as a CSV cell; a time gets its offset, a value with its own text gives that."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    return str(getattr(value, "text", value))


def write_csv(path: Path, columns: Iterable[str], rows: Rows) -> None:
    columns = list(columns)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        writer.writerows([as_text(row.get(column)) for column in columns] for row in rows)


def write_landing(folder: Path, landing: Mapping[str, Rows]) -> Path:
    """Every entity as a CSV with all its columns, also the ones without rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, entity in entities().items():
        columns = [column.name for column in entity.columns]
        write_csv(folder / f"{name}.csv", columns, landing.get(name, []))
    return folder


def write_config(folder: Path, config: Mapping[str, Rows]) -> Path:
    """A configuration folder; seeds that are not given are those of the project."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in seed_columns().items():
        if name in config:
            write_csv(folder / f"{name}.csv", columns, config[name])
        else:
            shutil.copy(REPOSITORY / "seeds" / f"{name}.csv", folder)
    return folder


@dataclass
class Build:
    """What a dbt build left: its exit code, what it printed, and the warehouse."""

    folder: Path
    returncode: int
    output: str
    _connection: duckdb.DuckDBPyConnection | None = field(default=None, repr=False)

    @property
    def database(self) -> Path:
        return self.folder / "agent_kpis.duckdb"

    def rows(self, sql: str) -> list[tuple]:
        if self._connection is None:
            self._connection = duckdb.connect(str(self.database), read_only=True)
        return self._connection.execute(sql).fetchall()

    def row(self, sql: str) -> tuple:
        found = self.rows(sql)
        assert len(found) == 1, f"{len(found)} rows, expected one: {sql}"
        return found[0]

    def value(self, sql: str) -> Any:
        return self.row(sql)[0]

    @cached_property
    def results(self) -> dict[str, str]:
        """Status by node name, of models, tests and seeds; exposures do nothing."""
        found = json.loads((self.folder / "target" / "run_results.json").read_text())
        return {
            result["unique_id"].split(".")[2]: result["status"]
            for result in found["results"]
            if result["status"] != "no-op"
        }

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.folder / "target" / "manifest.json").read_text())


def dbt(
    folder: Path,
    *arguments: str,
    data: Path,
    config: Path | None = None,
    as_of: datetime | str | None = None,
    project: Path = REPOSITORY,
) -> Build:
    """Run dbt in a process of its own, with its database and artifacts in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "AGENT_KPIS_DATA": str(data),
        "AGENT_KPIS_CONFIG": inside_project(config, folder) if config else "seeds",
        "AGENT_KPIS_DATABASE": str(folder / "agent_kpis.duckdb"),
        "AGENT_KPIS_AS_OF": str(as_of or ""),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
    }
    command = [sys.executable, "-c", DBT, "--no-use-colors", *arguments]
    try:
        done = subprocess.run(
            [*command, "--project-dir", str(project), "--profiles-dir", str(project)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
            check=False,
        )
    finally:
        shutil.rmtree(copies_of(folder), ignore_errors=True)
    return Build(folder, done.returncode, done.stdout + done.stderr)


class Replay:
    """The compiled SQL of a build, run again and again in memory over other landing rows.

    Takes a build whose landing files were written by `write_landing` (every column of every entity
    as text), and rewrites those files for each run. Python models, and what reads them, take
    longer and run only where asked for.
    """

    def __init__(
        self, build: Build, data: Path, layers: Sequence[str], with_python: bool = False
    ) -> None:
        self.data = data
        self.connection = duckdb.connect()
        self.connection.execute("set timezone = 'UTC'")
        self.connection.execute("set threads = 1")
        self.connection.execute("attach ':memory:' as agent_kpis")
        self.connection.execute(f"attach '{build.database}' as built (read_only)")
        self.connection.execute("use agent_kpis")
        for schema in ("staging", "intermediate", "input", "facts", "marts", "config"):
            self.connection.execute(f"create schema if not exists agent_kpis.{schema}")
        for name in seed_columns():
            self.connection.execute(
                f"create table agent_kpis.config.{name} as from built.config.{name}"
            )
        nodes = build.manifest["nodes"]
        models = {
            key: node
            for key, node in nodes.items()
            if node["resource_type"] == "model" and node["fqn"][1] in layers
        }
        if not with_python:
            left_out = {key for key, node in models.items() if node["language"] == "python"}
            for key in in_order(models):
                if left_out.intersection(models[key]["depends_on"]["nodes"]):
                    left_out.add(key)
            models = {key: node for key, node in models.items() if key not in left_out}
        self.models = [models[key] for key in in_order(models)]

    def run(self, landing: Mapping[str, Rows] | None, as_of: datetime | None) -> None:
        """Build from these rows; without any, from the files as they are."""
        if landing is not None:
            write_landing(self.data, landing)
        for node in self.models:
            relation = node["relation_name"]
            if node["language"] == "python":
                self._run_python(node)
                continue
            if node["name"] == "int_as_of" and as_of is not None:
                sql = f"select cast('{as_of.isoformat()}' as timestamp) as as_of"
            else:
                sql = node["compiled_code"]
            kind = "view" if node["config"]["materialized"] == "view" else "table"
            self.connection.execute(f"create or replace {kind} {relation} as {sql}")

    def _run_python(self, node: Mapping[str, Any]) -> None:
        code: dict[str, Any] = {"__name__": node["name"]}
        exec(node["compiled_code"], code)
        frame = code["model"](code["dbtObj"](self.connection.table), self.connection)
        self.connection.register("python_model", frame)
        self.connection.execute(
            f"create or replace table {node['relation_name']} as from python_model"
        )
        self.connection.unregister("python_model")

    def table(self, name: str, key: str) -> dict[Any, dict[str, Any]]:
        """A relation's rows by key."""
        return {row[key]: row for row in self.records(f"select * from agent_kpis.{name}")}

    def rows(self, sql: str) -> list[tuple]:
        return self.connection.execute(sql).fetchall()

    def records(self, sql: str) -> list[dict[str, Any]]:
        """The rows by column name."""
        cursor = self.connection.execute(sql)
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    def record(self, sql: str) -> dict[str, Any]:
        found = self.records(sql)
        assert len(found) == 1, f"{len(found)} rows, expected one: {sql}"
        return found[0]

    def configure(self, name: str, rows: Rows) -> None:
        """Other rows in a configuration table, from the next run on."""
        table = f"agent_kpis.config.{name}"
        self.connection.execute(f"delete from {table}")
        for row in rows:
            columns = ", ".join(row)
            marks = ", ".join("?" for _ in row)
            self.connection.execute(
                f"insert into {table} ({columns}) values ({marks})", list(row.values())
            )


def in_order(models: Mapping[str, Any]) -> list[str]:
    """The keys of the models, each after those it reads."""
    done: list[str] = []

    def visit(key: str) -> None:
        if key in models and key not in done:
            for parent in models[key]["depends_on"]["nodes"]:
                visit(parent)
            done.append(key)

    for key in models:
        visit(key)
    return done
