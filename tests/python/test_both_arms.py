"""The same formulas serve both arms: swap who was assigned and who acted, and the values swap."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from warehouse import Replay

KPIS = {
    "task_completion_rate",
    "escalation_rate",
    "time_to_resolution",
    "cost_per_successful_outcome",
    "csat",
}
OPENED = datetime(2026, 4, 6, 10)
OTHER = {"ai": "human", "human": "ai"}


def history(seed: int) -> dict[str, list[dict[str, Any]]]:
    """Requests of both arms, each handled by its own kind until it is handed over."""
    rng = random.Random(seed)
    landing: dict[str, list[dict[str, Any]]] = {
        "interactions": [],
        "events": [],
        "surveys": [],
        "costs": [],
    }
    for number in range(200):
        key = f"i{number}"
        arm = rng.choice(["ai", "human"])
        opened_at = OPENED + timedelta(minutes=number)
        landing["interactions"].append(
            {
                "interaction_id": key,
                "opened_at": opened_at,
                "assigned_arm": arm,
                "task_type": "support_last",
                "channel": rng.choice(["email", "chat"]),
                "agent_name": "atlas",
            }
        )
        steps = [("message", arm), ("resolved", arm), ("reopened", "customer"), ("handed_off", arm)]
        moment = opened_at
        for position, (event_type, actor) in enumerate(steps):
            if rng.random() < (0.3 if event_type in ("reopened", "handed_off") else 0.9):
                moment += timedelta(minutes=rng.randint(1, 600))
                landing["events"].append(
                    {
                        "event_id": f"{key}-{position}",
                        "interaction_id": key,
                        "occurred_at": moment,
                        "event_type": event_type,
                        "actor_kind": actor,
                    }
                )
        # A reported amount, so that neither tokens nor working time is priced.
        landing["costs"].append(
            {
                "cost_id": key,
                "occurred_at": opened_at,
                "component": "human",
                "amount_usd": rng.randint(1, 500) / 100,
                "interaction_id": key,
            }
        )
        answered = rng.random() < 0.5
        landing["surveys"].append(
            {
                "survey_id": key,
                "interaction_id": key,
                "survey_kind": "post_interaction",
                "survey_source": "email_csat",
                "sent_at": opened_at + timedelta(hours=1),
                "responded_at": opened_at + timedelta(hours=5) if answered else None,
                "score": rng.randint(1, 5) if answered else None,
            }
        )
    return landing


def swapped(landing: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {
        **landing,
        "interactions": [
            {**row, "assigned_arm": OTHER[row["assigned_arm"]]} for row in landing["interactions"]
        ],
        "events": [
            {**row, "actor_kind": OTHER.get(row["actor_kind"], row["actor_kind"])}
            for row in landing["events"]
        ],
    }


def values(replay: Replay, landing: dict[str, list[dict[str, Any]]]) -> dict[str, dict]:
    replay.run(landing, OPENED + timedelta(days=30))
    found: dict[str, dict] = {"ai": {}, "human": {}}
    for arm, kpi, *measured in replay.rows(
        "select arm, kpi, value, lower_bound, upper_bound, n from agent_kpis.marts.kpi_scorecard "
        "where segment_type = 'all'"
    ):
        if kpi in KPIS:
            found[arm][kpi] = measured
    return found


def test_all_five_values_swap_with_the_arms(full_replay: Replay) -> None:
    landing = history(seed=11)
    as_they_are = values(full_replay, landing)
    the_other_way = values(full_replay, swapped(landing))
    assert set(as_they_are["ai"]) == KPIS
    assert as_they_are["ai"] != as_they_are["human"]
    assert the_other_way == {"ai": as_they_are["human"], "human": as_they_are["ai"]}
