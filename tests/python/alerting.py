"""What the tests of alerts share: small served databases, and servers that are told what to say."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import yaml

from agent_kpis.alerts import Delivery, Sender
from support import REPOSITORY

NOW = datetime(2026, 7, 5, 6, 0, tzinfo=UTC)
DAY = date(2026, 7, 4)
DESK = "AGENT_KPIS_ROUTE_DESK"
ON_CALL = "AGENT_KPIS_ROUTE_ON_CALL"
REPORT = "https://kpis.example.com/report"
MARTS = {
    "alert_episodes": "models/marts/alerts/alert_episodes.yml",
    "threshold_flags": "models/marts/alerts/threshold_flags.yml",
    "dim_kpis": "models/marts/kpis/dim_kpis.yml",
}
TYPES = {"string": "varchar"}
ACTIONS = {
    "warning": "investigate",
    "critical": "act now",
    "catastrophic": "consider taking the agent offline",
}
KPIS = {
    "csat": ("CSAT", "points", 5),
    "task_completion_rate": ("Task completion", "share", 1),
    "escalation_rate": ("Escalation", "share", 2),
    "time_to_resolution": ("Time to resolution", "seconds", 3),
    "tool_success_rate": ("Tool calls without an error", "share", 13),
}


@lru_cache
def columns(mart: str) -> dict[str, str]:
    """Of a mart's contract, so that these databases have what the real ones have."""
    found = yaml.safe_load((REPOSITORY / MARTS[mart]).read_text())["models"]
    (model,) = [model for model in found if model["name"] == mart]
    return {
        column["name"]: TYPES.get(column["data_type"], column["data_type"])
        for column in model["columns"]
    }


def episode(level: str = "critical", **given: Any) -> dict[str, Any]:
    """An episode of CSAT with the flag of its newest day; whatever is given replaces it."""
    row = {
        "episode_id": "e1",
        "agent_name": "atlas",
        "segment_type": "all",
        "segment": "all",
        "kpi": "csat",
        "direction": "low",
        "role": "kpi",
        "opened_on": date(2026, 7, 1),
        "cleared_on": None,
        "n_days": 4,
        "opened_level": "warning",
        "worst_level": level,
        "worst_on": DAY,
        "last_level": level,
        "cleared_as": None,
        "worst_value": 69.0,
        "reference_value": 81.5,
        "comparison_type": "pre_launch",
        "is_time_confounded": True,
        "worst_judged_delta": -12.5,
        "limit_unit": "pp",
        "cause": "ai_specific",
        "is_set_after_launch": False,
        "evaluation_date": DAY,
        "window_days": 28,
        "n": 459,
        "value": 71.0,
        "delta": -10.5,
        "judged_delta": -10.5,
        "judged_bound": -7.25,
        "minimum_detectable_effect": 5.5,
        "warning": -5.0,
        "critical": -10.0,
        "catastrophic": -20.0,
        "baseline_kind": "before_launch",
        **given,
    }
    if row["cleared_on"]:
        row = {**row, "evaluation_date": row["cleared_on"], "cleared_as": given.get("cleared_as")}
        row["cleared_as"] = row["cleared_as"] or "ok"
    row["is_open"] = row["cleared_on"] is None
    row["level"] = row["cleared_as"] or row["last_level"]
    row["action"] = ACTIONS[row["last_level"]]
    row["unit"] = KPIS[row["kpi"]][1]
    return row


def many(number: int, level: str = "critical", **given: Any) -> list[dict[str, Any]]:
    """Episodes of single task types."""
    return [
        episode(level, episode_id=f"s{i}", segment_type="task_type", segment=f"type_{i}", **given)
        for i in range(number)
    ]


def served(folder: Path, episodes: list[dict[str, Any]]) -> Path:
    """A served database that holds these episodes and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "agent_kpis.duckdb"
    file.unlink(missing_ok=True)
    kpis = [
        {"kpi": kpi, "label": label, "unit": unit, "display_order": order, "role": "kpi"}
        for kpi, (label, unit, order) in KPIS.items()
    ]
    with duckdb.connect(str(file)) as con:
        con.execute("create schema marts")
        tables = {"alert_episodes": episodes, "threshold_flags": episodes, "dim_kpis": kpis}
        for mart, rows in tables.items():
            types = columns(mart)
            declared = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
            con.execute(f"create table marts.{mart} ({declared})")
            for row in rows:
                cells = [row.get(name) for name in types]
                con.execute(
                    f"insert into marts.{mart} values ({', '.join('?' * len(cells))})", cells
                )
    return file


def routes_file(folder: Path, *rows: str) -> Path:
    """A configuration folder with alert_routes.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    header = "agent_name,minimum_level,route,owner,effective_from,renotify_hours,digest_above"
    (folder / "alert_routes.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


@dataclass
class Server:
    """A web server that writes down what it gets and answers as it is told."""

    port: int
    answers: list[int] = field(default_factory=list)
    """Of the next requests; 200 after them. 0: no answer at all."""
    always: int = 200
    requests: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None
    slow: float = 0.0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def payloads(self) -> list[Any]:
        return [payload for _, _, payload in self.requests]

    def texts(self) -> list[str]:
        """Title and message of what came as JSON."""
        return [f"{payload['title']}\n{payload['message']}" for payload in self.payloads]


class Team:
    """A team with its routes, whose runs are so many hours apart."""

    def __init__(self, folder: Path, server: Server, *rows: str, **addresses: str) -> None:
        self.out = folder / "out"
        self.config = routes_file(
            folder / "config", *(rows or (",warning,desk,lead,2026-01-01,24,5",))
        )
        given = addresses or {DESK: f"json://{server.host}/desk?token=s3cret-token"}
        self.environment = {"AGENT_KPIS_REPORT_URL": REPORT, **given}
        self.now = NOW
        self.server = server
        self.said: list[str] = []
        self.waits: list[float] = []

    def _sender(self, **given: Any) -> Sender:
        self.server.requests.clear()
        self.said.clear()
        self.waits.clear()
        shared = {
            "environment": self.environment,
            "now": self.now,
            "say": self.said.append,
            "sleep": self.waits.append,
        }
        return Sender(self.config, self.out, **{**shared, **given})

    def run(self, *episodes: dict[str, Any], hours: float = 1, **given: Any) -> Delivery:
        self.now += timedelta(hours=hours)
        served(self.out, list(episodes))
        return self.send(**given)

    def send(self, **given: Any) -> Delivery:
        """Over the database that is there."""
        database = self.out / "agent_kpis.duckdb"
        return self._sender(**given).alerts(database)

    def blocked(self, step: str, summary: str = "", hours: float = 1, **given: Any) -> Delivery:
        self.now += timedelta(hours=hours)
        return self._sender(**given).blocked(step, summary)

    def good(self, **given: Any) -> Delivery:
        return self._sender(**given).unblocked()

    def ledger(self, sql: str) -> list[tuple]:
        with sqlite3.connect(self.out / "alerts.sqlite") as con:
            return con.execute(sql).fetchall()


@contextmanager
def web_server() -> Iterator[Server]:
    state = Server(port=0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.requests.append((self.path, dict(self.headers), json.loads(body)))
            state.on_request()
            status = state.answers.pop(0) if state.answers else state.always
            if status == 0:
                time.sleep(state.slow)
                return
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
