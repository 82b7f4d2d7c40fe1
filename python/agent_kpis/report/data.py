"""What the report reads from a served database: small aggregates of the marts, by agent."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from agent_kpis import doctor
from agent_kpis.display import reading, records
from agent_kpis.errors import CannotRunError
from agent_kpis.flagged import Flagged, flagged
from agent_kpis.scorecard import BALANCES, BASELINES, COMPLETION, COUNTS, GAPS, READ

Row = dict[str, object]

# A series has at most so many points: longer ones are drawn every second day, or third, ...
POINTS = 150
ROLLING_DAYS = 7
WEEKS = 53

# The limits as values of the metric: a distance starts at the reference.
_LIMITS = ", ".join(
    f"""case f.limit_unit
        when 'pp' then f.reference_value + f.{name} * case f.unit when 'share' then 0.01 else 1 end
        when 'percent' then f.reference_value * (1 + f.{name} / 100)
        else f.{name}
    end as {name}"""
    for name in ("warning", "critical", "catastrophic")
)
_STEP = f"""
with spans as (
    select
        agent_name, max(evaluation_date) as last_day,
        1 + (max(evaluation_date) - min(evaluation_date)) // {POINTS} as step_days
    from marts.threshold_flags
    group by agent_name
)
"""
# One side of each KPI: that of the distance from a reference, where it has one.
DAYS = f"""
{_STEP},
sides as (
    select distinct on (agent_name, kpi) agent_name, kpi, direction
    from marts.threshold_flags
    where segment_type = 'all' and role in ('primary', 'kpi')
    order by agent_name, kpi, (limit_unit = 'absolute'), direction
)
select
    f.agent_name, f.kpi, f.direction, f.unit, f.evaluation_date as day, f.window_days, f.n, f.value,
    f.reference_value, f.comparison_type, f.limit_unit, f.level, {_LIMITS},
    case
        when k.alarm_numerator is not null and f.limit_unit = 'pp'
            then f.reference_value + f.judged_delta / 100
    end as alarming_value
from marts.threshold_flags as f
inner join sides using (agent_name, kpi, direction)
inner join spans using (agent_name)
inner join marts.dim_kpis as k on f.kpi = k.kpi
where f.segment_type = 'all' and (spans.last_day - f.evaluation_date) % spans.step_days = 0
order by f.agent_name, k.display_order, f.evaluation_date
"""
# One sum for all: bins are those of the calibration error, plain means have one.
INDICATORS = f"""
{_STEP},
days as (
    select distinct f.agent_name, f.evaluation_date as day
    from marts.threshold_flags as f
    inner join spans using (agent_name)
    where (spans.last_day - f.evaluation_date) % spans.step_days = 0
),
bins as (
    select
        d.agent_name, d.day, i.indicator, i.bin, sum(i.n) as n, sum(i.value_sum) as value_sum
    from days as d
    inner join intermediate.int_indicator_days as i
        on d.agent_name = i.agent_name
        and i.cohort_date between d.day - {ROLLING_DAYS - 1} and d.day
    where i.segment_type = 'all' and i.n > 0
    group by all
)
select agent_name, indicator, day, sum(n) as n, sum(abs(value_sum)) / sum(n) as value
from bins
group by all
order by all
"""
DIAGNOSIS = f"""
{_STEP}
select
    d.agent_name, d.kpi, d.diagnosis_order, d.indicator, d.bad_direction, d.status, k.label, k.unit,
    f.warning
from marts.kpi_diagnosis as d
inner join marts.dim_kpis as k on d.indicator = k.kpi
left join spans on d.agent_name = spans.agent_name
left join marts.threshold_flags as f
    on d.agent_name = f.agent_name and d.indicator = f.kpi and d.bad_direction = f.direction
    and f.evaluation_date = spans.last_day and f.segment_type = 'all' and f.limit_unit = 'absolute'
order by d.agent_name, d.kpi, d.diagnosis_order
"""
EPISODES = """
select e.*, k.label
from marts.alert_episodes as e
inner join marts.dim_kpis as k on e.kpi = k.kpi
where e.segment_type = 'all'
order by e.agent_name, k.display_order, e.opened_on
"""
MOVERS = """
select m.*, k.label, i.label as indicator
from marts.first_movers as m
inner join marts.dim_kpis as k on m.kpi = k.kpi
left join marts.dim_kpis as i on m.first_mover = i.kpi
where m.segment_type = 'all'
order by m.agent_name, k.display_order, m.moved_on
"""
VERSIONS = """
select agent_name, agent_version, valid_from, change_type, summary
from facts.dim_agent_versions
order by agent_name, valid_from
"""
# What people achieved before launch, over all requests.
BASELINE_KPIS = """
select b.*, k.label, k.role, k.is_primary
from marts.kpi_baselines as b
inner join marts.dim_kpis as k on b.kpi = k.kpi
where b.segment_type = 'all'
order by b.agent_name, k.display_order
"""
GAP_WEEKS = f"""
select *
from marts.deflection_gap
qualify row_number() over (partition by agent_name order by week_start desc) <= {WEEKS}
order by agent_name, week_start
"""
COMPARISONS = """
select c.*, k.label, k.better, k.display_order
from marts.holdout_comparison as c
inner join marts.dim_kpis as k on c.kpi = k.kpi
order by
    c.agent_name, k.display_order, (c.segment_type != 'all'), (c.segment_type != 'task_type'),
    c.segment_type, c.n_ai desc nulls last, c.segment
"""
# Prediction limits of days are added up as independent; sampling is that of all answers expected.
CSAT_WEEKS = f"""
with weeks as (
    select
        agent_name, cast(date_trunc('week', cohort_date) as date) as week_start,
        sum(n_sent) as n_sent, sum(n_answered) as n_answered, sum(score_sum) as score_sum,
        sum(score_square_sum) as score_square_sum,
        sum(n_expected) filter (where completed_mean is not null) as n_expected,
        sum(n_expected * completed_mean) as expected_sum,
        sum(power(n_expected * (completed_upper_bound - completed_lower_bound) / 2, 2))
            as half_width_square_sum,
        bool_or(status = 'provisional') as is_provisional
    from marts.csat_cohorts
    where arm = 'ai'
    group by all
    having sum(n_sent) > 0
),
means as (
    select
        *, score_sum / nullif(n_answered, 0) as observed_mean,
        expected_sum / nullif(n_expected, 0) as completed_mean,
        coalesce(half_width_square_sum, 0) / power(nullif(n_expected, 0), 2)
            / power(1.959963985, 2) as prediction_variance,
        (score_square_sum - power(score_sum, 2) / nullif(n_answered, 0))
            / nullif(n_answered - 1, 0) / nullif(n_expected, 0) as sampling_variance
    from weeks
),
limits as (
    select
        *, 1.959963985 * sqrt(greatest(sampling_variance, 0) + prediction_variance) as half_width
    from means
)
select
    agent_name, week_start, n_sent, n_answered, n_answered / n_sent as response_rate,
    is_provisional, observed_mean, completed_mean,
    greatest(completed_mean - half_width, 0) as lower_bound,
    least(completed_mean + half_width, 100) as upper_bound
from limits
qualify row_number() over (partition by agent_name order by week_start desc) <= {WEEKS}
order by agent_name, week_start
"""
CSAT_RESPONSE = "select * from marts.csat_response order by agent_name, population"
REASONS = f"""
select *
from marts.escalation_reasons
where arm = 'ai'
qualify dense_rank() over (partition by agent_name order by week_start desc) <= {WEEKS}
order by agent_name, week_start, reason_class
"""
# The last week that is over, or the running one where none is.
_REVIEWED = """
with reviewed as (
    select
        agent_name,
        coalesce(max(week_start) filter (where is_complete), max(week_start)) as week_start
    from marts.weekly_review
    group by agent_name
)
"""
TASK_TYPES = f"""
{_REVIEWED}
select t.*
from marts.weekly_task_types as t
inner join reviewed using (agent_name, week_start)
order by t.agent_name, t.rank_by_lost_completions
"""
TRAITS = f"""
{_REVIEWED}
select f.*
from marts.failing_and_passing as f
inner join reviewed using (agent_name, week_start)
where f.trait_group != 'hand_off' and (f.rank_by_difference <= 3 or f.rank_by_change = 1)
order by f.agent_name, f.task_type_rank, f.rank_by_difference nulls last, f.trait_group, f.trait
"""
REVIEW = f"""
{_REVIEWED}
select w.*, k.label as next_change_label, k.unit as next_change_unit
from marts.weekly_review as w
inner join reviewed using (agent_name, week_start)
left join marts.dim_kpis as k on w.next_change_kpi = k.kpi
order by w.agent_name, w.display_order
"""
DECISIONS = """
with weeks as (
    select *
    from marts.weekly_review
    qualify dense_rank() over (partition by agent_name order by week_start desc) <= 8
)
select
    w.agent_name, w.week_start, w.is_complete, w.report_only, w.next_change_type,
    w.next_change_summary, w.next_change_direction, w.next_change_min_effect,
    w.next_change_decide_by, w.next_change_owner, k.label as next_change_label,
    k.unit as next_change_unit,
    count(*) filter (where w.is_within_thresholds = false) as n_beyond, count(*) as n_metrics
from weeks as w
left join marts.dim_kpis as k on w.next_change_kpi = k.kpi
group by all
order by w.agent_name, w.week_start desc
"""
RELEASES = """
select r.*, k.label, k.display_order
from marts.release_effects as r
inner join marts.dim_kpis as k on r.kpi = k.kpi
order by r.agent_name, r.released_at desc, r.is_target desc, k.display_order
"""
# How often machines looked well while customers were not helped, over the last four weeks.
HEALTH = """
select
    agent_name, count(*) as n_days, count(*) filter (where health_ok_but_failing) as n_failing_days
from marts.agent_health
where health_date > (select max(health_date) from marts.agent_health) - 28
    and completion_level is not null
group by agent_name
"""
DEFINITIONS = """
select *
from marts.definition_sensitivity
where arm = 'ai' and task_completion_rate is not null
order by agent_name, window_hours
"""
REJECTED = """
select entity, reason, column_name, count(*) as n
from marts.rejected_rows
group by all
order by entity, n desc, reason, column_name
"""
UNDEFINED = """
select task_type, count(*) as n
from facts.fct_interactions
where exclusion_reason = 'undefined_task_type'
group by task_type
order by n desc, task_type
"""
EXCLUDED = """
select exclusion_reason, count(*) as n
from facts.fct_interactions
where outcome = 'excluded'
group by exclusion_reason
order by n desc, exclusion_reason
"""


@dataclass(frozen=True)
class Agent:
    """What the marts say of one agent, or of people alone where there is none."""

    name: str
    scorecard: list[Row]
    gap: Row | None = None
    balance: Row | None = None
    baseline: Row | None = None
    """Of completion."""
    baselines: list[Row] = field(default_factory=list)
    flagged: Flagged | None = None
    days: list[Row] = field(default_factory=list)
    indicators: list[Row] = field(default_factory=list)
    diagnosis: list[Row] = field(default_factory=list)
    episodes: list[Row] = field(default_factory=list)
    movers: list[Row] = field(default_factory=list)
    versions: list[Row] = field(default_factory=list)
    gap_weeks: list[Row] = field(default_factory=list)
    comparisons: list[Row] = field(default_factory=list)
    csat_weeks: list[Row] = field(default_factory=list)
    csat_response: list[Row] = field(default_factory=list)
    reasons: list[Row] = field(default_factory=list)
    task_types: list[Row] = field(default_factory=list)
    traits: list[Row] = field(default_factory=list)
    review: list[Row] = field(default_factory=list)
    decisions: list[Row] = field(default_factory=list)
    releases: list[Row] = field(default_factory=list)
    health: Row | None = None
    definitions: list[Row] = field(default_factory=list)

    def score(self, kpi: str, arm: str = "ai") -> Row | None:
        """The row of the scorecard."""
        return next(
            (row for row in self.scorecard if row["kpi"] == kpi and row["arm"] == arm), None
        )

    @property
    def arm(self) -> str:
        """Whose KPIs these are: people's, where no request was an agent's."""
        return "ai" if self.score(COMPLETION) else "human"


CHECKS = """
select stage, table_name, column_name, check_name, severity, passed, observed, message
from checks.check_results
order by passed, severity, stage, table_name, check_name
"""
RUNS = """
select started_at, seconds, status, step, as_of, rows_read, rows_rejected, worst_level, message
from checks.runs
order by started_at desc
limit 14
"""


@dataclass(frozen=True)
class Report:
    """Everything that the page says."""

    as_of: datetime
    agents: list[Agent]
    diagnosis: doctor.Diagnosis
    """Launch readiness, of all agents."""
    counts: list[Row]
    rejected: list[Row]
    undefined: list[Row]
    excluded: list[Row]
    checks: list[Row]
    """Of the run that made the database; none where it was built without."""
    runs: list[Row]
    """The last runs before that one, the newest first."""


# Of one row an agent, and of several.
_ONE = {"gap": GAPS, "balance": BALANCES, "health": HEALTH}
_MANY = {
    "scorecard": READ,
    "baselines": BASELINE_KPIS,
    "days": DAYS,
    "indicators": INDICATORS,
    "diagnosis": DIAGNOSIS,
    "episodes": EPISODES,
    "movers": MOVERS,
    "versions": VERSIONS,
    "gap_weeks": GAP_WEEKS,
    "comparisons": COMPARISONS,
    "csat_weeks": CSAT_WEEKS,
    "csat_response": CSAT_RESPONSE,
    "reasons": REASONS,
    "task_types": TASK_TYPES,
    "traits": TRAITS,
    "review": REVIEW,
    "decisions": DECISIONS,
    "releases": RELEASES,
    "definitions": DEFINITIONS,
}


def read(database: Path) -> Report:
    """Everything that the page says. Raises CannotRunError."""
    if not database.is_file():
        raise CannotRunError(f"No served database {database}. Run `kpi run` first.")
    diagnosis = doctor.read(database)
    with reading(database) as con:
        one = {name: _by_agent(_read(con, sql)) for name, sql in _ONE.items()}
        one["baseline"] = _by_agent(_read(con, BASELINES, COMPLETION))
        many = {name: _by_agent(_read(con, sql)) for name, sql in _MANY.items()}
        agents = [
            Agent(
                name,
                flagged=_clean_flagged(flagged(con, name)),
                **{part: (of.get(name) or [None])[0] for part, of in one.items()},
                **{part: of.get(name, []) for part, of in many.items()},
            )
            for name in _names(many["scorecard"], diagnosis)
        ]
        return Report(
            as_of=diagnosis.as_of,
            agents=agents,
            diagnosis=diagnosis,
            counts=_read(con, COUNTS),
            rejected=_read(con, REJECTED),
            undefined=_read(con, UNDEFINED),
            excluded=_read(con, EXCLUDED),
            checks=_read_if_there(con, "check_results", CHECKS),
            runs=_read_if_there(con, "runs", RUNS),
        )


def _read_if_there(con: duckdb.DuckDBPyConnection, table: str, sql: str) -> list[Row]:
    """From the schema `checks`, which publishing adds: dbt's own database has none."""
    there = "select 1 from duckdb_tables() where schema_name = 'checks' and table_name = ?"
    return _read(con, sql) if con.execute(there, [table]).fetchone() else []


def _names(scorecard: dict[str, list[Row]], diagnosis: doctor.Diagnosis) -> list[str]:
    """Agents with anything to read, or that are about to launch; people alone where none has."""
    read = {
        name
        for name, rows in scorecard.items()
        if any(row["n"] or row["provisional_value"] is not None for row in rows)
    }
    agents = (read | set(diagnosis.agents)) - {doctor.NO_AGENT}
    return sorted(agents) or sorted(read)


def _read(con: duckdb.DuckDBPyConnection, sql: str, *values: object) -> list[Row]:
    return [_clean(row) for row in records(con, sql, *values)]


def _clean(row: Row) -> Row:
    """What is no number is missing."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def _clean_flagged(found: Flagged) -> Flagged:
    return Flagged(
        day=found.day,
        evaluated_on=found.evaluated_on,
        episodes=[_clean(row) for row in found.episodes],
        movement=found.movement and _clean(found.movement),
        release=found.release and _clean(found.release),
    )


def _by_agent(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(row["agent_name"]), []).append(row)
    return found
