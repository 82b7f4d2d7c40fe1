"""The simulation of flags runs, its table is in docs/flags.md, and the rule does what it says."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from support import REPOSITORY, load_script, outline

DOCUMENT = REPOSITORY / "docs" / "flags.md"
REPETITIONS = 200


@pytest.fixture(scope="module")
def simulations() -> ModuleType:
    return load_script("simulate_flags")


def test_the_document_has_the_table_that_the_script_writes(simulations, tmp_path):
    written = tmp_path / "flags.md"
    run = CliRunner().invoke(
        simulations.main, ["--repetitions", "2", "--seed", "1", "--output", str(written)]
    )
    assert run.exit_code == 0, run.output
    document = DOCUMENT.read_text(encoding="utf-8")
    assert outline(document) == outline(written.read_text(encoding="utf-8"))
    of_defaults = simulations.INTRODUCTION.format(
        repetitions=simulations.REPETITIONS, seed=simulations.SEED
    )
    assert document.startswith(of_defaults)
    assert f"| {' | '.join(simulations.Row.COLUMNS)} |\n" in document


def test_rows_say_what_became_of_the_histories(simulations, monkeypatch):
    """Told of three histories: never flagged, watched and flagged on day 3, critical on day 1."""
    ok, watch, warning, critical = 1, 4, 5, 6
    days = simulations.DAYS
    statuses = np.full((3, days), ok)
    statuses[1, 1], statuses[1, 2:] = watch, warning
    statuses[2] = critical
    statuses[2, 5] = watch  # after a flag it is none of its own
    by_point = np.array([True, False, False])
    monkeypatch.setattr(simulations, "histories", lambda *_: (statuses, by_point))
    row = simulations.row(None, "none", 300, None, 3)
    assert (row.flagged, row.point_rule) == pytest.approx((2 / 3, 1 / 3))
    assert row.delay == 2  # of 3 and 1
    assert (row.critical_first, row.watched) == pytest.approx((1 / 3, 1 / 3))
    assert row.cells()[2:] == ("66.7%", "33.3%", "2", "33.3%", "33.3%")


@pytest.fixture(scope="module")
def of_three_hundred(simulations):
    def of(effect: float):
        rng = np.random.default_rng(7)
        effects = np.full(simulations.DAYS, effect)
        return simulations.row(rng, "", 300, effects, REPETITIONS)

    return of


def test_nobody_is_paged_for_nothing(of_three_hundred):
    row = of_three_hundred(0.0)
    assert row.flagged <= 0.02
    assert row.point_rule > 0.8


def test_ten_points_are_found_within_days(of_three_hundred):
    row = of_three_hundred(-10.0)
    assert row.flagged == 1
    assert row.delay <= 6


def test_twenty_five_points_are_critical_on_the_first_mature_day(of_three_hundred):
    row = of_three_hundred(-25.0)
    assert row.critical_first > 0.95
    assert row.delay == 1


def test_an_outage_is_critical_on_its_day_after_weeks_of_good_ones(simulations):
    """Twenty five points below for one day: the window of seven days has hardly moved."""
    effect = np.zeros(simulations.DAYS)
    effect[40] = -25
    statuses, _ = simulations.histories(np.random.default_rng(7), 300, effect, REPETITIONS)
    assert (statuses[:, 40] >= simulations.CRITICAL).mean() > 0.95
    # It leaves the window a week later, and three evaluations more clear it.
    assert (statuses[:, 50:] >= simulations.WARNING).any(axis=1).mean() <= 0.02
