"""The flag of a proportion against a plain account of it, day by day, on random histories."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from math import isnan
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_kpis.statistics.flags import Series, of_requests
from agent_kpis.statistics.judging import POINT_LEVELS, STATUSES, Limits, judge
from oracle_flags import Account, Counts, History, Rule

SHARE = SimpleNamespace(
    method="proportion",
    unit="share",
    numerator="n_completed",
    denominator="n_mature",
    square_sum=None,
    alarm_numerator=None,
)
FIRST_DAY = np.datetime64("2026-02-16")
NUMBERS = (
    "window_days",
    "n",
    "value",
    "reference_value",
    "delta",
    "judged_delta",
    "judged_bound",
    "holdout_delta",
    "slope_per_week",
    "is_shared",
)
Pick = Callable[[Sequence[Any]], Any]


def series(history: History) -> Series:
    """The history as the frames that the models hand over."""
    rows = [
        {"population": population, "day": day, "task_type": task_type, "n": n, "y": y}
        for population, days in (("ai", history.ai), ("holdout", history.holdout))
        for day, counts in enumerate(days)
        for task_type, (n, y) in counts.items()
    ]
    rows += [
        {"population": "baseline", "day": -1, "task_type": task_type, "n": n, "y": y}
        for task_type, (n, y) in (history.baseline or {}).items()
    ]
    frame = pd.DataFrame(rows, columns=["population", "day", "task_type", "n", "y"])
    frame["known_on"] = FIRST_DAY + frame.day.to_numpy(int).astype("timedelta64[D]")
    frame = frame.rename(columns={"n": "n_mature", "y": "n_completed"})
    n_days = len(history.ai)
    return Series(
        int(FIRST_DAY.astype(int)),
        n_days,
        sorted(set(frame.task_type)),
        frame,
        pd.DataFrame(columns=["population", "bin"]),
        np.zeros(n_days),
    )


def judged(history: History, rule: Rule) -> list[dict[str, Any]]:
    """What the project says, in the words of the oracle."""
    metric = of_requests("task_completion_rate", SHARE, series(history), rule.unit != "absolute")
    limits = Limits(
        rule.direction,
        rule.unit,
        np.array(rule.levels),
        np.array(rule.sustained),
        np.zeros(len(rule.levels), bool),
    )
    found = judge(metric, limits)
    return [
        {"status": STATUSES[status], "point": POINT_LEVELS[int(point)]}
        | {name: float(column[day]) for name, column in found.columns.items()}
        for day, (status, point) in enumerate(zip(found.status, found.point, strict=True))
    ]


def compare(history: History, rule: Rule) -> list[dict[str, Any]]:
    told = Account(history, rule).tell()
    for day, (one, other) in enumerate(zip(judged(history, rule), told, strict=True)):
        where = (day, rule.unit, rule.direction, one, other)
        assert (one["status"], one["point"]) == (other["status"], other["point"]), where
        for name in NUMBERS:
            expected = other.get(name, float("nan"))
            if name == "is_shared" and other.get("margin", 1) < 1e-9:
                continue  # people moved exactly half as far
            given = one.get(name, float("nan"))
            assert given == pytest.approx(expected, abs=1e-8, nan_ok=True), (name, where)
    return told


# --- random histories

TASK_TYPES = ("cancel", "order", "refund")
DISTANCES = [(5.0, 10.0, 20.0), (2.0, 4.0, 8.0)]
FLOORS = {"low": [(0.9, 0.8, 0.7), (0.5, 0.4, 0.3), (0.05, 0.02, 0.01)], "high": [(0.3, 0.5, 0.7)]}


def stretches(pick: Pick) -> list[tuple[int, dict[str, int], float, dict[str, int], float]]:
    """Days alike, one after another: volumes and shares of both arms."""
    found = []
    served = TASK_TYPES[: pick((1, 1, 2, 3))]
    held = pick((0, 1, 20, 100, 2000))
    for _ in range(pick((1, 2, 3, 4))):
        length = pick((1, 1, 2, 3, 5, 9, 16, 31))
        volume = pick((0, 0, 3, 25, 120, 400, 3000))
        ai = {name: volume for name in served if pick((True, True, True, False))}
        people = {name: held for name in served if pick((True, True, True, False))}
        share = pick((0.0, 0.03, 0.2, 0.36, 0.45, 0.55, 0.66, 0.70, 0.75, 0.77, 0.8, 0.9, 1.0))
        found.append((length, ai, share, people, pick((0.5, 0.7, 0.75, 0.8, 0.8, 0.8, 0.9))))
    return found


def counts(pick: Pick, volumes: dict[str, int], share: float) -> Counts:
    found = {}
    for place, (name, volume) in enumerate(volumes.items()):
        n = volume + pick((0, 0, 1, 2)) if volume else pick((0, 0, 0, 0, 1))
        # Task types differ, and days do.
        wanted = round(n * min(1.0, max(0.0, share - 0.1 * place))) + pick((0, 0, -1, 1, 2))
        found[name] = (float(n), float(min(n, max(0, wanted))))
    return found


def history(pick: Pick) -> tuple[History, Rule]:
    ai: list[Counts] = []
    holdout: list[Counts] = []
    for length, volumes, share, held, share_of_people in stretches(pick):
        for _ in range(length):
            ai.append(counts(pick, volumes, share))
            holdout.append(counts(pick, held, share_of_people))
    baseline = None
    size = pick((0, 0, 40, 3000, 30_000))
    if size:
        names = {name: size for name in TASK_TYPES if pick((True, True, True, False))}
        baseline = counts(pick, names, pick((0.8, 0.8, 0.4, 0.4)))
    direction = pick(("low", "high"))
    sign = -1 if direction == "low" else 1
    if pick((True, True, False)):
        unit, options = "pp", [tuple(sign * x for x in one) for one in DISTANCES]
    else:
        unit, options = "absolute", FLOORS[direction]
    times = pick((1, 2, 2, 3))
    levels, sustained = [pick(options)] * len(ai), [times] * len(ai)
    if pick((True, False, False)):  # other limits from some day on
        changed = pick(range(len(ai)))
        levels[changed:] = [pick(options)] * (len(ai) - changed)
        sustained[changed:] = [pick((1, 2, 3))] * (len(ai) - changed)
    return History(ai, holdout, baseline), Rule(direction, unit, levels, sustained)


@st.composite
def histories(draw: st.DrawFn) -> tuple[History, Rule]:
    return history(lambda options: draw(st.sampled_from(options)))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories())
def test_flags_agree_with_a_plain_account(case: tuple[History, Rule]) -> None:
    compare(*case)


def test_many_histories_agree_and_visit_every_status() -> None:
    """The comparison is worth nothing where the random histories never go."""
    visited: Counter = Counter()
    for seed in range(500):
        pick = random.Random(seed).choice
        case, rule = history(pick)
        account = Account(case, rule)
        for row in compare(case, rule):
            kind = account.reference or rule.unit
            visited[kind, rule.direction, row["status"]] += 1
            visited["window", row.get("window_days")] += 1
            visited["cause", str(row.get("is_shared"))] += row["status"] in STATUSES[5:]
            if row["status"] in STATUSES[5:] and not isnan(row.get("judged_delta", float("nan"))):
                warning = abs(rule.levels[row["day"]][0])
                is_held = abs(row["judged_delta"]) < warning
                visited["held below its limit", is_held] += 1
    either_way = {"ok", "warning", "critical", "catastrophic", "insufficient_data", "no_data"}
    for kind in ("pre_launch", "holdout", "absolute"):
        for direction in ("low", "high"):
            seen = {key[2] for key in visited if key[:2] == (kind, direction)}
            assert either_way <= seen, (kind, direction, either_way - seen)
        assert visited[kind, "low", "watch"] + visited[kind, "high", "watch"] > 0, kind
    assert {key[2] for key in visited if key[0] == "pp"} == {"no_reference", "no_data"}
    assert {1, 7, 14, 28} <= {key[1] for key in visited if key[0] == "window"}
    causes = {key[1] for key in visited if key[0] == "cause" and visited[key]}
    assert {"0.0", "1.0", "nan"} <= causes
    assert visited["held below its limit", True] > 50
