"""Estimators against published numbers, against other libraries, and at their edges."""

from __future__ import annotations

import json
import math
from dataclasses import astuple

import duckdb
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    power_proportions_2indep,
    proportion_confint,
)

from agent_kpis.statistics import assignment, experiments, sequential
from agent_kpis.statistics.estimates import (
    Z95,
    Estimate,
    difference,
    normal_estimate,
    of_few,
    relative_difference,
    shares,
    weighted,
)
from agent_kpis.statistics.means import (
    cluster_robust_difference,
    cuped,
    cuped_slope,
    design_effect,
    sample_covariance,
    sample_variance,
    standardised_mean,
)
from agent_kpis.statistics.proportions import (
    mantel_haenszel,
    miettinen_nurminen,
    risk_ratio,
    standardised_proportion,
    wilson,
)
from agent_kpis.statistics.ratios import standardised_ratio
from agent_kpis.statistics.survival import (
    kaplan_meier,
    median,
    restricted_mean,
    standardised_curve,
)
from support import REPOSITORY

NAN = math.nan
SEEDS = range(12)

close = pytest.approx


def digits(expected):
    """Equal to the eight decimals that the reference gives."""
    return pytest.approx(expected, rel=0, abs=1.01e-8)


def limits(estimate: Estimate) -> list[float]:
    return [estimate.lower, estimate.upper]


def untold(estimate: Estimate) -> bool:
    return all(math.isnan(x) for x in (estimate.value, estimate.lower, estimate.upper))


def newcombe(x1, n1, x0, n0) -> Estimate:
    return difference(standardised_proportion(x1, n1, 1), standardised_proportion(x0, n0, 1))


@pytest.fixture(scope="module")
def reference() -> dict:
    path = REPOSITORY.parent / "shared" / "data" / "statistics_reference.json"
    if not path.is_file():
        pytest.skip(f"the reference numbers are not here: no file {path}")
    return json.loads(path.read_text(encoding="utf-8"))


# Estimates


@st.composite
def estimates(draw) -> Estimate:
    value, below, above = (draw(st.floats(0.01, 100)) for _ in range(3))
    scale = draw(st.sampled_from(["identity", "log", "log1p"]))
    lower = value / (1 + below) if scale != "identity" else value - below
    return Estimate(value, lower, value + above, draw(st.integers(1, 1000)), scale)


@given(estimates(), estimates())
def test_a_difference_turned_round_changes_its_sign(a, b):
    forth, back = difference(a, b), difference(b, a)
    assert (forth.value, forth.lower, forth.upper) == close((-back.value, -back.upper, -back.lower))
    assert forth.lower <= forth.value <= forth.upper


@given(estimates(), st.floats(0.3, 3))
def test_widening_multiplies_the_standard_error_on_the_own_scale(estimate, factor):
    wide = estimate.widened(factor)
    assert wide.standard_error == close(factor * estimate.standard_error, rel=1e-6)
    assert wide.value == estimate.value
    back = wide.widened(1 / factor)
    assert limits(back) == close(limits(estimate), rel=1e-6)


def test_scales_of_widening():
    assert limits(Estimate(10, 8, 13, 5).widened(2)) == [6, 16]
    assert limits(Estimate(10, 5, 20, 5, "log").widened(2)) == close([2.5, 40])
    # 1 + value: .8 within .4 and 1.6.
    assert limits(Estimate(-0.2, -0.6, 0.6, 5, "log1p").widened(2)) == close([-0.8, 2.2])


def test_standard_error_is_of_the_mean_half_width():
    assert Estimate(10, 8, 13, 5).standard_error == close(2.5 / Z95)


def test_relative_difference_of_ratios_adds_their_logarithms_errors():
    a, b = Estimate(6, 4, 9, 10, "log"), Estimate(8, 4, 16, 20, "log")
    relative = relative_difference(a, b)
    half_width = math.hypot(math.log(1.5), math.log(2))
    assert relative.value == close(-0.25)
    assert limits(relative) == close([0.75 * math.exp(s * half_width) - 1 for s in (-1, 1)])
    assert relative.standard_error == close(half_width / Z95)
    assert (relative.n, relative.scale) == (30, "log1p")


def test_relative_difference_excludes_nothing_that_a_limit_at_zero_allows():
    a, b = Estimate(0.1, 0, 0.3, 10), Estimate(0.2, 0, 0.4, 10)
    assert limits(relative_difference(a, b)) == [-1, math.inf]
    assert relative_difference(Estimate(0.1, -0.1, 0.3, 10), b) == relative_difference(a, b)
    assert untold(relative_difference(Estimate(0, 0, 0.1, 30), b))
    assert untold(relative_difference(a, Estimate(-1, -2, 1, 30)))


def test_what_cannot_be_told_stays_so():
    known, unknown = Estimate(1, 0.5, 2, 10, "log"), Estimate(NAN, NAN, NAN, 0, "log")
    for result in (
        unknown.widened(2),
        difference(known, unknown),
        difference(unknown, known),
        relative_difference(known, unknown),
    ):
        assert untold(result)
    assert math.isnan(unknown.standard_error)
    open_above = difference(known, Estimate(1, 0.5, NAN, 10))
    assert math.isnan(open_above.lower)
    assert open_above.upper == close(math.hypot(1, 0.5))


def test_weights_of_strata():
    assert shares([3, 1, 0]).tolist() == [0.75, 0.25, 0]
    assert weighted(shares([3, 1, 0]), [1, 2, NAN]) == 1.25
    assert np.isnan(weighted(shares([0, 0]), [1, 2]))
    with pytest.raises(ValueError, match="negative"):
        shares([1, -1])
    with pytest.raises(ValueError, match="no strata"):
        shares([])


# Proportions


@pytest.mark.parametrize(
    ("entry", "limits_at", "counts"),
    [
        ("newcombe_diff_180_255_vs_36_45", "ci", (180, 255, 36, 45)),
        ("newcombe_diff_1800_2550_vs_360_450", "ci95", (1800, 2550, 360, 450)),
        ("newcombe_edge_30_30_vs_5_5", "ci", (30, 30, 5, 5)),
    ],
)
def test_newcombe_as_published(reference, entry, limits_at, counts):
    assert limits(newcombe(*counts)) == digits(reference[entry][limits_at])


def test_wilson_as_published(reference):
    assert list(wilson(36, 45)) == digits(reference["wilson_36_45"]["ci"])


def test_risk_ratio_as_published(reference):
    entry = reference["risk_ratio_180_255_vs_36_45"]
    assert limits(risk_ratio(180, 255, 36, 45)) == digits(entry["log"])
    assert limits(risk_ratio(180, 255, 36, 45, added=0.5)) == digits(entry["log_adjusted"])


@pytest.mark.parametrize("counts", [(7, 34, 1, 34), (180, 255, 36, 45)])
def test_miettinen_nurminen_as_published(reference, counts):
    entry = reference["miettinen_nurminen_{}_{}_vs_{}_{}".format(*counts)]
    assert limits(miettinen_nurminen(*counts)) == digits(entry["scipy"])


def test_strata_as_published(reference):
    entry = reference["stratified_3_task_types"]
    (x1, n1), (x0, n0) = (np.transpose(entry["counts"][arm]) for arm in ("ai", "ho"))
    ai, human = standardised_proportion(x1, n1, n1), standardised_proportion(x0, n0, n1)
    stratified = difference(ai, human)
    assert shares(n1) == digits(entry["weights_ai_mix"])
    assert stratified.value == close(entry["post_stratified_diff"], rel=1e-12)
    assert limits(stratified) == digits(entry["mover_ci_from_library_wilson"])
    assert stratified.n == n1.sum() + n0.sum()
    for arm, counts in (("ai", (x1, n1)), ("ho", (x0, n0))):
        expected = [stratum[arm] for stratum in entry["per_stratum_wilson"]]
        assert np.transpose(wilson(*counts)) == digits(np.array(expected))

    crude = newcombe(x1.sum(), n1.sum(), x0.sum(), n0.sum())
    assert crude.value == close(entry["crude_diff"])
    assert limits(crude) == digits(entry["crude_newcombe"])

    tested = mantel_haenszel(x1, n1, x0, n0)
    assert tuple(tested) == close(
        [entry[key] for key in ("cmh_chi2", "cmh_p", "mh_pooled_or", "breslow_day_p")], rel=1e-10
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_proportions_agree_with_statsmodels(seed):
    rng = np.random.default_rng(seed)
    n1, n0 = rng.integers(1, 400, 2)
    x1, x0 = rng.integers(0, [n1 + 1, n0 + 1])
    assert list(wilson(x1, n1)) == close(list(proportion_confint(x1, n1, method="wilson")))
    assert limits(newcombe(x1, n1, x0, n0)) == close(
        list(confint_proportions_2indep(x1, n1, x0, n0, method="newcomb"))
    )
    assert limits(risk_ratio(x1, n1, x0, n0, added=0.5)) == close(
        list(confint_proportions_2indep(x1, n1, x0, n0, compare="ratio", method="log-adjusted"))
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_score_limits_are_where_the_maximised_likelihood_just_rejects(seed):
    rng = np.random.default_rng(seed)
    n1, n0 = rng.integers(8, 60, 2)
    x1, x0 = rng.integers(1, [n1, n0])
    estimate = miettinen_nurminen(x1, n1, x0, n0)

    def z(delta):
        def minus_log_likelihood(p0):
            return -sum(
                scipy.stats.binom.logpmf(x, n, p)
                for x, n, p in ((x1, n1, p0 + delta), (x0, n0, p0))
            )

        low, high = max(0, -delta), min(1, 1 - delta)
        p0 = scipy.optimize.minimize_scalar(
            minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
        ).x
        p1, n = p0 + delta, n1 + n0
        variance = (p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0) * n / (n - 1)
        return (estimate.value - delta) / math.sqrt(variance)

    assert (z(estimate.lower), z(estimate.upper)) == close((Z95, -Z95), abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_mantel_haenszel_agrees_with_statsmodels(seed):
    rng = np.random.default_rng(seed)
    n1, n0 = rng.integers(5, 200, (2, 4))
    x1, x0 = rng.integers(1, n1), rng.integers(1, n0)
    tables = StratifiedTable(
        [np.array([[a, n - a], [c, m - c]]) for a, n, c, m in zip(x1, n1, x0, n0, strict=True)]
    )
    null = tables.test_null_odds(correction=False)
    expected = (
        null.statistic,
        null.pvalue,
        tables.oddsratio_pooled,
        tables.test_equal_odds(adjust=False).pvalue,
    )
    assert tuple(mantel_haenszel(x1, n1, x0, n0)) == close(expected, rel=1e-7, abs=1e-12)
    silent = [[0, 0, 9, 4], [0, 20, 9, 8], [3, 0, 5, 0], [7, 30, 5, 0]]
    with_silent = [np.append(x, more) for x, more in zip((x1, n1, x0, n0), silent, strict=True)]
    assert mantel_haenszel(*with_silent) == mantel_haenszel(x1, n1, x0, n0)


def test_mantel_haenszel_that_cannot_tell():
    one = mantel_haenszel([5], [10], [2], [10])
    assert one.odds_ratio == close(4)
    assert math.isnan(one.homogeneity_p)
    assert math.isnan(mantel_haenszel([1], [9], [6], [7]).homogeneity_p)
    assert all(math.isnan(x) for x in mantel_haenszel([0], [0], [2], [10]))


def test_proportions_at_their_ends():
    lower, upper = wilson([0, 7, 0], [7, 7, 0])
    assert (lower[0], upper[1]) == (0, 1)
    assert 0 < upper[0] == close(1 - lower[1])
    every = np.arange(1, 60)
    assert (wilson(every, every)[1] == 1).all()
    assert np.isnan([lower[2], upper[2]]).all()
    assert untold(miettinen_nurminen(0, 0, 1, 5))
    assert untold(risk_ratio(1, 5, 0, 0))
    none_at_all = miettinen_nurminen(0, 20, 0, 30)
    assert none_at_all.value == 0
    assert none_at_all.lower < 0 < none_at_all.upper
    assert none_at_all.upper == close(-miettinen_nurminen(0, 30, 0, 20).lower)
    assert limits(miettinen_nurminen(20, 20, 0, 30))[1] == close(1)


def test_one_stratum_is_the_plain_formula():
    plain = wilson(36, 45)
    one = standardised_proportion([36], [45], [17])
    assert (one.value, one.lower, one.upper, one.n) == close((0.8, *plain, 45))


ARGUMENTS = {
    standardised_proportion: [[450, 160, 70], [500, 200, 150]],
    standardised_mean: [[40, 30, 12], [160, 90, 40], [660, 300, 150]],
    standardised_ratio: [
        [40, 30, 12],
        [80.0, 90.0, 30.0],
        [200.0, 400.0, 110.0],
        [20, 21, 6],
        [35.0, 60.0, 16.0],
    ],
}


@pytest.mark.parametrize("estimator", ARGUMENTS)
def test_standardised(estimator):
    columns, weights = ARGUMENTS[estimator], [5, 3, 2]
    plain = estimator(*columns, weights)
    turned = estimator(*(column[::-1] for column in columns), weights[::-1])
    assert astuple(turned)[:4] == close(astuple(plain)[:4])

    clustered = estimator(*columns, weights, design_effect=2.5)
    assert clustered.value == plain.value
    assert clustered.lower < plain.lower < plain.value < plain.upper < clustered.upper
    if estimator is not standardised_proportion:
        assert clustered.standard_error == close(plain.standard_error * math.sqrt(2.5))

    # An empty stratum matters only if it has weight.
    with_empty = [[*column, 0] for column in columns]
    assert estimator(*with_empty, [*weights, 0]) == plain
    assert untold(estimator(*with_empty, [*weights, 1]))
    assert untold(estimator(*columns, [0, 0, 0]))
    assert untold(estimator(*columns, [5, 3, NAN]))
    assert plain.n == sum(columns[0] if estimator is not standardised_proportion else columns[1])


# Means


def test_mean_of_scores():
    scores = np.array([1, 2, 5, 5, 4, 3, 5, 2])
    mean = standardised_mean(scores.size, scores.sum(), (scores**2).sum(), 1)
    assert mean.value == scores.mean()
    assert mean.standard_error == close(scipy.stats.sem(scores))
    assert untold(standardised_mean(1, 4, 16, 1)) is False
    assert math.isnan(standardised_mean(1, 4.1, 16.82, 1).lower)
    # The sums leave a variance just below 0.
    same = standardised_mean(5, 0.3 * 5, 0.3 * 0.3 * 5, 1)
    assert limits(same) == close([0.3, 0.3])
    assert sample_variance(5, 0.3 * 5, 0.3 * 0.3 * 5) == 0


def test_covariance_is_numpys():
    a, b = np.random.default_rng(3).normal(size=(2, 9))
    assert sample_covariance(9, a.sum(), b.sum(), a @ b) == close(np.cov(a, b)[0, 1])


def test_customers_as_clusters_as_published(reference):
    entry = reference["cluster_robust_24_customers"]
    estimate = cluster_robust_difference(entry["arm"], entry["tickets"], entry["successes"])
    assert estimate.value == close(entry["diff"], rel=1e-12)
    assert estimate.standard_error == close(entry["se"], rel=1e-12)
    assert estimate.n == sum(entry["tickets"])
    assert untold(cluster_robust_difference([1, 1], [3, 4], [1, 2]))


def test_customers_of_one_ticket_are_independent(reference):
    entry = reference["gb_fixed_abs_360_450_vs_1800_2550"]
    arm = np.repeat([0, 1], [450, 2550])
    success = np.concatenate([np.arange(450) < 360, np.arange(2550) < 1800])
    estimate = cluster_robust_difference(arm, np.ones(3000), success)
    assert estimate.value == close(entry["expected"], rel=1e-12)
    assert estimate.standard_error == close(entry["se"], rel=1e-12)
    assert design_effect(np.ones(3000), success) == close(3000 / 2999)


def test_design_effect():
    # Twenty customers of six tickets, each of whom either always succeeds or never.
    alike = np.repeat([6, 0], 10)
    assert design_effect(np.full(20, 6), alike) == close(6 * 20 / 19)
    assert design_effect(np.full(20, 6), alike, square_sum=alike) == close(6 * 20 / 19)
    # All customers the same: less than independent, which is not taken as a gain.
    assert design_effect(np.full(20, 6), np.full(20, 3)) == 1
    assert design_effect([6, 6], [6, 6]) == 1
    assert design_effect([6, 4, 0], [3, 1, 0]) == design_effect([6, 4], [3, 1])
    assert math.isnan(design_effect([6, 0], [3, 0]))
    assert math.isnan(design_effect([49], [1]))
    assert math.isnan(design_effect([6, NAN], [3, 1]))


CUPED = {
    "n": [150, 850],
    "total": [108, 590],
    "before": [110, 620],
    "before_square_sum": [93, 525],
    "cross_sum": [84, 450],
}


def test_cuped_as_published(reference):
    entry = reference["gb_cuped"]
    estimate = cuped(square_sum=[90, 480], **CUPED)
    assert cuped_slope(**CUPED) == close(entry["theta"], rel=1e-12)
    assert estimate.value == close(entry["expected"], rel=1e-10)
    assert estimate.standard_error == close(entry["se"], rel=1e-10)
    # The published limits are Student's.
    assert limits(estimate) == close(entry["ci"], abs=3e-4)


def test_cuped_without_anything_before_cannot_tell():
    nothing = CUPED | {"before": [0, 0], "before_square_sum": [0, 0], "cross_sum": [0, 0]}
    assert untold(cuped(square_sum=[90, 480], **nothing))


# Ratios

HUMAN, AI = (450, 2835, 21500, 360, 2160), (2550, 2805, 6100, 1836, 1836)


def test_cost_per_success_as_published(reference):
    entry = reference["gb_ratio_cost_per_success"]
    # The published variances are those of the normal distribution.
    human, ai = (
        standardised_ratio(*arm, weights=1).widened(of_few(arm[0] - 1) ** -0.5)
        for arm in (HUMAN, AI)
    )
    for estimate, name in ((human, "holdout"), (ai, "ai")):
        assert estimate.value == close(entry[f"{name}_mean"], rel=1e-12)
        variance = (estimate.value * estimate.standard_error) ** 2 * estimate.n
        assert variance == close(entry[f"{name}_var"], rel=1e-12)
    absolute = math.hypot(ai.value * ai.standard_error, human.value * human.standard_error)
    assert absolute == close(entry["absolute"]["se"], rel=1e-12)
    assert difference(ai, human).value == close(entry["absolute"]["expected"], rel=1e-12)
    relative = relative_difference(ai, human)
    assert relative.value == close(entry["relative"]["expected"], rel=1e-12)
    assert relative.standard_error * (1 + relative.value) == close(
        entry["relative"]["se"], rel=1e-12
    )
    # The published limits are symmetric; those on the logarithm lie near.
    assert limits(relative) == close(entry["relative"]["ci"], abs=1e-3)


def test_own_mix_as_weights_gives_total_cost_over_successes():
    n, cost, squares, successes, of_successes = ARGUMENTS[standardised_ratio]
    plain = standardised_ratio(n, cost, squares, successes, of_successes, n)
    assert plain.value == close(sum(cost) / sum(successes))
    shared = standardised_ratio(n, cost, squares, successes, of_successes, n, shared_cost=94)
    assert shared.value == close((sum(cost) + 94) / sum(successes))
    # Of 82 interactions each bears the same, whatever the weights.
    other, dearer = (
        standardised_ratio(n, c, squares, successes, of_successes, [1, 1, 8], shared_cost=s)
        for c, s in ((cost, 41), (np.add(cost, np.multiply(n, 0.5)), 0))
    )
    assert other.value == close(dearer.value)


def test_shared_cost_is_a_constant_in_every_interaction():
    rng = np.random.default_rng(5)
    cost, success = rng.gamma(2, 3, 80), rng.random(80) < 0.6

    def ratio(cost, **shared):
        return standardised_ratio(
            80, cost.sum(), (cost**2).sum(), success.sum(), cost[success].sum(), 1, **shared
        )

    assert astuple(ratio(cost, shared_cost=160))[:4] == close(astuple(ratio(cost + 2))[:4])
    # The delta method is the standard error of the mean residual cost - R * success.
    plain = ratio(cost)
    residual = (cost - plain.value * success) / cost.mean()
    sem = scipy.stats.sem(residual) * of_few(residual.size - 1) ** 0.5
    assert plain.standard_error == close(sem)


def test_a_cost_that_only_success_has_leaves_nothing_to_chance():
    # The three terms of the variance come to just below 0.
    sure = standardised_ratio(3, 0.2, 0.1 * 0.1 * 2, 2, 0.2, 1)
    assert limits(sure) == close([0.1, 0.1])


def test_without_success_no_cost_per_success():
    assert untold(standardised_ratio(20, 50, 300, 0, 0, 1))


# Survival


@pytest.fixture(scope="module")
def tickets(reference):
    entry = reference["km_15_tickets_hours"]
    resolved = np.array(entry["resolved"])
    return entry, (np.array(entry["time"]), resolved, 1 - resolved)


def test_kaplan_meier_as_published(tickets):
    entry, bins = tickets
    curve = kaplan_meier(*bins)
    assert curve.times.tolist() == entry["times"]
    assert curve.survival == digits(entry["S_at_event_times"])
    assert np.sqrt(curve.variance) == digits(entry["greenwood_se"])
    assert (curve.n, curve.last) == (15, 120)
    middle = median(curve)
    assert (middle.value, middle.lower, middle.upper) == (entry["median"], *entry["median_ci"])
    mean = restricted_mean([curve], [1], 72)
    assert mean.value == close(entry["rmst_72h_lifelines"], rel=1e-12)
    assert mean.standard_error == close(entry["rmst_72h_se_greenwood"], rel=1e-12)


def test_counts_weigh_as_so_many_rows(reference, tickets):
    _, (time, resolved, censored) = tickets
    order = np.random.default_rng(1).permutation(time.size)
    curve = kaplan_meier(time[order], 3 * resolved[order], 3 * censored[order])
    expanded = reference["trap_survfunc_freq_weights_se"]["expanded_se"]
    assert np.sqrt(curve.variance[: len(expanded)]) == digits(expanded)


def cases(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and statuses with many ties; of the odd seeds no case is censored."""
    rng = np.random.default_rng(seed)
    n = rng.integers(3, 80)
    resolved = (rng.random(n) < 0.6) | (seed % 2 == 1)
    return np.ceil(rng.weibull(0.8, n) * 20), resolved.astype(int)


@pytest.mark.parametrize("seed", range(40))
def test_curve_and_median_agree_with_statsmodels(seed):
    time, resolved = cases(seed)
    curve = kaplan_meier(time, resolved, 1 - resolved)
    expected = SurvfuncRight(time, resolved)
    assert curve.times.tolist() == expected.surv_times.tolist()
    assert curve.survival == close(expected.surv_prob, abs=1e-12)
    kept = curve.survival > 0
    assert np.sqrt(curve.variance[kept]) == close(expected.surv_prob_se[kept])
    middle = median(curve)
    if not np.isclose(curve.survival, 0.5).any():
        assert middle.value == close(expected.quantile(0.5), nan_ok=True)
    with np.errstate(all="ignore"):
        lower, upper = expected.quantile_ci(0.5)
    assert limits(middle) == close([lower, NAN if upper == math.inf else upper], nan_ok=True)


@pytest.mark.parametrize("tau", [15, 1000])
@pytest.mark.parametrize("seed", range(1, 20, 2))
def test_restricted_mean_without_censoring_is_the_mean_cut_off(seed, tau):
    time, resolved = cases(seed)
    cut = np.minimum(time, tau)
    curve = kaplan_meier(time, resolved, 0 * resolved)
    assert (curve.survival[-1], curve.variance[-1]) == (0, 0)
    mean = restricted_mean([curve], [1], tau)
    assert mean.value == close(cut.mean())
    assert mean.standard_error == close(cut.std() / math.sqrt(cut.size), abs=1e-12)


def test_a_curve_at_exactly_one_half_has_not_come_below():
    # 33/34 * 32/33 * ...: the product is rounded to just below.
    curve = kaplan_meier(np.arange(34), np.ones(34), np.zeros(34))
    assert 0.5 - 1e-12 < curve.survival[16] < 0.5
    assert median(curve).value == 17


def test_curve_that_does_not_reach_one_half():
    middle = median(kaplan_meier([1, 2, 9], [10, 10, 0], [0, 0, 80]))
    assert math.isnan(middle.value)
    assert math.isnan(middle.upper)


def test_strata_of_curves():
    fast = kaplan_meier([1, 2, 3, 4], [10, 8, 3, 1], [0, 2, 1, 5])
    slow = kaplan_meier([2, 5, 8], [4, 8, 3], [1, 0, 9])
    both = standardised_curve([fast, slow], [3, 1])
    assert both.times.tolist() == [1, 2, 3, 4, 5, 8]
    fast_at = np.append(fast.survival, [fast.survival[-1]] * 2)
    slow_at = np.array([1, 0, 0, 0, 0, 0]) + np.array([0, 1, 1, 1, 0, 0]) * slow.survival[0]
    slow_at[4:] = slow.survival[1:]
    assert both.survival == close(0.75 * fast_at + 0.25 * slow_at)
    assert both.variance[0] == close(0.75**2 * fast.variance[0])
    assert both.variance[-1] == close(0.75**2 * fast.variance[-1] + 0.25**2 * slow.variance[-1])
    assert (both.n, both.last) == (55, 4)

    turned = standardised_curve([slow, fast], [1, 3])
    assert (turned.survival == both.survival).all()
    assert median(turned) == median(both)
    area = np.sum(np.append(1, both.survival) * np.diff([0, *both.times, 10]))
    mean = restricted_mean([fast, slow], [3, 1], 10)
    assert mean.value == close(area)
    apart = [restricted_mean([curve], [1], 10).standard_error for curve in (fast, slow)]
    assert mean.standard_error == close(math.hypot(0.75 * apart[0], 0.25 * apart[1]))


def test_one_stratum_of_curves_is_its_curve():
    curve = kaplan_meier([1, 2, 3, 4], [10, 8, 3, 1], [0, 2, 1, 5])
    nobody = kaplan_meier([], [], [])
    for same in (standardised_curve([curve], [7]), standardised_curve([nobody, curve], [0, 7])):
        assert (same.times.tolist(), same.n, same.last) == (curve.times.tolist(), 30, 4)
        assert same.survival == close(curve.survival)
        assert same.variance == close(curve.variance)
    assert restricted_mean([nobody, curve], [0, 1], 3) == restricted_mean([curve], [1], 3)
    for weights in ([1, 1], [0, 0]):
        assert untold(median(standardised_curve([nobody, curve], weights)))
        assert untold(restricted_mean([nobody, curve], weights, 3))


def test_bins_that_make_no_sense():
    for bins in (([-1], [1], [0]), ([NAN], [1], [0]), ([1], [-1], [0]), ([1], [0], [NAN])):
        with pytest.raises(ValueError, match="not negative"):
            kaplan_meier(*bins)
    curve = kaplan_meier([1, 2, 9], [1, 1, 0], [0, 0, 0])
    assert curve.last == 2
    with pytest.raises(ValueError, match="tau"):
        restricted_mean([curve], [1], 0)


# Sequential limits


@pytest.mark.parametrize("n_star", [5000, 8400])
def test_confidence_sequence_as_published(reference, n_star):
    entry = reference[f"gb_sequential_abs_Nstar{n_star}"]
    fixed = normal_estimate(entry["expected"], entry["se"] ** 2, 3000)
    factor = sequential.multiplier(3000, n_star) / Z95
    assert limits(fixed.widened(factor)) == close(entry["ci"], rel=1e-12)
    p = sequential.p_value(entry["expected"], entry["se"], 3000, n_star)
    assert p == close(entry["p"], rel=1e-10)


def test_confidence_sequence_of_a_relative_difference_as_published(reference):
    entry = reference["gb_sequential_rel_Nstar5000"]
    ratio = risk_ratio(1800, 2550, 360, 450)
    assert ratio.value - 1 == close(entry["expected"], rel=1e-12)
    standard_error = ratio.value * ratio.standard_error
    assert standard_error == close(entry["se"], rel=1e-12)
    assert standard_error == close(reference["gb_fixed_rel"]["se"], rel=1e-12)
    half_width = sequential.multiplier(3000, 5000) * standard_error
    assert [entry["expected"] - half_width, entry["expected"] + half_width] == close(
        entry["ci"], rel=1e-12
    )
    p = sequential.p_value(entry["expected"], standard_error, 3000, 5000)
    assert p == close(entry["p"], rel=1e-10)


def test_p_is_below_alpha_just_outside_the_limits():
    for n, alpha in ((10, 0.05), (4000, 0.05), (4000, 0.01)):
        edge = sequential.multiplier(n, 2000, alpha)
        assert sequential.p_value(-edge, 1, n, 2000, alpha) == close(alpha)
    assert sequential.p_value(0, 1, 100, 2000) == 1


def test_limits_are_tightest_about_the_planned_number():
    # The tuning is a close approximation of the best one.
    at_plan = sequential.multiplier(2000, 2000)
    numbers = range(100, 20000, 100)
    assert at_plan < 1.001 * min(sequential.multiplier(n, 2000) for n in numbers)
    assert sequential.multiplier(100, 2000) > 1.5 * at_plan
    assert Z95 < at_plan < 3.1


def test_looking_often_does_not_find_what_is_not_there():
    rng = np.random.default_rng(20)
    n = np.arange(1, 61) * 20
    z = rng.normal(size=(2000, 60)).cumsum(axis=1) / np.sqrt(np.arange(1, 61))
    limits = np.array([sequential.multiplier(k, 600) for k in n])
    assert (np.abs(z) > limits).any(axis=1).mean() < 0.05
    assert (np.abs(z) > Z95).any(axis=1).mean() > 0.25


def test_sequential_edges():
    assert sequential.multiplier(0, 100) == math.inf
    assert math.isnan(sequential.p_value(NAN, 1, 50, 100))
    assert math.isnan(sequential.multiplier(NAN, 100))
    for n_star, alpha in ((0, 0.05), (100, 0), (100, 1), (NAN, 0.05)):
        with pytest.raises(ValueError, match="n_star"):
            sequential.tuning(n_star, alpha)


# Experiments


def test_sample_ratio_as_published(reference):
    entry = reference["srm_2640_360_share_.15"]
    assert experiments.sample_ratio_test(360, 3000, 0.15) == close(
        (entry["chi2"], entry["p"]), rel=1e-10
    )
    assert entry["p"] == close(reference["gb_srm_2640_360"])


def test_sample_ratio_over_groups():
    same = experiments.sample_ratio_test([100, 260], [1000, 2000], 0.15)
    assert same == close(experiments.sample_ratio_test(360, 3000, 0.15))
    observed, n, share = np.array([100, 260]), np.array([1000, 2000]), np.array([0.1, 0.15])
    z = (360 - 400) / math.sqrt(1000 * 0.09 + 2000 * 0.1275)
    chi2, p = experiments.sample_ratio_test(observed, n, share)
    assert chi2 == close(z**2)
    assert p == close(2 * scipy.stats.norm.sf(abs(z)))
    assert all(map(math.isnan, experiments.sample_ratio_test(0, 0, 0.15)))
    with pytest.raises(ValueError, match="between 0 and 1"):
        experiments.sample_ratio_test([1, 2], [10, 10], [0.1, 1])


def test_power_as_published(reference):
    power = experiments.power_of_difference(0.72, -0.05, 7140, 1260)
    assert power == close(reference["power"]["power"], rel=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_power_agrees_with_statsmodels(seed):
    rng = np.random.default_rng(seed)
    p, effect = rng.uniform(0.3, 0.7), rng.uniform(-0.2, 0.2)
    n_ai, n_holdout = rng.integers(20, 3000, 2)
    expected = power_proportions_2indep(effect, p, n_ai, n_holdout / n_ai, return_results=False)
    assert experiments.power_of_difference(p, effect, n_ai, n_holdout) == close(expected)


def test_sizes_that_plans_rest_on():
    assert experiments.holdout_needed(0.80, -0.05, 0.1) == 568
    # The test that pools the proportions would need some more: sizes are for the interval.
    assert experiments.power_of_difference(0.80, -0.05, 9 * 568, 568) == close(0.762, abs=5e-4)
    satisfied = experiments.holdout_needed(0.82, -0.08, 0.1)
    assert satisfied == 208
    assert satisfied / 0.15 == close(1400, rel=0.01)
    assert experiments.days_needed(satisfied, 300, 0.1, response_rate=0.15) == 47
    assert experiments.days_needed(29, 100, 0.29) == 1
    assert experiments.days_needed(30, 100, 0.29) == 2


def test_the_size_needed_is_the_first_that_detects_the_effect():
    share, sd = 0.15, 1.2

    def detected(n, variance, variance_ai):
        return experiments.minimum_detectable_effect(
            math.sqrt(variance / n + variance_ai / (n * (1 - share) / share))
        )

    for needed, variances in (
        (experiments.holdout_needed(0.7, -0.06, share), (0.21, 0.64 * 0.36)),
        (experiments.holdout_needed_mean(-0.06, sd, share), (sd**2, sd**2)),
    ):
        assert detected(needed, *variances) <= 0.06 < detected(needed - 1, *variances)


@pytest.mark.parametrize(("days", "points"), [(7, 0.078), (28, 0.039)])
def test_what_a_holdout_of_45_a_day_can_show(days, points):
    standard_error = math.sqrt(0.7 * 0.3 * (1 / (45 * days) + 1 / (255 * days)))
    assert experiments.minimum_detectable_effect(standard_error) == close(points, abs=5e-4)


def test_sizes_that_cannot_be_told():
    assert experiments.holdout_needed(0.8, 0, 0.1) == math.inf
    assert experiments.days_needed(100, 0, 0.1) == math.inf
    assert math.isnan(experiments.holdout_needed(0.8, 0.3, 0.1))
    assert math.isnan(experiments.holdout_needed(NAN, -0.1, 0.1))
    assert math.isnan(experiments.holdout_needed_mean(0.1, NAN, 0.1))
    assert math.isnan(experiments.power_of_difference(0.5, 0.1, 0, 0))
    assert math.isnan(experiments.minimum_detectable_effect(NAN))
    for call in (
        lambda: experiments.holdout_needed(0.8, -0.05, 1),
        lambda: experiments.holdout_needed_mean(0.1, 1, 0),
        lambda: experiments.days_needed(10, 10, NAN),
    ):
        with pytest.raises(ValueError, match="between 0 and 1"):
            call()


def test_false_discovery_as_published(reference):
    entry = reference["bh"]
    assert experiments.benjamini_hochberg(entry["p"]) == digits(entry["adjusted"])


@pytest.mark.parametrize("seed", SEEDS)
def test_false_discovery_agrees_with_statsmodels(seed):
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(rng.integers(1, 12)) ** 2, 2)
    expected = multipletests(p, method="fdr_bh")[1]
    assert experiments.benjamini_hochberg(p) == close(expected)
    gaps = np.insert(p, [0, p.size], NAN)
    assert experiments.benjamini_hochberg(gaps) == close([NAN, *expected, NAN], nan_ok=True)
    assert gaps[1:-1].tolist() == p.tolist()


# Assignment


def test_points_are_what_sql_makes_of_the_same_text():
    ids = [f"conversation {i}" for i in range(50)] + ["日本", "a:b", "0"]
    in_sql = duckdb.execute(
        "select cast('0x' || substr(md5('pilot:' || id), 1, 8) as bigint) / 4294967296.0"
        " from (select unnest(?) as id, unnest(range(53)) as i) order by i",
        [ids],
    ).fetchall()
    assert [assignment.assignment_point(i, "pilot") for i in ids] == [point for (point,) in in_sql]


def test_arms_are_as_many_as_planned_and_unrelated_between_salts():
    ids = [f"t{i}" for i in range(4000)]
    points = np.array([[assignment.assignment_point(i, s) for i in ids] for s in ("one", "two")])
    assert scipy.stats.kstest(points[0], "uniform").pvalue > 0.01
    assert abs(np.corrcoef(points)[0, 1]) < 0.05
    arms = [assignment.assigned_arm(i, "one", 0.15) for i in ids]
    assert [arm == "human" for arm in arms] == (points[0] < 0.15).tolist()
    assert set(arms) == {"human", "ai"}


def test_assignment_refuses_what_it_cannot_mean():
    for share in (0, 1, -0.1, 15, NAN):
        with pytest.raises(ValueError, match="between 0 and 1"):
            assignment.assigned_arm("t1", "pilot", share)
    with pytest.raises(ValueError, match="empty"):
        assignment.assigned_arm("", "pilot", 0.15)
