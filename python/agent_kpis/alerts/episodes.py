"""Episodes of the served database with what their newest day says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from agent_kpis.alerts.ledger import Series
from agent_kpis.alerts.routes import severity
from agent_kpis.display import reading, records

# An open episode with the last day of its metric, a cleared one with the day that ended it.
EPISODES = """
with last_days as (
    select agent_name, segment_type, segment, kpi, direction, max(evaluation_date) as last_day
    from marts.threshold_flags
    group by all
)
select e.*, k.label, k.display_order, f.evaluation_date, f.window_days, f.n, f.value,
    f.reference_value as reference, f.delta, f.judged_delta, f.judged_bound,
    f.minimum_detectable_effect, f.warning, f.critical, f.catastrophic, f.baseline_kind,
    f.comparison_type as compared_with, f.is_time_confounded as confounded, f.cause as who_moved,
    f.action as to_do, f.is_set_after_launch as late, f.top_reasons as reasons,
    f.top_task_types as task_types, f.note as remark
from marts.alert_episodes as e
inner join last_days as d
    on e.agent_name = d.agent_name and e.segment_type = d.segment_type and e.segment = d.segment
    and e.kpi = d.kpi and e.direction = d.direction
inner join marts.threshold_flags as f
    on e.agent_name = f.agent_name and e.segment_type = f.segment_type and e.segment = f.segment
    and e.kpi = f.kpi and e.direction = f.direction
    and f.evaluation_date = coalesce(e.cleared_on, d.last_day)
inner join marts.dim_kpis as k on e.kpi = k.kpi
"""
LAST_DAY = "select max(evaluation_date) as day from marts.threshold_flags"


@dataclass(frozen=True)
class Episode:
    """One row of alert_episodes; `facts` has its columns and those of its newest flag."""

    id: str
    series: Series
    level: str
    is_open: bool
    facts: dict

    @property
    def agent(self) -> str:
        return self.series[0]

    @property
    def is_overall(self) -> bool:
        return self.series[1] == "all"

    @property
    def order(self) -> tuple:
        """All requests before segments, the worst first."""
        place = (self.facts["display_order"], self.series)
        return (not self.is_overall, -severity(self.level), *place)


@dataclass(frozen=True)
class Found:
    """The episodes of a database, and the last day that it speaks for."""

    day: date | None
    episodes: list[Episode]

    @property
    def worst_level(self) -> str | None:
        """Of what is open."""
        levels = [episode.level for episode in self.episodes if episode.is_open]
        return max(levels, key=severity, default=None)


def read_episodes(database: Path) -> Found:
    """From a served database. Raises CannotRunError where it is none of this version."""
    with reading(database) as con:
        rows = records(con, EPISODES)
        day = records(con, LAST_DAY)[0]["day"]
    episodes = [
        Episode(
            id=row["episode_id"],
            series=tuple(
                row[name] for name in ("agent_name", "segment_type", "segment", "kpi", "direction")
            ),
            level=row["last_level"],
            is_open=row["is_open"],
            facts=row,
        )
        for row in rows
    ]
    return Found(day, sorted(episodes, key=lambda episode: episode.order))
