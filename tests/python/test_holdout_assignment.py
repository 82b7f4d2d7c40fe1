"""The holdout's draw: sticky, of the planned size, and the same in SQL and in Python."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from agent_kpis.statistics.assignment import assigned_arm
from warehouse import dbt

IDS = 100_000


@pytest.fixture(scope="module")
def macro(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The SQL of the macro over the column `customer_id`, as dbt compiles it."""
    folder = tmp_path_factory.mktemp("assignment")
    query = "select {{ assigned_arm('customer_id', 'atlas-2026', 'share') }} as arm"
    build = dbt(folder, "--quiet", "compile", "--inline", query, data=Path(folder))
    assert build.returncode == 0, build.output
    return build.output[build.output.index("select") :]


def arms(macro: str, ids: str, share: float = 0.15) -> list[str | None]:
    rows = duckdb.connect().execute(
        f"{macro} from (select i, {ids} as customer_id, {share} as share"
        f" from range({IDS}) as numbers(i)) order by i"
    )
    return [arm for (arm,) in rows.fetchall()]


def test_the_share_is_the_planned_one(macro: str) -> None:
    for share in (0.10, 0.15, 0.20):
        drawn = arms(macro, "'c-' || i", share)
        assert drawn.count("human") / IDS == pytest.approx(share, abs=0.005)


def test_the_same_id_is_always_in_the_same_arm(macro: str) -> None:
    """Whatever else is drawn with it, and in whatever order."""
    forward, backward = arms(macro, "'c-' || i"), arms(macro, f"'c-' || ({IDS - 1} - i)")
    assert forward == backward[::-1]
    assert set(arms(macro, "'c-17'")) == {forward[17]}


def test_a_larger_share_only_adds_to_the_holdout(macro: str) -> None:
    small, large = arms(macro, "'c-' || i", 0.10), arms(macro, "'c-' || i", 0.20)
    assert all(b == "human" for a, b in zip(small, large, strict=True) if a == "human")


def test_another_salt_draws_anew(macro: str) -> None:
    one = arms(macro, "'c-' || i")
    other = arms(macro.replace("atlas-2026", "atlas-2027"), "'c-' || i")
    both = sum(a == b == "human" for a, b in zip(one, other, strict=True))
    assert both / IDS == pytest.approx(0.15 * 0.15, abs=0.003)


def test_python_draws_what_sql_draws(macro: str) -> None:
    drawn = arms(macro, "'c-' || i")
    assert drawn == [assigned_arm(f"c-{i}", "atlas-2026", 0.15) for i in range(IDS)]


def test_who_has_no_id_is_not_drawn(macro: str) -> None:
    assert set(arms(macro, "cast(null as varchar)")) == {None}
