"""Builds that several test modules look at, made once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kpis.story import write_story
from alerting import ON_CALL, Server, Team, web_server
from strategies import bulk_history
from support import copy_project
from warehouse import LAYERS, Build, Replay, dbt, write_config, write_landing


@pytest.fixture(scope="session")
def story_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story")
    write_story(folder)
    return folder


@pytest.fixture(scope="session")
def truth(story_folder: Path) -> dict[str, Any]:
    return json.loads((story_folder / "truth.json").read_text())


@pytest.fixture(scope="session")
def story(story_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """`dbt build` over the story, from an empty database, with every data and unit test."""
    build = dbt(tmp_path_factory.mktemp("story_build"), "build", data=story_folder)
    assert build.returncode == 0, build.output
    return build


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project to which a team adds its own."""
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="session")
def story_replay(story: Build, story_folder: Path) -> Replay:
    """The story's models once more, for `run(None, as_of)`: what was known on another day."""
    return Replay(story, story_folder, layers=LAYERS, with_python=True)


@pytest.fixture(scope="session")
def history_build(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Path]:
    """A build over the configuration of the random histories, and its landing folder."""
    folder = tmp_path_factory.mktemp("replay")
    landing, config, _ = bulk_history(seed=1, clusters=5)
    data = write_landing(folder / "data", landing)
    config_folder = write_config(folder / "config", config)
    build = dbt(
        folder,
        "build",
        "--exclude-resource-type",
        "test",
        "--exclude-resource-type",
        "unit_test",
        data=data,
        config=config_folder,
    )
    assert build.returncode == 0, build.output
    return build, data


@pytest.fixture(scope="session")
def replay(history_build: tuple[Build, Path]) -> Replay:
    """The compiled models over random histories, as far as they are SQL."""
    return Replay(*history_build, layers=LAYERS)


@pytest.fixture(scope="session")
def full_replay(history_build: tuple[Build, Path]) -> Replay:
    """The same with the Python models and what reads them."""
    return Replay(*history_build, layers=LAYERS, with_python=True)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A web server on this machine, where Slack and PagerDuty lead, too; nothing waits its turn."""
    import apprise
    from apprise.plugins import pagerduty

    with web_server() as found:
        for schema in ("json", "slack", "pagerduty", "mailto"):
            monkeypatch.setattr(apprise.plugins.N_MGR[schema], "request_rate_per_sec", 0)
        slack = apprise.plugins.N_MGR["slack"]
        monkeypatch.setattr(slack, "webhook_url", f"http://{found.host}/slack")
        events = f"http://{found.host}/v2/enqueue"
        monkeypatch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, "us", events)
        yield found


@pytest.fixture
def team(tmp_path: Path, server: Server) -> Team:
    """A team with one route, to a chat."""
    return Team(tmp_path, server)


@pytest.fixture
def pager(tmp_path: Path, server: Server) -> Team:
    """A team whose route leads to PagerDuty."""
    rows = (",warning,on_call,lead,2026-01-01,24,2",)
    return Team(tmp_path, server, *rows, **{ON_CALL: "pagerduty://r0utingkeysecret@ap1keysecret"})
