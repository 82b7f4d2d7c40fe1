"""What each address was told: one small SQLite file beside the results, outside the warehouse.

`told` holds, by dedup key and target, what was last told and confirmed; the next run compares it
with what is open. `messages` holds every attempt: `sending` is written before a message leaves, and
becomes `sent`, `failed` (it did not arrive) or `unknown` (it may have). A message that was being
sent when the process died is `unknown`: it is sent again, and its record says that it may be a
repeat. Addresses are kept as salted hashes only.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from agent_kpis.errors import CannotRunError

NAME = "alerts.sqlite"
VERSION = 1
TABLES = """
create table meta (name text primary key, value text not null);
create table told (
    dedup_key text not null,
    target text not null,
    route text not null,
    kind text not null check (kind in ('episode', 'group', 'data')),
    episode_id text,
    series text,
    incident text,
    change text not null,
    level text not null,
    detail text not null,
    is_open integer not null,
    told_at text not null,
    primary key (dedup_key, target)
);
create table messages (
    message_id integer primary key,
    target text not null,
    route text not null,
    title text not null,
    state text not null check (state in ('sending', 'sent', 'failed', 'unknown')),
    may_be_repeat integer not null,
    begun_at text not null,
    ended_at text,
    attempts integer not null,
    answer text not null
);
create table message_items (
    message_id integer not null references messages (message_id),
    dedup_key text not null,
    item text not null,
    primary key (message_id, dedup_key)
);
"""
Series = tuple[str, str, str, str, str]
"""Agent, segment type, segment, KPI and direction."""


@dataclass(frozen=True)
class Item:
    """What a target knows of one thing once a message has arrived. `level` empty: maybe nothing."""

    key: str
    kind: str  # episode, group or data
    change: str
    level: str
    is_open: bool
    episode_id: str | None = None
    series: Series | None = None
    incident: str | None = None
    detail: str = ""

    def text(self) -> str:
        return json.dumps(self.__dict__)

    @classmethod
    def of(cls, text: str) -> Item:
        found = json.loads(text)
        return cls(**{**found, "series": tuple(found["series"]) if found["series"] else None})


@dataclass(frozen=True)
class Told(Item):
    """An item with the time at which it was told."""

    told_at: datetime = field(default=datetime.min.replace(tzinfo=UTC))


class Ledger:
    """The ledger of one OUT folder, over an open connection."""

    def __init__(self, con: sqlite3.Connection, file: Path) -> None:
        self._con = con
        self._file = file

    def target(self, address: str) -> str:
        """An address as the ledger knows it: nobody gets the address back from it."""
        salt = bytes.fromhex(self._con.execute("select value from meta").fetchone()[0])
        return hashlib.scrypt(address.encode(), salt=salt, n=2**14, r=8, p=1, dklen=16).hex()

    def told(self, target: str) -> list[Told]:
        rows = self._con.execute(
            "select dedup_key, kind, change, level, is_open, episode_id, series, incident, detail,"
            " told_at from told where target = ? order by dedup_key",
            [target],
        )
        return [
            Told(
                *row[:4],
                bool(row[4]),
                row[5],
                tuple(json.loads(row[6])) if row[6] else None,
                *row[7:9],
                datetime.fromisoformat(row[9]),
            )
            for row in rows
        ]

    def begin(
        self, target: str, route: str, title: str, items: Sequence[Item], now: datetime
    ) -> int:
        """Write down that a message is about to leave; the number of its record."""
        with self._transaction():
            repeat = any(self._is_uncertain(target, item.key) for item in items)
            cursor = self._con.execute(
                "insert into messages (target, route, title, state, may_be_repeat, begun_at,"
                " attempts, answer) values (?, ?, ?, 'sending', ?, ?, 0, '')",
                [target, route, title, repeat, now.isoformat()],
            )
            self._con.executemany(
                "insert into message_items values (?, ?, ?)",
                [(cursor.lastrowid, item.key, item.text()) for item in items],
            )
        return int(cursor.lastrowid)

    def end(
        self,
        message: int,
        state: str,
        attempts: int,
        answer: str,
        now: datetime,
        may_be_repeat: bool = False,
    ) -> None:
        """Write down what became of it, and with it what its target knows."""
        with self._transaction():
            self._con.execute(
                "update messages set state = ?, attempts = ?, answer = ?, ended_at = ?,"
                " may_be_repeat = may_be_repeat or ? where message_id = ?",
                [state, attempts, answer, now.isoformat(), may_be_repeat, message],
            )
            target, route = self._con.execute(
                "select target, route from messages where message_id = ?", [message]
            ).fetchone()
            items = [
                Item.of(text)
                for (text,) in self._con.execute(
                    "select item from message_items where message_id = ?", [message]
                )
            ]
            if state == "sent":
                self._write(target, route, items, now)
            elif state == "unknown":
                self._may_know(target, route, items, now)

    def record(self, target: str, route: str, items: Iterable[Item], now: datetime) -> None:
        """What a target knows without a message of its own."""
        with self._transaction():
            self._write(target, route, items, now)

    def rename(self, target: str, key: str, episode_id: str) -> None:
        """An episode that corrected data gave another first day stays the same to its readers."""
        with self._transaction():
            self._con.execute(
                "update told set episode_id = ? where dedup_key = ? and target = ?",
                [episode_id, key, target],
            )

    def settle(self, now: datetime) -> int:
        """Messages that were being sent when a process died: they may have arrived."""
        left = [
            number
            for (number,) in self._con.execute(
                "select message_id from messages where state = 'sending'"
            )
        ]
        for number in left:
            self.end(number, "unknown", 1, "the process ended while it was being sent", now)
        return len(left)

    def _write(self, target: str, route: str, items: Iterable[Item], now: datetime) -> None:
        self._con.executemany(
            "insert or replace into told values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    item.key,
                    target,
                    route,
                    item.kind,
                    item.episode_id,
                    json.dumps(item.series) if item.series else None,
                    item.incident,
                    item.change,
                    item.level,
                    item.detail,
                    item.is_open,
                    now.isoformat(),
                )
                for item in items
            ],
        )

    def _may_know(self, target: str, route: str, items: Iterable[Item], now: datetime) -> None:
        """What a target did not know for sure is open to it, at no level; the rest stays."""
        known = {row.key for row in self.told(target) if row.is_open}
        new = [item for item in items if item.is_open and item.key not in known]
        self._write(target, route, [Item(**{**item.__dict__, "level": ""}) for item in new], now)

    def _is_uncertain(self, target: str, key: str) -> bool:
        """Did the last message about it end without anybody knowing whether it arrived?"""
        last = self._con.execute(
            "select state from messages inner join message_items using (message_id)"
            " where target = ? and dedup_key = ? and state in ('sent', 'unknown')"
            " order by message_id desc limit 1",
            [target, key],
        ).fetchone()
        return last is not None and last[0] == "unknown"

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _writing(self._file):
            self._con.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._con.rollback()
                raise
            self._con.commit()


@contextmanager
def opened(
    out: Path, say: Callable[[str], None], now: datetime, writes: bool = True
) -> Iterator[Ledger]:
    """The ledger of OUT. A file that is none is moved aside; without `writes` nothing is kept."""
    file = out / NAME
    if not writes:
        with closing(_copy(file, say)) as con:
            yield Ledger(con, file)
        return
    with _writing(file):
        out.mkdir(parents=True, exist_ok=True)
        con = _connect(file, say, now)
    with closing(con):
        yield Ledger(con, file)


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise CannotRunError(
            f"{file} cannot be written ({error}). It holds what was told to whom: nothing is "
            "sent without it."
        ) from error


def _connect(file: Path, say: Callable[[str], None], now: datetime) -> sqlite3.Connection:
    if _is_damaged(file):
        aside = file.with_name(f"{file.name}.damaged-{now:%Y%m%dT%H%M%S}")
        file.replace(aside)
        for rest in ("-wal", "-shm", "-journal"):
            file.with_name(file.name + rest).unlink(missing_ok=True)
        say(
            f"{file} is damaged: it is now {aside.name}. What was told to whom is not known any "
            "more: what is open is told once again, what has cleared since is not."
        )
    con = sqlite3.connect(file, timeout=30, isolation_level=None)
    try:
        _prepare(con, file)
    except BaseException:
        con.close()
        raise
    return con


def _copy(file: Path, say: Callable[[str], None]) -> sqlite3.Connection:
    """The ledger in memory, or an empty one: what is written to it is forgotten."""
    con = sqlite3.connect(":memory:", isolation_level=None)
    if file.is_file() and _is_damaged(file):
        say(f"{file} is damaged: this goes on as if nothing had been told.")
    elif file.is_file():
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as source:
            source.backup(con)
    _prepare(con, file)
    return con


def _is_damaged(file: Path) -> bool:
    if not file.is_file():
        return False
    with closing(sqlite3.connect(file, timeout=30)) as con:
        try:
            if con.execute("pragma quick_check").fetchone()[0] != "ok":
                return True
            version = con.execute("pragma user_version").fetchone()[0]
            tables = {name for (name,) in con.execute("select name from sqlite_master")}
        except sqlite3.OperationalError:
            raise  # locked, or not to be read: that is no damage
        except sqlite3.DatabaseError:
            return True
    return version == VERSION and not {"meta", "told", "messages", "message_items"} <= tables


def _prepare(con: sqlite3.Connection, file: Path) -> None:
    version = con.execute("pragma user_version").fetchone()[0]
    if version > VERSION:
        raise CannotRunError(
            f"{file} was written by a later version of this program (schema {version}, this one "
            f"knows {VERSION}). Use that version, or move the file away: what is open is then "
            "told once again."
        )
    if version < VERSION:
        con.executescript(
            f"begin; {TABLES}"
            f"insert into meta values ('salt', '{secrets.token_hex(16)}');"
            f"pragma user_version = {VERSION}; commit;"
        )
