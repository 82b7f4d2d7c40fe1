"""Before launch: how large a holdout, and for how many days, to see an effect that matters.

Effects are drops in points: of completion, of CSAT. All sizes are for two-sided tests at 5%. Two
ways of reading are planned for: one look on a day fixed beforehand, and a look every day with the
limits that the scorecard uses, which hold however often one looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from scipy.special import ndtri

from agent_kpis.display import reading, records, say
from agent_kpis.errors import CannotRunError
from agent_kpis.statistics.comparisons import PLANNED_DAYS
from agent_kpis.statistics.estimates import Z95
from agent_kpis.statistics.experiments import (
    days_needed,
    holdout_needed,
    holdout_needed_mean,
    minimum_detectable_effect,
)
from agent_kpis.statistics.sequential import multiplier

SHARES = (0.05, 0.10, 0.15, 0.20, 0.30)
USUAL_SHARES = (0.10, 0.20)
EFFECT, CSAT_EFFECT = 5.0, 8.0
POWER = 0.8
MATURITY_HOURS = 96.0
VISIBLE_AFTER = (7, PLANNED_DAYS)


@dataclass(frozen=True)
class Measure:
    """What is compared between the arms: a share of successes, or a mean of scores."""

    per_day: float
    """Outcomes a day in both arms together: requests, or answers."""
    share: float | None = None
    """People's share of successes, in (0, 1); None for a mean."""
    standard_deviation: float | None = None
    """Of single scores, in points; for a mean only."""
    per_request: float = 1.0
    """Outcomes that a request gives: the response rate."""

    def variances(self, effect: float) -> tuple[float, float]:
        """Of one outcome of people, and of the agent that is `effect` points worse; in points^2."""
        if self.share is None:
            return self.standard_deviation**2, self.standard_deviation**2
        worse = self.share - effect / 100
        return 1e4 * self.share * (1 - self.share), 1e4 * worse * (1 - worse)

    def standard_error(self, effect: float, holdout_share: float, days: float) -> float:
        """Of the difference between the arms after so many days, in points; not pooled."""
        people, agent = self.variances(effect)
        n = self.per_day * days
        return math.sqrt(people / (n * holdout_share) + agent / (n * (1 - holdout_share)))


@dataclass(frozen=True)
class Baseline:
    """What people did before launch."""

    completion: Measure
    csat: Measure | None = None
    csat_mean: float | None = None
    """In points."""
    maturity_hours: float = MATURITY_HOURS
    """From a request to its outcome, at the longest."""
    agent: str | None = None
    first_day: date | None = None
    last_day: date | None = None
    n_requests: int | None = None


@dataclass(frozen=True)
class Row:
    """One size of the holdout and one effect."""

    holdout_share: float
    effect: float
    """Points by which the agent is worse."""
    outcomes: int
    """Needed in the holdout, at one look."""
    requests: int
    """That it takes in the holdout to get them."""
    days_one_look: int
    days_daily_looks: int
    visible: tuple[float, ...]
    """The smallest effect found at one look after each of `VISIBLE_AFTER` days, in points."""

    @property
    def is_unusual(self) -> bool:
        return is_unusual(self.holdout_share)


def is_unusual(share: float) -> bool:
    """The holdout's share is outside what is usual."""
    return not USUAL_SHARES[0] <= share <= USUAL_SHARES[1]


def plan(
    measure: Measure, shares: Iterable[float], effects: Iterable[float], power: float = POWER
) -> list[Row]:
    """A row for every share of the holdout and every effect (points).

    Effects must be possible (`check_effects`), shares in (0, 1): ValueError otherwise.
    """
    effects = list(effects)
    return [_row(measure, share, effect, power) for share in shares for effect in effects]


def _row(measure: Measure, share: float, effect: float, power: float) -> Row:
    if measure.share is None:
        outcomes = holdout_needed_mean(effect, measure.standard_deviation, share, power)
    else:
        outcomes = holdout_needed(measure.share, -effect / 100, share, power)
    if not math.isfinite(outcomes):
        raise ValueError(f"no number of outcomes shows an effect of {effect} points")
    visible = (measure.standard_error(0, share, days) for days in VISIBLE_AFTER)
    one_look = int(days_needed(outcomes, measure.per_day, share))
    daily_looks = days_of_daily_looks(measure, share, effect, power)
    return Row(
        holdout_share=share,
        effect=effect,
        outcomes=int(outcomes),
        requests=math.ceil(round(outcomes / measure.per_request, 9)),
        days_one_look=one_look,
        # One look waits for whole outcomes: where two will do, that can take the longer.
        days_daily_looks=max(one_look, daily_looks),
        visible=tuple(minimum_detectable_effect(se, power) for se in visible),
    )


def days_of_daily_looks(measure: Measure, share: float, effect: float, power: float) -> int:
    """The first day on which the limits for daily looks are narrow enough for `effect` (points).

    That is (multiplier(n, n_star) + z_power) * SE <= effect, n being the outcomes of both arms so
    far and n_star those of 28 days.
    """
    planned = PLANNED_DAYS * measure.per_day
    z_power = float(ndtri(power))

    def is_enough(day: int) -> bool:
        factor = multiplier(measure.per_day * day, planned) + z_power
        return factor * measure.standard_error(effect, share, day) <= effect

    return first_day(is_enough)


def first_day(is_enough: Callable[[int], bool]) -> int:
    """The first day from 1 on which it is enough; once it is, it stays so."""
    enough = 1
    while not is_enough(enough):
        enough *= 2
    short = enough // 2
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if is_enough(middle) else (middle, enough)
    return enough


def by_hand(
    per_day: float,
    completion: float | None,
    csat: float | None = None,
    csat_sd: float | None = None,
    response_rate: float | None = None,
    maturity_hours: float | None = None,
) -> Baseline:
    """A baseline from numbers that somebody knows.

    `per_day` requests a day; `completion` and `response_rate` shares; `csat` and `csat_sd` points.
    CSAT without a standard deviation is the share of satisfied answers. Raises CannotRunError with
    the option's name.
    """
    _require(
        math.isfinite(per_day) and per_day > 0,
        f"--per-day {per_day:g}: requests a day must be above 0.",
    )
    _require(
        completion is not None,
        "--completion is missing: the share of requests that people complete, such as 0.70.",
    )
    _require(
        0 < completion < 1,
        f"--completion {completion:g}: a share between 0 and 1 is needed; 70% is 0.70.",
    )
    return Baseline(
        completion=Measure(per_day, share=completion),
        csat=_csat_by_hand(per_day, csat, csat_sd, response_rate),
        csat_mean=csat,
        maturity_hours=checked_maturity(maturity_hours) or MATURITY_HOURS,
    )


def _csat_by_hand(
    per_day: float, csat: float | None, csat_sd: float | None, response_rate: float | None
) -> Measure | None:
    if csat is None and csat_sd is None:
        _require(response_rate is None, "--response-rate is about CSAT: give --csat, too.")
        return None
    _require(
        response_rate is not None,
        "--response-rate is missing: the share of requests whose survey is answered, such as 0.15.",
    )
    _require(
        0 < response_rate <= 1,
        f"--response-rate {response_rate:g}: a share above 0 and up to 1 is needed; 15% is 0.15.",
    )
    if csat_sd is None:
        _require(
            0 < csat < 100,
            f"--csat {csat:g}: without --csat-sd it is the percentage of satisfied answers, "
            "between 0 and 100.",
        )
        return Measure(per_day * response_rate, share=csat / 100, per_request=response_rate)
    _require(csat is None or 0 <= csat <= 100, f"--csat {csat}: points from 0 to 100 are needed.")
    _require(
        0 < csat_sd <= 100,
        f"--csat-sd {csat_sd:g}: the standard deviation of single scores must be above 0, "
        "in points.",
    )
    return Measure(per_day * response_rate, standard_deviation=csat_sd, per_request=response_rate)


def read_baselines(
    database: Path, agent: str | None = None, maturity_hours: float | None = None
) -> list[Baseline]:
    """The baselines of all agents, or of one, from the served database.

    Raises CannotRunError where there is no database, or no baseline to plan from.
    """
    if not database.is_file():
        raise CannotRunError(
            f"No served database {database}. Run `kpi run --out {database.parent}` first, or plan "
            "by hand with --per-day and --completion."
        )
    with reading(database) as con:
        kpis = records(
            con,
            "select agent_name, kpi, value, lower_bound, upper_bound, n, window_start, window_end "
            "from marts.kpi_baselines where segment_type = 'all' "
            "and kpi in ('task_completion_rate', 'csat') order by agent_name",
        )
        volumes = records(
            con,
            "select agent_name, sum(n_interactions) as n, sum(n_surveys_answered) as answers "
            "from intermediate.int_comparison_cells "
            "where segment_type = 'all' and population = 'baseline' group by agent_name",
        )
        maturities = records(
            con,
            "select scopes.agent_name, "
            "max(types.resolve_within_hours + types.reopen_window_hours) as hours "
            "from facts.dim_agent_scopes as scopes inner join facts.dim_task_types as types "
            "on scopes.task_type = types.task_type and types.valid_to is null "
            "group by scopes.agent_name",
        )
    maturity = {row["agent_name"]: float(row["hours"]) for row in maturities}
    found = {row["agent_name"]: {"maturity_hours": maturity.get(row["agent_name"])} for row in kpis}
    for row in kpis:
        found[row["agent_name"]][row["kpi"]] = row
    for row in volumes:
        found.get(row["agent_name"], {}).update(row)
    baselines = [
        _baseline(name, parts, checked_maturity(maturity_hours))
        for name, parts in sorted(found.items())
        if 0 < (parts["task_completion_rate"]["value"] or 0) < 1
    ]
    names = [baseline.agent for baseline in baselines]
    if not baselines:
        raise CannotRunError(
            f"No agent has a baseline in {database}: agent_scopes.csv must name launched_at and an "
            "earlier baseline_from, and people must have completed some of the requests opened "
            "from then on and failed at others. Or plan by hand with --per-day and --completion."
        )
    if agent is not None and agent not in names:
        raise CannotRunError(
            f"--agent {agent}: no baseline in {database}. It has {', '.join(names)}."
        )
    return [baseline for baseline in baselines if agent in (None, baseline.agent)]


def _baseline(name: str, parts: dict, maturity_hours: float | None) -> Baseline:
    completion = parts["task_completion_rate"]
    first, last = completion["window_start"], completion["window_end"]
    per_day = float(parts["n"]) / ((last - first).days + 1)
    csat = parts.get("csat")
    measure = None
    if csat and csat["lower_bound"] is not None and csat["upper_bound"] > csat["lower_bound"]:
        # The limits are value -+ 1.96 sd / sqrt(n).
        half_width = (csat["upper_bound"] - csat["lower_bound"]) / 2
        response_rate = float(parts["answers"]) / float(parts["n"])
        measure = Measure(
            per_day * response_rate,
            standard_deviation=half_width / Z95 * math.sqrt(csat["n"]),
            per_request=response_rate,
        )
    return Baseline(
        completion=Measure(per_day, share=completion["value"]),
        csat=measure,
        csat_mean=csat["value"] if measure else None,
        maturity_hours=maturity_hours or parts["maturity_hours"] or MATURITY_HOURS,
        agent=name,
        first_day=first,
        last_day=last,
        n_requests=int(parts["n"]),
    )


def checked_shares(shares: Iterable[float]) -> list[float]:
    """Shares of the holdout, each once: 0.15 and 15 are both 15%.

    Raises CannotRunError for what is none.
    """
    found = []
    for share in shares:
        fraction = share / 100 if share >= 1 else share
        _require(
            0 < fraction < 1,
            f"--share {share:g}: the holdout's share lies between 0 and 100%; 15% is 0.15 or 15.",
        )
        found.append(fraction)
    return list(dict.fromkeys(found)) or list(SHARES)


def checked_power(power: float) -> float:
    """Raises CannotRunError unless it is a share that is worth planning for."""
    _require(0.5 <= power < 1, f"--power {power:g}: a share from 0.5 to below 1; 80% is 0.8.")
    return power


def checked_maturity(hours: float | None) -> float | None:
    _require(
        hours is None or (math.isfinite(hours) and hours > 0),
        f"--maturity-hours {hours}: the hours until an outcome is known must be above 0.",
    )
    return hours


def check_effects(measure: Measure, effects: Iterable[float], option: str) -> None:
    """Raises CannotRunError, naming the option, for an effect that cannot be (points)."""
    for effect in effects:
        _require(
            effect > 0,
            f"{option} {effect:g}: the points by which the agent may be worse must be above 0.",
        )
        most = 100.0 if measure.share is None else 100 * measure.share
        _require(
            effect <= most,
            f"{option} {effect:g}: {most:.1f} cannot fall by {effect:g} points; take fewer.",
        )


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise CannotRunError(message)


def show(
    baselines: list[Baseline],
    console: Console,
    shares: Iterable[float] = SHARES,
    effects: Iterable[float] = (EFFECT,),
    csat_effects: Iterable[float] = (CSAT_EFFECT,),
    power: float = POWER,
) -> None:
    """Print the plan for completion, and for CSAT where there is one, of each baseline.

    Raises CannotRunError for an effect that cannot be, before anything is printed.
    """
    shares, effects, csat_effects = list(shares), list(effects), list(csat_effects)
    for baseline in baselines:
        check_effects(baseline.completion, effects, "--effect")
        if baseline.csat:
            check_effects(baseline.csat, csat_effects, "--csat-effect")
    for baseline in baselines:
        say(console, f"[bold]{completion_title(baseline)}[/bold]")
        print_rows(console, plan(baseline.completion, shares, effects, power))
        days = f"{baseline.maturity_hours / 24:.3g} days later ({baseline.maturity_hours:g} h)"
        say(console, f"Days count requests coming in; the last outcome is known {days}.\n")
        if baseline.csat:
            say(console, f"[bold]{csat_title(baseline)}[/bold]")
            rows = plan(baseline.csat, shares, csat_effects, power)
            print_rows(console, rows, are_answers=True)
            say(console, "The last answers come weeks after the last of these days.\n")
        elif baseline.agent:
            say(console, "CSAT: too few survey answers before launch to plan with.\n")
    for line in captions(shares, power):
        say(console, f"[dim]{line}[/dim]")


def completion_title(baseline: Baseline) -> str:
    """What completion is planned from."""
    of = f"{escape(baseline.agent)}: " if baseline.agent else ""
    per_day = baseline.completion.per_day
    volume = f"{per_day:,.0f}" if per_day == round(per_day) or per_day >= 100 else f"{per_day:.3g}"
    title = f"{of}people complete {100 * baseline.completion.share:.1f}% of {volume} requests a day"
    if baseline.n_requests is None:
        return title
    days = f"{baseline.first_day} to {baseline.last_day}"
    return f"{title} ({baseline.n_requests:,} requests, {days})"


def csat_title(baseline: Baseline) -> str:
    """What CSAT is planned from."""
    of = f"{escape(baseline.agent)}: " if baseline.agent else ""
    if baseline.csat.share is not None:
        level = f"{100 * baseline.csat.share:.1f}% of answers satisfied"
    else:
        mean = "" if baseline.csat_mean is None else f"{baseline.csat_mean:.1f}, "
        level = f"{mean}standard deviation {baseline.csat.standard_deviation:.1f}"
    rate = f"{100 * baseline.csat.per_request:.1f}% of requests give an answer"
    return f"{of}CSAT {level}; {rate}"


def print_rows(console: Console, rows: list[Row], are_answers: bool = False) -> None:
    """The table: one line a share and effect."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    headings = ["holdout", "drop,\npoints"]
    headings += ["answers\nneeded", "from\nrequests"] if are_answers else ["outcomes\nneeded"]
    headings += ["days:\none look", "days: look\nevery day"]
    headings += [f"seen in\n{days} days" for days in VISIBLE_AFTER]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row, before in zip(rows, [None, *rows[:-1]], strict=True):
        repeats = before is not None and before.holdout_share == row.holdout_share
        mark = "[yellow]*[/yellow]" if row.is_unusual else " "
        needed = [row.outcomes, row.requests] if are_answers else [row.outcomes]
        table.add_row(
            "" if repeats else f"{100 * row.holdout_share:.3g}%{mark}",
            f"{row.effect:g}",
            *(f"{number:,}" for number in (*needed, row.days_one_look, row.days_daily_looks)),
            *("" if repeats else f"{effect:.1f}" for effect in row.visible),
        )
    console.print(table)


def captions(shares: Iterable[float], power: float) -> list[str]:
    """What has to be known to read the tables."""
    found = [
        f"Needed: in the holdout, to find a drop of so many points with {100 * power:.3g}% power "
        "at 5% (two-sided), looking once on a day fixed beforehand. Looking every day takes the "
        "scorecard's limits, which hold however often one looks and are tightest after "
        f"{PLANNED_DAYS} days.",
        "Seen: the smallest difference, in points, that one look after so many days would find.",
    ]
    if any(is_unusual(share) for share in shares):
        found.append(
            "* Outside the usual 10 to 20%: a smaller holdout sees little, a larger one keeps many "
            "customers from the agent."
        )
    found.append(
        "Requests count as independent; where customers are drawn who come often, it takes longer."
    )
    return found
