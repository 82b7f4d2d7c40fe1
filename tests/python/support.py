"""What several test modules share."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
KPI = Path(sys.executable).parent / "kpi"


def kpi(*arguments: object, width: int = 80) -> subprocess.CompletedProcess[str]:
    """The command, as a user runs it in the repository; it never shows a traceback."""
    done = subprocess.run(
        [str(KPI), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"COLUMNS": str(width)},
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def shared_data(name: str) -> Path:
    """A folder of real inputs beside the repository; skips the test where it is not there."""
    folder = REPOSITORY.parent / "shared" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"real data is not here: no folder {folder}")
    return folder


def code_blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language in a Markdown text."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def readme_blocks(language: str) -> list[str]:
    """The README's code blocks of a language, so that tests run what users read."""
    return code_blocks((REPOSITORY / "README.md").read_text(encoding="utf-8"), language)


def copy_project(to: Path) -> Path:
    """What dbt needs of the repository, so that a test may write to it."""
    for folder in ("models", "macros", "tests", "seeds", "analyses"):
        shutil.copytree(REPOSITORY / folder, to / folder, ignore=shutil.ignore_patterns("python"))
    for file in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(REPOSITORY / file, to)
    return to


def load_script(name: str) -> ModuleType:
    """A script of the repository as a module."""
    path = REPOSITORY / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def outline(text: str) -> list[str]:
    """Headings, headers and the first two cells of the rows: all that does not depend on luck."""
    lines = re.findall(r"^(?:#.*|\|.*)$", text, flags=re.MULTILINE)
    return [" | ".join(line.split(" | ")[:2]) for line in lines]
