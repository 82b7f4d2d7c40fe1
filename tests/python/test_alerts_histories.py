"""Random histories of episodes over a network that fails: what readers end up believing."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_kpis.alerts.changes import (
    chat_messages,
    episode_changes,
    incident_messages,
    restated,
)
from agent_kpis.alerts.episodes import Episode
from agent_kpis.alerts.ledger import Ledger, opened
from agent_kpis.alerts.messages import Message
from agent_kpis.alerts.routes import Route, in_force, read_routes, severity
from alerting import KPIS, NOW, episode, routes_file

LEVELS = st.sampled_from([None, "warning", "critical", "catastrophic"])
SERIES = 4
TARGET = "somebody"
runs = st.lists(
    st.tuples(
        st.lists(LEVELS, min_size=SERIES, max_size=SERIES),
        st.lists(st.sampled_from(["sent", "failed", "arrived", "lost"]), max_size=6),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=8,
)


@dataclass
class Reader:
    """Somebody who only knows what arrived: by key, whether it is open."""

    open: dict[str, str] = field(default_factory=dict)

    def read(self, message: Message) -> None:
        for item in message.items:
            if item.is_open:
                self.open[item.key] = item.level
            else:
                self.open.pop(item.key, None)


@dataclass
class Pager:
    """PagerDuty: incidents by their key."""

    open: set[str] = field(default_factory=set)

    def read(self, message: Message) -> None:
        if message.resolves:
            self.open.discard(message.incident)
        else:
            self.open.add(message.incident)


class World:
    """Series that are open or not, run by run; each time one opens it is another episode."""

    def __init__(self) -> None:
        self.episodes: dict[str, Episode] = {}
        self.current: list[str | None] = [None] * SERIES
        self.number = 0

    def go_on(self, levels: list[str | None]) -> list[Episode]:
        for place, level in enumerate(levels):
            name = self.current[place]
            if level is None and name:
                self.episodes[name] = self._episode(place, name, self.episodes[name].level, True)
                self.current[place] = None
            elif level:
                if name is None:
                    self.number += 1
                    name = self.current[place] = f"e{self.number}"
                self.episodes[name] = self._episode(place, name, level, False)
        return list(self.episodes.values())

    def _episode(self, place: int, name: str, level: str, over: bool) -> Episode:
        where = {} if place == 0 else {"segment_type": "channel", "segment": f"c{place}"}
        row = episode(
            level, episode_id=name, **where, **({"cleared_on": date(2026, 7, 5)} if over else {})
        )
        renamed = {
            "reference": "reference_value",
            "compared_with": "comparison_type",
            "confounded": "is_time_confounded",
            "who_moved": "cause",
            "to_do": "action",
            "late": "is_set_after_launch",
        }
        facts = {**row, **{new: row[old] for new, old in renamed.items()}}
        facts |= dict.fromkeys(("reasons", "task_types", "remark"))
        facts |= {"label": KPIS["csat"][0], "display_order": 5}
        series = tuple(row[c] for c in ("agent_name", "segment_type", "segment", "kpi"))
        return Episode(name, (*series, row["direction"]), level, not over, facts)


def simulate(history: list, route: Route, ledger: Ledger, reader: Reader | Pager) -> World:
    """Every run sends what it finds, over a network that does as told; the last two work."""
    world, now = World(), NOW
    last = history[-1][0]
    for levels, network, hours in [*history, (last, [], 1), (last, [], 1)]:
        now += timedelta(hours=hours)
        episodes = world.go_on(levels)
        ledger.settle(now)
        for key, found in restated(episodes, ledger.told(TARGET)).items():
            ledger.rename(TARGET, key, found.id)
        told = ledger.told(TARGET)
        changes = episode_changes(episodes, told, route, now)
        truly_open = {f"agent-kpis-{e.id}" for e in episodes if e.is_open}
        for change in changes:
            assert (change.kind == "cleared") == (change.key not in truly_open)
        quiet: list = []
        if isinstance(reader, Pager):
            messages, quiet = incident_messages(changes, episodes, told, route, "")
        else:
            messages = chat_messages(changes, route, "")
        ledger.record(TARGET, route.name, quiet, now)
        for message, outcome in zip(messages, [*network, *["sent"] * 20], strict=False):
            number = ledger.begin(TARGET, route.name, message.title, message.items, now)
            if outcome in ("sent", "arrived"):
                reader.read(message)
            state = "unknown" if outcome in ("arrived", "lost") else outcome
            ledger.end(number, state, 1, "", now)
    assert changes == []  # the last run found nothing new
    return world


def route_of(folder: Path, minimum: str, digest_above: int) -> Route:
    row = f",{minimum},desk,lead,2026-01-01,,{digest_above}"
    return in_force(read_routes(routes_file(folder, row)), NOW)[0]


@settings(max_examples=150, deadline=None)
@given(history=runs, minimum=st.sampled_from(["warning", "critical"]), cap=st.integers(1, 4))
def test_a_reader_of_a_chat_ends_up_with_what_is_open(
    history: list, minimum: str, cap: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        route = route_of(Path(name), minimum, cap)
        with opened(Path(name), print, NOW, writes=False) as ledger:
            reader = Reader()
            world = simulate(history, route, ledger, reader)
    truly_open = {f"agent-kpis-{e.id}": e for e in world.episodes.values() if e.is_open}
    must = {key for key, e in truly_open.items() if severity(e.level) >= severity(minimum)}
    assert must <= set(reader.open) <= set(truly_open)
    for key in must:
        assert severity(reader.open[key]) >= severity(truly_open[key].level)


@settings(max_examples=150, deadline=None)
@given(history=runs, minimum=st.sampled_from(["warning", "critical"]), cap=st.integers(1, 3))
def test_every_incident_ends_and_none_ends_early(history: list, minimum: str, cap: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        route = route_of(Path(name), minimum, cap)
        with opened(Path(name), print, NOW, writes=False) as ledger:
            pager = Pager()
            world = simulate(history, route, ledger, pager)
            told = [row for row in ledger.told(TARGET) if row.kind == "episode" and row.is_open]
    open_ids = {e.id for e in world.episodes.values() if e.is_open}
    must = {
        e.id
        for e in world.episodes.values()
        if e.is_open and severity(e.level) >= severity(minimum)
    }
    covered = {row.episode_id: row.incident or row.key for row in told}
    assert must <= set(covered) <= open_ids
    # What may have arrived and is below the minimum now counts as open, too: its end will be sent.
    assert {covered[name] for name in must} <= pager.open <= set(covered.values())


def test_the_ledger_is_one_file_that_sqlite_reads(tmp_path: Path) -> None:
    with opened(tmp_path, print, NOW) as ledger:
        assert ledger.target("json://x") == ledger.target("json://x") != ledger.target("json://y")
    with closing(sqlite3.connect(tmp_path / "alerts.sqlite")) as con:
        tables = {name for (name,) in con.execute("select name from sqlite_master where sql <> ''")}
    assert tables == {"meta", "told", "messages", "message_items"}
