"""What is told, to whom, and how often: over small databases, to a real web server."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from agent_kpis.alerts import Delivery, Sender
from agent_kpis.errors import CannotRunError
from alerting import DESK, REPORT, Server, Team, episode, many


def incidents(server: Server) -> list[tuple[str, str, str | None]]:
    """What PagerDuty got: action, key, severity."""
    return [
        (p["event_action"], p["dedup_key"], p.get("payload", {}).get("severity"))
        for p in server.payloads
    ]


# One message


def test_a_message_says_what_happened_and_against_what(team: Team, server: Server) -> None:
    delivery = team.run(episode())
    assert (delivery.sent, delivery.waiting, delivery.worst_level) == (1, 0, "critical")
    (text,) = server.texts()
    assert text.splitlines() == [
        "CRITICAL: CSAT low (atlas, all requests)",
        "Act now.",
        "Level: critical",
        "KPI: CSAT",
        "Agent: atlas",
        "Segment: all requests",
        "Value: 71.0 over 28 days, n 459",
        "Reference: 81.5",
        "Difference: -10.5 points; -7.2 points at the better end of its 95% interval",
        "Limits: warning -5.0 points, critical -10.0 points, catastrophic -20.0 points",
        "Compared with: requests before launch (pre_launch). Time-confounded: whatever else has "
        "changed since then is in the difference, too",
        "Smallest difference that would be seen: 5.5 points (4 times of 5)",
        "Who moved: the agent",
        "Open since: 2026-07-01, as known on 2026-07-04",
        f"Report: {REPORT}",
    ]
    assert server.payloads[0]["type"] == "failure"


def test_every_fact_has_its_line_where_it_holds(team: Team, server: Server) -> None:
    team.run(
        episode(
            "warning",
            kpi="escalation_rate",
            direction="high",
            segment_type="task_type",
            segment="refund_request",
            value=0.4127,
            reference_value=0.1321,
            delta=0.2806,
            judged_delta=20.77,
            judged_bound=18.36,
            minimum_detectable_effect=4.09,
            warning=5.0,
            critical=10.0,
            catastrophic=20.0,
            worst_level="catastrophic",
            worst_on=date(2026, 7, 2),
            comparison_type="holdout",
            cause="shared_shock",
            is_set_after_launch=True,
            top_reasons="capability_gap (239), policy_required (37)",
            top_task_types="refund_request (56)",
            note="possible_under_escalation",
        )
    )
    lines = server.texts()[0].splitlines()
    for line in (
        "WARNING: Escalation high (atlas, task type refund_request)",
        "Investigate.",
        "Level: warning, was catastrophic on 2026-07-02",
        "Value: 41.3% over 28 days, n 459",
        "Reference: 13.2%",
        "Difference: +28.1 pp, judged +20.8 pp (reasons that may raise an alarm); +18.4 pp at the "
        "better end of its 95% interval",
        "Limits: warning +5.0 pp, critical +10.0 pp, catastrophic +20.0 pp",
        "Compared with: people over the same days (holdout)",
        "Smallest difference that would be seen: 4.1 pp (4 times of 5)",
        "Who moved: everybody: people moved, too",
        "Limit set after launch: yes",
        "Top reasons: capability_gap (239), policy_required (37)",
        "Top task types: refund_request (56)",
    ):
        assert line in lines
    assert any(line.startswith("Note: possible under-escalation") for line in lines)
    assert "onfounded" not in "\n".join(lines)


def test_limits_of_a_value_and_in_per_cent(team: Team, server: Server) -> None:
    nothing = dict.fromkeys(
        ("reference_value", "delta", "judged_delta", "judged_bound", "minimum_detectable_effect")
    )
    team.run(
        episode(
            kpi="tool_success_rate",
            limit_unit="absolute",
            value=0.91,
            warning=0.95,
            critical=0.92,
            catastrophic=0.8,
            comparison_type=None,
            cause=None,
            **nothing,
        ),
        episode(
            episode_id="e2",
            kpi="time_to_resolution",
            direction="high",
            limit_unit="percent",
            value=11671.6,
            reference_value=2238.3,
            delta=9433.3,
            judged_delta=421.4,
            judged_bound=56.2,
            minimum_detectable_effect=228.1,
            warning=10.0,
            critical=20.0,
            catastrophic=40.0,
        ),
    )
    time, tools = server.texts()
    assert "Difference: +2.6 h, judged +421.4%; +56.2% at the better end" in time
    assert "Limits: warning +10.0%, critical +20.0%, catastrophic +40.0%" in time
    assert "would be seen: 228.1% (4 times of 5)" in time
    assert "Value: 91.0% over" in tools
    assert "Reference: none" in tools
    assert "Limits: warning 95.0%, critical 92.0%, catastrophic 80.0%" in tools
    assert "Who moved: cannot be told" in tools
    assert all(word not in tools for word in ("Difference", "Compared", "Smallest"))


def test_the_report_is_a_path_where_no_address_is_known(team: Team, server: Server) -> None:
    del team.environment["AGENT_KPIS_REPORT_URL"]
    team.run(episode())
    assert f"Report: {team.out.resolve() / 'report.html'}" in server.texts()[0]


# Once


def test_the_same_level_is_told_once(team: Team, server: Server) -> None:
    assert team.run(episode()).sent == 1
    again = team.run(episode(value=60.0, n_days=5))
    assert (again.sent, again.skipped, server.requests) == (0, 1, [])


def test_a_worse_level_is_told_a_better_one_is_not(team: Team, server: Server) -> None:
    team.run(episode("warning"))
    team.run(episode("critical"))
    assert server.texts()[0].startswith("WORSE, NOW CRITICAL: CSAT low")
    assert "Level: critical, was warning when it was last told" in server.texts()[0]
    assert team.run(episode("warning")).sent == 0
    assert team.run(episode("critical")).sent == 0
    assert team.run(episode("catastrophic")).sent == 1


def test_what_has_cleared_is_told_once(team: Team, server: Server) -> None:
    team.run(episode())
    over = episode(cleared_on=date(2026, 7, 5), value=80.0, delta=-1.5, judged_delta=-1.5)
    assert team.run(over).sent == 1
    (text,) = server.texts()
    assert text.startswith("CLEARED: CSAT low (atlas, all requests)\nWithin its limits again (ok).")
    assert "Value: 80.0" in text
    assert "Worst: critical on 2026-07-04, 69.0" in text
    assert "pre_launch" in text
    assert "Open: from 2026-07-01 to 2026-07-05, 4 days" in text
    assert server.payloads[0]["type"] == "success"
    assert team.run(over).sent == 0


def test_a_metric_that_fell_silent_is_no_all_clear(team: Team, server: Server) -> None:
    team.run(episode())
    team.run(episode(cleared_on=date(2026, 7, 5), cleared_as="no_data", value=None, delta=None))
    assert "No all-clear: nobody knows" in server.texts()[0]


def test_what_is_open_is_told_again_after_the_time_of_the_route(team: Team, server: Server) -> None:
    team.run(episode())
    assert team.run(episode(), hours=22).sent == 0
    assert team.run(episode("warning"), hours=2).sent == 1
    assert server.texts()[0].startswith("STILL WARNING: CSAT low")
    assert team.run(episode("warning"), hours=22).sent == 0  # counted from the last message
    assert team.run(episode("critical"), hours=1).sent == 1  # worse than last told
    assert server.texts()[0].startswith("WORSE, NOW CRITICAL")


def test_a_daily_run_that_starts_a_little_early_repeats_all_the_same(team: Team) -> None:
    team.run(episode())
    assert team.run(episode(), hours=23.9).sent == 1


def test_without_a_time_it_is_never_told_again(tmp_path: Path, server: Server) -> None:
    team = Team(tmp_path, server, ",warning,desk,lead,2026-01-01,,")
    team.run(episode())
    assert team.run(episode(), hours=24 * 365).sent == 0


def test_a_level_below_the_route_is_not_sent_and_so_has_no_end(
    tmp_path: Path, server: Server
) -> None:
    team = Team(tmp_path, server, ",critical,desk,lead,2026-01-01,24,5")
    assert team.run(episode("warning")).sent == 0
    assert team.run(episode("warning", cleared_on=date(2026, 7, 5))).sent == 0
    assert team.run(episode("critical", episode_id="e2")).sent == 1
    assert team.run(episode("warning", episode_id="e2"), hours=48).sent == 0
    assert team.run(episode("warning", episode_id="e2", cleared_on=date(2026, 7, 8))).sent == 1


def test_an_agent_of_another_team_is_not_sent(tmp_path: Path, server: Server) -> None:
    team = Team(tmp_path, server, "borea,warning,desk,lead,2026-01-01,24,5")
    assert team.run(episode(), episode(agent_name="borea", episode_id="e2")).sent == 1
    assert "borea" in server.texts()[0]


def test_a_first_run_tells_what_is_open_and_nothing_of_the_past(team: Team) -> None:
    past = [{**row, "cleared_on": date(2026, 6, 1)} for row in many(30)]
    assert team.run(*(episode(**_given(row)) for row in past)).sent == 0
    assert team.run(*(episode(**_given(row)) for row in past), episode()).sent == 1


def _given(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("episode_id", "segment_type", "segment", "cleared_on")}


def test_two_routes_of_one_address_are_one_reader(tmp_path: Path, server: Server) -> None:
    rows = (",warning,desk,lead,2026-01-01,24,5", ",critical,boss,lead,2026-01-01,24,5")
    address = f"json://{server.host}/desk"
    team = Team(
        tmp_path, server, *rows, AGENT_KPIS_ROUTE_DESK=address, AGENT_KPIS_ROUTE_BOSS=address
    )
    assert team.run(episode()).sent == 1
    team.environment["AGENT_KPIS_ROUTE_BOSS"] = f"json://{server.host}/boss"
    assert team.run(episode()).sent == 1
    assert server.requests[0][0] == "/boss"


def test_corrected_data_that_move_the_first_day_open_nothing(team: Team, server: Server) -> None:
    team.run(episode())
    moved = episode(episode_id="e1-moved", opened_on=date(2026, 6, 30))
    assert team.run(moved).sent == 0
    assert team.run(episode("catastrophic", episode_id="e1-moved")).sent == 1
    assert team.run(episode(episode_id="e1-moved", cleared_on=date(2026, 7, 6))).sent == 1
    assert team.ledger("select distinct dedup_key from told") == [("agent-kpis-e1",)]


def test_corrected_data_without_the_episode_end_it(team: Team, server: Server) -> None:
    team.run(episode())
    assert team.run().sent == 1
    assert "the data or the limits were corrected" in server.texts()[0]
    assert team.run().sent == 0


def test_corrected_data_that_take_back_an_end_open_it_again(team: Team, server: Server) -> None:
    team.run(episode())
    team.run(episode(cleared_on=date(2026, 7, 5)))
    assert team.run(episode("warning", cleared_on=None)).sent == 1
    assert server.texts()[0].startswith("WARNING: CSAT low")


def test_a_new_episode_of_the_same_metric_is_told_beside_the_end_of_the_old(
    team: Team, server: Server
) -> None:
    team.run(episode())
    over = episode(cleared_on=date(2026, 7, 3))
    assert team.run(over, episode("warning", episode_id="e2")).sent == 2
    assert [text.split(":")[0] for text in server.texts()] == ["WARNING", "CLEARED"]


# Many


def test_more_than_the_route_wants_become_one(team: Team, server: Server) -> None:
    rows = [*many(4, "catastrophic"), *many(1, "warning", kpi="escalation_rate"), episode()]
    rows[4]["episode_id"] = "other"
    delivery = team.run(*rows)
    assert (delivery.sent, delivery.skipped) == (1, 0)
    lines = server.texts()[0].splitlines()
    assert lines[:4] == [
        "CATASTROPHIC: 6 alerts of atlas",
        "6 open, the worst catastrophic. Consider taking the agent offline.",
        "- CRITICAL: CSAT low (atlas, all requests), 71.0 against 81.5 (-10.5 points, pre_launch), "
        "since 2026-07-01",
        "- CATASTROPHIC: CSAT low (atlas, task type type_0), 71.0 against 81.5 (-10.5 points, "
        "pre_launch), since 2026-07-01",
    ]
    assert lines[7].startswith("- WARNING: Escalation")
    assert any("Time-confounded" in line for line in lines)
    assert f"Report: {REPORT}" in lines
    assert team.run(*rows).sent == 0
    assert team.run(*rows[:5]).sent == 1  # one ends: a message of its own
    assert server.texts()[0].startswith("CLEARED: csat low (atlas, all requests)")


def test_as_many_as_the_route_wants_come_singly(team: Team, server: Server) -> None:
    assert team.run(*many(5)).sent == 5
    assert all("1 alerts" not in text for text in server.texts())


def test_a_long_list_names_the_rest(team: Team, server: Server) -> None:
    team.run(*many(25))
    assert "and 5 more: marts.alert_episodes" in server.texts()[0].splitlines()
    assert len(team.ledger("select * from told where is_open")) == 25


def test_many_ends_are_one_message(team: Team, server: Server) -> None:
    team.run(*many(6))
    assert team.run().sent == 1
    assert server.texts()[0].startswith("CLEARED: 6 alerts of atlas\n6 cleared.")


# PagerDuty


def test_an_incident_has_one_key_from_begin_to_end(pager: Team, server: Server) -> None:
    pager.run(episode("warning"))
    (payload,) = server.payloads
    assert incidents(server) == [("trigger", "agent-kpis-e1", "warning")]
    assert payload["payload"]["summary"] == "WARNING: CSAT low (atlas, all requests)"
    details = payload["payload"]["custom_details"]
    assert details["Difference"].startswith("-10.5 points")
    assert details["Compared with"].startswith("requests before launch (pre_launch)")
    assert details["Value"].startswith("71.0")
    assert details["Reference"] == "81.5"
    assert payload["links"] == [{"href": REPORT}]
    pager.run(episode("critical"))
    assert incidents(server) == [("trigger", "agent-kpis-e1", "error")]
    pager.run(episode("catastrophic"))
    assert incidents(server) == [("trigger", "agent-kpis-e1", "critical")]
    assert pager.run(episode("catastrophic")).sent == 0
    pager.run(episode("catastrophic", cleared_on=date(2026, 7, 6)))
    assert incidents(server) == [("resolve", "agent-kpis-e1", None)]


def test_what_is_more_than_the_route_wants_is_one_incident_that_ends_with_its_last(
    pager: Team, server: Server
) -> None:
    overall = [episode("warning"), episode("catastrophic", episode_id="e2", kpi="escalation_rate")]
    third = episode("critical", episode_id="e3", kpi="task_completion_rate")
    pager.run(*overall, third, *many(3))
    assert incidents(server) == [
        ("trigger", "agent-kpis-e2", "critical"),
        ("trigger", "agent-kpis-e3", "error"),
        ("trigger", "agent-kpis-more-e1", "error"),
    ]
    assert server.payloads[2]["payload"]["summary"] == "CRITICAL: 4 alerts of atlas"
    assert "task type type_2" in server.payloads[2]["payload"]["custom_details"]["Alerts"]
    assert pager.run(*overall, third, *many(3)).sent == 0
    assert pager.run(*overall, third, *many(2)).sent == 0  # one of its four has cleared
    assert pager.run(*overall, third, *many(2)).sent == 0
    worse = episode("catastrophic", **_segment("s1"))
    pager.run(*overall, third, many(1)[0], worse)
    assert incidents(server) == [("trigger", "agent-kpis-more-e1", "critical")]
    pager.run(third)
    assert incidents(server) == [
        ("resolve", "agent-kpis-e2", None),
        ("resolve", "agent-kpis-more-e1", None),
    ]
    assert pager.run(third).sent == 0
    assert pager.ledger("select count(*) from told where is_open") == [(1,)]


def _segment(name: str) -> dict[str, str]:
    return {"episode_id": name, "segment_type": "task_type", "segment": f"type_{name[1:]}"}


def test_a_shared_incident_is_as_bad_as_its_worst_is_now(pager: Team, server: Server) -> None:
    first, second, third = many(3, "warning")
    pager.run(episode("catastrophic", **_segment("s0")), second, third)
    assert incidents(server) == [("trigger", "agent-kpis-more-s0", "critical")]
    pager.run(first, episode("critical", **_segment("s1")), third)
    assert incidents(server) == [("trigger", "agent-kpis-more-s0", "error")]


def test_one_more_while_a_shared_incident_is_open_has_its_own(pager: Team, server: Server) -> None:
    pager.run(*many(3))
    assert incidents(server) == [("trigger", "agent-kpis-more-s0", "error")]
    pager.run(*many(4))
    assert incidents(server) == [("trigger", "agent-kpis-s3", "error")]
    pager.run(*many(10))  # six more at once join it
    assert incidents(server) == [("trigger", "agent-kpis-more-s0", "error")]
    pager.run(many(4)[3])
    assert incidents(server) == [("resolve", "agent-kpis-more-s0", None)]


def test_a_shared_incident_is_told_again_with_its_time(pager: Team, server: Server) -> None:
    pager.run(*many(3))
    pager.run(*many(3), hours=24)
    assert incidents(server) == [("trigger", "agent-kpis-more-s0", "error")]


# Blocked by data


def test_a_failed_check_is_told_once_and_its_end_once(team: Team, server: Server) -> None:
    summary = "rows_satisfy: fct_costs\n  cost_id c7, amount_usd -3\n" + "line\n" * 8
    assert team.blocked("dbt build", summary).sent == 1
    lines = server.texts()[0].splitlines()
    assert lines[:3] == [
        "KPI alerts are blocked: dbt build failed",
        "rows_satisfy: fct_costs",
        "cost_id c7, amount_usd -3",
    ]
    assert "and 5 lines more" in lines
    assert lines[-1].startswith("What to do: mend")
    assert server.payloads[0]["type"] == "failure"
    assert team.blocked("dbt build", "another row").sent == 0
    assert team.blocked("landing check").sent == 1
    assert server.texts()[0].startswith("KPI alerts are blocked: landing check failed")
    assert team.blocked("landing check", hours=24).sent == 1
    assert team.good().sent == 1
    assert server.texts()[0].startswith("KPI alerts are back: landing check passed")
    assert team.good().sent == 0
    assert team.blocked("landing check").sent == 1


def test_a_good_run_after_a_good_run_says_nothing(team: Team) -> None:
    assert team.good().sent == 0


def test_a_data_alert_needs_no_database_and_counts_as_critical(
    tmp_path: Path, server: Server
) -> None:
    rows = (",critical,desk,lead,2026-01-01,24,5", ",catastrophic,boss,lead,2026-01-01,24,5")
    addresses = {name: f"json://{server.host}/{name[-4:]}" for name in (DESK, DESK[:-4] + "BOSS")}
    team = Team(tmp_path, server, *rows, **addresses)
    assert team.blocked("landing check", "no file interactions").sent == 1
    assert server.requests[0][0] == "/DESK"
    assert not list(team.out.glob("*.duckdb"))
    assert team.good().sent == 1


def test_a_data_alert_is_an_incident(pager: Team, server: Server) -> None:
    pager.blocked("dbt build", "a test failed")
    assert incidents(server) == [("trigger", "agent-kpis-data", "error")]
    pager.good()
    assert incidents(server) == [("resolve", "agent-kpis-data", None)]


def test_a_data_alert_that_did_not_arrive_has_no_end(team: Team, server: Server) -> None:
    server.always = 500
    assert team.blocked("dbt build").waiting == 1
    server.always = 200
    assert team.good().sent == 0


# No address


def test_without_an_address_messages_are_printed_and_nothing_is_kept(
    team: Team, server: Server
) -> None:
    team.environment.pop(DESK)
    for _ in range(2):
        delivery = team.run(episode())
        assert (delivery.sent, delivery.printed, delivery.waiting) == (0, 1, 0)
        assert delivery.without_address == [DESK]
        assert "CRITICAL: CSAT low (atlas, all requests)\nAct now." in team.said[0]
        assert delivery.exit_code() == 0
        assert delivery.exit_code(strict=True) == 2
    assert not (team.out / "alerts.sqlite").exists()
    assert team.blocked("dbt build", "x").printed == 1
    assert team.good().printed == 0


def test_a_dry_run_prints_what_would_be_sent_now(team: Team, server: Server) -> None:
    assert team.run(episode(), dry_run=True).printed == 1
    assert not (team.out / "alerts.sqlite").exists()
    team.run(episode())
    before = (team.out / "alerts.sqlite").read_bytes()
    delivery = team.run(episode("catastrophic"), dry_run=True)
    assert delivery.printed == 1
    assert server.requests == []
    assert "WORSE, NOW CATASTROPHIC" in team.said[0]
    assert (team.out / "alerts.sqlite").read_bytes() == before
    assert team.run(episode("catastrophic")).sent == 1


def test_an_address_that_is_none_is_named_and_not_shown(tmp_path: Path, server: Server) -> None:
    rows = (",warning,desk,lead,2026-01-01,24,5", ",warning,boss,lead,2026-01-01,24,5")
    team = Team(
        tmp_path,
        server,
        *rows,
        AGENT_KPIS_ROUTE_DESK="slack://h0pe/this-is-secret",
        AGENT_KPIS_ROUTE_BOSS=f"json://{server.host}/boss",
    )
    delivery = team.run(episode())
    assert delivery.sent == 1
    assert delivery.exit_code("warning") == 2
    (mistake,) = delivery.mistakes
    assert DESK in mistake
    assert "h0pe" not in mistake
    assert "secret" not in mistake


def test_routes_that_have_not_begun_are_said(tmp_path: Path, server: Server) -> None:
    team = Team(tmp_path, server, ",warning,desk,lead,2027-01-01,24,5")
    assert team.run(episode()).sent == 0
    assert "Nobody is told" in team.said[0]


def test_a_database_of_another_version_is_named(team: Team, tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect(str(tmp_path / "old.duckdb")) as con:
        con.execute("create schema marts")
    with pytest.raises(CannotRunError, match=r"old\.duckdb"):
        Sender(team.config, team.out).alerts(tmp_path / "old.duckdb")


@pytest.mark.parametrize(
    ("level", "asked", "code"),
    [
        ("warning", "warning", 11),
        ("critical", "warning", 12),
        ("catastrophic", "warning", 13),
        ("warning", "critical", 0),
        ("catastrophic", "critical", 13),
        ("catastrophic", None, 0),
        (None, "warning", 0),
    ],
)
def test_exit_codes(level: str | None, asked: str | None, code: int) -> None:
    assert Delivery(worst_level=level).exit_code(asked) == code
    assert Delivery(worst_level=level, waiting=1).exit_code(asked) == 1
    assert Delivery(worst_level=level, waiting=1, mistakes=["x"]).exit_code(asked) == 2


def test_the_worst_level_is_of_what_is_open(team: Team) -> None:
    over = episode("catastrophic", episode_id="e0", cleared_on=date(2026, 7, 3))
    assert team.run(over, episode("warning")).worst_level == "warning"
    assert team.run(over).worst_level is None


def test_nothing_secret_is_kept_or_said(pager: Team, server: Server) -> None:
    server.answers = [500, 403]
    pager.run(episode())
    pager.run(episode(), dry_run=True)
    kept = (pager.out / "alerts.sqlite").read_bytes()
    said = "\n".join(pager.said) + json.dumps(pager.ledger("select * from messages"))
    for secret in (b"r0utingkeysecret", b"ap1keysecret", b"pagerduty://"):
        assert secret not in kept
        assert secret.decode() not in said
