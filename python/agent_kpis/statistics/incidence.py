"""The early reading of completion: the share that is done at a given age, from interactions that
are partly too young to tell.

An interaction starts `open`, becomes `done` or `failed`, and may go back and forth between those
two. One that is too young for the horizon is `censored` at its age: what it did until then counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agent_kpis.statistics.estimates import Estimate, quiet, shares
from agent_kpis.statistics.proportions import wilson

STATES = ("open", "done", "failed")
_ENDS = (*STATES, "censored")


def state_occupation(
    age: ArrayLike,
    from_state: ArrayLike,
    to_state: ArrayLike,
    n: ArrayLike,
    n_start: float,
    horizon: int,
) -> Estimate:
    """The share that is `done` at the age of `horizon` bins.

    One row per move (rows): `age` is the bin it happens in, counted from 0, so that the bins
    0 .. horizon - 1 count and later ones are ignored; `to_state` may be `censored`: the interaction
    is followed no longer than that bin; `n` interactions. `n_start` is how many start (open, at
    age 0), whether they ever move or not. Within a bin, censored interactions leave after all
    moves, and moves come open -> done, failed; done -> failed; failed -> done, then again if an
    interaction went around twice.

    Product integral of Aalen and Johansen (1978), variance by its Greenwood-type recursion
    (Andersen et al. 1993, IV.4.1.3), Wilson limits for p(1-p)/V interactions. Where V is 0 (all or
    none done) they are those for the interactions that were followed to the horizon. Without
    censoring this is the plain share with its Wilson limits. A state that only censoring emptied
    keeps its share from there on. nan if nobody at all was followed to the horizon. Raises
    ValueError for other states or where more leave a state than are in it.
    """
    return stratified_state_occupation([(age, from_state, to_state, n, n_start)], [1], horizon)


@quiet
def stratified_state_occupation(
    strata: Sequence[tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike, float]],
    weights: ArrayLike,
    horizon: int,
) -> Estimate:
    """The share done in a population that has the strata (S) in proportion to `weights`.

    strata: the first five arguments of `state_occupation` each. p = sum w p_s, V = sum w^2 V_s.
    nan if in a stratum with weight nobody was followed to the horizon. Raises ValueError as
    `state_occupation` and `shares` do.
    """
    weights = shares(weights)
    share, variance, followed = np.array(
        [_share_done(*map(np.asarray, stratum), horizon) for stratum in strata]
    ).T
    used = weights > 0
    weights = weights[used]
    value = weights @ share[used]
    spread = weights**2 @ variance[used]
    if value * (1 - value) < 1e-12 or spread < 1e-15:
        value, effective = np.round(value, 12), 1 / (weights**2 @ (1 / followed[used]))
    else:
        effective = value * (1 - value) / spread
    lower, upper = wilson(value * effective, effective)
    n = sum(stratum[-1] for stratum, kept in zip(strata, used, strict=True) if kept)
    return Estimate(float(value), float(lower), float(upper), float(n))


def _share_done(age, from_state, to_state, n, n_start, horizon) -> tuple[float, float, float]:
    """The share, its variance, and how many were followed to the horizon."""
    counted = age < horizon
    bins, row = np.unique(age[counted], return_inverse=True)
    leaving = np.zeros((len(bins), len(STATES), len(_ENDS)))
    where = row, _codes(from_state[counted], STATES), _codes(to_state[counted], _ENDS)
    np.add.at(leaving, where, n[counted])

    at_risk, share = np.array([n_start, 0.0, 0.0]), np.array([1.0, 0.0, 0.0])
    covariance = np.zeros((3, 3))
    for moves, censored in zip(leaving[:, :, :3] * (1 - np.eye(3)), leaving[:, :, 3], strict=True):
        while moves.any():
            waiting = moves.sum()
            for state in np.flatnonzero(at_risk):
                # whoever went around twice in the bin waits for the next turn
                moved = moves[state] * min(1, at_risk[state] / max(moves[state].sum(), 1))
                chance = moved / at_risk[state]
                chance[state] = 1 - chance.sum()
                step = np.eye(3)
                step[state] = chance
                scatter = np.diag(chance) - np.outer(chance, chance)
                covariance = step.T @ covariance @ step
                covariance += share[state] ** 2 * scatter / at_risk[state]
                share = share @ step
                at_risk += moved
                at_risk[state] -= moved.sum()
                moves[state] -= moved
            if moves.sum() == waiting:
                raise ValueError("more interactions leave a state than are in it")
        at_risk -= censored
        if (at_risk < 0).any():
            raise ValueError("more interactions are censored in a state than are in it")
    followed = at_risk.sum()
    # Greenwood's variance divides by n where that of a sample divides by n - 1.
    variance = covariance[1, 1] * n_start / max(n_start - 1, 1)
    return (share[1] if followed else np.nan), variance, followed


def _codes(labels: np.ndarray, known: tuple[str, ...]) -> np.ndarray:
    is_label = labels[:, None] == np.array(known, dtype=object)
    if not is_label.any(axis=1).all():
        raise ValueError(f"states are {', '.join(known)}, not {set(labels.tolist()) - set(known)}")
    return is_label.argmax(axis=1)
