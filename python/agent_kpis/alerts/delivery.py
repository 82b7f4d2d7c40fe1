"""Messages to addresses, through apprise: what answered, and trying again.

apprise only says whether a message was taken. What answered is read from its log while it sends;
the log itself goes nowhere, because it may hold the address or the message.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import apprise

from agent_kpis.alerts.messages import Message
from agent_kpis.alerts.routes import Route
from agent_kpis.errors import CannotRunError

PATIENCE = 60.0
"""Seconds that one route may take for attempts that fail and the waits between them."""
FIRST_WAIT = 1.0
LONGEST_WAIT = 16.0
PASSING = {408, 425, 429}
"""HTTP answers below 500 that another attempt may change."""
GATEWAY = {502, 504}
"""Answers of somebody in between: the message may have arrived."""
KINDS = {
    "catastrophic": apprise.NotifyType.FAILURE,
    "critical": apprise.NotifyType.FAILURE,
    "warning": apprise.NotifyType.WARNING,
    "watch": apprise.NotifyType.INFO,
}
PAGERDUTY_SEVERITY = {
    "catastrophic": "critical",
    "critical": "error",
    "warning": "warning",
    "watch": "info",
}
_QUIET = ("apprise", "urllib3")


@dataclass(frozen=True)
class Outcome:
    """Of one message: `sent`, `failed` (it did not arrive) or `unknown` (it may have).

    `may_pass`: another attempt may help.
    """

    state: str
    answer: str
    attempts: int = 1
    may_pass: bool = False
    may_be_repeat: bool = False
    """An attempt before the last one may have arrived."""


class Target:
    """An address that messages can be sent to."""

    def __init__(self, route: Route, address: str) -> None:
        """Raises CannotRunError, naming the variable and not what is in it."""
        with _overheard():
            self._parts = apprise.plugins.url_to_dict(address)
            self._asset = apprise.AppriseAsset(
                app_id="agent-kpis", app_desc="agent-kpis", secure_logging=True
            )
            self._service = apprise.Apprise.instantiate(address, asset=self._asset)
        if self._service is None or self._parts is None:
            raise CannotRunError(
                f"{route.variable} (route {route.name}) is not an address that apprise knows, such "
                "as slack://..., pagerduty://... or mailto://...: "
                "https://appriseit.com/services/ lists them. Its value is not shown."
            )
        self.address = address
        self.keeps_incidents = self._parts["schema"] == "pagerduty"
        """Does a later message change an earlier one?"""

    @property
    def service(self) -> str:
        """What it is, without a secret."""
        return str(self._service.service_name)

    def send(self, message: Message) -> Outcome:
        """One attempt. Raises nothing: what goes wrong is an outcome."""
        kind = apprise.NotifyType.SUCCESS if message.resolves else KINDS.get(message.level)
        with _overheard() as heard:
            try:
                service = self._incident(message) if self.keeps_incidents else self._service
                taken = service.notify(
                    title="" if self.keeps_incidents else message.title,
                    body=message.title if self.keeps_incidents else message.body,
                    notify_type=kind or apprise.NotifyType.INFO,
                    body_format=apprise.NotifyFormat.TEXT,
                )
            except Exception as error:
                return Outcome("unknown", f"{type(error).__name__} while sending")
        return Outcome("sent", "taken") if taken else read_answer(heard)

    def _incident(self, message: Message) -> apprise.NotifyBase:
        """PagerDuty for one message: its key, and whether it begins or ends."""
        parts = {**self._parts, "dedup": message.incident}
        parts["action"] = "resolve" if message.resolves else "trigger"
        parts["details"] = {**(parts.get("details") or {}), **message.facts}
        parts["severity"] = parts.get("severity") or PAGERDUTY_SEVERITY.get(message.level, "info")
        link = message.facts.get("Report", "")
        if link.startswith(("http://", "https://")):
            parts["click"] = parts.get("click") or link
        return apprise.Apprise.instantiate(parts, asset=self._asset, suppress_exceptions=False)


def deliver(
    target: Target,
    message: Message,
    patience: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Outcome, float]:
    """Send with growing waits while another attempt may help; what became of it, and the seconds
    spent on attempts that failed."""
    spent, wait, attempts, uncertain = 0.0, FIRST_WAIT, 0, False
    while True:
        begun = clock()
        outcome = target.send(message)
        attempts += 1
        if outcome.state == "sent":
            return Outcome("sent", outcome.answer, attempts, may_be_repeat=uncertain), spent
        uncertain = uncertain or outcome.state == "unknown"
        spent += clock() - begun
        if not outcome.may_pass or spent + wait > patience:
            state = "unknown" if uncertain else "failed"
            return Outcome(state, outcome.answer, attempts, outcome.may_pass), spent
        sleep(wait)
        spent += wait
        wait = min(2 * wait, LONGEST_WAIT)


def read_answer(heard: list[str]) -> Outcome:
    """What apprise's log says of an attempt that failed, in words of our own: no address."""
    text = "\n".join(heard)
    status = re.findall(r"error=(\d{3})", text)
    if status:
        code = int(status[-1])
        passing = code >= 500 or code in PASSING
        state = "unknown" if code in GATEWAY else "failed"
        refused = "" if code >= 400 else ", but not accepted"
        return Outcome(state, f"HTTP {code}{refused}", may_pass=passing)
    mail = re.findall(r"\((\d{3}), b|was refused: (\d{3})", text)
    if mail:
        code = int(mail[-1][0] or mail[-1][1])
        return Outcome("failed", f"SMTP {code}", may_pass=code < 500)
    for pattern, answer, state in (
        ("refused", "connection refused", "failed"),
        ("NameResolution|Name or service|getaddrinfo|nodename", "no such host", "failed"),
        ("ConnectTimeout|[Cc]onnect timeout", "no connection in time", "failed"),
        ("CERTIFICATE|SSLError", "no trusted connection (TLS)", "failed"),
        ("[Tt]imed out|[Tt]imeout", "no answer in time", "unknown"),
    ):
        if re.search(pattern, text):
            return Outcome(state, answer, may_pass=True)
    return Outcome("unknown", "not taken, without a reason", may_pass=True)


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What apprise logs meanwhile; nothing of it, nor of what it uses, goes anywhere else."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    listener = Listener(logging.DEBUG)
    loggers = [logging.getLogger(name) for name in _QUIET]
    before = [(log.level, log.propagate, log.handlers[:], log.disabled) for log in loggers]
    try:
        for log in loggers:
            log.handlers, log.propagate = [logging.NullHandler()], False
        loggers[0].handlers, loggers[0].disabled = [listener], False
        loggers[0].setLevel(logging.DEBUG)
        yield lines
    finally:
        for log, (level, propagate, handlers, disabled) in zip(loggers, before, strict=True):
            log.handlers, log.propagate, log.disabled = handlers, propagate, disabled
            log.setLevel(level)
