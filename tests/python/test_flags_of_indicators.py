"""Early signals against limits: whose scores raise an alarm, and in which part."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenarios import LAUNCH, World, configuration, scope, spread
from test_leading_indicators import default_indicators
from warehouse import LAYERS, Build, Replay

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FLAGGED = ("warning", "critical", "catastrophic")
AGENTS = ["turns", "silent", "helped", "tracked", "shuffled", "young"]
DATED = {"owner": "team", "effective_from": datetime(2026, 1, 1)}
DAYS = 30


def limit(kpi: str, direction: str, *levels: float) -> dict[str, Any]:
    names = ("warning", "critical", "catastrophic")
    row = {"threshold_profile": "default", "kpi": kpi, "direction": direction, "unit": "absolute"}
    return row | dict(zip(names, levels, strict=True)) | {"sustained_periods": 2} | DATED


@pytest.fixture(scope="module")
def models(history_build: tuple[Build, Path]) -> Replay:
    world = World()
    forgetful(world)
    fallbacks(world)
    judged(world)
    models = Replay(*history_build, layers=LAYERS, with_python=True)
    settings = configuration(*[scope(name, agent_name=name) for name in AGENTS])
    settings["thresholds"] = [
        limit("context_recall", "low", 0.85, 0.75, 0.60),
        limit("silent_failure_rate", "high", 0.10, 0.20, 0.30),
        limit("response_quality", "low", 0.60, 0.40, 0.20),
    ]
    for name, rows in settings.items():
        models.configure(name, rows)
    models.configure("leading_indicators", default_indicators())
    models.run(world.landing, LAUNCH + DAYS * DAY)
    return models


def forgetful(world: World) -> None:
    """From the third week on what was said seven turns ago is lost; all in all little changes."""
    for opened_at in spread(LAUNCH, DAYS - 1, 20 * (DAYS - 1)):
        late = opened_at >= LAUNCH + 14 * DAY
        key = world.request(opened_at, "ai", task_type="turns")
        for turn in range(9):
            value = 0.70 if late and turn >= 7 else 0.98
            world.score(opened_at, "context_recall", value, key=key, turn=turn)


def fallbacks(world: World) -> None:
    """Nobody helps 12% of one agent's customers, or hands them over; of the other's 6%."""
    for agent, lost in (("silent", 12), ("helped", 6)):
        for number, opened_at in enumerate(spread(LAUNCH, 8, 500 * 8)):
            minutes = None if number % 100 < lost else 10
            world.request(opened_at, "ai", task_type=agent, minutes=minutes)


def judged(world: World) -> None:
    """Half of the customers are not pleased: one judge knows which, one guesses, one is new."""
    rng = np.random.default_rng(5)
    for number, opened_at in enumerate(spread(LAUNCH, DAYS - 2, 400)):
        pleased = bool(number % 2)
        for agent, verdict, version in (
            ("tracked", pleased, "tracks"),
            ("shuffled", bool(rng.random() < 0.5), "guesses"),
        ):
            score = 100 if pleased else 0
            key = world.request(opened_at, "ai", task_type=agent, score=score)
            judge = ("judge", version)
            world.score(opened_at, "response_quality", 0.1 * verdict, key=key, judge=judge)
        score = 100 if pleased else 0
        is_answered = number % 10 == 0
        key = world.request(
            opened_at, "ai", task_type="young", score=score if is_answered else None
        )
        world.score(opened_at, "response_quality", 0.1, key=key, judge=("judge", "new"))


def segments(models: Replay, agent: str, kpi: str) -> dict[tuple[str, str], set[str]]:
    """The levels that were told, by segment."""
    found: dict[tuple[str, str], set[str]] = {}
    for segment_type, segment, level in models.rows(
        "select distinct segment_type, segment, level from marts.threshold_flags "
        f"where agent_name = '{agent}' and kpi = '{kpi}'"
    ):
        found.setdefault((segment_type, segment), set()).add(level)
    return found


def test_the_flag_names_the_turns_that_lose_the_thread(models: Replay) -> None:
    found = segments(models, "turns", "context_recall")
    buckets = {("turn_bucket", name) for name in ("1-3", "4-7", "8+")}
    assert buckets | {("all", "all")} <= set(found)
    flagged = {segment for segment, levels in found.items() if levels & set(FLAGGED)}
    assert flagged == {("turn_bucket", "8+")}
    episode = models.record(
        "select * from marts.alert_episodes where agent_name = 'turns' and kpi = 'context_recall'"
    )
    assert (episode["segment"], episode["worst_level"]) == ("8+", "critical")
    fell = (LAUNCH + 14 * DAY).date()
    # Its second day below the limit is the third one at the latest.
    assert fell < episode["opened_on"] <= fell + timedelta(days=7)
    assert episode["is_open"]


def test_failing_in_silence_is_flagged_and_a_few_failures_are_not(models: Replay) -> None:
    silent = segments(models, "silent", "silent_failure_rate")["all", "all"]
    assert "warning" in silent
    assert not silent & {"critical", "catastrophic"}
    assert not segments(models, "helped", "silent_failure_rate")["all", "all"] & set(FLAGGED)
    last = models.record(
        "select value, level, action from marts.threshold_flags where agent_name = 'silent' and "
        f"segment_type = 'all' and evaluation_date = '{(LAUNCH + 11 * DAY).date()}' "
        "and kpi = 'silent_failure_rate'"
    )
    assert last == {
        "value": pytest.approx(0.12),
        "level": "warning",
        "action": "investigate",
    }


def test_only_a_judge_that_tracks_what_customers_say_raises_an_alarm(models: Replay) -> None:
    status = dict(
        models.rows("select evaluator_version, status from marts.judge_calibration order by 1")
    )
    assert status == {
        "tracks": "calibrated",
        "guesses": "not_calibrated",
        "new": "insufficient_data",
    }
    assert "catastrophic" in segments(models, "tracked", "response_quality")["all", "all"]
    for agent in ("shuffled", "young"):
        levels = {
            level for told in segments(models, agent, "response_quality").values() for level in told
        }
        assert levels <= {"no_data"}, agent
        # It is on the panel all the same.
        shown = models.rows(
            "select count(response_quality) from marts.leading_indicators "
            f"where agent_name = '{agent}' and segment_type = 'all'"
        )
        assert shown[0][0] >= DAYS - 3
