"""Cost per success: a ratio of two means that vary together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from agent_kpis.statistics.estimates import (
    Estimate,
    floats,
    log_estimate,
    of_few,
    quiet,
    shares,
    weighted,
)
from agent_kpis.statistics.means import sample_covariance, sample_variance


@quiet
def standardised_ratio(
    n: ArrayLike,
    cost: ArrayLike,
    cost_square_sum: ArrayLike,
    successes: ArrayLike,
    cost_of_successes: ArrayLike,
    weights: ArrayLike,
    design_effect: ArrayLike = 1.0,
    shared_cost: float = 0.0,
) -> Estimate:
    """Cost per success of a population that has the strata (S) in proportion to `weights`.

    R = sum w (mean cost) / sum w (share of successes), on the `log` scale, in the unit of `cost`;
    with the arm's own mix as weights this is its total cost over its successes. Per stratum: count,
    sum and sum of squares of each interaction's own cost, successes, and the cost of those. The
    arm's `shared_cost` in total is spread evenly over its interactions and has no variance.

    Limits R exp(+-t sqrt v), v by the delta method over independent strata (Cochran 1977, ch. 6),
    Student's t with n - S degrees of freedom. nan without a success, or if a stratum with weight
    has fewer than two observations. Raises ValueError as `shares` does.
    """
    w = shares(weights)
    n, cost, cost_square_sum, successes, cost_of_successes = floats(
        n, cost, cost_square_sum, successes, cost_of_successes
    )
    mean_cost = weighted(w, cost / n) + shared_cost / n.sum()
    success = weighted(w, successes / n)
    # Per stratum the relative residuals' variance: a square of a success is the success.
    variance = (
        sample_variance(n, cost, cost_square_sum) / mean_cost**2
        + sample_variance(n, successes, successes) / success**2
        - 2 * sample_covariance(n, cost, successes, cost_of_successes) / (mean_cost * success)
    )
    value = mean_cost / success if success > 0 else np.nan
    size = n[w != 0].sum()
    variance = weighted(w**2, variance * design_effect / n)
    return log_estimate(value, variance * of_few(size - np.sum(w != 0)), size)
