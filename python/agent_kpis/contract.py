"""The contract as the project's YAML states it: entities, their columns, and configuration files.

Read from `models/input/input_<entity>.yml` and `models/config/<file>.yml`, so that Python and SQL
cannot disagree about a name, a type or an accepted value.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

PROJECT_VARIABLE = "AGENT_KPIS_PROJECT"


@dataclass(frozen=True)
class Column:
    """One column of an entity. `type` is the contract's own word (`string`, `decimal(28,10)`)."""

    name: str
    type: str
    required: bool = False
    accepted: tuple[str, ...] | None = None
    minimum: float | None = None
    may_be_future: bool = False


@dataclass(frozen=True)
class Entity:
    """One landing file: its name, the columns of its key, and all columns in order."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name!r}")


def project_dir() -> Path:
    """The folder that holds dbt_project.yml: AGENT_KPIS_PROJECT, or the checkout of this package.

    Raises FileNotFoundError where that folder holds no dbt_project.yml.
    """
    given = os.environ.get(PROJECT_VARIABLE)
    folder = Path(given).expanduser().resolve() if given else Path(__file__).resolve().parents[2]
    if not (folder / "dbt_project.yml").is_file():
        raise FileNotFoundError(
            f"no dbt_project.yml in {folder}: set {PROJECT_VARIABLE} to the project's folder"
        )
    return folder


def entities() -> dict[str, Entity]:
    """Every landing entity by name (`interactions`, `events`, ...), from models/input/."""
    return _entities(project_dir())


def seed_columns() -> dict[str, list[str]]:
    """Columns of every configuration CSV, in order, by file name without its ending."""
    return {name: list(columns) for name, columns in _seed_columns(project_dir()).items()}


@lru_cache(maxsize=4)
def _entities(project: Path) -> dict[str, Entity]:
    found = {}
    for path in sorted((project / "models" / "input").glob("input_*.yml")):
        for model in _read(path).get("models", []):
            name = model["name"].removeprefix("input_")
            found[name] = Entity(
                name=name,
                key=tuple(model["config"]["meta"]["key"]),
                columns=tuple(_column(column) for column in model["columns"]),
            )
    if not found:
        raise FileNotFoundError(f"no input_*.yml in {project / 'models' / 'input'}")
    return found


@lru_cache(maxsize=4)
def _seed_columns(project: Path) -> dict[str, tuple[str, ...]]:
    found = {
        seed["name"]: tuple(seed["config"]["column_types"])
        for path in sorted((project / "models" / "config").glob("*.yml"))
        for seed in _read(path).get("seeds", [])
    }
    if not found:
        raise FileNotFoundError(f"no seeds described in {project / 'models' / 'config'}")
    return found


def _column(column: dict) -> Column:
    meta = (column.get("config") or {}).get("meta") or {}
    accepted = meta.get("accepted")
    return Column(
        name=column["name"],
        type=column["data_type"],
        required=bool(meta.get("required", False)),
        accepted=tuple(accepted) if accepted else None,
        minimum=meta.get("minimum"),
        may_be_future=bool(meta.get("may_be_future", False)),
    )


def _read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
