"""Limits that hold however often one looks: asymptotic confidence sequences.

A fixed 95% interval that is read every day until it excludes 0 does so far too often. These limits
cover at all times at once, and so are the ones to decide by. They hold only for estimates from all
data since the start: never for a sliding window.

Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024, Annals of Statistics; 2021 on arXiv).
`n` is the number of observations so far (both arms), `n_star` the planned number at which the
limits are to be tightest, fixed before the start.
"""

from __future__ import annotations

import math

import numpy as np

from agent_kpis.statistics.estimates import quiet


def tuning(n_star: float, alpha: float = 0.05) -> float:
    """rho^2, which makes the limits tightest at `n_star`.

    Raises ValueError unless n_star > 0 and 0 < alpha < 1.
    """
    if not (n_star > 0 and 0 < alpha < 1):
        raise ValueError(f"n_star must be positive and alpha in (0, 1): {n_star}, {alpha}")
    return (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / n_star


@quiet
def multiplier(n: float, n_star: float, alpha: float = 0.05) -> float:
    """The half-width in standard errors, where a fixed interval has 1.96: infinite at n = 0.

    Valid only for cumulative data since the start. Raises ValueError as `tuning` does.
    """
    information = np.float64(n) * tuning(n_star, alpha)
    grown = information + 1
    return float(np.sqrt(2 * grown / information * np.log(np.sqrt(grown) / alpha)))


@quiet
def p_value(
    estimate: float, standard_error: float, n: float, n_star: float, alpha: float = 0.05
) -> float:
    """The p that may be read at any time: below alpha just when the limits exclude 0.

    Valid only for cumulative data since the start. `alpha` is the level that the limits are tuned
    for. Raises ValueError as `tuning` does.
    """
    information = np.float64(n) * tuning(n_star, alpha)
    grown = information + 1
    z = np.float64(estimate) / standard_error
    return float(np.minimum(1, np.sqrt(grown) * np.exp(-information * z**2 / (2 * grown))))
