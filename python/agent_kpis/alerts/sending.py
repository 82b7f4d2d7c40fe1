"""The work of a run: read what is open, compare, send, write down what became of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from datetime import time as day_time
from pathlib import Path

from agent_kpis.alerts import messages
from agent_kpis.alerts.changes import (
    chat_messages,
    episode_changes,
    incident_messages,
    is_due,
    restated,
)
from agent_kpis.alerts.delivery import PATIENCE, Target, deliver
from agent_kpis.alerts.episodes import Episode, read_episodes
from agent_kpis.alerts.ledger import Item, Ledger, Told, opened
from agent_kpis.alerts.messages import BLOCKED_KEY, Message
from agent_kpis.alerts.routes import Route, in_force, read_routes, severity
from agent_kpis.errors import CannotRunError

REPORT_VARIABLE = "AGENT_KPIS_REPORT_URL"
LEVEL_CODES = {"warning": 11, "critical": 12, "catastrophic": 13}
MEND = (
    "mend what it names and run again. Until then no KPI alert is sent; what was published before "
    "is untouched."
)
Say = Callable[[str], None]


@dataclass
class Delivery:
    """What became of the messages of one run.

    `sent` arrived; `printed` had no address, or it was a dry run; `skipped` were things open that
    had nothing new; `waiting` are tried again by the next run. `worst_level` is open now.
    """

    sent: int = 0
    printed: int = 0
    skipped: int = 0
    waiting: int = 0
    worst_level: str | None = None
    undelivered: list[str] = field(default_factory=list)
    """A sentence a route: what answered, and how many wait."""
    without_address: list[str] = field(default_factory=list)
    """Environment variables that are not set."""
    mistakes: list[str] = field(default_factory=list)
    """Environment variables whose address is none."""

    def exit_code(self, from_level: str | None = None, strict: bool = False) -> int:
        """2: an address is no address, or (strict) missing; 1: messages wait; then, from
        `from_level` on, 11, 12 or 13 by the worst level that is open; else 0."""
        if self.mistakes or (strict and self.without_address):
            return 2
        if self.waiting:
            return 1
        if from_level is None or severity(self.worst_level) < severity(from_level):
            return 0
        return LEVEL_CODES.get(self.worst_level or "", 0)


@dataclass(frozen=True)
class _Composed:
    """What a route gets, what its ledger gets without a message, and how much had nothing new."""

    messages: list[Message]
    quiet: list[Item] = field(default_factory=list)
    skipped: int = 0


Compose = Callable[[Route, Target | None, list[Told]], _Composed]


@dataclass(frozen=True)
class Sender:
    """Tells the routes of a team, each thing once.

    `config` holds alert_routes.csv, `out` the ledger. `say` is called with a line of text for
    whatever there is to say, messages without an address included (unless `print_unaddressed` is
    off). `patience`: seconds that a route may take for attempts that fail. Every method raises
    CannotRunError where a file cannot be read.
    """

    config: Path
    out: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    dry_run: bool = False
    say: Say = print
    patience: float = PATIENCE
    sleep: Callable[[float], None] = time.sleep
    print_unaddressed: bool = True

    def alerts(self, database: Path) -> Delivery:
        """What changed in the served `database` since the routes were told."""
        found = read_episodes(database)
        link = self._link()

        def compose(route: Route, target: Target | None, told: list[Told]) -> _Composed:
            changes = episode_changes(found.episodes, told, route, self.now)
            open_here = sum(
                episode.is_open and route.accepts(episode.level, episode.agent)
                for episode in found.episodes
            )
            skipped = open_here - sum(change.kind != "cleared" for change in changes)
            if target and target.keeps_incidents:
                told_now, quiet = incident_messages(changes, found.episodes, told, route, link)
            else:
                told_now, quiet = chat_messages(changes, route, link), []
            return _Composed(told_now, quiet, skipped)

        delivery = self._over(self._routes(found.day), compose, found.episodes)
        delivery.worst_level = found.worst_level
        return delivery

    def blocked(self, step: str, summary: str) -> Delivery:
        """A check or the build failed: say once that KPI alerts are blocked, and by what.

        `step` is its name, `summary` what it found, the most useful lines first. Needs no
        database. Said again where another step fails, and after the route's `renotify_hours`.
        """

        def compose(route: Route, target: Target | None, told: list[Told]) -> _Composed:
            row = _blocked_before(told)
            again = row is None or row.detail != step or not row.level
            if again or is_due(row, route.renotify_after(), self.now):
                return _Composed([messages.blocked(step, summary, MEND)])
            return _Composed([], skipped=1)

        routes = [route for route in self._routes() if route.accepts("critical")]
        return self._over(routes, compose)

    def unblocked(self) -> Delivery:
        """The checks and the build passed: tell whoever heard that KPI alerts were blocked."""

        def compose(route: Route, target: Target | None, told: list[Told]) -> _Composed:
            row = _blocked_before(told)
            return _Composed([messages.unblocked(row.detail)] if row else [])

        return self._over(self._routes(), compose)

    def _routes(self, day: date | None = None) -> list[Route]:
        """In force now, or by the end of the last day of the data where that is later."""
        rows = read_routes(self.config)
        end = datetime.combine(day, day_time.max, tzinfo=UTC) if day else self.now
        routes = in_force(rows, max(self.now, end))
        if not routes:
            file = self.config / "alert_routes.csv"
            self.say(f"Nobody is told: {file} has no row that is in force.")
        return routes

    def _link(self) -> str:
        given = " ".join(self.environment.get(REPORT_VARIABLE, "").split())
        return given or str((self.out / "report.html").absolute())

    def _over(
        self, routes: Iterable[Route], compose: Compose, episodes: list[Episode] | None = None
    ) -> Delivery:
        """Each route in turn; one that cannot be reached does not keep the others waiting."""
        delivery = Delivery()
        addressed = []
        for route in routes:
            address = route.address(self.environment)
            if address is None:
                delivery.without_address.append(route.variable)
                self._print(route, compose(route, None, []), delivery, f"{route.variable} not set")
                continue
            try:
                addressed.append((route, Target(route, address)))
            except CannotRunError as error:
                delivery.mistakes.append(str(error))
        if not addressed:
            return delivery
        with opened(self.out, self.say, self.now, writes=not self.dry_run) as ledger:
            if not self.dry_run and (left := ledger.settle(self.now)):
                self.say(
                    f"{left} message{'s were' if left > 1 else ' was'} being sent when an earlier "
                    "run ended: what is still true is sent again and may be a repeat."
                )
            for route, target in addressed:
                known_as = ledger.target(target.address)
                for key, episode in restated(episodes or [], ledger.told(known_as)).items():
                    ledger.rename(known_as, key, episode.id)
                composed = compose(route, target, ledger.told(known_as))
                if self.dry_run:
                    self._print(route, composed, delivery, f"dry run, would go by {target.service}")
                else:
                    self._send(route, target, known_as, composed, ledger, delivery)
        return delivery

    def _print(self, route: Route, composed: _Composed, delivery: Delivery, why: str) -> None:
        delivery.skipped += composed.skipped
        delivery.printed += len(composed.messages)
        for message in composed.messages if self.print_unaddressed or self.dry_run else ():
            self.say(f"[{route.name}; {why}]\n{message.text}\n")

    def _send(
        self,
        route: Route,
        target: Target,
        known_as: str,
        composed: _Composed,
        ledger: Ledger,
        delivery: Delivery,
    ) -> None:
        ledger.record(known_as, route.name, composed.quiet, self.now)
        delivery.skipped += composed.skipped
        left, sent, failure = self.patience, 0, None
        for message in composed.messages:
            record = ledger.begin(known_as, route.name, message.title, message.items, self.now)
            outcome, spent = deliver(target, message, left, self.sleep)
            left -= spent
            ledger.end(
                record,
                outcome.state,
                outcome.attempts,
                outcome.answer,
                self.now,
                outcome.may_be_repeat,
            )
            if outcome.state == "sent":
                sent += 1
                continue
            failure = outcome
            if outcome.may_pass:
                break  # nobody there: the others would wait as long
        delivery.sent += sent
        if failure is None:
            return
        waiting = len(composed.messages) - sent
        delivery.waiting += waiting
        delivery.undelivered.append(
            f"Route {route.name} ({target.service}): {failure.answer} after {failure.attempts} "
            f"attempt{'s' if failure.attempts > 1 else ''}. {waiting} "
            f"message{'s wait' if waiting > 1 else ' waits'}; the next `kpi alert` tries again."
        )


def _blocked_before(told: Iterable[Told]) -> Told | None:
    return next((row for row in told if row.key == BLOCKED_KEY and row.is_open), None)
