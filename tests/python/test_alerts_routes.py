"""alert_routes.csv: who is told, from when, and what a file with a mistake says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent_kpis.alerts.routes import FILE, Route, in_force, read_routes, severity
from agent_kpis.contract import seed_columns
from agent_kpis.errors import CannotRunError
from alerting import NOW, routes_file
from support import REPOSITORY


def routes(tmp_path: Path, *rows: str, at: datetime = NOW) -> list[Route]:
    return in_force(read_routes(routes_file(tmp_path, *rows)), at)


def test_the_project_own_file_can_be_read() -> None:
    rows = read_routes(REPOSITORY / "seeds")
    assert {row.route for row in rows} == {"support_channel", "on_call"}
    assert all(row.renotify_hours and row.digest_above for row in rows)
    assert (REPOSITORY / "seeds" / FILE).read_text().splitlines()[0].split(",") == seed_columns()[
        "alert_routes"
    ]


def test_a_later_row_of_the_same_agent_and_route_replaces_the_earlier_one(tmp_path: Path) -> None:
    rows = (
        ",critical,desk,lead,2026-01-01,,",
        ",warning,desk,lead,2026-07-05T06:00:00Z,12,2",
        ",catastrophic,desk,lead,2026-07-05T06:00:01Z,,",
        "borea,warning,only_borea,lead,2026-01-01,,",
        ",critical,later,lead,2027-01-01,,",
    )
    desk, borea = routes(tmp_path, *rows)
    assert desk.accepts("warning", "atlas")
    assert not desk.accepts("watch", "atlas")
    assert desk.renotify_after("atlas") == timedelta(hours=12)
    assert desk.digest_above == 2
    assert borea.accepts("warning", "borea")
    assert not borea.accepts("catastrophic", "atlas")
    assert borea.accepts("critical")  # what concerns every agent
    (before,) = routes(tmp_path, *rows, at=datetime(2026, 1, 1, tzinfo=UTC))[:1]
    assert not before.accepts("warning", "atlas")
    assert before.renotify_after("atlas") is None
    assert before.digest_above == 5


def test_rows_of_a_route_add_up(tmp_path: Path) -> None:
    (desk,) = routes(
        tmp_path, ",critical,desk,lead,2026-01-01,48,9", "atlas,warning,desk,lead,2026-01-01,24,4"
    )
    assert desk.accepts("warning", "atlas")
    assert not desk.accepts("warning", "borea")
    assert desk.renotify_after("atlas") == timedelta(hours=24)
    assert desk.renotify_after("borea") == timedelta(hours=48)
    assert desk.digest_above == 4


def test_an_address_is_in_the_environment_alone(tmp_path: Path) -> None:
    (desk,) = routes(tmp_path, ",critical,desk_2,lead,2026-01-01,,")
    assert desk.variable == "AGENT_KPIS_ROUTE_DESK_2"
    assert desk.address({"AGENT_KPIS_ROUTE_DESK_2": " json://x "}) == "json://x"
    assert desk.address({"AGENT_KPIS_ROUTE_DESK_2": " "}) is None
    assert desk.address({}) is None


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (",urgent,desk,lead,2026-01-01,,", ("line 3", "minimum_level", "urgent", "catastrophic")),
        (",warning,Desk-1,lead,2026-01-01,,", ("line 3", "column route", "Desk-1")),
        (",warning,desk,lead,soon,,", ("line 3", "effective_from", "soon")),
        (",warning,desk,lead,,,", ("line 3", "effective_from", "(empty)")),
        (",warning,desk,lead,2026-01-01,never,", ("line 3", "renotify_hours", "never")),
        (",warning,desk,lead,2026-01-01,nan,", ("line 3", "renotify_hours", "nan")),
        (",warning,desk,lead,2026-01-01,0,", ("line 3", "renotify_hours")),
        (",warning,desk,lead,2026-01-01,,0", ("line 3", "digest_above")),
        (",warning,desk,lead,2026-01-01,,2.5", ("line 3", "digest_above")),
        (",warning,desk,lead,2026-01-01", ("line 3", "cells")),
        (",warning,desk,lead,2026-01-01,,,extra", ("line 3", "cells")),
    ],
)
def test_a_row_with_a_mistake_is_named(tmp_path: Path, row: str, says: tuple[str, ...]) -> None:
    good = ",critical,on_call,lead,2026-01-01,,"
    with pytest.raises(CannotRunError) as error:
        read_routes(routes_file(tmp_path, good, row))
    assert all(word in str(error.value) for word in (str(tmp_path / FILE), *says))


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=r"alert_routes\.csv is missing"):
        read_routes(tmp_path)
    (tmp_path / FILE).write_text("agent_name,route\n")
    with pytest.raises(CannotRunError, match="lacks the columns minimum_level, owner"):
        read_routes(tmp_path)
    (tmp_path / FILE).write_bytes(b"agent_name,\xff\xfe\n")
    with pytest.raises(CannotRunError, match="UTF-8"):
        read_routes(tmp_path)


def test_levels_are_in_order() -> None:
    levels = ["ok", "watch", "warning", "critical", "catastrophic"]
    assert [severity(level) for level in levels] == [0, 1, 2, 3, 4]
