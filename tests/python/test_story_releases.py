"""The story's releases: which of them helped, although everybody had a bad week in April."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from agent_kpis.story import plot
from warehouse import Build, Replay

COMPLETION = "select * from marts.release_effects where kpi = 'task_completion_rate'"


@pytest.fixture(scope="module")
def effects(story: Build) -> dict[str, dict[str, Any]]:
    columns = [name for (name,) in story.rows(f"select column_name from (describe {COMPLETION})")]
    return {
        row[columns.index("agent_version")]: dict(zip(columns, row, strict=True))
        for row in story.rows(COMPLETION)
    }


def test_planted_effects_are_found(effects: dict, truth: dict[str, Any]) -> None:
    planted = {
        row["agent_version"]: row["planted_effect_on_completion"] for row in truth["releases"]
    }
    assert effects.keys() == planted.keys() - {"1.0.0"}, "the launch is compared with people"
    for version, found in effects.items():
        assert found["comparison_type"] == "holdout"
        assert found["lower_bound"] < planted[version] < found["upper_bound"]
        assert found["is_decided"]
        assert found["is_target"]
    assert effects["1.1.0"]["verdict"] in ("no_effect", "not_sensitive_enough")
    assert effects["1.2.0"]["verdict"] == "moved_against"
    assert effects["1.3.0"]["verdict"] == "moved_as_expected"


def test_windows_hold_one_release(effects: dict) -> None:
    released = [datetime.combine(row["released_at"], datetime.min.time()) for row in plot.RELEASES]
    for found in effects.values():
        assert found["before_to"] == found["released_at"] == found["after_from"]
        assert found["released_at"] - found["before_from"] == timedelta(days=28)
        assert found["after_to"] == found["decide_by"]
        assert [at for at in released if found["before_from"] < at < found["after_to"]] == [
            found["released_at"]
        ]


def test_effects_are_what_the_requests_say(story: Build, effects: dict) -> None:
    """The definition, from the facts."""
    for version, found in effects.items():
        cells = story.rows(
            f"""
            select task_type,
                opened_at >= timestamp '{found["released_at"]}' as is_after,
                count(*) filter (arm = 'ai'), count(*) filter (arm = 'human'),
                avg(is_completed::int) filter (arm = 'ai'),
                avg(is_completed::int) filter (arm = 'human')
            from facts.fct_interactions
            where assignment_kind = 'randomised' and outcome not in ('excluded', 'pending')
                and opened_at >= timestamp '{found["before_from"]}'
                and opened_at < timestamp '{found["after_to"]}'
            group by all order by all
            """
        )
        total = sum(row[2] for row in cells)
        assert found["n_ai_before"] + found["n_ai_after"] == total
        by_task: dict[str, list[tuple]] = {}
        for row in cells:
            by_task.setdefault(row[0], []).append(row)
        effect = sum(
            (before[2] + after[2]) / total * ((after[4] - before[4]) - (after[5] - before[5]))
            for before, after in by_task.values()
        )
        assert found["effect"] == pytest.approx(effect), version


def test_a_change_of_words_moves_nothing_else(story: Build) -> None:
    verdicts = {
        row[0]
        for row in story.rows(
            "select verdict from marts.release_effects where agent_version = '1.1.0'"
        )
    }
    assert not any(verdict.startswith("moved") for verdict in verdicts)


def test_the_break_shows_in_time_and_cost_and_its_mending_too(story: Build) -> None:
    verdicts = {
        (version, kpi): verdict
        for version, kpi, verdict in story.rows(
            "select agent_version, kpi, verdict from marts.release_effects where not is_target"
        )
    }
    assert verdicts["1.2.0", "cost_per_successful_outcome"] == "moved_against"
    assert verdicts["1.3.0", "cost_per_successful_outcome"] == "moved_as_expected"
    assert verdicts["1.2.0", "time_to_resolution"] == "moved_against"
    assert len(verdicts) == 3 * 4


def test_a_release_is_judged_with_what_was_known(
    story_replay: Replay, effects: dict, truth: dict[str, Any]
) -> None:
    """A week after 1.3.0 its verdict is provisional, and 1.2.0's is what it was to remain."""
    story_replay.run(None, datetime(2026, 5, 28))
    known = {row["agent_version"]: row for row in story_replay.records(COMPLETION)}
    assert known.keys() == effects.keys()
    early = known["1.3.0"]
    assert early["after_to"] == datetime(2026, 5, 28)
    assert not early["is_decided"]
    assert early["n_pending"] > 0
    assert early["n_holdout_after"] < 100
    assert known["1.2.0"]["is_decided"]
    assert known["1.2.0"]["effect"] == effects["1.2.0"]["effect"]
    story_replay.run(None, datetime(2026, 5, 20))
    assert {row["agent_version"] for row in story_replay.records(COMPLETION)} == {"1.1.0", "1.2.0"}
