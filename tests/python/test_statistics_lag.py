"""Late surveys: published numbers, other libraries, and what became of simulated histories."""

from __future__ import annotations

import json
import math
from dataclasses import astuple, replace
from typing import NamedTuple

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from statsmodels.duration.survfunc import SurvfuncRight

from agent_kpis.statistics.lag import (
    BUCKETS,
    FIT_DAYS,
    Cohorts,
    Triangle,
    adjusted_mean,
    backtest,
    complete,
    complete_window,
    fit,
    lag_distribution,
    longest_lag,
)
from support import shared_data

SEEDS = range(8)


@pytest.fixture(scope="module")
def reference() -> dict:
    return json.loads((shared_data(".") / "statistics_reference.json").read_text("utf-8"))


def from_table(n, total=None) -> tuple[Triangle, int]:
    """A triangle written as rows of cohorts (oldest first) by lag; the youngest has age 0."""
    n = np.asarray(n)
    total = 3 * n if total is None else np.asarray(total)
    cohort, lag = np.indices(n.shape)
    last_day = len(n) - 1
    cells = [x.ravel() for x in (cohort, lag, n, total, total**2 / np.maximum(n, 1))]
    return Triangle(*cells, np.full(n.size, "all")).known_on(last_day), last_day


class History(NamedTuple):
    """Single answers, also those still to come, and the interactions they come from."""

    cohort: np.ndarray
    lag: np.ndarray
    score: np.ndarray
    stratum: np.ndarray
    cohorts: Cohorts

    def triangle(self) -> Triangle:
        cells, cell = np.unique(
            np.stack([self.cohort, self.lag, self.stratum]), axis=1, return_inverse=True
        )
        n, total, square_sum = (np.bincount(cell, self.score**power) for power in (0, 1, 2))
        return Triangle(cells[0], cells[1], n, total, square_sum, cells[2])


ANSWER_TODAY = np.array([0.5, 0.4, 0.3, 0.25, 0.22])  # by score: the angry are quick


def simulate(seed: int, *, days=105, per_day=50, strata=3, drop=0.3, hurry=ANSWER_TODAY) -> History:
    """Scores from 1 to 5 that fall by `drop` in the last 7 days; a fifth of the surveys return."""
    rng = np.random.default_rng(seed)
    day, stratum = (x.ravel() for x in np.indices((days, strata)))
    exposure = rng.poisson(5 * per_day / strata, len(day))
    row = np.repeat(np.arange(len(day)), rng.binomial(exposure, 0.2))
    mean = 4 - 0.3 * stratum[row] - drop * (day[row] >= days - 7)
    score = np.clip(np.round(rng.normal(mean, 1.1)), 1, 5)
    lag = np.minimum(rng.geometric(hurry[score.astype(int) - 1]) - 1, 27)
    return History(day[row], lag, score, stratum[row], Cohorts(day, stratum, exposure))


def same(a, b) -> bool:
    return np.allclose(a, b, rtol=1e-9, atol=1e-9, equal_nan=True)


def random_triangle(seed: int) -> tuple[Triangle, int, int]:
    """Few answers, so that days and lags without any occur; its last day and longest lag."""
    rng = np.random.default_rng(seed)
    days, longest = rng.integers(4, 30), rng.integers(3, 15)
    n = rng.poisson(rng.uniform(0.3, 4), (days, longest + 1))
    n[0, 0] += 1
    cohort, lag = np.indices(n.shape)
    cells = [x.ravel() for x in (cohort, lag, n, n, n)]
    return Triangle(*cells, np.zeros(n.size)), days - 1, longest


# --- how late answers come


def test_lag_distribution_of_the_reference(reference):
    triangle, last_day = from_table(reference["lag_cdf_lawless"]["triangle"])
    shares = lag_distribution(triangle.cohort, triangle.lag, triangle.n, last_day, 4)
    assert shares == pytest.approx(reference["lag_cdf_lawless"]["F_statsmodels"], abs=1e-8)


def test_lag_distribution_is_the_chain_ladder(reference):
    example = reference["chainladder_5x5"]
    triangle, last_day = from_table(example["triangle"])
    shares = lag_distribution(triangle.cohort, triangle.lag, triangle.n, last_day, 4)
    assert shares[1:] / shares[:-1] == pytest.approx(example["ldf"][:4], abs=1e-12)
    answers = np.bincount(triangle.cohort, triangle.n)
    assert answers / shares[::-1] == pytest.approx(example["ultimate"], abs=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_lag_distribution_is_the_truncated_kaplan_meier(seed):
    triangle, last_day, longest = random_triangle(seed)
    ours = lag_distribution(triangle.cohort, triangle.lag, triangle.n, last_day, longest)
    known = triangle.known_on(last_day)
    lag, age = (np.repeat(x, known.n.astype(int)) for x in (known.lag, last_day - known.cohort))
    theirs = SurvfuncRight(
        longest - lag + 1, np.ones(len(lag)), entry=np.maximum(longest - age, 0) + 0.5
    )
    survival = dict(zip(longest + 1 - theirs.surv_times, theirs.surv_prob, strict=True))
    expected = [1.0]  # F(D); F(lag - 1) is what survives the event of that lag, if there is one
    for d in range(longest, 0, -1):
        expected.append(survival.get(d, expected[-1]))
    assert ours == pytest.approx(expected[::-1], abs=1e-12)


def test_lags_beyond_the_longest_count_as_the_longest():
    cohort, lag, n = np.array([0, 0, 0]), np.array([0, 2, 9]), np.array([5, 3, 2])
    assert lag_distribution(cohort, lag, n, 20, 3) == pytest.approx([0.5, 0.5, 0.8, 1])


def test_longest_lag_is_the_99th_percentile_but_three_weeks_at_least():
    assert longest_lag(np.array([0, 5, 40]), np.array([50, 49, 1])) == 21
    assert longest_lag(np.array([40, 0, 30]), np.array([1, 49, 50])) == 30
    assert longest_lag(np.array([40, 0, 30]), np.array([2, 49, 50])) == 40
    assert longest_lag(np.array([]), np.array([])) == 21


def test_geometric_delays_are_recovered():
    history = simulate(1, days=60, per_day=170, hurry=np.full(5, 0.25))
    triangle = history.triangle().known_on(59)
    assert triangle.n.sum() > 9000
    shares = lag_distribution(triangle.cohort, triangle.lag, triangle.n, 59, 27)
    assert shares[:8] == pytest.approx(1 - 0.75 ** np.arange(1, 9), abs=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_variance_of_lags_is_multinomial_once_all_cohorts_are_final(seed):
    triangle, _, _ = random_triangle(seed)
    model = fit(triangle, 1000)
    shares = np.bincount(triangle.lag, triangle.n, 22) / triangle.n.sum()
    assert same(model.lag_shares, shares)
    expected = (np.diag(shares) - np.outer(shares, shares)) / triangle.n.sum()
    assert same(model.share_covariance, expected)


# --- how the score depends on the lag


def test_lag_adjusted_mean_of_the_reference(reference):
    example = reference["csat_lag_adjusted_mean"]
    triangle, last_day = from_table(example["triangle_n"], example["triangle_sum_score"])
    model = fit(triangle, last_day, block_days=3, buckets=(0, 1, 2, 3, 4))
    older, newer, *lags = example["params"]
    assert model.parameters == pytest.approx([newer, older, *lags], abs=1e-8)
    adjusted = adjusted_mean(model, {0: 1})
    assert adjusted.value == pytest.approx(example["lag_adjusted_mean_block1"], abs=1e-12)
    assert adjusted.n == 50
    newest = triangle.newest(last_day, 3)
    assert newest.total.sum() / newest.n.sum() == pytest.approx(example["naive_block1"])


@pytest.mark.parametrize("seed", SEEDS)
def test_fit_equals_least_squares_on_single_answers(seed):
    history = simulate(seed, days=30, per_day=9)
    last_day = 29
    model = fit(history.triangle(), last_day, block_days=5)
    known = history.cohort + history.lag <= last_day
    block = (last_day - history.cohort[known]) // 5
    bucket = np.searchsorted(BUCKETS, history.lag[known], side="right")
    dummies = [
        (labels[:, None] == np.unique(labels))[:, first:].astype(float)
        for labels, first in ((block, 0), (history.stratum[known], 1), (bucket, 1))
    ]
    theirs = sm.OLS(history.score[known], np.hstack(dummies)).fit(cov_type="HC1")
    assert same(model.parameters, theirs.params)
    assert same(model.covariance, theirs.cov_params())
    assert model.sigma2 == pytest.approx(theirs.scale)
    assert model.degrees_of_freedom == theirs.df_resid


@pytest.mark.parametrize("seed", SEEDS)
def test_limits_once_all_cohorts_are_final(seed):
    """The variance of the weighted parameters and Var_p(b)/n, with Student's t."""
    history = simulate(seed, days=6, per_day=4, strata=1)
    mean = adjusted_mean(fit(history.triangle(), 1000, block_days=2000))
    bucket = np.searchsorted(BUCKETS, history.lag, side="right")
    seen = np.unique(bucket)[1:]
    design = np.hstack([np.ones((len(bucket), 1)), bucket[:, None] == seen])
    theirs = sm.OLS(history.score, design).fit(cov_type="HC1")
    effect = theirs.params[1:] @ (bucket == seen[:, None])
    centre = theirs.t_test(design.mean(axis=0))
    variance = centre.sd.item() ** 2 + effect.var() / len(effect)
    margin = scipy.stats.t.ppf(0.975, theirs.df_resid) * np.sqrt(variance)
    value = history.score.mean()
    assert astuple(mean)[:4] == pytest.approx((value, value - margin, value + margin, len(bucket)))


def test_weights_are_renormalised_over_what_has_answers():
    model = fit(simulate(3).triangle(), 104)
    half = adjusted_mean(model, {0: 1, 1: 1}, {0: 1, 2: 1})
    unasked = adjusted_mean(model, {0: 3, 1: 3, 999: 8}, {0: 0.2, 2: 0.2, "new": 1})
    assert astuple(half) == pytest.approx(astuple(unasked))
    parts = [adjusted_mean(model, {b: 1}, {s: 1}) for b in (0, 1) for s in (0, 2)]
    assert half.value == pytest.approx(np.mean([part.value for part in parts]))
    assert half.n == sum(part.n for part in parts)


def test_blocks_can_be_named():
    triangle = simulate(3).triangle()
    named = fit(triangle, 104, block_of=lambda day: np.where(day > 97, "window", "before"))
    window = adjusted_mean(named, {"window": 1}, {0: 1})
    known = triangle.known_on(104).newest(104, 7)
    assert window.n == known.n[known.stratum == 0].sum()
    assert window.value < adjusted_mean(named, {"before": 1}, {0: 1}).value


def test_the_design_effect_multiplies_the_variance():
    model = fit(simulate(3).triangle(), 104)
    plain, clustered = adjusted_mean(model, {0: 1}), adjusted_mean(model, {0: 1}, design_effect=4.0)
    assert clustered.value == plain.value
    assert clustered.upper - clustered.value == pytest.approx(2 * (plain.upper - plain.value))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_constant_added_to_all_scores_shifts_every_mean(seed):
    history, last_day, shift = simulate(seed, days=40, per_day=8), 39, 2.5
    readings = []
    for scores in (history.score, history.score + shift):
        triangle = history._replace(score=scores).triangle()
        model = fit(triangle, last_day)
        cells = complete(model, triangle, history.cohorts)
        mean = adjusted_mean(model, {0: 1})
        readings.append(np.array([mean.value, mean.lower, mean.upper]))
        readings.append(np.array([cells.value, cells.lower, cells.upper]))
        readings.append(np.array([cells.missing, cells.maturity, cells.answered]))
    plain, cells, counts, moved, moved_cells, moved_counts = readings
    assert same(moved, plain + shift)
    assert same(moved_cells, cells + shift)
    assert same(moved_counts, counts)
    assert np.isfinite(plain).all()
    assert np.isfinite(cells).any()


@pytest.mark.parametrize("score", [5.0, 0.1])
def test_a_constant_score_comes_back_exactly(score):
    history = simulate(0, days=40, per_day=4)
    triangle = history._replace(score=np.full(len(history.score), score)).triangle()
    model = fit(triangle, 39)
    mean = adjusted_mean(model, {0: 1})
    assert [mean.value, mean.lower, mean.upper] == pytest.approx([score] * 3, abs=1e-7)
    cells = complete(model, triangle, history.cohorts)
    told = ~np.isnan(cells.value)
    assert told.sum() > 100
    assert cells.value[told] == pytest.approx(score, abs=1e-12)
    assert cells.upper[told] == pytest.approx(score, abs=1e-7)


def test_effects_that_cannot_be_told_apart_stay_moderate():
    """The newer block only has early answers, the older only late ones: level or lag?"""
    triangle = Triangle(
        cohort=[0, 1, 8, 9],
        lag=[3, 3, 0, 0],
        n=[4, 6, 5, 5],
        total=[16, 22, 15, 14],
        square_sum=[66, 84, 47, 42],
        stratum=["a", "b", "a", "b"],
    )
    model = fit(triangle, 9)
    assert model.degrees_of_freedom == 20 - 3
    fitted = [adjusted_mean(model, {block: 1}).value for block in (0, 1)]
    assert min(fitted) > 2.5
    assert max(fitted) < 4.2
    assert fitted[1] > fitted[0]


def test_an_exact_fit_of_few_answers_has_no_limits():
    """Six scores from 2 to 5, five effects: nothing is left over, which does not mean sure."""
    scores = [4, 3, 2, 3, 2, 5]
    cells = Triangle(
        [0, 1, 1, 1, 2, 2],
        [3, 0, 0, 2, 0, 1],
        [1] * 6,
        scores,
        [score**2 for score in scores],
        [0, 1, 2, 2, 2, 2],
    )
    mean = adjusted_mean(fit(cells, 3, block_days=28))
    assert mean.value == pytest.approx(3.17, abs=0.5)
    assert math.isnan(mean.lower)
    assert math.isnan(mean.upper)


def test_one_answer_has_a_mean_but_no_limits():
    model = fit(Triangle([3], [1], [1], [4.0], [16.0], ["a"]), 5)
    assert astuple(adjusted_mean(model))[:4] == pytest.approx((4, np.nan, np.nan, 1), nan_ok=True)


def test_nothing_is_told_without_answers():
    nothing = Triangle(*[[]] * 6)
    model = fit(nothing, 10)
    assert astuple(adjusted_mean(model, {0: 1}))[:4] == pytest.approx(
        (np.nan, np.nan, np.nan, 0), nan_ok=True
    )
    assert adjusted_mean(fit(simulate(0).triangle(), 104), {77: 1}).n == 0
    read = complete(model, nothing, Cohorts([9, 10], ["a", "b"], [3, 4]))
    assert np.isnan([read.value, read.lower, read.upper, read.missing]).all()
    assert len(backtest(nothing, Cohorts([9, 10], ["a", "b"], [3, 4]), 10)["nowcast"]) == 0


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="before the day"):
        Triangle([3], [-1], [1], [4.0], [16.0], ["a"])
    with pytest.raises(ValueError, match=r"Triangle\.n: not as long"):
        Triangle([3], [1], [1, 2], [4.0], [16.0], ["a"])
    triangle = Triangle([3], [1], [1], [4.0], [16.0], ["a"])
    with pytest.raises(ValueError, match="bucket"):
        fit(triangle, 5, buckets=(1, 2))
    with pytest.raises(ValueError, match="repeats"):
        complete(fit(triangle, 5), triangle, Cohorts([3, 3], ["a", "a"], [5, 5]))


# --- what a period will become


def test_what_is_missing_follows_from_exposure_rate_and_age():
    """Two strata, all answers at lag 0 or 1, half of them each; the newest day has only lag 0."""
    triangle = Triangle(
        cohort=[0, 0, 1, 0, 0, 1],
        lag=[0, 1, 0, 0, 1, 0],
        n=[10, 10, 8, 4, 4, 6],
        total=[30, 40, 16, 12, 16, 24],
        square_sum=[100, 170, 40, 40, 70, 100],
        stratum=["a", "a", "a", "b", "b", "b"],
    )
    cohorts = Cohorts([0, 1, 0, 1], ["a", "a", "b", "b"], [100, 80, 50, 40])
    model = fit(triangle, 1)
    read = complete(model, triangle, cohorts)
    assert read.answered == pytest.approx([1, 0.5, 1, 0.5])
    # a: 28 answers of 100 + 80/2 expected, b: 14 of 50 + 40/2
    missing = np.array([0, 80 * 0.2 / 2, 0, 40 * 0.2 / 2])
    assert read.missing == pytest.approx(missing)
    assert read.maturity == pytest.approx([1, 8 / 16, 1, 6 / 10])
    level, other, later = model.parameters
    assert read.value == pytest.approx(
        [3.5, (16 + 8 * (level + later)) / 16, 3.5, (24 + 4 * (level + other + later)) / 10]
    )
    assert read.lower[[0, 2]] == pytest.approx(3.5)
    coming = level + later
    contrast = 8 * np.array([1, 0, 1])
    variance = 8 * (model.sigma2 + (coming - read.value[1]) ** 2)
    variance += contrast @ model.covariance @ contrast
    margin = scipy.stats.t.ppf(0.975, 42 - 3) * np.sqrt(variance) / 16
    assert read.upper[1] - read.value[1] == pytest.approx(margin)
    assert read.value[1] - read.lower[1] == pytest.approx(margin)
    window = complete_window(model, triangle, cohorts, np.array([False, True, False, True]))
    assert window.missing == pytest.approx([12])
    assert window.value == pytest.approx([(read.value[1] * 16 + read.value[3] * 10) / 26])


def test_the_rate_falls_back_to_the_stratum_and_then_to_all():
    triangle = Triangle(
        cohort=[0, 0, 7, 7],
        lag=[0, 1, 0, 1],
        n=[6, 6, 4, 4],
        total=[24, 24, 8, 8],
        square_sum=[100, 100, 18, 18],
        stratum=["a", "a", "b", "b"],
    )
    # a has no answers in the newer block, c none at all; all are of age 0 on day 8
    cohorts = Cohorts([0, 7, 8, 8, 8], list("abbac"), [40, 40, 10, 20, 30])
    read = complete(fit(triangle, 8, block_days=4), triangle, cohorts)
    assert read.answered == pytest.approx([1, 1, 0.5, 0.5, 0.5])
    of_b, of_a, of_all = 8 / 45, 12 / 50, 20 / 110
    assert read.missing == pytest.approx([0, 0, 5 * of_b, 10 * of_a, 15 * of_all])
    # a and b differ by stratum or by block, half each; c is like the average of all
    assert read.value[2] == pytest.approx(2)
    assert 2 < read.value[4] < read.value[3] < 4


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_never_sees_later_cells(seed):
    history, day = simulate(seed, days=50, per_day=12), 40
    triangle = history.triangle()
    later = triangle.cohort + triangle.lag > day
    changed = replace(
        triangle, n=np.where(later, 99, triangle.n), total=np.where(later, 1, triangle.total)
    )
    readings = []
    for cells in (triangle, changed):
        model = fit(cells, day)
        read = complete(model, cells, history.cohorts)
        mean = adjusted_mean(model, {0: 1})
        readings.append(np.concatenate([read.value, read.upper, [mean.value, mean.upper]]))
    assert later.sum() > 80
    assert np.array_equal(readings[0], readings[1], equal_nan=True)


def test_early_anger_and_a_real_drop():
    """The naive mean of the last week reads far too low; the adjusted and the completed do not."""
    histories = 60
    everybody = simulate(999, days=7, per_day=30000)  # all in the last 7 days
    truth = np.mean([everybody.score[everybody.stratum == s].mean() for s in range(3)])
    error, covered = np.empty((histories, 3)), np.empty((histories, 3))
    for seed in range(histories):
        history, last_day = simulate(seed), 104
        triangle = history.triangle()
        model = fit(triangle, last_day)
        in_window = history.cohorts.cohort > last_day - 7
        became = history.score[history.cohort > last_day - 7].mean()
        mean = adjusted_mean(model, {0: 1}, {0: 1, 1: 1, 2: 1})
        read = complete_window(model, triangle, history.cohorts, in_window)
        known = history.cohort + history.lag <= last_day
        naive = history.score[known & (history.cohort > last_day - 7)]
        margin = 1.96 * naive.std() / np.sqrt(len(naive))
        error[seed] = naive.mean() - truth, mean.value - truth, read.value[0] - became
        covered[seed] = (
            abs(error[seed, 0]) <= margin,
            mean.lower <= truth <= mean.upper,
            read.lower[0] <= became <= read.upper[0],
        )
    naive, adjusted, completed = error.mean(axis=0)
    assert naive < -0.1
    assert abs(adjusted) < 0.03
    assert abs(completed) < 0.03
    naive, adjusted, completed = covered.mean(axis=0)
    assert naive < 0.75
    assert adjusted >= 0.88
    assert 0.88 <= completed <= 0.995


def test_intervals_of_single_days_hold_what_the_days_became():
    held = []
    for seed in range(25):
        history, last_day = simulate(seed, days=50, per_day=12, strata=2), 49
        triangle = history.triangle()
        read = complete(fit(triangle, last_day), triangle, history.cohorts)
        row = history.cohort * 2 + history.stratum
        n, total = np.bincount(row, minlength=100), np.bincount(row, history.score, 100)
        young = (history.cohorts.cohort > last_day - 6) & (n > 0) & ~np.isnan(read.value)
        became = total[young] / n[young]
        held += list((read.lower[young] <= became) & (became <= read.upper[young]))
    assert len(held) > 200
    assert 0.92 <= np.mean(held) <= 0.985


# --- how well that worked


@pytest.fixture(scope="module")
def past() -> History:
    return simulate(5, days=130, per_day=25)


def test_backtest_repeats_what_was_said_on_each_day(past):
    triangle, last_day = past.triangle(), 129
    table = backtest(triangle, past.cohorts, last_day)
    longest = longest_lag(triangle.lag, triangle.n)
    assert table["as_of_day"].tolist() == list(range(last_day - longest, longest - 1, -1))
    for at in (0, 40):
        day = table["as_of_day"][at]
        known = triangle.known_on(day).newest(day, FIT_DAYS)
        exposed = past.cohorts.newest(day, FIT_DAYS)
        read = complete_window(fit(known, day), known, exposed, exposed.cohort > day - 7)
        final = triangle.newest(day, 7).known_on(last_day)
        seen = known.newest(day, 7)
        assert [column[at] for column in table.values()] == pytest.approx(
            [
                day,
                seen.n.sum(),
                seen.total.sum() / seen.n.sum(),
                read.value[0],
                read.lower[0],
                read.upper[0],
                final.n.sum(),
                final.total.sum() / final.n.sum(),
                read.lower[0] <= final.total.sum() / final.n.sum() <= read.upper[0],
            ]
        )


def test_backtest_covers_where_the_model_holds(past):
    table = backtest(past.triangle(), past.cohorts, 129)
    assert table["is_covered"].mean() >= 0.85
    nowcast_error = table["nowcast"] - table["final_mean"]
    assert (
        abs(nowcast_error.mean()) < abs((table["observed_mean"] - table["final_mean"]).mean()) / 3
    )


def test_backtest_tells_of_a_model_that_does_not_hold(past):
    """Late answers turn bad all at once: what was said of the windows before was wrong."""
    fickle = past._replace(
        score=np.where((past.lag >= 3) & (past.cohort + past.lag > 95), 1.0, past.score)
    )
    table = backtest(fickle.triangle(), past.cohorts, 129)
    turned = (table["as_of_day"] > 91) & (table["as_of_day"] < 99)
    assert not table["is_covered"][turned].any()


def test_backtest_takes_the_days_asked_for(past):
    triangle = replace(past.triangle(), stratum=np.array(["x", "y", "z"])[past.triangle().stratum])
    cohorts = replace(past.cohorts, stratum=np.array(["x", "y", "z"])[past.cohorts.stratum])
    every = backtest(past.triangle(), past.cohorts, 129, window_days=14, block_days=14)
    some = backtest(
        triangle, cohorts, 129, window_days=14, block_days=14, history_days=20, step_days=7
    )
    assert len(some["as_of_day"]) == 3
    for name, column in some.items():
        assert column == pytest.approx(every[name][[0, 7, 14]])


def test_backtest_of_a_short_history_is_empty(past):
    young = past.triangle().known_on(35)
    assert len(backtest(young, past.cohorts.where(past.cohorts.cohort <= 35), 35)["nowcast"]) == 0
