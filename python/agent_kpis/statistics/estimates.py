"""A value with limits, how two of them are compared, and how strata are weighted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

Z95 = 1.959963984540054

# What cannot be told is nan all the way through; numpy need not warn of it.
quiet = np.errstate(divide="ignore", invalid="ignore", over="ignore")

_SCALES = {
    "identity": (np.positive, np.positive),
    "log": (np.log, np.exp),
    "log1p": (np.log1p, np.expm1),
}


@dataclass(frozen=True)
class Estimate:
    """A value with two-sided 95% limits and the number of observations behind it.

    `scale` is the one on which the limits were made and on which they widen: `identity`, `log`
    (ratios and costs, positive), `log1p` (relative differences: the logarithm of 1 + value). A
    value or a limit that cannot be told is nan, and so is all that depends on it.
    """

    value: float
    lower: float
    upper: float
    n: float
    scale: Literal["identity", "log", "log1p"] = "identity"

    @quiet
    def widened(self, factor: float) -> Estimate:
        """The same value with both half-widths times `factor`, measured on the own scale."""
        _, back = _SCALES[self.scale]
        value, below, above = self._on_its_scale()
        return replace(
            self,
            lower=float(back(value - factor * below)),
            upper=float(back(value + factor * above)),
        )

    @property
    @quiet
    def standard_error(self) -> float:
        """The mean half-width / 1.96 on the own scale: for `log` that of ln(value)."""
        _, below, above = self._on_its_scale()
        return float((below + above) / 2 / Z95)

    def _on_its_scale(self) -> tuple[float, float, float]:
        """The value and the half-widths to either side."""
        to, _ = _SCALES[self.scale]
        value, lower, upper = to(self.value), to(self.lower), to(self.upper)
        return value, value - lower, upper - value


def normal_estimate(value: float, variance: float, n: float) -> Estimate:
    """The limits value +- 1.96 sqrt(variance), on the identity scale."""
    half_width = _half_width(variance)
    return Estimate(float(value), float(value - half_width), float(value + half_width), float(n))


def log_estimate(value: float, variance: float, n: float) -> Estimate:
    """The limits value * exp(+-1.96 sqrt(variance)), on the `log` scale: variance of ln(value)."""
    factor = np.exp(_half_width(variance))
    return Estimate(float(value), float(value / factor), float(value * factor), float(n), "log")


@quiet
def of_few(degrees_of_freedom: float) -> float:
    """(t / 1.96)^2: how many times a variance counts that was estimated from few observations.

    With it, normal limits are those of Student's t. nan below one degree of freedom.
    """
    return (
        float((stdtrit(degrees_of_freedom, 0.975) / Z95) ** 2)
        if degrees_of_freedom > 0
        else math.nan
    )


def _half_width(variance: float) -> float:
    # A variance made of differences may round to just below 0.
    return Z95 * np.sqrt(np.maximum(variance, 0))


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b of independent estimates of any scale, on the identity scale.

    Limits by the method of variance estimates recovery (Zou and Donner 2008), which keeps what is
    lopsided in either: with Wilson limits this is Newcombe's hybrid score interval (1998).
    """
    value = a.value - b.value

    def half_width(down: float, up: float) -> float:
        return math.sqrt(down * down + up * up)

    return Estimate(
        value,
        value - half_width(a.value - a.lower, b.upper - b.value),
        value + half_width(a.upper - a.value, b.value - b.lower),
        a.n + b.n,
    )


@quiet
def relative_difference(a: Estimate, b: Estimate) -> Estimate:
    """a / b - 1 of independent estimates (-.1: a is 10% lower), on the `log1p` scale.

    The recovered limits of ln(a) - ln(b), from the logarithms of the limits whatever their scale;
    with both on the log scale this is exp(ln a - ln b +- sqrt(h_a^2 + h_b^2)) - 1. A lower limit
    that is not positive bounds nothing: it leaves -1 below, or infinity above. nan unless both
    values are positive.
    """
    of_logs = difference(_logarithm(a), _logarithm(b))
    value, lower, upper = (
        float(np.expm1(x)) for x in (of_logs.value, of_logs.lower, of_logs.upper)
    )
    return Estimate(value, lower, upper, of_logs.n, scale="log1p")


def _logarithm(estimate: Estimate) -> Estimate:
    value = estimate.value if estimate.value > 0 else math.nan
    lower = np.maximum(estimate.lower, 0)
    return Estimate(*(float(np.log(x)) for x in (value, lower, estimate.upper)), estimate.n)


def floats(*columns: ArrayLike) -> list[np.ndarray]:
    """Each as an array of floats of at least one dimension: a scalar is one stratum."""
    return [np.atleast_1d(np.asarray(column, dtype=float)) for column in columns]


@quiet
def shares(weights: ArrayLike) -> np.ndarray:
    """Weights of strata (S) as shares of their sum; counts of the standard population will do.

    nan where no stratum has any weight. Raises ValueError without strata or for a negative weight.
    """
    (weights,) = floats(weights)
    if weights.size == 0:
        raise ValueError("no strata: at least one weight is needed")
    if (weights < 0).any():
        raise ValueError(f"weights of strata must not be negative: {weights.tolist()}")
    return weights / weights.sum()


def weighted(weights: np.ndarray, values: ArrayLike) -> np.ndarray:
    """The weighted sum over the last axis; a stratum without weight may hold nan."""
    return np.where(weights == 0, 0, weights * np.asarray(values)).sum(axis=-1)
