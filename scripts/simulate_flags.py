"""Does the rule that pages people page them for nothing, and how soon does it see a drop?

    .venv/bin/python scripts/simulate_flags.py

Histories of an agent with a known completion rate, judged by `agent_kpis.statistics.judging` as
the models do it; the table goes to docs/flags.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np

from agent_kpis.statistics.flags import of_requests
from agent_kpis.statistics.judging import STATUSES, WARNING, Limits, judge
from agent_kpis.statistics.windows import rolling

OUTPUT = Path(__file__).resolve().parents[1] / "docs" / "flags.md"
REPETITIONS = 2000
SEED = 20260105

DAYS = 62
BASELINE_DAYS = 28
MIX = np.array([0.40, 0.35, 0.25])
COMPLETED_BY_PEOPLE = np.array([0.75, 0.65, 0.55])
LEVELS = np.array([5.0, 10.0, 20.0])
VOLUMES = (30, 100, 300, 1000)
EFFECTS = (0.0, -3.0, -5.0, -10.0, -15.0, -25.0)
DRIFT = -0.2
CRITICAL = WARNING + 1

INTRODUCTION = f"""# How often the flags are wrong, and how late

Seeded simulations of the rule that `threshold_flags` applies to completion: an agent on three task
types against a baseline of {BASELINE_DAYS} days, limits of 5, 10 and 20 points, {DAYS} days from
its first mature request. `scripts/simulate_flags.py` writes this page ({{repetitions:,}} histories
a row, seed {{seed}}).

- **flagged**: share of the histories with a warning or worse on any day. At 0 points every one of
  them is a false alarm.
- **point rule**: share in which a rule that compares single days with -5 points would have flagged.
- **delay**: median number of mature days until the first warning or worse, in the histories that
  were flagged; **critical on day 1**: share that is critical after a single mature day.
- **watch**: share with `watch` on any day before a flag.
"""


class Days:
    """Daily counts of one history, as `of_requests` reads them (days, task types)."""

    shared_cost = 0.0

    def __init__(self, rng: np.random.Generator, volume: int, effect: np.ndarray) -> None:
        rates = np.clip(COMPLETED_BY_PEOPLE + effect[:, None] / 100, 0, 1)
        self._n = rng.poisson(volume * MIX, (DAYS, len(MIX))).astype(float)
        self._completed = rng.binomial(self._n.astype(int), rates).astype(float)
        self._baseline_n = rng.poisson(volume * BASELINE_DAYS * MIX).astype(float)
        self._baseline = rng.binomial(self._baseline_n.astype(int), COMPLETED_BY_PEOPLE).astype(
            float
        )

    def has(self, population: str) -> bool:
        return population != "holdout"

    def daily(self, population: str, column: str) -> np.ndarray:
        if population == "holdout":
            return np.zeros_like(self._n)
        return self._completed if column == "n_completed" else self._n

    def over(self, population: str, column: str, length: int) -> np.ndarray:
        return rolling(self.daily(population, column), length)

    def fixed(self, column: str) -> np.ndarray:
        return self._baseline if column == "n_completed" else self._baseline_n

    def point_rule(self) -> bool:
        """Whether any single day lies five points or more below the baseline."""
        share = self._completed.sum(axis=1) / self._n.sum(axis=1)
        return bool((share <= self._baseline.sum() / self._baseline_n.sum() - 0.05).any())


COMPLETION = SimpleNamespace(
    method="proportion",
    unit="share",
    numerator="n_completed",
    denominator="n_mature",
    square_sum=None,
    alarm_numerator=None,
)
LIMITS = Limits(
    "low",
    "pp",
    np.broadcast_to(-LEVELS, (DAYS, 3)),
    np.full(DAYS, 2),
    np.zeros(DAYS, bool),
)


@dataclass(frozen=True)
class Row:
    """What became of the histories of one volume and effect."""

    what: str
    volume: int
    flagged: float
    point_rule: float
    delay: float
    critical_first: float
    watched: float

    COLUMNS = (
        "true difference",
        "requests a day",
        "flagged",
        "point rule",
        "delay, days",
        "critical on day 1",
        "watch",
    )

    def cells(self) -> tuple[str, ...]:
        delay = "-" if np.isnan(self.delay) else f"{self.delay:.0f}"
        shares = (self.flagged, self.point_rule, self.critical_first, self.watched)
        flagged, point, first, watched = (f"{100 * share:.1f}%" for share in shares)
        return self.what, f"{self.volume:,}", flagged, point, delay, first, watched


def histories(
    rng: np.random.Generator, volume: int, effect: np.ndarray, repetitions: int
) -> tuple[np.ndarray, np.ndarray]:
    """Status by history and day (repetitions, days), and whether the point rule flagged."""
    statuses = np.empty((repetitions, DAYS), dtype=int)
    by_point = np.empty(repetitions, dtype=bool)
    for repetition in range(repetitions):
        days = Days(rng, volume, effect)
        metric = of_requests("task_completion_rate", COMPLETION, days)
        statuses[repetition] = judge(metric, LIMITS).status
        by_point[repetition] = days.point_rule()
    return statuses, by_point


def row(
    rng: np.random.Generator, what: str, volume: int, effect: np.ndarray, repetitions: int
) -> Row:
    """The summary of one volume and effect."""
    statuses, by_point = histories(rng, volume, effect, repetitions)
    flagged = statuses >= WARNING
    found = flagged.any(axis=1)
    first = np.where(found, flagged.argmax(axis=1), DAYS)
    before = np.arange(DAYS) < first[:, None]
    return Row(
        what,
        volume,
        found.mean(),
        by_point.mean(),
        float(np.median(first[found] + 1)) if found.any() else np.nan,
        (statuses[:, 0] >= CRITICAL).mean(),
        ((statuses == STATUSES.index("watch")) & before).any(axis=1).mean(),
    )


def rows(rng: np.random.Generator, repetitions: int) -> Iterator[Row]:
    for volume in VOLUMES:
        for effect in EFFECTS:
            what = f"{effect:+.0f} points" if effect else "none"
            yield row(rng, what, volume, np.full(DAYS, effect), repetitions)
        drift = DRIFT * np.arange(1, DAYS + 1)
        yield row(rng, f"{DRIFT:+.1f} points a day", volume, drift, repetitions)


@click.command()
@click.option("--repetitions", default=REPETITIONS, show_default=True)
@click.option("--seed", default=SEED, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=OUTPUT, show_default=True)
def main(repetitions: int, seed: int, output: Path) -> None:
    """Simulate and write the table."""
    lines = [
        INTRODUCTION.format(repetitions=repetitions, seed=seed),
        f"| {' | '.join(Row.COLUMNS)} |",
        f"|{'|'.join(['---'] * len(Row.COLUMNS))}|",
    ]
    for found in rows(np.random.default_rng(seed), repetitions):
        lines.append(f"| {' | '.join(found.cells())} |")
        click.echo(lines[-1])
    output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
