"""Delivery: what is tried again, what arrives where, and what a run that died leaves behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from agent_kpis.alerts.delivery import read_answer
from alerting import DESK, REPORT, Server, Team, episode, many, served

NASTY = "<b>x</b>\r\nBcc: spy@example.com <!channel> *b* @here &amp; \u202eevil"
SHOWN = "<b>x</b> Bcc: spy@\u200bexample.com <!channel> *b* @\u200bhere &amp; evil"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


# Trying again


def test_too_many_requests_are_tried_again(team: Team, server: Server) -> None:
    server.answers = [429, 503]
    delivery = team.run(episode())
    assert (delivery.sent, delivery.waiting, len(server.requests)) == (1, 0, 3)
    assert team.waits == [1, 2]
    assert team.ledger("select state, attempts, may_be_repeat from messages") == [("sent", 3, 0)]


def test_errors_without_end_are_given_up_in_time_and_tried_by_the_next_run(
    team: Team, server: Server
) -> None:
    server.always = 500
    delivery = team.run(episode())
    assert delivery.exit_code("warning") == 1
    assert delivery.waiting == 1
    assert delivery.sent == 0
    assert team.waits == [1, 2, 4, 8, 16, 16]
    (sentence,) = delivery.undelivered
    assert "desk" in sentence
    assert "HTTP 500" in sentence
    assert "1 message waits" in sentence
    assert "tries again" in sentence
    assert "token" not in sentence
    assert team.ledger("select * from told") == []
    team.run(episode(), patience=5)
    assert team.waits == [1, 2]
    server.always = 200
    assert team.run(episode("catastrophic")).sent == 1  # in its newest state
    assert server.texts()[0].startswith("CATASTROPHIC: CSAT low")


def test_what_opened_and_cleared_unheard_is_not_told(team: Team, server: Server) -> None:
    server.always = 500
    team.run(episode())
    server.always = 200
    assert team.run(episode(cleared_on=date(2026, 7, 6))).sent == 0


def test_an_end_that_did_not_arrive_is_sent_later(team: Team, server: Server) -> None:
    team.run(episode())
    server.always = 500
    assert team.run(episode(cleared_on=date(2026, 7, 6))).waiting == 1
    server.always = 200
    assert team.run(episode(cleared_on=date(2026, 7, 6))).sent == 1
    assert server.texts()[0].startswith("CLEARED")


def test_a_worse_level_that_did_not_arrive_is_sent_later(team: Team, server: Server) -> None:
    team.run(episode("warning"))
    server.always = 500
    team.run(episode("critical"))
    server.always = 200
    assert team.run(episode("critical")).sent == 1
    assert server.texts()[0].startswith("WORSE, NOW CRITICAL")


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_not_tried_again_in_this_run(team: Team, server: Server, status: int) -> None:
    server.always = status
    delivery = team.run(episode(), *many(1))
    assert delivery.waiting == 2
    assert len(server.requests) == 2
    assert team.waits == []
    assert f"HTTP {status} after 1 attempt." in delivery.undelivered[0]


def test_one_message_that_is_refused_does_not_hold_up_the_others(
    team: Team, server: Server
) -> None:
    server.answers = [400]
    delivery = team.run(episode(), *many(2))
    assert (delivery.sent, delivery.waiting) == (2, 1)
    assert team.run(episode(), *many(2)).sent == 1


def test_a_route_that_is_down_does_not_keep_the_others_waiting(
    tmp_path: Path, server: Server
) -> None:
    rows = (",warning,desk,lead,2026-01-01,24,5", ",warning,boss,lead,2026-01-01,24,5")
    boss = {"AGENT_KPIS_ROUTE_BOSS": f"json://{server.host}/boss"}
    team = Team(tmp_path, server, *rows, **{DESK: f"json://127.0.0.1:{free_port()}/"}, **boss)
    delivery = team.run(episode())
    assert (delivery.sent, delivery.waiting, delivery.exit_code()) == (1, 1, 1)
    assert "connection refused" in delivery.undelivered[0]


def test_a_server_that_says_nothing_may_have_taken_it(team: Team, server: Server) -> None:
    team.environment[DESK] += "&rto=0.2"
    server.answers, server.slow = [0, 0], 0.6
    assert team.run(episode(), patience=2).waiting == 1
    assert team.ledger("select state, answer from messages") == [("unknown", "no answer in time")]
    assert team.run(episode(cleared_on=date(2026, 7, 6))).sent == 1  # so its end is told
    assert server.texts()[0].startswith("CLEARED")
    assert team.ledger("select may_be_repeat from messages order by 1") == [(0,), (1,)]


def test_what_was_told_before_is_still_known_after_an_answer_that_did_not_come(
    team: Team, server: Server
) -> None:
    team.environment[DESK] += "&rto=0.2"
    team.run(episode("warning"))
    server.answers, server.slow = [0], 0.4
    assert team.run(episode("critical"), patience=0).waiting == 1
    assert team.run(episode("warning")).sent == 0
    assert team.run(episode("critical")).sent == 1
    assert server.texts()[0].startswith("WORSE, NOW CRITICAL")


def test_an_attempt_that_may_have_arrived_is_in_the_record_of_the_one_that_did(
    team: Team, server: Server
) -> None:
    team.environment[DESK] += "&rto=0.2"
    server.answers, server.slow = [0], 0.4
    assert team.run(episode()).sent == 1
    assert team.ledger("select state, attempts, may_be_repeat from messages") == [("sent", 2, 1)]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.parametrize(
    ("heard", "state", "answer", "may_pass"),
    [
        ("Failed to send Slack: error=200.", "failed", "HTTP 200, but not accepted", False),
        ("Failed: Too many, error=429.", "failed", "HTTP 429", True),
        ("error=504.", "unknown", "HTTP 504", True),
        ("Socket Exception: (535, b'bad password')", "failed", "SMTP 535", False),
        ("SMTP recipient a was refused: 451 b'later'", "failed", "SMTP 451", True),
        ("Socket Exception: {'a': (550, b'no')}", "failed", "SMTP 550", False),
        ("/secret (Caused by NameResolutionError())", "failed", "no such host", True),
        ("ConnectTimeoutError('secret')", "failed", "no connection in time", True),
        ("Read timed out. secret", "unknown", "no answer in time", True),
        ("secret", "unknown", "not taken, without a reason", True),
    ],
)
def test_answers_in_words_of_our_own(heard: str, state: str, answer: str, may_pass: bool) -> None:
    outcome = read_answer(["Connecting", heard])
    assert (outcome.state, outcome.answer, outcome.may_pass) == (state, answer, may_pass)


# A run that dies


def test_a_run_that_dies_after_sending_is_repeated_once_and_says_so(
    team: Team, server: Server
) -> None:
    served(team.out, [episode()])
    died = run_in_process(team, server, kill=True)
    assert died == -signal.SIGKILL
    assert len(server.requests) == 1
    assert team.ledger("select state from messages") == [("sending",)]
    assert team.run(episode()).sent == 1
    assert "may be a repeat" in team.said[0]
    assert server.texts()[0].startswith("CRITICAL")
    assert team.ledger("select state, may_be_repeat from messages order by message_id") == [
        ("unknown", 0),
        ("sent", 1),
    ]
    assert team.run(episode()).sent == 0
    assert team.run(episode("catastrophic")).sent == 1
    assert team.ledger("select may_be_repeat from messages order by message_id")[-1] == (0,)


def test_what_cleared_after_a_run_that_died_is_ended(team: Team, server: Server) -> None:
    served(team.out, [episode()])
    assert run_in_process(team, server, kill=True) == -signal.SIGKILL
    assert team.run(episode(cleared_on=date(2026, 7, 6))).sent == 1
    assert server.texts()[0].startswith("CLEARED")


def test_a_run_that_dies_in_many_goes_on_with_the_rest(team: Team, server: Server) -> None:
    served(team.out, [episode(), *many(2)])
    assert run_in_process(team, server, kill=True) == -signal.SIGKILL
    assert team.run(episode(), *many(2)).sent == 3
    assert team.run(episode(), *many(2)).sent == 0


def run_in_process(team: Team, server: Server, kill: bool) -> int:
    """`kpi alert` in a process of its own; killed when the server has the first message."""
    server.requests.clear()
    command = [sys.executable, "-c", "from agent_kpis.cli import main; main()", "alert"]
    command += ["--out", str(team.out), "--config", str(team.config)]
    environment = {**os.environ, **team.environment, "COLUMNS": "200"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if kill:
        server.on_request = lambda: os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=120)
    server.on_request = lambda: None
    return process.returncode


# The ledger


def test_a_deleted_ledger_means_that_open_episodes_are_told_again(
    team: Team, server: Server
) -> None:
    team.run(episode(), *many(1))
    (team.out / "alerts.sqlite").unlink()
    assert team.run(episode(), *many(1)).sent == 2


@pytest.mark.parametrize("damage", [b"no database at all" * 100, None])
def test_a_damaged_ledger_is_moved_aside(team: Team, server: Server, damage: bytes | None) -> None:
    team.run(episode())
    file = team.out / "alerts.sqlite"
    content = file.read_bytes()
    file.write_bytes(damage or content[:4096] + b"\xff" * (len(content) - 4096))
    assert team.run(episode(), dry_run=True).printed == 1
    assert "alerts.sqlite is damaged" in team.said[0]
    assert file.exists()
    assert team.run(episode()).sent == 1
    assert "alerts.sqlite is damaged" in team.said[0]
    (aside,) = team.out.glob("alerts.sqlite.damaged-*")
    assert aside.name in team.said[0]
    assert team.run(episode()).sent == 0


def test_a_ledger_of_a_later_version_is_left_alone(team: Team) -> None:
    team.run(episode())
    team.ledger("pragma user_version = 9")
    with pytest.raises(Exception, match=r"alerts\.sqlite was written by a later version"):
        team.run(episode())


def test_a_folder_that_cannot_be_written_is_named(team: Team, tmp_path: Path) -> None:
    team.run(episode())
    team.out = tmp_path / "file"
    team.out.write_text("")
    database = tmp_path / "out" / "agent_kpis.duckdb"
    from agent_kpis.alerts import Sender
    from agent_kpis.errors import CannotRunError

    with pytest.raises(CannotRunError, match="cannot be written"):
        Sender(team.config, team.out, environment=team.environment).alerts(database)


def test_another_address_starts_afresh(team: Team, server: Server) -> None:
    team.run(episode())
    team.environment[DESK] = f"json://{server.host}/other"
    assert team.run(episode()).sent == 1


# What arrives


def test_names_arrive_in_slack_as_text(tmp_path: Path, server: Server) -> None:
    team = Team(tmp_path, server, **{DESK: SLACK})
    assert team.run(episode(agent_name=NASTY)).sent == 1
    (path, _, payload) = server.requests[0]
    assert path.startswith("/slack/T1JJ3T3L2/")
    text = json.dumps(payload, ensure_ascii=False)
    escaped = SHOWN.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    (attachment,) = payload["attachments"]
    assert f"\nAgent: {escaped}\n" in attachment["text"]
    assert escaped in attachment["title"]
    assert "<" not in text
    assert ">" not in text
    assert "@h" not in text
    assert "\u202e" not in text
    assert payload["mrkdwn"] is False
    assert "Difference: -10.5 points" in attachment["text"]
    assert REPORT in attachment["text"]


def test_names_arrive_in_pagerduty_as_text(pager: Team, server: Server) -> None:
    pager.run(episode(agent_name=NASTY))
    payload = server.payloads[0]["payload"]
    assert payload["summary"] == f"CRITICAL: CSAT low ({SHOWN}, all requests)"
    assert payload["custom_details"]["Agent"] == SHOWN


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.answers: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content, policy=default))
        return answer


@pytest.fixture
def mail(tmp_path: Path, server: Server) -> Iterator[tuple[Team, Mailbox]]:
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    address = f"mailto://127.0.0.1:{controller.port}/?to=lead@example.com&from=kpis@example.com"
    yield Team(tmp_path, server, **{DESK: address}), mailbox
    controller.stop()


def test_names_arrive_by_mail_as_text(mail: tuple[Team, Mailbox]) -> None:
    team, mailbox = mail
    assert team.run(episode(agent_name=NASTY)).sent == 1
    (found,) = mailbox.mails
    assert found["Subject"] == f"CRITICAL: CSAT low ({SHOWN}, all requests)"
    assert found["Bcc"] is None
    assert "lead@example.com" in found["To"]
    lines = found.get_body(("plain",)).get_content().splitlines()
    assert f"Agent: {SHOWN}" in lines
    assert f"Report: {REPORT}" in lines


def test_names_arrive_by_html_mail_as_text(mail: tuple[Team, Mailbox]) -> None:
    team, mailbox = mail
    team.environment[DESK] += "&format=html"
    team.run(episode(agent_name=NASTY))
    html = mailbox.mails[0].get_body(("html",)).get_content()
    assert "&lt;b&gt;x&lt;/b&gt;" in html
    assert "<b>" not in html
    assert "<!channel" not in html
    assert "Difference: -10.5 points" in html.replace("&nbsp;", " ")
    assert html.count("<br") >= 10


def test_mail_that_is_put_off_is_tried_again_mail_that_is_refused_is_not(
    mail: tuple[Team, Mailbox],
) -> None:
    team, mailbox = mail
    mailbox.answers = ["451 later"]
    assert team.run(episode()).sent == 1
    assert team.waits == [1]
    mailbox.answers = ["554 never"]
    delivery = team.run(episode("catastrophic"))
    assert delivery.waiting == 1
    assert team.waits == []
    assert "SMTP 554" in delivery.undelivered[0]
