"""What has to be told: open episodes held against what a target was told last. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from agent_kpis.alerts.episodes import Episode
from agent_kpis.alerts.ledger import Item, Told
from agent_kpis.alerts.messages import Change, Message, digest, single
from agent_kpis.alerts.routes import Route, severity

PREFIX = "agent-kpis"
EARLY = 0.05
"""Share of its time by which a repeat may come early: daily runs do not start to the second."""


def restated(episodes: Sequence[Episode], told: Sequence[Told]) -> dict[str, Episode]:
    """By dedup key: the open episode that follows one which corrected data gave another first day.

    Told as open, in the marts no more, while its series has an open episode nobody was told of.
    """
    ids = {episode.id for episode in episodes}
    known = {row.episode_id for row in told}
    fresh = {
        episode.series: episode
        for episode in episodes
        if episode.is_open and episode.id not in known
    }
    return {
        row.key: fresh[row.series]
        for row in told
        if row.kind == "episode"
        and row.is_open
        and row.episode_id not in ids
        and row.series in fresh
    }


def episode_changes(
    episodes: Sequence[Episode], told: Sequence[Told], route: Route, now: datetime
) -> list[Change]:
    """Opened, worsened, still open after the time of the route, cleared; in order."""
    known = {row.episode_id: row for row in told if row.kind == "episode"}
    changes = []
    for episode in episodes:
        row = known.get(episode.id)
        kind = _kind(episode, row, route, now)
        if kind:
            key = row.key if row else f"{PREFIX}-{episode.id}"
            level = episode.level
            changes.append(Change(kind, key, level, episode, row))
    ids = {episode.id for episode in episodes}
    for row in known.values():
        if row.is_open and row.episode_id not in ids:
            changes.append(Change("cleared", row.key, row.level, None, row))
    return sorted(changes, key=lambda change: change.order)


def is_due(row: Told, after: timedelta | None, now: datetime) -> bool:
    """Is it time to tell it again?"""
    return after is not None and now - row.told_at >= after * (1 - EARLY)


def chat_messages(changes: Sequence[Change], route: Route, link: str) -> list[Message]:
    """One message a change; more than the route wants become one."""
    if len(changes) > route.digest_above:
        return [digest(changes, link)]
    return [single(change, link) for change in changes]


def incident_messages(
    changes: Sequence[Change],
    episodes: Sequence[Episode],
    told: Sequence[Told],
    route: Route,
    link: str,
) -> tuple[list[Message], list[Item]]:
    """One incident an episode. Where more open at once than the route wants, the worst over all
    requests have their own, up to that number, and one incident holds the rest.

    Returned with what needs no message: what cleared inside an incident that goes on.
    """
    opened = [c for c in changes if c.kind == "opened" and not (c.told and c.told.is_open)]
    fresh = set()
    if len(opened) > route.digest_above:
        overall = [change.key for change in opened if change.episode.is_overall]
        fresh = {change.key for change in opened} - set(overall[: route.digest_above])
    shared = [
        c for c in changes if c.key in fresh or (c.told and c.told.is_open and c.told.incident)
    ]
    in_shared = {change.key for change in shared}
    messages = [single(change, link) for change in changes if change.key not in in_shared]
    if not shared:
        return messages, []
    group = next((row for row in told if row.kind == "group" and row.is_open), None)
    key = group.key if group else f"{PREFIX}-more-{shared[0].episode.id}"
    message, quiet = _shared(shared, episodes, told, key, link)
    return [*messages, *([message] if message else [])], quiet


def _shared(
    changes: Sequence[Change],
    episodes: Sequence[Episode],
    told: Sequence[Told],
    key: str,
    link: str,
) -> tuple[Message | None, list[Item]]:
    """The message of an incident that several episodes share, or what needs none."""
    cleared = {change.key for change in changes if change.kind == "cleared"}
    levels: Mapping[str, str] = {episode.id: episode.level for episode in episodes}
    held = [
        levels.get(row.episode_id, row.level)
        for row in told
        if row.incident == key and row.is_open and row.key not in cleared
    ]
    held += [change.level for change in changes if change.key not in cleared]
    if held and len(cleared) == len(changes):
        return None, [change.item(key) for change in changes]
    worst = max(held, key=severity, default="")
    group = Item(key, "group", "opened" if held else "cleared", worst, bool(held), incident=None)
    message = digest(changes, link, incident=key, also=[group])
    return Message(**{**message.__dict__, "level": worst, "resolves": not held}), []


def _kind(episode: Episode, row: Told | None, route: Route, now: datetime) -> str | None:
    if not episode.is_open:
        return "cleared" if row and row.is_open else None
    if not route.accepts(episode.level, episode.agent):
        return None
    if row is None or not row.is_open or not row.level:
        return "opened"
    if severity(episode.level) > severity(row.level):
        return "worsened"
    return "still open" if is_due(row, route.renotify_after(episode.agent), now) else None
