"""What a proportion's flag should say, day by day, in plain Python: loops, dictionaries, no arrays.

Written from the rules (docs of `judging`, `ladder` and `windows`), not from their code. Everything
is turned so that more is worse; a distance is in points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan, sqrt
from statistics import NormalDist, median
from typing import Any

Counts = Mapping[str, tuple[float, float]]
"""Requests and successes by task type."""
Interval = tuple[float, float, float]
"""Value, lower and upper limit."""

NUMBERS = {"warning": 2, "critical": 3, "catastrophic": 4}
NAMES = {number: name for name, number in NUMBERS.items()} | {0: "ok"}


@dataclass(frozen=True)
class History:
    """A metric of one agent: both arms by day, the baseline (None: there is none)."""

    ai: Sequence[Counts]
    holdout: Sequence[Counts]
    baseline: Counts | None


@dataclass(frozen=True)
class Rule:
    """One kind of limit: levels as configured (a distance carries its sign), by day."""

    direction: str
    unit: str
    levels: Sequence[tuple[float, float, float]]
    sustained: Sequence[int]


def quantile(level: float) -> float:
    return NormalDist().inv_cdf(level)


def wilson(successes: float, n: float, z: float) -> tuple[float, float]:
    share = successes / n
    middle, spread = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + (z / 2 / n) ** 2)
    scale = 1 + z * z / n
    lower = 0.0 if successes == 0 else (middle - spread) / scale
    upper = 1.0 if successes == n else (middle + spread) / scale
    return lower, upper


def standardised(counts: Counts, mix: Mapping[str, float], level: float) -> Interval | None:
    """The share in this mix of task types; the limits of its parts recovered (Newcombe 1998)."""
    if not mix:
        return None
    value = below = above = 0.0
    for task_type, weight in mix.items():
        n, successes = counts[task_type]
        share = successes / n
        lower, upper = wilson(successes, n, quantile(level))
        value += weight * share
        below += (weight * (share - lower)) ** 2
        above += (weight * (upper - share)) ** 2
    return value, value - sqrt(below), value + sqrt(above)


def less(one: Interval, other: Interval) -> Interval:
    """One less another, limits recovered from those of both (MOVER)."""
    value = one[0] - other[0]
    below = sqrt((one[0] - one[1]) ** 2 + (other[2] - other[0]) ** 2)
    above = sqrt((one[2] - one[0]) ** 2 + (other[0] - other[1]) ** 2)
    return value, value - below, value + above


def half(interval: Interval) -> float:
    return (interval[2] - interval[1]) / 2


def summed(days: Sequence[Counts], day: int, length: int) -> dict[str, tuple[float, float]]:
    """The window that ends with a day; task types that it has."""
    found: dict[str, tuple[float, float]] = {}
    for back in range(max(0, day - length + 1), day + 1):
        for task_type, (n, successes) in days[back].items():
            before = found.get(task_type, (0.0, 0.0))
            found[task_type] = before[0] + n, before[1] + successes
    return {task_type: pair for task_type, pair in found.items() if pair[0] > 0}


def mixed(counts: Counts, of: set[str]) -> dict[str, float]:
    total = sum(n for task_type, (n, _) in counts.items() if task_type in of)
    return {name: n / total for name, (n, _) in counts.items() if name in of and total}


def turned(interval: Interval, sign: float, scale: float) -> Interval:
    """Value, better and worse end."""
    value, lower, upper = (scale * sign * x for x in interval)
    return (value, lower, upper) if sign > 0 else (value, upper, lower)


class Account:
    """The history against one kind of limit."""

    def __init__(self, history: History, rule: Rule) -> None:
        self.history, self.rule = history, rule
        self.is_distance = rule.unit == "pp"
        self.sign = -1.0 if rule.direction == "low" else 1.0
        self.limits = [[self.sign * x for x in levels] for levels in rule.levels]
        self.days = range(len(history.ai))
        self.evaluated = [any(n > 0 for n, _ in history.ai[day].values()) for day in self.days]
        self.first = next((day for day in self.days if self.evaluated[day]), 0)
        self.reference = self._reference() if self.is_distance else None

    def _reference(self) -> str | None:
        baseline = self.history.baseline
        if baseline and any(n > 0 for n, _ in baseline.values()):
            return "pre_launch"
        if any(n > 0 for day in self.history.holdout for n, _ in day.values()):
            return "holdout"
        return None

    # --- a window

    def arms(self, day: int, length: int, level: float) -> dict[str, Any]:
        """The AI arm, its reference and people over a window, like for like; None: not told."""
        ai = summed(self.history.ai, day, length)
        people = summed(self.history.holdout, day, length)
        others: Counts | None = None
        if self.reference == "pre_launch":
            others = {k: v for k, v in self.history.baseline.items() if v[0] > 0}
        elif self.reference == "holdout":
            others = people
        mix = mixed(ai, set(ai) if others is None else set(ai) & set(others))
        of_people = mixed(ai, set(mix) & set(people))
        found: dict[str, Any] = {
            "n": sum(ai[name][0] for name in mix),
            "ai": standardised(ai, mix, level),
            "reference": standardised(others, mix, level) if others is not None else None,
            "people": None,
            "n_people": 0.0,
        }
        if self.reference == "pre_launch":
            found["n_people"] = sum(people[name][0] for name in of_people)
            found["people"] = standardised(people, of_people, level)
            found["people_reference"] = standardised(others, of_people, level)
        return found

    def excess(self, day: int, length: int, level: float = 0.95) -> Interval | None:
        """How far on the bad side: value, better and worse end."""
        arms = self.arms(day, length, level)
        if arms["ai"] is None:
            return None
        if not self.is_distance:
            return turned(arms["ai"], self.sign, 1)
        if arms["reference"] is None:
            return None
        return turned(less(arms["ai"], arms["reference"]), self.sign, 100)

    def window(self, day: int) -> tuple[int, bool]:
        """The shortest planned to tell a warning from chance, by the volume of the last 28 days."""
        warning = abs(self.rule.levels[day][0])
        so_far = min(max(day - self.first + 1, 1), 28)
        arms = self.arms(day, 28, 0.95)
        if self.is_distance:
            if arms["ai"] is None or arms["reference"] is None:
                return 28, False
            for length in (7, 14, 28):
                scale = sqrt(so_far / length)
                own = 100 * half(arms["ai"]) * scale
                other = 100 * half(arms["reference"])
                if self.reference == "holdout":
                    other *= scale
                if sqrt(own**2 + other**2) / warning <= 0.65:
                    return length, True
            return 28, False
        if arms["ai"] is None:
            return 28, False
        for length in (1, 7, 14, 28):
            days = self.rule.sustained[day] if length == 1 else length
            n = arms["n"] * days / so_far
            margin = quantile(0.95) * sqrt(warning * (1 - warning) / n)
            if margin / min(warning, 1 - warning) <= 0.65:
                return length, True
        return 28, False

    # --- evaluations

    def level_of(self, value: float, limits: Sequence[float], *, strictly: bool) -> int:
        found = 0
        for number, limit in zip((2, 3, 4), limits, strict=True):
            reached = value > limit if strictly else round(value, 9) >= round(limit, 9)
            if reached:
                found = max(found, number)
        return found

    def evaluation(self, day: int) -> dict[str, Any]:
        """What a day with data says of itself."""
        length, is_planned = self.window(day)
        warning, critical, _ = limits = self.limits[day]
        arms = self.arms(day, length, 0.95)
        found: dict[str, Any] = {"day": day, "window_days": length, "n": arms["n"], "arms": arms}
        found["excess"] = self.excess(day, length)
        found["is_precise"] = is_planned
        if found["excess"] is None:
            found |= {"bound": nan, "point": 0, "certain": 0, "fast": 0, "slow": 0}
            found["is_precise"] = False
            return found
        value, better, _ = found["excess"]
        if self.is_distance:
            found["is_precise"] = value - better <= 0.65 * abs(warning)
            if not found["is_precise"]:
                better = self.excess(day, length, 0.995)[1]
        elif length == 1:
            better = self.excess(day, self.rule.sustained[day])[1]
        beyond = (0.0, warning, critical) if self.is_distance else (warning,) * 3
        found["bound"] = better
        found["point"] = self.level_of(value, limits, strictly=False)
        found["certain"] = self.level_of(better, beyond, strictly=True)
        found["fast"] = found["slow"] = 0
        if not self.is_distance:
            week, month = self.excess(day, 7), self.excess(day, 28)
            found["slow"] = min(
                self.level_of(week[0], limits, strictly=False),
                self.level_of(month[0], limits, strictly=False),
                self.level_of(month[1], beyond, strictly=True),
            )
        if self.is_distance:
            one_day = self.excess(day, 1, 0.995)
            fast = self.level_of(one_day[1], limits, strictly=True) if one_day else 0
            found["fast"] = fast if fast > 2 else 0
        return found

    def raised(self, evaluations: Sequence[dict[str, Any]]) -> int:
        """The level that the last of these evaluations raises."""
        now = evaluations[-1]
        times = self.rule.sustained[now["day"]]
        recent = evaluations[-times:]
        held = 0
        if len(recent) == times:
            if self.is_distance:
                held = min(min(one["point"], one["certain"]) for one in recent)
            else:
                held = min(*(one["point"] for one in recent), now["certain"])
                held = max(held, min(one["slow"] for one in recent))
        return max(held, now["fast"])

    def daily(self, day: int) -> tuple[float, float, float] | None:
        """One day: distance in points, in standard errors of the AI arm, the reference's error."""
        found = self.excess(day, 1) if self.is_distance else None
        if found is None:
            return None
        arms = self.arms(day, 1, 0.95)
        own, other = 100 * half(arms["ai"]), 100 * half(arms["reference"])
        z = quantile(0.95)
        return found[0], z * found[0] / own, z * other / own

    def drift(self, upto: int) -> bool:
        """Whether the smoothed distance is out of its limits on that day (Roberts 1959)."""
        smoothed, last, jumps, allowance = 0.0, None, [], 0.0
        for day in range(upto + 1):
            found = self.daily(day) if self.evaluated[day] else None
            allowance = 0.0
            if found is None:
                continue
            _, z, allowance = found
            if last is not None:
                jumps.append(abs(z - last))
            smoothed, last = 0.8 * smoothed + 0.2 * z, z
        scatter = max(1.0, sum(jumps) / len(jumps) / 1.128) if jumps else 1.0
        limit = 3 * sqrt(0.2 / (2 - 0.2)) * scatter
        return len(jumps) >= 7 and smoothed > max(limit, allowance)

    def slope(self, day: int) -> float:
        """Points a week, by the medians of all pairs of the last 28 days (Theil and Sen)."""
        known = []
        for back in range(max(0, day - 27), day + 1):
            found = self.daily(back)
            if found is not None:
                known.append((back, found[0]))
        if len(known) < 3:
            return nan
        slopes = [
            (later[1] - sooner[1]) / (later[0] - sooner[0])
            for place, sooner in enumerate(known)
            for later in known[place + 1 :]
        ]
        return 7 * self.sign * median(slopes)

    # --- days

    def tell(self) -> list[dict[str, Any]]:
        """One row a day: the words and numbers that people read."""
        evaluations: list[dict[str, Any]] = []
        on = dict.fromkeys((2, 3, 4), False)
        quiet = dict.fromkeys((2, 3, 4), 0)
        told: list[dict[str, Any]] = []
        current: dict[str, Any] | None = None
        for day in self.days:
            if self.evaluated[day]:
                evaluations.append(self.evaluation(day))
                now = evaluations[-1]
                raised = self.raised(evaluations)
                for place, level in enumerate((2, 3, 4)):
                    clears = (0.8 if self.is_distance else 1.0) * self.limits[day][place]
                    is_better = now["excess"] is not None and (
                        round(now["excess"][0], 9) < round(clears, 9)
                    )
                    # Only evaluations after the level was last raised can clear it.
                    is_raised = raised >= level
                    quiet[level] = quiet[level] + 1 if is_better and not is_raised else 0
                    on[level] = is_raised or (on[level] and quiet[level] < 3)
                held = max([0, *(level for level in on if on[level])])
                current = self.row(now, held)
            if current is None or day - current["day"] >= 28:
                told.append({"status": "no_data", "point": None})
            else:
                told.append(current)
        return told

    def row(self, now: dict[str, Any], held: int) -> dict[str, Any]:
        day = now["day"]
        known = now["excess"] is not None
        status = "ok"
        if now["point"] >= 2 or (self.is_distance and self.drift(day)):
            status = "watch"
        rules_out = known and now["excess"][2] < self.limits[day][0]
        if not (known and now["is_precise"]) and not rules_out:
            status = "insufficient_data"
        if self.is_distance and self.reference is None:
            status = "no_reference"
        if held:
            status = NAMES[held]
        ai, reference = now["arms"]["ai"], now["arms"]["reference"]
        row = {
            "day": day,
            "status": status,
            "point": NAMES[now["point"]] if known else None,
            "window_days": now["window_days"],
            "n": now["n"],
            "value": ai[0] if ai else nan,
            "judged_delta": nan,
            "judged_bound": nan,
        }
        if self.reference:
            row["reference_value"] = reference[0] if reference else nan
            row["delta"] = row["value"] - row["reference_value"]
            row["judged_delta"] = self.sign * now["excess"][0] if known else nan
            row["judged_bound"] = self.sign * now["bound"] if known else nan
            row["slope_per_week"] = self.slope(day)
            row |= self.cause(now)
        return row

    def cause(self, now: dict[str, Any]) -> dict[str, Any]:
        """Whether people moved, too: at least half as far, and not by chance."""
        if self.reference == "holdout":
            return {"is_shared": 0.0}
        arms = now["arms"]
        people = arms["people"]
        if people is None:
            return {"is_shared": nan, "holdout_delta": nan}
        moved = less(people, arms["people_reference"])
        away, better, _ = turned(moved, self.sign, 100)
        is_shared = nan
        if arms["n_people"] >= 30 and now["excess"] is not None:
            is_shared = float(away >= now["excess"][0] / 2 and better > 0)
        margin = abs(away - now["excess"][0] / 2) if now["excess"] else nan
        return {"is_shared": is_shared, "holdout_delta": moved[0], "margin": margin}
