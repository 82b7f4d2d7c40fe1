"""The simulations run, read what comparisons read, and their tables are in docs/simulations.md."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from agent_kpis.statistics.comparisons import KPIS, PLANNED_DAYS, SEGMENT, compare
from agent_kpis.statistics.estimates import Estimate, difference
from support import REPOSITORY, load_script, outline

DOCUMENT = REPOSITORY / "docs" / "simulations.md"


@pytest.fixture(scope="module")
def simulations() -> ModuleType:
    return load_script("simulate_intervals")


def test_the_document_has_the_tables_that_the_script_writes(simulations, tmp_path):
    written = tmp_path / "simulations.md"
    run = CliRunner().invoke(
        simulations.main, ["--repetitions", "2", "--seed", "1", "--output", str(written)]
    )
    assert run.exit_code == 0, run.output
    document = DOCUMENT.read_text(encoding="utf-8")
    assert outline(document) == outline(written.read_text(encoding="utf-8"))
    for section in simulations.SECTIONS:
        assert f"## {section.title}\n\n{section.text}\n\n" in document
        assert f"| {' | '.join(section.columns)} |\n" in document


def test_the_plain_mean_of_the_last_week_is_worse_than_the_adjusted_one(simulations):
    rows = simulations.week_intervals(np.random.default_rng(1), 40)
    plain, waited, adjusted, completed = (next(rows) for _ in range(4))
    assert plain.bias < -0.05
    assert waited.bias > 0.2
    assert abs(adjusted.bias) < 0.04
    assert abs(completed.bias) < 0.04
    assert waited.coverage < plain.coverage < adjusted.coverage


def test_sequential_limits_are_wrong_less_often_than_fixed_ones(simulations):
    histories = simulations.completion_looks(np.random.default_rng(1), 300)
    row = simulations.any_false("completion", 300, 60, histories)
    assert row.sequential <= row.without_minimum < 0.1 < 0.2 < row.fixed


def test_the_crude_difference_is_the_biased_one(simulations):
    rows = {
        (row.what, row.size): row
        for row in simulations.completion_intervals(np.random.default_rng(1), 100)
    }
    like = rows["completion, by task type, AI gets the easy ones", "500"]
    crude = rows["the same requests, crude difference", "500"]
    assert crude.coverage < 0.3 < 0.85 < like.coverage
    assert abs(like.bias) < 0.01 < 0.06 < crude.bias


def test_curves_by_the_day_are_those_of_one_look(simulations):
    seed, look = 3, 40
    requests = simulations.requests_a_day(np.random.default_rng(1), 40, 0.5)
    n, curve = simulations.daily_curves(np.random.default_rng(seed), requests)
    opened, task = (np.repeat(i.ravel(), requests.ravel()) for i in np.indices(requests.shape))
    hours = simulations.TIMES[1].draw(np.random.default_rng(seed), task)
    for task_type in simulations.TYPES:
        own = (opened <= look) & (task == task_type)
        followed = simulations.MATURE_AFTER - simulations.REOPEN_WINDOW + 24 * (look - opened[own])
        one, other = simulations.resolution_curve(hours[own], followed), curve(look, task_type)
        assert n[look, task_type] == own.sum() == other.n
        assert other.times == pytest.approx(one.times)
        assert other.survival == pytest.approx(one.survival)
        assert other.variance == pytest.approx(one.variance)


# --- the same limits as comparisons

DAYS = 60


class ArmOfEverything:
    """One arm with completions, costs, times and answers, and its rows for `compare`."""

    def __init__(self, simulations: ModuleType, rng, size: int, arm: int) -> None:
        rates = (simulations.COMPLETED_BY_AI, simulations.COMPLETED_BY_PEOPLE)[arm]
        scores = (simulations.SCORES_OF_AI, simulations.SCORES_BY_PEOPLE)[arm]
        self.completed, self.n = simulations.completions(rng, size, simulations.MIX, rates)
        self.costs = simulations.COSTS[arm].draw(rng, self.n)
        self.requests = 4 * self.n
        self.answers, _, _ = simulations.answers_at_hand(
            rng, simulations.Scores(scores, by_score=True), size
        )
        task = np.repeat(simulations.TYPES, self.n)
        hours = simulations.TIMES[arm].draw(rng, task)
        followed = rng.uniform(72, 1300, task.size)
        types = [task == s for s in simulations.TYPES]
        self.bins = [simulations.resolution_bins(hours[own], followed[own]) for own in types]
        self.curves = [simulations.resolution_curve(hours[own], followed[own]) for own in types]

    @property
    def n_answers(self) -> np.ndarray:
        return np.bincount(self.answers.stratum, self.answers.n, 3)

    def cells(self) -> pd.DataFrame:
        n_priced, cost, squares, successes, of_successes = self.costs
        return pd.DataFrame(
            {
                "task_type": [str(s) for s in range(3)],
                "first_day": pd.Timestamp("2026-01-01"),
                "last_day": pd.Timestamp("2026-01-01") + pd.Timedelta(days=DAYS - 1),
                "n_interactions": self.requests,
                "n_mature": self.n,
                "n_completed": self.completed,
                "n_resolved": self.completed,
                "n_escalated": self.n - self.completed,
                "n_priced": n_priced,
                "cost_priced_usd": cost,
                "cost_square_sum": squares,
                "n_completed_priced": successes,
                "cost_completed_usd": of_successes,
                "n_surveys_answered": self.n_answers,
                "cost_unallocated_usd": 0.0,
            }
        )

    def times(self) -> pd.DataFrame:
        return pd.concat(
            pd.DataFrame(
                {"task_type": str(s), "seconds": seconds, "is_resolved_by_then": known, "n": n}
            )
            for s, (seconds, known, n) in enumerate(self.bins)
        )

    def triangle(self) -> pd.DataFrame:
        start = np.datetime64("2026-01-01")
        return pd.DataFrame(
            {
                "cohort_date": (start + self.answers.cohort).astype("datetime64[s]"),
                "lag_days": self.answers.lag,
                "task_type": self.answers.stratum.astype(str),
                "n": self.answers.n,
                "score_sum": self.answers.total,
                "score_square_sum": self.answers.square_sum,
                "last_day": (start + DAYS - 1).astype("datetime64[s]"),
            }
        )


def test_limits_are_those_of_comparisons(simulations):
    rng = np.random.default_rng(4)
    ai, people, before = (
        ArmOfEverything(simulations, rng, size, arm) for size, arm in ((500, 0), (90, 1), (200, 1))
    )
    populations = {"ai_randomised": ai, "holdout": people, "baseline": before}

    def frame(part: str) -> pd.DataFrame:
        rows = pd.concat(
            getattr(arm, part)().assign(population=name) for name, arm in populations.items()
        )
        return rows.assign(agent_name="atlas", segment_type="all", segment="all")

    effects = ["population", "kpi", "n_units", "cluster_square_sum", "residual_square_sum"]
    effects = pd.DataFrame(columns=[*SEGMENT, *effects]).astype(dict.fromkeys(effects[2:], float))
    found = compare(frame("cells"), effects, frame("times"), frame("triangle"))
    found = found.set_index(["comparison_type", "kpi"])

    for name, reference in (("holdout", people), ("pre_launch", before)):
        counts = {"n": (ai.n, reference.n), "n_answers": (ai.n_answers, reference.n_answers)}
        shared = simulations.shared_weights("csat", *counts["n_answers"]) > 0
        read: dict[str, tuple[str, list[Estimate]]] = {
            "task_completion_rate": (
                "n",
                simulations.proportions([(arm.completed, arm.n) for arm in (ai, reference)]),
            ),
            "cost_per_successful_outcome": (
                "n",
                simulations.costs_per_success([arm.costs for arm in (ai, reference)]),
            ),
            "time_to_resolution": (
                "n",
                [simulations.median_time(arm.curves, ai.n) for arm in (ai, reference)],
            ),
            "csat": (
                "n_answers",
                [
                    simulations.mean_score(arm.answers, DAYS - 1, ai.requests, shared)
                    for arm in (ai, reference)
                ],
            ),
        }
        assert read.keys() <= set(KPIS)
        for kpi, (of, estimates) in read.items():
            n_ai, n_reference = (float(n.sum()) for n in counts[of])
            planned = PLANNED_DAYS * float(getattr(before, of).sum()) / DAYS
            fixed = difference(*estimates)
            wide = difference(
                *simulations.widened(
                    *estimates, n_ai, n_reference, planned, both_grow=name == "holdout"
                )
            )
            row = found.loc[(name, kpi)]
            limits = row.fixed_lower_bound, row.fixed_upper_bound
            assert [fixed.lower, fixed.upper] == pytest.approx([*limits]), (name, kpi)
            limits = row.delta_lower_bound, row.delta_upper_bound
            assert [wide.lower, wide.upper] == pytest.approx([*limits]), (name, kpi)
