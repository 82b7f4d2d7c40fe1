"""Small worlds with known numbers: requests of one agent and of people, day by day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

LAUNCH = datetime(2026, 2, 16)
BASELINE_FROM = datetime(2026, 1, 5)
Rows = dict[str, list[dict[str, Any]]]


def scope(task_type: str, **terms: Any) -> dict[str, Any]:
    """A row of agent_scopes; without terms there is neither a baseline nor a holdout."""
    return {
        "agent_name": "atlas",
        "task_type": task_type,
        "launched_at": LAUNCH,
        "owner": "team",
        "effective_from": BASELINE_FROM,
    } | terms


def configuration(*scopes: dict[str, Any]) -> Rows:
    """Everything that the scopes need: task types of 72 h + 24 h, email, scores from 0 to 100."""
    dated = {"owner": "team", "effective_from": datetime(2026, 1, 1)}
    return {
        "agent_scopes": list(scopes),
        "task_types": [
            {
                "task_type": task_type,
                "definition": "resolved_not_reopened",
                "resolve_within_hours": 72,
                "reopen_window_hours": 24,
                "reopen_rule": "any",
                "threshold_profile": "default",
            }
            | dated
            for task_type in sorted({row["task_type"] for row in scopes})
        ],
        "channels": [{"channel": "email", "kind": "async"} | dated],
        "survey_scales": [{"survey_source": "points", "scale_min": 0, "scale_max": 100} | dated],
        "thresholds": [
            {
                "threshold_profile": "default",
                "kpi": kpi,
                "direction": direction,
                "unit": unit,
                "warning": 5,
                "critical": 10,
                "catastrophic": 20,
                "sustained_periods": 2,
            }
            | dated
            for kpi, direction, unit in [
                ("task_completion_rate", "low", "pp"),
                ("escalation_rate", "high", "pp"),
                ("time_to_resolution", "high", "percent"),
                ("csat", "low", "pp"),
            ]
        ],
    }


class World:
    """Landing rows, one request at a time."""

    def __init__(self) -> None:
        self.landing: Rows = defaultdict(list)

    def request(
        self,
        opened_at: datetime,
        arm: str,
        *,
        task_type: str = "refund",
        kind: str = "randomised",
        minutes: float | None = 10,
        reopened: bool = False,
        handed_off: bool = False,
        reason: str | None = None,
        tier: str = "tier_1",
        customer: str | None = None,
        score: float | None = None,
        answered_after: timedelta = timedelta(days=1),
    ) -> str:
        """Opened, resolved after `minutes` (None: never); its survey is answered where scored."""
        key = f"i{len(self.landing['interactions'])}"
        self.landing["interactions"].append(
            {
                "interaction_id": key,
                "opened_at": opened_at,
                "assigned_arm": arm,
                "assignment_kind": kind,
                "task_type": task_type,
                "channel": "email",
                "tier": tier,
                "customer_id": customer,
            }
        )
        resolver = arm
        if handed_off:
            resolver = "human"
            self.event(key, opened_at + timedelta(minutes=1), "handed_off", arm, reason)
        if minutes is not None:
            resolved_at = opened_at + timedelta(minutes=minutes)
            self.event(key, resolved_at, "resolved", resolver)
            if reopened:
                self.event(key, resolved_at + timedelta(hours=1), "reopened", "customer")
        if score is not None:
            self.landing["surveys"].append(
                {
                    "survey_id": key,
                    "interaction_id": key,
                    "survey_kind": "post_interaction",
                    "survey_source": "points",
                    "sent_at": opened_at + timedelta(minutes=1),
                    "responded_at": opened_at + answered_after,
                    "score": score,
                }
            )
        return key

    def event(
        self,
        key: str,
        occurred_at: datetime,
        event_type: str,
        actor: str,
        reason: str | None = None,
    ) -> None:
        self.landing["events"].append(
            {
                "event_id": f"e{len(self.landing['events'])}",
                "interaction_id": key,
                "occurred_at": occurred_at,
                "event_type": event_type,
                "actor_kind": actor,
                "reason": reason,
            }
        )

    def tool_call(
        self, started_at: datetime, key: str | None, name: str, *, error: str | None = None
    ) -> str:
        """A call of a tool, of a request or (key None) of atlas alone."""
        span = f"s{len(self.landing['spans'])}"
        self.landing["spans"].append(
            {
                "span_id": span,
                "interaction_id": key,
                "agent_name": None if key else "atlas",
                "started_at": started_at,
                "operation": "tool",
                "name": name,
                "error_type": error,
            }
        )
        return span

    def score(
        self,
        evaluated_at: datetime,
        indicator: str,
        value: float,
        *,
        key: str | None = None,
        span: str | None = None,
        judge: tuple[str, str] | None = None,
        turn: int | None = None,
    ) -> None:
        """A score of a request or a step, by a judge (name, version) or by code."""
        name, version = judge or ("checker", "1")
        self.landing["evaluations"].append(
            {
                "evaluation_id": f"v{len(self.landing['evaluations'])}",
                "evaluated_at": evaluated_at,
                "indicator": indicator,
                "value": value,
                "interaction_id": key,
                "span_id": span,
                "evaluator_kind": "llm" if judge else "code",
                "evaluator_name": name,
                "evaluator_version": version,
                "turn_index": turn,
            }
        )

    def requests(self, times: Iterable[datetime], arm: str, completed: int, **more: Any) -> None:
        """Requests at these times, of which every so-many-th is completed: `completed` in all."""
        times = list(times)
        done = 0
        for number, opened_at in enumerate(times, 1):
            is_completed = done < round(completed * number / len(times))
            done += is_completed
            self.request(opened_at, arm, minutes=10 if is_completed else None, **more)


def spread(start: datetime, days: float, n: int) -> list[datetime]:
    """n times, evenly over some days."""
    return [start + timedelta(days=days * number / n) for number in range(n)]
