"""CSAT by the day of the request, from answers that come days or weeks later.

Frames are those of the models in models/marts/csat; scores are points from 0 to 100.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from agent_kpis.frames import date_text, days, table
from agent_kpis.statistics import lag
from agent_kpis.statistics.estimates import Estimate
from agent_kpis.statistics.poststratification import post_stratified_mean

MEAN_BLOCK_DAYS = 28
"""Levels of a mean over months: four weeks each hold enough answers of a small holdout."""
POPULATIONS = {
    "ai": ("ai_randomised", "ai_routed"),
    "holdout": ("holdout",),
    "baseline": ("baseline",),
}
MEANS = {
    "agent_name": "text",
    "population": "text",
    "lag_adjusted_mean": "number",
    "lag_adjusted_lower_bound": "number",
    "lag_adjusted_upper_bound": "number",
    "post_stratified_mean": "number",
    "post_stratified_lower_bound": "number",
    "post_stratified_upper_bound": "number",
}
NOWCASTS = {
    "agent_name": "text",
    "arm": "text",
    "task_type": "text",
    "cohort_date": "date",
    "maturity": "number",
    "n_expected": "number",
    "completed_mean": "number",
    "completed_lower_bound": "number",
    "completed_upper_bound": "number",
}
BACKTESTS = {
    "agent_name": "text",
    "arm": "text",
    "as_of_date": "date",
    "n_observed": "count",
    "observed_mean": "number",
    "nowcast_mean": "number",
    "nowcast_lower_bound": "number",
    "nowcast_upper_bound": "number",
    "n_final": "count",
    "final_mean": "number",
    "is_covered": "flag",
}


def triangle(answers: pd.DataFrame) -> lag.Triangle:
    """Rows of int_csat_triangle as arrays, the task type as stratum.

    Days count towards the last complete one of each row: baselines of task types that were launched
    one after the other end on different days, and what matters is how old a day was then.
    """
    last_day = days(answers.last_day)
    return lag.Triangle(
        cohort=days(answers.cohort_date) + last_day.max(initial=0) - last_day,
        lag=answers.lag_days.to_numpy(dtype=np.int64),
        n=answers.n.to_numpy(dtype=float),
        total=answers.score_sum.to_numpy(dtype=float),
        square_sum=answers.score_square_sum.to_numpy(dtype=float),
        stratum=answers.task_type.to_numpy(dtype=str),
    )


def mean_score(
    answers: pd.DataFrame,
    task_type_weights: dict[str, float] | None = None,
    design_effect: float = 1.0,
) -> Estimate:
    """The mean score of rows of int_csat_triangle once all their answers are in.

    Levels by four weeks of cohorts and by task type; the weeks weigh by their answers, the task
    types as given (by their answers where not). nan limits and value without answers.
    """
    if answers.empty:
        return Estimate(np.nan, np.nan, np.nan, 0)
    model = lag.fit(triangle(answers), _last_day(answers), block_days=MEAN_BLOCK_DAYS)
    return lag.adjusted_mean(model, None, task_type_weights, design_effect=design_effect)


def means(answers: pd.DataFrame, responses: pd.DataFrame) -> pd.DataFrame:
    """Per agent and population the mean of all answers to come, and that of all requests.

    Takes int_csat_triangle and int_csat_responses. The lag-adjusted mean speaks for those who
    answer, the post-stratified one weighs task types and outcomes as all mature requests have them.
    """
    answers = answers[answers.segment_type == "all"]
    rows = []
    for (agent, population), cells in responses.groupby(["agent_name", "population"]):
        if population not in POPULATIONS:
            continue
        own = answers[
            (answers.agent_name == agent) & answers.population.isin(POPULATIONS[population])
        ]
        adjusted = mean_score(own)
        mature = cells[cells.outcome != "pending"]
        stratified = post_stratified_mean(
            mature.task_type.to_numpy(dtype=str),
            mature.outcome.to_numpy(dtype=str),
            *(
                mature[column].to_numpy(dtype=float)
                for column in ("n_interactions", "n_answered", "score_sum", "score_square_sum")
            ),
        )
        row = {"agent_name": agent, "population": population}
        for name, found in (("lag_adjusted", adjusted), ("post_stratified", stratified)):
            row |= {
                f"{name}_mean": found.value,
                f"{name}_lower_bound": found.lower,
                f"{name}_upper_bound": found.upper,
            }
        rows.append(row)
    return table(rows, MEANS)


def nowcasts(answers: pd.DataFrame, cohorts: pd.DataFrame) -> pd.DataFrame:
    """Per agent, arm, task type and day what the mean will be when all answers are in.

    Takes int_csat_triangle and int_csat_cohorts. Only days of the last `lag.FIT_DAYS`: older ones
    are complete. `maturity` is the share of the answers that a day of this age has; the limits are
    95% prediction limits of the mean that the day will have.
    """
    return table(_nowcast_rows(answers, cohorts), NOWCASTS)


def backtests(answers: pd.DataFrame, cohorts: pd.DataFrame) -> pd.DataFrame:
    """Per agent, arm and past day: the nowcast of the week before it, and what the week became."""
    rows = []
    for agent, arm, last_day, known, exposed in _arms(answers, cohorts):
        if not len(known.n):
            continue
        found = lag.backtest(known, exposed, last_day)
        for index, day in enumerate(found["as_of_day"]):
            rows.append(
                {
                    "agent_name": agent,
                    "arm": arm,
                    "as_of_date": date_text(day),
                    "n_observed": found["n_observed"][index],
                    "observed_mean": found["observed_mean"][index],
                    "nowcast_mean": found["nowcast"][index],
                    "nowcast_lower_bound": found["lower"][index],
                    "nowcast_upper_bound": found["upper"][index],
                    "n_final": found["n_final"][index],
                    "final_mean": found["final_mean"][index],
                    "is_covered": bool(found["is_covered"][index]),
                }
            )
    return table(rows, BACKTESTS)


def _nowcast_rows(answers: pd.DataFrame, cohorts: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for agent, arm, last_day, known, exposed in _arms(answers, cohorts):
        known, exposed = (rows.newest(last_day, lag.FIT_DAYS) for rows in (known, exposed))
        if not len(known.n):
            # Nobody has answered yet: what is young enough waits.
            for day, task_type in _pairs(exposed.newest(last_day, lag.SHORTEST_LONGEST_LAG)):
                yield {
                    "agent_name": agent,
                    "arm": arm,
                    "task_type": task_type,
                    "cohort_date": date_text(day),
                }
            continue
        found = lag.complete(lag.fit(known, last_day), known, exposed)
        for index, (day, task_type) in enumerate(_pairs(exposed)):
            yield {
                "agent_name": agent,
                "arm": arm,
                "task_type": task_type,
                "cohort_date": date_text(day),
                "maturity": found.answered[index],
                "n_expected": found.n[index] + found.missing[index],
                "completed_mean": found.value[index],
                "completed_lower_bound": found.lower[index],
                "completed_upper_bound": found.upper[index],
            }


def _pairs(exposed: lag.Cohorts) -> Iterator[tuple[int, str]]:
    return zip(exposed.cohort.tolist(), exposed.stratum.tolist(), strict=True)


def _arms(
    answers: pd.DataFrame, cohorts: pd.DataFrame
) -> Iterator[tuple[str, str, int, lag.Triangle, lag.Cohorts]]:
    """Every agent and arm: as known at as_of, so without the frozen baseline."""
    answers = answers[(answers.segment_type == "all") & (answers.population != "baseline")]
    for (agent, arm), days_of_arm in cohorts.groupby(["agent_name", "arm"]):
        own = answers[(answers.agent_name == agent) & (answers.arm == arm)]
        exposed = lag.Cohorts(
            cohort=days(days_of_arm.cohort_date),
            stratum=days_of_arm.task_type.to_numpy(dtype=str),
            exposure=days_of_arm.n_interactions.to_numpy(dtype=float),
        )
        yield str(agent), str(arm), _last_day(days_of_arm), triangle(own), exposed


def _last_day(rows: pd.DataFrame) -> int:
    return int(days(rows.last_day).max())
