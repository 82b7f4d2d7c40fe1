"""docs/bi.md: what it says can be run, runs, and gives the numbers that it shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent_kpis.build import DATABASE
from support import REPOSITORY, code_blocks
from warehouse import Build

TEXT = (REPOSITORY / "docs" / "bi.md").read_text(encoding="utf-8")
# Each query with the table that follows it.
EXAMPLES = re.findall(r"```sql\n(.*?)```\n+(?:(\|.*?)\n\n)", TEXT, flags=re.DOTALL)


def test_every_query_shows_its_result() -> None:
    assert len(EXAMPLES) == len(code_blocks(TEXT, "sql")) == 2


@pytest.mark.parametrize(("sql", "table"), EXAMPLES)
def test_a_query_gives_the_numbers_shown(story: Build, sql: str, table: str) -> None:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    header, _, *shown = lines
    names = [row[0] for row in story.rows(f"describe {sql}")]
    assert names == header
    found = story.rows(sql)
    assert len(found) == len(shown)
    for row, cells in zip(found, shown, strict=True):
        for value, cell in zip(row, cells, strict=True):
            decimals = len(cell.partition(".")[2])
            is_number = re.fullmatch(r"[\d.]+", cell)
            assert (f"{value:.{decimals}f}" if is_number else str(value)) == cell


def test_the_mean_of_days_is_another_number(story: Build) -> None:
    (row,) = story.rows(EXAMPLES[1][0])
    _, _, right, mean_of_days = row
    assert right == pytest.approx(138 / 476)
    assert abs(right - mean_of_days) > 0.01


def test_every_relation_named_is_there(story: Build) -> None:
    there = set(
        story.rows("select table_schema, table_name from information_schema.tables order by all")
    )
    named = set(re.findall(r"\b(marts|facts|input|intermediate)\.(\w+)", TEXT))
    assert len(named) >= 20
    assert named <= there


@pytest.mark.parametrize("code", code_blocks(TEXT, "python"), ids=["sqlalchemy", "adbc"])
def test_the_python_examples_run(story: Build, tmp_path: Path, code: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / DATABASE).symlink_to(story.database)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    if "sqlalchemy" in code:
        assert done.stdout.strip() == str(story.value("select count(*) from marts.kpi_daily"))
    else:
        assert "('task_completion_rate', 0.33268817204301077)" in done.stdout


def test_links_into_the_project_hold() -> None:
    files = re.findall(r"\]\((\.\./[^)]+)\)", TEXT)
    assert files
    assert [file for file in files if not (REPOSITORY / "docs" / file).exists()] == []
