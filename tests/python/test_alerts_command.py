"""`kpi alert`: what it prints and the code it ends with, over small databases and the story's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_kpis.publish import publish
from alerting import DESK, ON_CALL, REPORT, Server, Team, episode, routes_file, served
from support import REPOSITORY
from warehouse import Build


@dataclass
class Done:
    code: int
    out: str
    err: str


def kpi_alert(
    out: Path, config: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Done:
    """The command in a process of its own, with an environment that has no other route."""
    command = [sys.executable, "-c", "from agent_kpis.cli import main; main()", "alert"]
    command += ["--out", str(out), "--config", str(config), *options]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AGENT_KPIS_ROUTE_")}
    done = subprocess.run(
        command,
        env={**clean, **(environment or {}), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def desk(tmp_path: Path) -> tuple[Path, Path]:
    """OUT with one critical episode, and a configuration with one route."""
    served(tmp_path / "out", [episode()])
    config = routes_file(tmp_path / "config", ",warning,desk,lead,2026-01-01,24,5")
    return tmp_path / "out", config


def test_without_an_address_it_prints_and_strict_fails(desk: tuple[Path, Path]) -> None:
    done = kpi_alert(*desk)
    assert done.code == 0
    assert "[desk; AGENT_KPIS_ROUTE_DESK not set]\nCRITICAL: CSAT low (atlas" in done.out
    assert "Alerts: 1 printed" in done.out
    assert kpi_alert(*desk, "--strict").code == 2
    assert kpi_alert(*desk, "--exit-level").code == 12
    assert kpi_alert(*desk, "--exit-level", "catastrophic").code == 0
    assert not list(desk[0].glob("alerts*"))


def test_it_sends_once_and_says_what_it_did(desk: tuple[Path, Path], server: Server) -> None:
    environment = {DESK: f"json://{server.host}/?token=s3cret", "AGENT_KPIS_REPORT_URL": REPORT}
    first = kpi_alert(*desk, "--exit-level", environment=environment)
    assert (first.code, len(server.requests)) == (12, 1)
    assert "Alerts: 1 sent" in first.out
    again = kpi_alert(*desk, "--strict", environment=environment)
    assert (again.code, len(server.requests)) == (0, 1)
    assert "1 open and told before" in again.out
    dry = kpi_alert(*desk, "--dry-run", "--exit-level", environment=environment)
    assert (dry.code, len(server.requests)) == (12, 1)
    assert "s3cret" not in "".join(part.out + part.err for part in (first, again, dry))


def test_what_is_not_delivered_is_exit_code_1(desk: tuple[Path, Path], server: Server) -> None:
    server.always = 403
    done = kpi_alert(*desk, "--exit-level", environment={DESK: f"json://{server.host}/s3cret"})
    assert done.code == 1
    assert "not delivered: Route desk (JSON): HTTP 403 after 1 attempt. 1 message waits" in done.err
    assert "s3cret" not in done.out + done.err
    server.always = 500
    slow = kpi_alert(*desk, "--patience", "0.5", environment={DESK: f"json://{server.host}/x"})
    assert slow.code == 1
    assert "HTTP 500" in slow.err


def test_what_cannot_run_is_exit_code_2(desk: tuple[Path, Path], tmp_path: Path) -> None:
    out, config = desk
    wrong = kpi_alert(out, config, environment={DESK: "slack://s3cret"})
    assert wrong.code == 2
    assert "AGENT_KPIS_ROUTE_DESK (route desk) is not an address" in wrong.err
    assert "s3cret" not in wrong.out + wrong.err
    missing = kpi_alert(tmp_path / "nowhere", config)
    assert missing.code == 2
    assert "No served database" in missing.err
    routes_file(config, ",urgent,desk,lead,2026-01-01,24,5")
    mistaken = kpi_alert(out, config)
    assert mistaken.code == 2
    assert "alert_routes.csv, line 2, column minimum_level: urgent" in mistaken.err


def test_the_help_names_the_exit_codes(desk: tuple[Path, Path]) -> None:
    text = kpi_alert(*desk, "--help").out
    assert all(f"  {code}" in text for code in (0, 1, 2, 11, 12, 13))


def test_the_story_is_told_in_a_few_messages(story: Build, tmp_path: Path, server: Server) -> None:
    """The marts of a whole build, the project's own routes: a digest, and incidents."""
    folder = tmp_path / "team"
    team = Team(folder, server)
    shutil.copy(REPOSITORY / "seeds" / "alert_routes.csv", team.config)
    publish(story.database, team.out)
    team.environment = {
        "AGENT_KPIS_REPORT_URL": REPORT,
        "AGENT_KPIS_ROUTE_SUPPORT_CHANNEL": f"json://{server.host}/support",
        ON_CALL: "pagerduty://integration@token",
    }
    delivery = team.send()
    open_now = story.value("select count(*) from marts.alert_episodes where is_open")
    paging = story.value(
        "select count(*) from marts.alert_episodes where is_open and last_level != 'warning'"
    )
    assert delivery.worst_level == "catastrophic"
    (support,) = [body for path, _, body in server.requests if path == "/support"]
    assert support["title"] == f"CATASTROPHIC: {open_now} alerts of atlas"
    assert (
        support["message"]
        .splitlines()[1]
        .startswith("- CATASTROPHIC: Task completion low (atlas, all requests), 34.")
    )
    pages = [body for path, _, body in server.requests if path != "/support"]
    assert [page["event_action"] for page in pages] == ["trigger"] * 4
    singles = [page["payload"]["summary"] for page in pages[:3]]
    assert singles == [
        f"CATASTROPHIC: {name} (atlas, all requests)"
        for name in ("Task completion low", "Escalation high", "Time to resolution high")
    ]
    assert pages[3]["payload"]["summary"] == f"CATASTROPHIC: {paging - 3} alerts of atlas"
    assert pages[1]["payload"]["custom_details"]["Top reasons"].startswith("capability_gap")
    again = team.send()
    assert (again.sent, again.skipped) == (0, open_now + paging)
