"""Did a release move a rate, or did the world? Both arms, before and after."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from agent_kpis.statistics.estimates import Estimate, normal_estimate, quiet, shares, weighted


@quiet
def difference_in_differences(
    successes: ArrayLike, n: ArrayLike, weights: ArrayLike | None = None
) -> Estimate:
    """The AI arm's change less the holdout's, of a share.

    successes, n: (arm, period) or (arm, period, strata), arm 0 the human holdout and 1 the AI arm,
    period 0 before and 1 after. weights: (strata), proportional to the standard population; the AI
    arm's interactions without it. Strata with an empty cell are left out. Independent binomials:
    V = sum w^2 sum of the four p (1 - p) / n, normal limits. nan where no stratum is left. Assumes
    that without the release both arms would have moved alike. Raises ValueError as `shares` does.
    """
    successes, n = (np.asarray(x, dtype=float) for x in (successes, n))
    n = n.reshape(2, 2, -1)
    successes = successes.reshape(n.shape)
    weights = n[1].sum(axis=0) if weights is None else np.asarray(weights, dtype=float)
    told = (n > 0).all(axis=(0, 1))
    weights = shares(np.where(told, weights, 0))
    share = successes / n
    (human_before, human_after), (ai_before, ai_after) = share
    change = (ai_after - ai_before) - (human_after - human_before)
    variance = (share * (1 - share) / n).sum(axis=(0, 1))
    return normal_estimate(
        weighted(weights, change), weighted(weights**2, variance), n[:, :, told].sum()
    )
