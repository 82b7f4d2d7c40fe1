"""What was told on a day stays told: later rows do not change it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from strategies import CONFIG, bulk_history
from warehouse import LAYERS, Build, Replay

COLUMNS = (
    "evaluation_date, evaluated_on, agent_name, segment_type, segment, kpi, direction, "
    "window_days, n, value, reference_value, comparison_type, delta, judged_delta, judged_bound, "
    "minimum_detectable_effect, limit_unit, warning, point_level, level, cause, holdout_delta, "
    "slope_per_week, top_reasons, top_task_types, note"
)


LIMITS = [
    ("task_completion_rate", "low", "pp", 5, 10, 20),
    ("task_completion_rate", "low", "absolute", 0.5, 0.4, 0.3),
    ("escalation_rate", "high", "pp", 5, 10, 20),
    ("escalation_rate", "low", "absolute", 0.05, 0.02, 0.01),
    ("time_to_resolution", "high", "percent", 20, 50, 100),
    ("cost_per_successful_outcome", "high", "percent", 20, 50, 100),
    ("csat", "low", "pp", 5, 10, 20),
    ("silent_failure_rate", "high", "absolute", 0.1, 0.2, 0.3),
]


@pytest.fixture(scope="module")
def models(history_build: tuple[Build, Path]) -> Replay:
    models = Replay(*history_build, layers=LAYERS, with_python=True)
    for name, rows in CONFIG.items():
        models.configure(name, rows)
    names = ("kpi", "direction", "unit", "warning", "critical", "catastrophic")
    dated = {"sustained_periods": 2, "owner": "team", "effective_from": datetime(2026, 1, 1)}
    models.configure(
        "thresholds",
        [
            {"threshold_profile": "default"} | dict(zip(names, row, strict=True)) | dated
            for row in LIMITS
        ],
    )
    return models


def told(models: Replay, landing: dict, as_of: datetime, before: datetime) -> dict[Any, Any]:
    """Every row of the days before a day, by its key."""
    models.run(landing, as_of)
    rows = models.records(
        f"select {COLUMNS} from marts.threshold_flags where evaluation_date < '{before:%Y-%m-%d}'"
    )
    key = ("evaluation_date", "agent_name", "segment_type", "segment", "kpi", "direction")
    return {tuple(row[name] for name in key): row for row in rows}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-9, abs=1e-9, nan_ok=True)
    return one == other


def test_flags_of_a_day_do_not_change(models: Replay) -> None:
    """Run later, with all that came in since, every row of that day is there and is the same.

    But for what a segment is compared with, which is not by the day: the baseline of a task type
    that launches later, or a holdout that begins later, stands in rows before it, too. And
    but for cost: these histories have costs of requests that are opened only later, nobody's until
    then (of the story, costs are compared too).
    """
    landing, _, _ = bulk_history(3, clusters=400)
    last = datetime(2026, 11, 5)
    now = told(models, landing, last, last)
    n_compared, levels = 0, set()
    for as_of in (datetime(2026, 4, 2), datetime(2026, 4, 9, 12), datetime(2026, 10, 27)):
        then = told(models, landing, as_of, as_of)
        assert then.keys() <= now.keys()
        yesterday = max(key[0] for key in then)
        assert yesterday == (as_of - timedelta(days=1)).date()
        for key, row in then.items():
            other = now[key]
            has_other_reference = row["comparison_type"] != other["comparison_type"]
            if has_other_reference or row["kpi"] == "cost_per_successful_outcome":
                continue
            changed = {
                name: (value, other[name])
                for name, value in row.items()
                if not same(value, other[name])
            }
            assert not changed, (as_of, key)
            n_compared += row["n"] is not None
            levels.add(row["level"])
    assert n_compared > 1000
    assert {"ok", "watch", "catastrophic", "insufficient_data", "no_data"} <= levels
