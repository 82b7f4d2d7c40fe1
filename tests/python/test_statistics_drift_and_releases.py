"""Trend, judge calibration and release comparison: published numbers, and the edges."""

from __future__ import annotations

import json
import math
from dataclasses import astuple

import numpy as np
import pytest
import scipy.stats

from agent_kpis.statistics.calibration import auc, isotonic, spearman
from agent_kpis.statistics.releases import difference_in_differences
from agent_kpis.statistics.trend import ewma, mann_kendall, theil_sen
from support import shared_data

SEEDS = range(8)


@pytest.fixture(scope="module")
def reference() -> dict:
    return json.loads((shared_data(".") / "statistics_reference.json").read_text("utf-8"))


# --- trend


def test_trend_of_the_reference(reference):
    example = reference["trend"]
    assert theil_sen(example["y"]) == pytest.approx(example["theil_sen"], abs=1e-8)
    assert mann_kendall(example["y"]) == pytest.approx(example["mann_kendall_tau_p"], abs=1e-8)
    assert ewma(example["y"], start=0.72) == pytest.approx(example["ewma_lam02_start072"])


def test_days_that_are_missing_do_not_bend_the_trend():
    y = np.arange(12.0) ** 2
    gappy = np.where(np.isin(np.arange(12), [3, 4, 9]), np.nan, y)
    kept = np.flatnonzero(~np.isnan(gappy))
    assert theil_sen(gappy) == theil_sen(y[kept], kept)
    assert theil_sen(gappy) != theil_sen(y[kept])
    line = theil_sen(5 - 2.0 * np.array([1, 2, 5, 9]), [1, 2, 5, 9])
    assert line == pytest.approx((-2, 5, -2, -2))
    assert mann_kendall(gappy).tau == 1


def test_no_trend_of_too_few_days():
    assert all(map(math.isnan, theil_sen([3.0])))
    assert all(map(math.isnan, mann_kendall([3.0, math.nan])))
    assert all(map(math.isnan, mann_kendall([])))


def test_ewma_starts_with_the_first_value_and_waits_through_gaps():
    assert ewma([math.nan, 1, 2, math.nan, 3]) == pytest.approx(
        [math.nan, 1, 1.2, 1.2, 1.56], nan_ok=True
    )
    assert ewma([1, 5, 2], weight=1).tolist() == [1, 5, 2]
    assert ewma([]).size == 0
    with pytest.raises(ValueError, match="weight"):
        ewma([1], weight=0)


# --- calibration


def test_calibration_of_the_reference(reference):
    judge, csat = (np.array(reference["judge_calibration"][name]) for name in ("judge", "csat"))
    example = reference["judge_calibration"]
    assert auc(judge, csat >= 4) == pytest.approx(example["auc_csat_ge4"], abs=1e-12)
    assert spearman(judge, csat) == pytest.approx(example["spearman"], abs=1e-8)
    assert isotonic(judge, csat >= 4) == pytest.approx(example["isotonic"], abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_auc_is_mann_whitney_with_ties(seed):
    rng = np.random.default_rng(seed)
    score, label = rng.integers(0, 6, 40), rng.random(40) < 0.4
    u = scipy.stats.mannwhitneyu(score[label], score[~label]).statistic
    assert auc(score, label) == pytest.approx(u / (label.sum() * (~label).sum()))
    assert auc(-score, label) == pytest.approx(1 - auc(score, label))


@pytest.mark.parametrize("seed", SEEDS)
def test_isotonic_is_the_nearest_rising_curve(seed):
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 8, 50) / 8
    label = rng.random(50) < score
    fitted = isotonic(score, label)
    order = np.argsort(score)
    assert (np.diff(fitted[order]) >= 0).all()
    assert all(len(np.unique(fitted[score == s])) == 1 for s in np.unique(score))
    assert fitted.mean() == pytest.approx(label.mean())
    # no blend with another rising curve is nearer
    for other in (score, np.full(50, label.mean()), score**3):
        blend = 0.99 * fitted + 0.01 * other
        assert np.sum((label - fitted) ** 2) <= np.sum((label - blend) ** 2) + 1e-12


def test_nothing_to_calibrate():
    assert math.isnan(auc([0.2, 0.4], [True, True]))
    assert math.isnan(auc([], []))
    assert all(map(math.isnan, spearman([0.2, 0.2], [1, 2])))
    assert isotonic([], []).size == 0


# --- releases


def test_difference_in_differences_of_the_reference(reference):
    cells = reference["did"]["cells"]
    successes, n = (
        [[cells["H0"][i], cells["H1"][i]], [cells["A0"][i], cells["A1"][i]]] for i in (0, 1)
    )
    read = difference_in_differences(successes, n)
    assert read.value == pytest.approx(reference["did"]["est"], abs=1e-10)
    assert read.standard_error == pytest.approx(reference["did"]["se"], abs=1e-10)
    assert read.n == 20_000


def test_strata_are_standardised_to_the_ai_arms_mix():
    n = np.array([[[100, 50], [80, 60]], [[900, 300], [500, 300]]])
    share = np.array([[[0.8, 0.5], [0.7, 0.6]], [[0.9, 0.4], [0.6, 0.3]]])
    parts = [difference_in_differences((share * n)[..., s], n[..., s]) for s in (0, 1)]
    assert parts[0].value == pytest.approx((0.6 - 0.9) - (0.7 - 0.8))
    for weights, expected in ((None, [0.7, 0.3]), ([10, 30], [0.25, 0.75])):
        read = difference_in_differences(share * n, n, weights)
        assert read.value == pytest.approx(np.dot(expected, [part.value for part in parts]))
        errors = np.array([part.standard_error for part in parts])
        assert read.standard_error == pytest.approx(np.sqrt(np.dot(np.square(expected), errors**2)))


def test_a_stratum_with_an_empty_cell_is_left_out():
    whole = difference_in_differences([[40, 45], [400, 350]], [[50, 60], [500, 500]])
    n = [[[50, 0], [60, 9]], [[500, 90], [500, 70]]]
    successes = [[[40, 0], [45, 5]], [[400, 30], [350, 20]]]
    assert difference_in_differences(successes, n) == whole
    empty = difference_in_differences(np.zeros((2, 2)), np.zeros((2, 2)))
    assert astuple(empty)[:4] == pytest.approx((math.nan,) * 3 + (0,), nan_ok=True)


def test_a_shock_to_both_arms_is_no_effect_of_the_release():
    """Plain before and after takes a shared fall of ten points for the release's."""
    rng = np.random.default_rng(2)
    n, rates = np.array([[300, 300], [1700, 1700]]), np.array([[0.8, 0.7], [0.75, 0.65]])
    found, crude = [], []
    for _ in range(400):
        successes = rng.binomial(n, rates)
        read = difference_in_differences(successes, n)
        found.append(not read.lower <= 0 <= read.upper)
        share = successes[1] / n[1]
        margin = 1.96 * np.sqrt((share * (1 - share) / n[1]).sum())
        crude.append(abs(share[1] - share[0]) > margin)
    assert np.mean(crude) > 0.95
    assert np.mean(found) < 0.08
