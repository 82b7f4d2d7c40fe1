"""Judges against customers, and stated confidence against being right: known numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kpis.statistics import calibration
from agent_kpis.statistics.calibration import auc, auc_interval, expected_calibration_error
from agent_kpis.statistics.judges import calibrations, deciles


def pairs(score, csat, version="1"):
    csat = np.asarray(csat, dtype=float)
    return pd.DataFrame(
        {
            "indicator": "response_quality",
            "evaluator_name": "judge",
            "evaluator_version": version,
            "score": np.asarray(score, dtype=float),
            "csat": csat,
            "is_satisfied": csat >= 75,
        }
    )


CSAT = np.tile([0.0, 25.0, 50.0, 75.0, 100.0], 60)


# --- The interval of the AUC ------------------------------------------------------------------


def test_a_perfect_judge_is_always_right():
    assert auc_interval(CSAT, CSAT >= 75) == (1.0, 1.0)


def test_the_limits_are_those_of_samples_of_the_pairs():
    rng = np.random.default_rng(2)
    label = rng.random(80) < 0.4
    score = np.round(rng.normal(label * 0.8, 1), 1)  # with ties
    drawn = rng.integers(0, 80, (4000, 80))
    by_hand = np.quantile([auc(score[rows], label[rows]) for rows in drawn], [0.025, 0.975])
    assert auc_interval(score, label) == pytest.approx(by_hand, abs=0.012)


@given(st.integers(0, 10**6))
def test_a_judge_turned_round_has_its_limits_turned_round(seed):
    rng = np.random.default_rng(seed)
    label = np.arange(40) % 3 == 0
    score = rng.integers(0, 6, 40)
    lower, upper = auc_interval(score, label, draws=199)
    assert lower <= auc(score, label) <= upper
    turned = auc_interval(-score, label, draws=199)
    assert turned == pytest.approx((1 - upper, 1 - lower))


@pytest.mark.parametrize("label", [np.ones(9, bool), np.zeros(9, bool), np.zeros(0, bool)])
def test_customers_who_are_all_alike_calibrate_nobody(label):
    assert np.isnan(auc_interval(np.arange(len(label)), label)).all()


def test_lots_do_not_change_what_is_drawn(monkeypatch):
    label, score = np.arange(60) % 2 == 0, np.arange(60) % 7
    at_once = auc_interval(score, label)
    monkeypatch.setattr(
        calibration, "_lots", lambda draws, width: [100, 300, draws - 400], raising=True
    )
    assert auc_interval(score, label) == at_once


# --- Judges -----------------------------------------------------------------------------------


def test_a_perfect_judge_tracks_and_a_shuffled_one_does_not():
    shuffled = np.random.default_rng(4).permutation(CSAT / 100)
    found = calibrations(
        pd.concat([pairs(CSAT / 100, CSAT, "perfect"), pairs(shuffled, CSAT, "shuffled")])
    ).set_index("evaluator_version")
    perfect, blind = found.loc["perfect"], found.loc["shuffled"]
    assert (perfect.auc, perfect.auc_lower_bound) == (1, 1)
    assert perfect.spearman_rho == pytest.approx(1)
    assert blind.auc_lower_bound < 0.5 < blind.auc_upper_bound
    assert abs(blind.spearman_rho) < 0.15


def test_customers_who_are_all_alike_leave_the_judge_unknown():
    row = calibrations(pairs([0.1, 0.9, 0.5], [100, 100, 100])).iloc[0]
    assert row[["auc", "auc_lower_bound", "spearman_rho"]].isna().all()


def test_tenths_of_a_perfect_judge_rise():
    score = np.linspace(0.01, 1, 200)
    found = deciles(pairs(score, 100 * score))
    assert list(found.decile) == list(range(1, 11))
    assert list(found.n) == [20] * 10
    assert found.mean_csat.is_monotonic_increasing
    assert list(found.mean_csat) == pytest.approx(list(100 * found.mean_score))
    assert list(found.expected_csat) == pytest.approx(list(found.mean_csat))
    assert (found.lowest_score.iloc[0], found.highest_score.iloc[-1]) == (0.01, 1)


def test_equal_scores_stay_in_one_tenth():
    found = deciles(pairs([0.8] * 50 + [0.9] * 50, [50] * 50 + [100] * 50))
    assert list(zip(found.decile, found.n, found.mean_csat, strict=True)) == [
        (3, 50, 50),
        (8, 50, 100),
    ]


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, 50, 100])), min_size=1))
def test_tenths_hold_every_pair_once_and_never_fall(rows):
    score, csat = np.array(rows).T
    found = deciles(pairs(score, csat))
    assert found.n.sum() == len(rows)
    assert (found.mean_csat * found.n).sum() == pytest.approx(csat.sum())
    assert (found.expected_csat.diff().dropna() >= -1e-9).all()


def test_no_pairs_give_empty_tables():
    nobody = pairs([], [])
    assert calibrations(nobody).empty
    assert deciles(nobody).empty


# --- Confidence -------------------------------------------------------------------------------


def test_confidence_that_is_right_as_often_as_it_says():
    rng = np.random.default_rng(6)
    confidence = rng.random(10_000)
    assert expected_calibration_error(confidence, rng.random(10_000) < confidence) < 0.02


def test_sure_of_everything_and_right_in_half():
    assert expected_calibration_error([0.9] * 100, [True, False] * 50) == pytest.approx(0.40)


def test_bins_do_not_cancel_each_other():
    assert expected_calibration_error([0.2, 0.9], [True, False]) == pytest.approx(0.85)
    assert np.isnan(expected_calibration_error([], []))
    assert expected_calibration_error([1.0, 0.95], [True, True]) == pytest.approx(0.025)
