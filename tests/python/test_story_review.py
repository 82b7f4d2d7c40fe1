"""The story's weekly review: what it says of the weeks in which the tools were broken."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from warehouse import Build, Replay

WEEK = timedelta(days=7)
PAGED = ("warning", "critical", "catastrophic")
BROKEN = [date(2026, 4, 27) + WEEK * number for number in range(4)]
TOOLS = {
    "account_access": "customer_record",
    "booking_change": "booking_api",
    "order_status": "order_lookup",
    "refund_request": "refund_api",
}


def review(build: Build | Replay, week: date, kpi: str, columns: str) -> tuple[Any, ...]:
    (row,) = build.rows(
        f"select {columns} from marts.weekly_review "
        f"where week_start = '{week}' and kpi = '{kpi}' and agent_name = 'atlas'"
    )
    return row


def test_the_list_of_question_one_is_the_alerts_of_the_week(story: Build) -> None:
    """Counted day by day from the flags, not from the episodes."""
    flagged: dict[tuple[date, str], set[tuple[Any, ...]]] = {}
    for day, kpi, *place in story.rows(
        "select evaluation_date, kpi, segment_type, segment, direction from marts.threshold_flags "
        f"where level in {PAGED}"
    ):
        week = day - timedelta(days=day.weekday())
        flagged.setdefault((week, kpi), set()).add(tuple(place))
    found = {
        (week, kpi): (n_overall, is_within)
        for week, kpi, n_overall, is_within in story.rows(
            "select week_start, kpi, n_alerts_overall, is_within_thresholds "
            "from marts.weekly_review"
        )
    }
    assert set(flagged) <= set(found)
    for key, (n_overall, is_within) in found.items():
        overall = [place for place in flagged.get(key, ()) if place[0] == "all"]
        assert (is_within is False) == bool(overall), key
        # A side may be warned about twice in a week.
        assert n_overall >= len(overall), key
    assert {is_within for _, is_within in found.values()} == {True, False, None}

    episodes = story.rows("select kpi, opened_on, cleared_on from marts.alert_episodes")
    for week, last_day, kpi, n_alerts, n_new in story.rows(
        "select week_start, last_day, kpi, n_alerts, n_new_alerts from marts.weekly_review"
    ):
        days = {week + timedelta(days=number) for number in range((last_day - week).days + 1)}
        mine = [
            (opened, cleared)
            for name, opened, cleared in episodes
            if name == kpi
            and any(opened <= day and (cleared is None or day < cleared) for day in days)
        ]
        assert n_alerts == len(mine), (week, kpi)
        assert n_new == sum(opened in days for opened, _ in mine), (week, kpi)
    assert len(episodes) == story.value("select sum(n_new_alerts) from marts.weekly_review")


def test_every_week_since_launch_has_its_five_kpis(story: Build, truth: dict[str, Any]) -> None:
    weeks = story.rows(
        "select week_start, count(*) filter (role in ('primary', 'kpi')), any_value(last_day), "
        "any_value(is_complete), any_value(worst_task_types) "
        "from marts.weekly_review group by 1 order by 1"
    )
    launch = date.fromisoformat(truth["days"]["launch"])
    assert [week[0] for week in weeks] == [launch + WEEK * number for number in range(len(weeks))]
    assert {week[1] for week in weeks} == {5}
    # The worst type is always there; the last day of the data is not over.
    assert all(week[4] for week in weeks)
    assert [week[3] for week in weeks] == [True] * (len(weeks) - 1) + [False]
    assert weeks[-1][2] == datetime.fromisoformat(truth["watermark"]).date() - timedelta(days=1)
    assert weeks[-1][2] == story.value("select max(evaluation_date) from marts.threshold_flags")


@pytest.mark.parametrize("week", BROKEN[1:3])
def test_the_review_names_the_tools_and_what_they_cost(story: Build, week: date) -> None:
    diagnosis, worst, release = review(
        story, week, "task_completion_rate", "diagnosis, worst_task_types, last_release"
    )
    assert diagnosis.startswith("tool_call_accuracy (critical), context_recall (ok)")
    assert release == "1.2.0"
    names = [step.split(" ")[0] for step in worst.split(", ")]
    assert names[:2] == ["order_status", "booking_change"]
    (is_within,) = review(story, week, "tool_call_accuracy", "is_within_thresholds")
    assert is_within is False
    (is_within,) = review(story, week, "p95_latency_ms", "is_within_thresholds")
    assert is_within is True


def test_what_moved_first_stands_in_the_week_of_the_movement(
    story: Build, truth: dict[str, Any]
) -> None:
    fell = date.fromisoformat(truth["days"]["completion_falls_from"])
    weeks = story.rows(
        "select week_start, moved_on, moved_direction, first_mover from marts.weekly_review "
        "where kpi = 'task_completion_rate' and moved_on is not null order by 1"
    )
    assert len(weeks) == 2
    for week, moved_on, _, _ in weeks:
        assert week <= moved_on < week + WEEK
    assert abs(weeks[0][1] - fell) <= timedelta(days=2)
    assert weeks[0][2:] == ("worse", "tool_call_accuracy")
    assert weeks[1][2] == "better"


def test_the_broken_tool_stands_out_when_it_breaks(story: Build) -> None:
    """Good and bad requests alike call it wrongly: it is the change that shows, not the sides."""
    for week in BROKEN:
        for task_type, tool in TOOLS.items():
            rows = story.rows(
                "select value, value_before, rank_by_change from marts.failing_and_passing "
                f"where week_start = '{week}' and task_type = '{task_type}' "
                f"and trait_group = 'tool_accuracy' and trait = '{tool}'"
            )
            for value, before, rank in rows:
                assert value < before - (0.1 if week <= BROKEN[1] else 0.05), (week, task_type)
                # Before it, the same scores under their indicator, and the price of the model.
                assert rank <= (2 if week == BROKEN[0] else 8), (week, task_type)
    first = story.rows(
        "select task_type, trait_group, trait from marts.failing_and_passing "
        f"where week_start = '{BROKEN[0]}' and rank_by_change = 1"
    )
    assert len(first) == 3
    assert {row[1:] for row in first} == {("score", "tool_call_accuracy")}
    calm = story.value(
        "select min(rank_by_change) from marts.failing_and_passing where trait_group = "
        f"'tool_accuracy' and task_type = 'order_status' and week_start = '{BROKEN[0] - 2 * WEEK}'"
    )
    assert calm > 3


def test_lost_completions_are_those_of_the_requests_that_matured_in_the_week(story: Build) -> None:
    """Counted from the facts: the agent's share that week, and people's as known at launch."""
    launch = datetime(2026, 2, 16)
    requests = story.rows(
        "select task_type, arm, opened_at, matures_at, is_completed, tier "
        "from facts.fct_interactions where outcome not in ('excluded', 'pending')"
    )

    def share(task_type: str, arm: str, keeps: Any) -> tuple[int, float]:
        chosen = [r[4] for r in requests if r[0] == task_type and r[1] == arm and keeps(r)]
        return len(chosen), sum(chosen) / len(chosen)

    week = datetime(2026, 5, 4)
    found = story.rows(
        "select task_type, n_mature, task_completion_rate, reference_rate, lost_completions, "
        "rank_by_lost_completions from marts.weekly_task_types "
        f"where week_start = '{week.date()}' order by 6"
    )
    assert len(found) == 5
    for task_type, n, rate, reference, lost, _ in found:
        n_expected, expected = share(
            task_type, "ai", lambda r: week <= r[3] < week + WEEK and r[2] >= launch
        )
        assert (n, rate) == (n_expected, pytest.approx(expected))
        _, people = share(
            task_type,
            "human",
            lambda r: datetime(2026, 1, 5) <= r[2] and r[3] <= launch and r[5] == "tier_1",
        )
        assert reference == pytest.approx(people, abs=0.005)  # some were corrected after launch
        assert lost == pytest.approx(max(0, (reference - rate) * n))
    assert [row[4] for row in found] == sorted((row[4] for row in found), reverse=True)
    assert [row[5] for row in found] == [1, 2, 3, 4, 5]


def test_failing_and_passing_count_the_requests_of_the_week(story: Build) -> None:
    week, task_type = date(2026, 5, 4), "order_status"
    members = (
        "select interaction_id, is_completed from facts.fct_interactions where arm = 'ai' "
        f"and task_type = '{task_type}' and is_completed is not null "
        f"and opened_at >= '2026-02-16' and matures_at >= '{week}' and matures_at < '{week + WEEK}'"
    )
    requests = dict(story.rows(members))
    calls: dict[str, int] = {}
    callers: dict[str, set[str]] = {}
    for key, operation, name, n in story.rows(
        "select interaction_id, operation, name, count(*) from facts.fct_spans "
        f"where interaction_id in (select interaction_id from ({members})) "
        f"and started_at < '{week + WEEK}' group by 1, 2, 3"
    ):
        calls[key] = calls.get(key, 0) + (n if operation == "tool" else 0)
        if operation == "tool":
            callers.setdefault(name, set()).add(key)
    found = {
        (group, trait): row
        for group, trait, *row in story.rows(
            "select trait_group, trait, n_passing, n_failing, n_known_passing, n_known_failing, "
            "passing, failing from marts.failing_and_passing "
            f"where week_start = '{week}' and task_type = '{task_type}'"
        )
    }
    sides = [[key for key, done in requests.items() if done is side] for side in (True, False)]
    for side, keys in enumerate(sides):
        traced = [key for key in keys if key in calls]
        for row in found.values():
            assert row[side] == len(keys)
        assert found["request", "tool_calls"][2 + side] == len(traced)
        assert found["request", "tool_calls"][4 + side] == pytest.approx(
            sum(calls[key] for key in traced) / len(traced)
        )
        for tool, names in callers.items():
            assert found["tool_use", tool][4 + side] == pytest.approx(
                len(names.intersection(keys)) / len(traced)
            )
    handed_over = [row for (group, _), row in found.items() if group == "hand_off"]
    assert sum(row[5] for row in handed_over) > 0.4
    assert {row[4] for row in handed_over} == {0}


def test_a_review_with_a_decision_did_not_only_report(story: Build) -> None:
    """Of the week of 4 May there is one, but nobody could ever say that it failed."""
    decided = {
        week: kinds
        for week, *kinds in story.rows(
            "select week_start, any_value(next_change_type), any_value(next_change_kpi) "
            "from marts.weekly_review where not report_only group by 1"
        )
    }
    assert decided == {
        date(2026, 3, 9): ["prompt", "task_completion_rate"],
        date(2026, 4, 13): ["tool", "task_completion_rate"],
        date(2026, 5, 11): ["tool", "task_completion_rate"],
        date(2026, 6, 15): ["prompt", "escalation_rate"],
    }
    looked = review(story, date(2026, 5, 4), "csat", "report_only, next_change_summary")
    assert looked[0] is True
    assert "order service" in looked[1]
    # What was decided on 18 May came with release 1.3.0.
    assert review(story, date(2026, 5, 18), "csat", "last_release, released_in_week") == (
        "1.3.0",
        True,
    )
    assert (
        story.rows(
            "select week_start from marts.weekly_review group by 1 "
            "having count(distinct report_only) > 1 or count(distinct worst_task_types) > 1"
        )
        == []
    )


def test_a_past_week_says_what_was_known_by_its_end(story: Build, story_replay: Replay) -> None:
    sqls = [
        "select week_start, kpi, level, worst_level, is_within_thresholds, n_alerts, n_new_alerts, "
        "is_drifting, cause, worst_task_types, last_release, released_in_week "
        "from marts.weekly_review where role in ('primary', 'kpi') and week_start <= '2026-05-11'",
        "select week_start, task_type, n_mature, n_completed, rank_by_lost_completions "
        "from marts.weekly_task_types where week_start <= '2026-05-11'",
        "select week_start, task_type, trait_group, trait, n_passing, n_known_passing, "
        "n_known_failing, passing, failing, n_known_before "
        "from marts.failing_and_passing where trait_group != 'score' "
        "and week_start <= '2026-05-11'",
    ]
    now = [story.rows(f"{sql} order by all") for sql in sqls]
    story_replay.run(None, datetime(2026, 5, 18))
    for sql, rows in zip(sqls, now, strict=True):
        then = story_replay.rows(f"{sql} order by all")
        assert len(then) == len(rows)
        for one, other in zip(then, rows, strict=True):
            for value, known in zip(one, other, strict=True):
                # The last digits of sums differ from run to run.
                is_number = isinstance(value, float) and known is not None
                assert value == (pytest.approx(known, rel=1e-9) if is_number else known), one
    # Of the last week what was decided in its review counts from that moment on.
    assert review(story_replay, date(2026, 5, 11), "csat", "is_complete, report_only") == (
        True,
        False,
    )
    story_replay.run(None, datetime(2026, 5, 17, 23))
    assert review(
        story_replay, date(2026, 5, 11), "csat", "is_complete, report_only, last_day"
    ) == (
        False,
        True,
        date(2026, 5, 16),
    )


@pytest.mark.parametrize(
    ("week", "version", "verdict"),
    [
        (date(2026, 3, 2), "1.0.0", None),
        (date(2026, 5, 4), "1.2.0", "moved_against"),
        (date(2026, 6, 1), "1.3.0", "moved_as_expected"),
    ],
)
def test_a_week_knows_whether_its_release_helped(
    story: Build, week: date, version: str, verdict: str | None
) -> None:
    columns = "last_release, release_verdict, release_is_decided, release_effect"
    found = review(story, week, "task_completion_rate", columns)
    assert found[:3] == (version, verdict, True if verdict else None)
    if verdict:
        assert abs(found[3]) > 0.1
