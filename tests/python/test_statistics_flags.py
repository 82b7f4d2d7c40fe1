"""Levels over time: the arithmetic, the rule that pages, and what only drifts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kpis.statistics import ladder, windows
from agent_kpis.statistics.estimates import Z95
from agent_kpis.statistics.flags import of_requests
from agent_kpis.statistics.judging import STATUSES, Judged, Limits, chosen_window, excess, judge
from agent_kpis.statistics.means import standardised_mean
from agent_kpis.statistics.proportions import standardised_proportion
from agent_kpis.statistics.ratios import standardised_ratio
from agent_kpis.statistics.trend import rolling_slope, theil_sen

TWO_SIDED = 0.975
DEFAULT, HEALTHCARE = (5.0, 10.0, 20.0), (2.0, 4.0, 8.0)


# --- the arithmetic


@pytest.mark.parametrize(
    ("reference", "value", "level"),
    [
        (0.80, 0.7501, 0),
        (0.80, 0.75, 2),
        (0.80, 0.7001, 2),
        (0.80, 0.70, 3),
        (0.80, 0.60, 4),
        (0.80, 0.5999, 4),
        # In binary .70 - .65 is a little less than .05.
        (0.70, 0.65, 2),
        (0.30, 0.25, 2),
        # Points, not per cent: -7.5% of .40 are three points.
        (0.40, 0.37, 0),
        (0.80, 0.85, 0),
    ],
)
def test_the_point_level_is_plain_arithmetic(reference, value, level):
    assert ladder.point_level([100 * (reference - value)], [DEFAULT]) == [level]


def test_a_tighter_profile_reaches_its_levels_sooner():
    assert ladder.point_level([4.0], [HEALTHCARE]) == [3]
    assert ladder.point_level([4.0], [DEFAULT]) == [0]


def test_certain_means_beyond_the_level_below():
    from_ = [(0.0, 5.0, 10.0)] * 5
    assert ladder.certain_level([0.0, 0.1, 5.0, 5.1, 10.1], from_).tolist() == [0, 2, 2, 3, 4]
    assert ladder.certain_level([np.nan], from_[:1]).tolist() == [0]


def test_lasting_counts_evaluations_back_and_takes_the_least():
    levels = np.array([2, 3, 3, 0, 4, 2, 2])
    assert ladder.lasting(levels, 1).tolist() == levels.tolist()
    assert ladder.lasting(levels, 2).tolist() == [0, 2, 3, 0, 0, 2, 2]
    assert ladder.lasting(levels, 3).tolist() == [0, 0, 2, 0, 0, 0, 2]
    assert ladder.lasting(levels, [1, 1, 1, 1, 1, 3, 2]).tolist() == [2, 3, 3, 0, 4, 0, 2]


def test_a_level_clears_after_three_evaluations_better_than_four_points():
    clears = np.array([(4.0, 8.0, 16.0)] * 8)
    raised = np.array([2, 0, 0, 0, 0, 0, 0, 0])

    def of(*excess):
        return ladder.confirmed_level(raised, np.array(excess), clears).tolist()

    assert of(6, 3.9, 3.9, 3.9, 3, 3, 3, 3) == [2, 2, 2, 0, 0, 0, 0, 0]
    assert of(6, 3.9, 3.9, 4.0, 3.9, 3.9, 3.9, 3) == [2, 2, 2, 2, 2, 2, 0, 0]
    assert of(6, 4, 4, 4, 4, 4, 4, 4) == [2] * 8


def test_a_worse_level_clears_before_the_one_below_it():
    clears = np.array([(4.0, 8.0, 16.0)] * 7)
    raised = np.array([4, 0, 0, 0, 0, 0, 0])
    found = ladder.confirmed_level(raised, np.array([25, 9, 9, 9, 6, 6, 6]), clears)
    assert found.tolist() == [4, 4, 4, 3, 3, 3, 2]


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0, 0, 2, 3, 4]), st.integers(-5, 25)), min_size=1, max_size=40
    )
)
def test_the_ladder_is_that_of_a_day_by_day_account(days):
    """Told naively: what is on goes off after three better days in a row."""
    clears = (4.0, 8.0, 16.0)
    # A level is raised only where the distance lies beyond its limit.
    days = [
        (raised if away >= 20 else min(raised, 2) if away >= 5 else 0, away)
        for raised, away in days
    ]
    on, better = dict.fromkeys((2, 3, 4), False), dict.fromkeys((2, 3, 4), 0)
    told = []
    for raised, away in days:
        for level, clear in zip(on, clears, strict=True):
            better[level] = better[level] + 1 if away < clear else 0
            if raised >= level:
                on[level] = True
            elif better[level] >= 3:
                on[level] = False
        told.append(max([0, *(level for level in on if on[level])]))
    raised, away = (np.array(column) for column in zip(*days, strict=True))
    found = ladder.confirmed_level(raised, away, np.array([clears] * len(days)))
    assert found.tolist() == told


def test_drift_is_seen_in_its_direction_only():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(400, 60))
    assert ladder.drifts(noise).any(axis=1).mean() < 0.12
    slope = np.arange(60) * 0.07
    assert ladder.drifts(noise + slope).any(axis=1).mean() > 0.99
    assert ladder.drifts(noise - slope).any(axis=1).mean() < 0.05
    # A reference that may be further off than the drift says nothing.
    assert not ladder.drifts(noise + slope, 10.0).any()


def test_drift_allows_for_days_that_vary_more_than_chance():
    rng = np.random.default_rng(2)
    wild = 4 * rng.normal(size=(400, 60))
    assert ladder.drifts(wild).any(axis=1).mean() < 0.2
    assert ladder.drifts(np.full(5, np.nan)).tolist() == [False] * 5


def test_drift_needs_seven_differences_of_days():
    assert ladder.drifts(np.full(10, 5.0)).tolist() == [False] * 7 + [True] * 3
    gaps = np.array([5.0] * 4 + [np.nan] * 3 + [5.0] * 4)
    assert ladder.drifts(gaps).tolist() == [False] * 10 + [True]
    # What it was stays while there is nothing new.
    assert ladder.drifts(np.append(gaps, np.nan))[-1]


def test_drift_reads_the_scatter_of_days_off_their_differences():
    """Days that differ by four have a standard deviation of 4 / 1.128: 3.55 is out of limits."""
    swinging = 2 * (-1.0) ** np.arange(60)
    assert ladder.drifts(4.0 + swinging)[-2:].all()
    assert not ladder.drifts(3.2 + swinging)[-2:].any()
    assert not ladder.drifts(4.0 + swinging, 4.3)[-2:].any()


# --- readings over windows


def test_rolling_sums():
    daily = np.array([[1.0], [2], [4], [8]])
    assert windows.rolling(daily, 2)[:, 0].tolist() == [1, 3, 6, 12]
    assert windows.rolling(daily, 9)[:, 0].tolist() == [1, 3, 7, 15]


def test_readings_are_those_of_one_look():
    """Over the whole history the rolling estimates are the ones that comparisons use."""
    rng = np.random.default_rng(3)
    n = rng.integers(20, 60, (5, 3)).astype(float)
    y = rng.binomial(n.astype(int), 0.4).astype(float)
    cost = n * 2.0 + rng.normal(size=n.shape)
    squares, of_successes = 6 * n, 0.5 * cost
    weights = windows.mix(windows.rolling(n, 9))
    rolled = [windows.rolling(column, 9) for column in (y, n, cost, squares, of_successes)]
    total = [column[-1] for column in rolled]

    share = windows.share(rolled[0], rolled[1], weights, TWO_SIDED)
    one = standardised_proportion(total[0], total[1], total[1])
    assert (share.value[-1], share.lower[-1], share.upper[-1]) == pytest.approx(
        (one.value, one.lower, one.upper)
    )
    ratio = windows.ratio(
        rolled[2], rolled[3], rolled[1], rolled[0], rolled[4], weights, TWO_SIDED, 7.0
    )
    one = standardised_ratio(total[1], total[2], total[3], total[0], total[4], total[1], 1.0, 7.0)
    assert (ratio.value[-1], ratio.lower[-1], ratio.upper[-1]) == pytest.approx(
        (one.value, one.lower, one.upper)
    )
    mean = windows.mean(rolled[2], rolled[3], rolled[1], weights, TWO_SIDED)
    one = standardised_mean(total[1], total[2], total[3], total[1])
    assert mean.value[-1] == pytest.approx(one.value)
    # Student's t there, normal here.
    assert mean.upper[-1] - mean.value[-1] == pytest.approx(one.upper - one.value, rel=0.02)


def test_the_median_counts_the_unresolved_as_longer_than_any():
    starts, weights = np.exp([0.0, 1.0, 5.0]), np.array([[1.0]])
    ends = np.e * starts

    def middle(*counts, n):
        counted = np.array([[counts]], float)
        found = windows.median(counted, np.array([[n]]), starts, ends, weights, 0.95)
        return found.value[0]

    assert middle(10, 0, 0, n=10.0) == pytest.approx(np.exp(0.5))
    assert middle(4, 6, 0, n=10.0) == pytest.approx(np.exp(1 + 1 / 6))
    assert middle(4, 1, 0, n=10.0) == pytest.approx(np.exp(2))
    # Nobody takes as long as the gap between two bins.
    assert middle(0, 5, 5, n=10.0) == pytest.approx(np.exp(2))
    assert middle(0, 4, 6, n=10.0) == pytest.approx(np.exp(5 + 1 / 6))
    assert np.isnan(middle(2, 2, 0, n=10.0))


def test_the_median_has_no_upper_limit_where_too_few_are_resolved():
    def upper(resolved):
        counts, one = np.array([[[float(resolved)]]]), np.array([[1.0]])
        found = windows.median(
            counts, np.array([[100.0]]), np.array([1.0]), np.array([2.0]), one, 0.95
        )
        return found.upper[0]

    # Half, give or take 8.2 points.
    assert upper(58) == np.inf
    assert upper(59) < 2


def test_a_mean_of_few_has_no_limits():
    for n, has_limits in ((25.0, False), (26.0, True)):
        found = windows.mean(*(np.array([[x]]) for x in (2 * n, 6 * n, n, 1.0)), 0.95)
        assert found.value[0] == 2
        assert np.isfinite(found.upper[0]) == has_limits


def test_limits_of_the_median_hold_it():
    rng = np.random.default_rng(4)
    edges = np.exp(np.arange(-200, 201) / 50)
    inside = 0
    for _ in range(400):
        times = np.exp(rng.normal(size=200))
        counts = np.histogram(times, edges)[0][None, None].astype(float)
        found = windows.median(
            counts, np.array([[200.0]]), edges[:-1], edges[1:], np.array([[1.0]]), TWO_SIDED
        )
        inside += found.lower[0] <= 1 <= found.upper[0]
    assert 0.92 < inside / 400 < 0.98


def test_differences_in_points_and_in_per_cent():
    one = windows.Reading(*(np.array([x]) for x in (1.2, 1.1, 1.3, 50.0)))
    other = windows.Reading(*(np.array([x]) for x in (1.0, 0.9, 1.1, 50.0)))
    value, lower, upper = windows.differences(one, other, percent=False)
    assert (value[0], lower[0], upper[0]) == pytest.approx(
        (0.2, 0.2 - np.hypot(0.1, 0.1), 0.2 + np.hypot(0.1, 0.1))
    )
    value, lower, upper = windows.differences(one, other, percent=True)
    assert value[0] == pytest.approx(20)
    assert lower[0] == pytest.approx(
        100 * (1.2 * np.exp(-np.hypot(np.log(1.2 / 1.1), np.log(1.1))) - 1)
    )


def test_the_rolling_slope_is_that_of_theil_and_sen():
    rng = np.random.default_rng(5)
    y = rng.normal(size=40) + 0.1 * np.arange(40)
    y[[3, 30]] = np.nan
    found = rolling_slope(y, 28)
    assert found[-1] == pytest.approx(theil_sen(y[-28:]).slope)
    assert found[10] == pytest.approx(theil_sen(y[:11]).slope)
    assert np.isnan(found[:2]).all()


# --- judging


class Days:
    """Completions by day, one task type, as `of_requests` reads them."""

    shared_cost = 0.0

    def __init__(self, n, completed, baseline=(10_000, 0.80), holdout=None):
        self._n, self._completed = (np.array(x, dtype=float)[:, None] for x in (n, completed))
        self._baseline, self._holdout = baseline, holdout

    def has(self, population):
        return {"baseline": self._baseline, "holdout": self._holdout}.get(population, 1) is not None

    def daily(self, population, column):
        if population == "ai":
            return self._completed if column == "n_completed" else self._n
        if self._holdout is None:
            return np.zeros_like(self._n)
        n, completed = self._holdout
        return np.array(completed if column == "n_completed" else n, dtype=float)[:, None]

    def over(self, population, column, length):
        return windows.rolling(self.daily(population, column), length)

    def fixed(self, column):
        n, share = self._baseline
        return np.array([n * share if column == "n_completed" else n])


SHARE = SimpleNamespace(
    method="proportion",
    unit="share",
    numerator="n_completed",
    denominator="n_mature",
    square_sum=None,
    alarm_numerator=None,
)


def limits(n_days, direction="low", unit="pp", levels=(-5.0, -10.0, -20.0), sustained=2):
    return Limits(
        direction,
        unit,
        np.broadcast_to(np.array(levels), (n_days, 3)),
        np.full(n_days, sustained),
        np.zeros(n_days, bool),
    )


def judged(days: Days, **terms) -> Judged:
    metric = of_requests("task_completion_rate", SHARE, days)
    return judge(metric, limits(len(metric.is_evaluated), **terms))


def statuses(days: Days, **terms) -> list[str]:
    return [STATUSES[status] for status in judged(days, **terms).status]


def every_day(n, share, days):
    return [n] * days, [round(n * share)] * days


def test_a_small_number_pages_nobody():
    """Twenty requests five points below: chance alone has that (standard error 8.9 points)."""
    assert statuses(Days([20], [15])) == ["insufficient_data"]
    assert statuses(Days(*every_day(2000, 0.75, 2)))[1] == "warning"


def test_nothing_is_confirmed_on_the_first_day_unless_it_is_beyond_doubt():
    assert statuses(Days(*every_day(2000, 0.75, 3))) == ["watch", "warning", "warning"]
    # A fall of 25 points at 300 a day is critical on the first mature day.
    assert statuses(Days(*every_day(300, 0.55, 1))) == ["critical"]
    # The fast path does not warn: it is for what cannot wait.
    assert statuses(Days(*every_day(100_000, 0.74, 1))) == ["watch"]
    assert statuses(Days(*every_day(100_000, 0.68, 1))) == ["critical"]


def test_the_level_is_the_highest_that_is_certain():
    assert statuses(Days(*every_day(5000, 0.58, 3)))[-1] == "catastrophic"
    assert judged(Days(*every_day(5000, 0.58, 3))).point.tolist() == [4, 4, 4]
    # Ten points below, but so few that it may be less than five: a warning.
    few = Days([7] * 28, [4 if day % 6 == 0 else 5 for day in range(28)])
    assert judged(few).point[-1] == 3
    assert statuses(few)[-1] == "warning"


def test_what_a_window_would_see_does_not_depend_on_how_sure_it_has_to_be():
    """2.8 standard errors: also while the window holds too little and 99.5% is asked of it."""
    for n, is_filled in ((1000, True), (30, False)):
        found = judged(Days(*every_day(n, 0.75, 7)))
        error = 100 * np.sqrt(0.75 * 0.25 / (7 * n) + 0.8 * 0.2 / 10_000)
        assert found.columns["minimum_detectable_effect"][-1] == pytest.approx(
            2.8016 * error, rel=0.2
        )
        margin = found.columns["judged_bound"][-1] - found.columns["judged_delta"][-1]
        assert margin == pytest.approx((1.645 if is_filled else 2.576) * error, rel=0.2)


def test_better_than_the_reference_is_ok_and_recovery_clears():
    n = [2000] * 20
    completed = [1500] * 6 + [1640] * 14
    found = statuses(Days(n, completed))
    assert found[5] == "warning"
    assert found[-1] == "ok"
    # The window of seven days crosses -4 points, then three days have to be better.
    share = windows.rolling(np.array(completed, float), 7) / windows.rolling(np.array(n, float), 7)
    better = np.flatnonzero(share > 0.76)
    first_ok = found.index("ok", 5)
    assert first_ok == better[better > 5][2]


def test_a_gap_neither_counts_nor_resets():
    bad, gap = (2000, 1500), (0, 0)
    days = [bad, gap, gap, bad, gap, bad]
    found = statuses(Days(*zip(*days, strict=True)))
    assert found == ["watch", "watch", "watch", "warning", "warning", "warning"]
    assert np.isnan(judged(Days(*zip(*days, strict=True))).columns["n"]).sum() == 0


def test_silence_becomes_no_data():
    days = [(2000, 1500)] * 3 + [(0, 0)] * 40
    found = statuses(Days(*zip(*days, strict=True)))
    assert found[2 + 27] == "warning"
    assert set(found[2 + 28 :]) == {"no_data"}


def test_the_floor_of_a_rate_counts_when_it_lasts():
    """Escalation nearly stops: one day is nothing, three in a row are; no data is no day."""
    floor = {"unit": "absolute", "levels": (0.05, 0.02, 0.01), "sustained": 3}
    usual, silent, gap = (1000, 200), (1000, 2), (0, 0)

    def of(*days):
        return statuses(Days(*zip(*days, strict=True)), **floor)

    assert of(usual, silent, usual) == ["ok", "watch", "ok"]
    assert of(usual, silent, silent, silent)[-1] == "catastrophic"
    assert of(usual, silent, gap, silent, gap, silent) == [
        "ok",
        "watch",
        "watch",
        "watch",
        "watch",
        "catastrophic",
    ]
    assert of(silent, silent, usual, silent) == ["watch", "watch", "ok", "watch"]
    assert of(*[silent] * 3, *[usual] * 3) == ["watch"] * 2 + ["catastrophic"] * 3 + ["ok"]


def test_a_breach_that_no_day_is_sure_of_counts_in_the_end():
    """Two points beyond a ceiling at 100 a day, some days inside it; it ends with the breach."""
    ceiling = {"direction": "high", "unit": "absolute", "levels": (0.10, 0.20, 0.30)}
    bad = [(100, (9, 14, 13)[number % 3]) for number in range(30)]
    found = statuses(Days(*zip(*bad, *[(100, 4)] * 12, strict=True)), **ceiling)
    assert set(found[:2]) <= {"ok", "watch"}
    assert set(found[20:30]) == {"warning"}
    assert found[30 + 8 :] == ["ok"] * 4


def test_a_high_rate_alerts_at_once():
    found = statuses(
        Days(*every_day(5000, 0.32, 1), baseline=(20_000, 0.20)),
        direction="high",
        levels=DEFAULT,
    )
    assert found == ["critical"]


def test_windows_are_the_shortest_that_can_tell():
    def length(n):
        metric = of_requests("task_completion_rate", SHARE, Days(*every_day(n, 0.8, 40)))
        found, is_precise = chosen_window(metric, limits(40))
        return found[-1], bool(is_precise[-1])

    assert length(300) == (7, True)
    assert length(40) == (14, True)
    assert length(20) == (28, True)
    assert length(5) == (28, False)


def test_few_requests_are_never_ok_unless_they_rule_a_warning_out():
    assert statuses(Days(*every_day(5, 0.8, 40)))[-1] == "insufficient_data"
    assert statuses(Days(*every_day(5, 1.0, 40)))[-1] == "ok"
    # And a fall that is beyond doubt counts however few they are.
    assert statuses(Days(*every_day(5, 0.2, 40)))[-1] == "catastrophic"


def test_without_a_reference_there_is_none():
    days = Days(*every_day(2000, 0.2, 4), baseline=None)
    assert statuses(days) == ["no_reference"] * 4
    assert np.isnan(judged(days).columns["judged_delta"]).all()
    floor = {"unit": "absolute", "levels": (0.5, 0.4, 0.3)}
    assert statuses(days, **floor)[-1] == "catastrophic"


def test_the_holdout_is_the_reference_where_there_is_no_baseline():
    n, completed = every_day(2000, 0.70, 4)
    held = every_day(2000, 0.80, 4)
    days = Days(n, completed, baseline=None, holdout=held)
    assert statuses(days)[-1] == "critical"
    metric = of_requests("task_completion_rate", SHARE, days)
    assert metric.comparison_type == "holdout"
    found = excess(metric, limits(4), 7)
    assert found.value[-1] == pytest.approx(10)


@pytest.mark.parametrize(
    ("people", "shared"), [(0.80, 0), (0.74, 1), (0.78, 0), (0.77, 1), (0.86, 0)]
)
def test_who_moved_the_agent_or_the_world(people, shared):
    days = Days(*every_day(3000, 0.74, 10), holdout=every_day(3000, people, 10))
    found = judged(days)
    assert found.columns["is_shared"][-1] == shared
    assert found.columns["holdout_delta"][-1] == pytest.approx(people - 0.80)


def test_a_small_holdout_does_not_say_that_the_world_moved():
    days = Days(*every_day(3000, 0.74, 10), holdout=every_day(2, 0.5, 10))
    assert np.isnan(judged(days).columns["is_shared"][-1])
    # Enough to be heard, too few to be sure.
    days = Days(*every_day(3000, 0.74, 10), holdout=every_day(5, 0.8, 10))
    assert judged(days).columns["is_shared"][-1] == 0


def test_a_slow_fall_is_watched_before_it_crosses():
    """A point a week for four weeks: four points in all, never five."""
    n = [300] * 40
    share = 0.80 - 0.01 * np.minimum(np.arange(40) / 7, 4)
    found = judged(Days(n, np.round(300 * share)))
    words = [STATUSES[status] for status in found.status]
    assert "watch" in words
    assert not {"warning", "critical", "catastrophic"} & set(words)
    assert found.columns["slope_per_week"][27] == pytest.approx(-1.0, abs=0.15)
    better = judged(Days(n, np.round(300 * (1.6 - share))))
    assert "watch" not in [STATUSES[status] for status in better.status]


def test_one_sided_limits_are_those_of_ninety_per_cent():
    metric = of_requests("task_completion_rate", SHARE, Days(*every_day(400, 0.75, 7)))
    found = excess(metric, limits(7), 7)
    spread = 100 * np.sqrt(0.75 * 0.25 / 2800 + 0.8 * 0.2 / 10_000)
    assert found.better[-1] == pytest.approx(5 - 1.6449 * spread, abs=0.05)
    assert found.worse[-1] == pytest.approx(5 + 1.6449 * spread, abs=0.05)
    assert pytest.approx(1.959964, abs=1e-6) == Z95


# --- what the plain account of flags brought to light


def test_a_single_day_beyond_doubt_counts_in_the_midst_of_good_ones():
    """A week's window is still fine by then; three evaluations later it is over."""
    days = [(300, 240)] * 20 + [(300, 165)] + [(300, 240)] * 5
    found = statuses(Days(*zip(*days, strict=True)))
    assert found[19] == "ok"
    assert found[20:24] == ["critical", "critical", "critical", "ok"]
    twice = [(300, 240)] * 20 + [(300, 165)] * 2 + [(300, 240)] * 12
    found = statuses(Days(*zip(*twice, strict=True)))
    assert found[20:24] == ["critical"] * 4


def test_a_raised_level_is_cleared_by_later_evaluations_only():
    clears = np.array([(4.0, 8.0, 16.0)] * 6)
    raised, away = np.array([0, 0, 0, 3, 0, 0]), np.zeros(6)
    assert ladder.confirmed_level(raised, away, clears).tolist() == [0, 0, 0, 3, 3, 3]
    raised, clears = np.append(raised, 0), np.array([(4.0, 8.0, 16.0)] * 7)
    assert ladder.confirmed_level(raised, np.zeros(7), clears)[-1] == 0


def test_what_cannot_be_compared_has_no_value():
    """A window without a task type that the reference has is not a value of zero, let alone ok."""
    days = Days(*every_day(100, 0.8, 30), baseline=(0, 0.8), holdout=every_day(0, 0.8, 30))
    # A holdout that exists, and only on the first day.
    days._holdout = ([50] + [0] * 29, [40] + [0] * 29)
    found = judged(days)
    assert [STATUSES[status] for status in found.status][-1] == "insufficient_data"
    assert np.isnan(found.columns["value"][-1])
    assert np.isnan(found.columns["judged_delta"][-1])
    assert found.point[-1] == -1
    none = judged(Days(*every_day(3000, 0.74, 10)))
    assert np.isnan(none.columns["holdout_delta"]).all()
    assert np.isnan(none.columns["is_shared"]).all()


def test_a_gap_is_no_day_on_the_reference():
    day, gap = (1000, 760), (0, 0)
    found = judged(Days(*zip(day, day, *[gap] * 5, day, *[gap] * 3, (1000, 750), strict=True)))
    slopes = [0, 0, 0, -1 / 11, -1 / 10, -1 / 4]
    assert found.columns["slope_per_week"][-1] == pytest.approx(7 * np.median(slopes))


def test_windows_against_a_holdout_are_planned_each_by_itself():
    n, held = every_day(300, 0.8, 40), every_day(300, 0.8, 40)
    metric = of_requests("completion", SHARE, Days(*n, baseline=None, holdout=held))
    found, is_precise = chosen_window(metric, limits(40))
    assert (found[-1], bool(is_precise[-1])) == (7, True)

    def length(a_day):
        arm = every_day(a_day, 0.8, 40)
        metric = of_requests("completion", SHARE, Days(*arm, baseline=None, holdout=arm))
        found, is_precise = chosen_window(metric, limits(40))
        return int(found[-1]), bool(is_precise[-1])

    # Half of 90% of two arms of 100 a day: 3.5 points in a week, 2.5 in two.
    assert length(100) == (14, True)
    assert length(50) == (28, True)
    assert length(10) == (28, False)


def test_people_are_compared_in_their_own_mix():
    """The holdout has only the easy task type: it did not move, whatever the other one is like."""

    class TwoTypes(Days):
        def daily(self, population, column):
            n = np.zeros((10, 2))
            n[:] = {"ai": (300, 300), "holdout": (60, 0)}[population]
            share = {"ai": (0.74, 0.34), "holdout": (0.80, 0)}[population]
            return n * share if column == "n_completed" else n

        def fixed(self, column):
            n = np.array([5000.0, 5000.0])
            return n * (0.80, 0.40) if column == "n_completed" else n

    found = judged(TwoTypes([0] * 10, [0] * 10, holdout=([0], [0])))
    assert STATUSES[found.status[-1]] == "warning"
    assert found.columns["holdout_delta"][-1] == pytest.approx(0)
    assert found.columns["is_shared"][-1] == 0
