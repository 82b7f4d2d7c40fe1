"""The gate after dbt: are the marts plausible, and no worse than those of the last good run?

Keys, ranges and contracts are dbt's tests. This looks at what they cannot know: the last run, and
how far a number may go before it is a fault of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from agent_kpis.contract import entities
from agent_kpis.errors import CannotRunError
from agent_kpis.quality.judging import Measurement, Point, judge
from agent_kpis.quality.limits import MARTS, Limits, read_limits
from agent_kpis.quality.profile import Profile
from agent_kpis.quality.report import Report

Progress = Callable[[str], None] | None
# The last judged day is compared with the days of the four weeks before it.
DAYS_BEFORE = 28


def check_marts(
    database: Path,
    config: Path,
    history: Profile | None = None,
    progress: Progress = None,
) -> Report:
    """Check the marts in dbt's private database with the limits in `config`.

    Raises CannotRunError where the database or a limit cannot be read.
    """
    limits = read_limits(config)
    if not database.is_file():
        raise CannotRunError(f"No marts to check: no {database}. Run `kpi build` first.")
    try:
        with duckdb.connect(str(database), read_only=True) as con:
            ((as_of,),) = con.execute("select as_of from intermediate.int_as_of").fetchall()
            found = Marts(con, limits, as_of)
            history, notes = _comparable(history, as_of, found.n_mature)
            if progress is not None:
                progress("judging")
            results, failing = judge(found.measurements(history))
    except duckdb.Error as error:
        first_line = str(error).splitlines()[0]
        raise CannotRunError(
            f"{database} cannot be read as a database of this version ({first_line}). "
            "Run `kpi build` again."
        ) from error
    moment = as_of.isoformat() if as_of else None
    profile = Profile(as_of=moment, n_mature=found.n_mature)
    return Report(MARTS, results, failing, profile, notes, moment)


def _comparable(
    history: Profile | None, as_of: datetime | None, n_mature: dict[str, int]
) -> tuple[Profile | None, list[str]]:
    """The history if this run comes after it and has agents of it, else a note."""
    if history is None or not history.as_of or not history.n_mature:
        return None, []
    if as_of is None or as_of < datetime.fromisoformat(history.as_of):
        return None, [
            f"The last good run spoke for {history.as_of}, later than this one: "
            "mature requests are not compared with it."
        ]
    if not set(history.n_mature) & set(n_mature):
        return None, [
            f"The last good run knew other agents ({', '.join(sorted(history.n_mature))}): "
            "mature requests are not compared with it."
        ]
    return history, []


class Marts:
    """What is measured of the marts."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, limits: Limits, as_of: datetime | None
    ) -> None:
        self.con = con
        self.limits = limits
        self.as_of = as_of
        self.n_mature: dict[str, int] = {
            agent: int(n)
            for agent, n in con.execute(
                "select agent_name, sum(n_mature) from marts.kpi_daily "
                "where arm = 'ai' group by all having sum(n_mature) > 0 order by 1"
            ).fetchall()
        }

    def measurements(self, history: Profile | None) -> Iterator[Measurement]:
        yield from self._rejected()
        yield from self._one("primary_kpi_missing", "kpi_scorecard", self._without_primary_kpi())
        yield from self._one("mature_lost", "kpi_daily", self._mature_lost(history))
        yield from self._one("completion_jump", "kpi_daily", self._jumps())
        yield from self._one("unpriced_share", "kpi_daily", self._unpriced())

    def _one(self, check: str, table: str, points: Iterable[Point]) -> Iterator[Measurement]:
        limit = self.limits.of(check, table, "", self.as_of)
        if limit is not None:
            yield Measurement(
                check, table, "", limit, list(points), too_little="nothing to compare"
            )

    def _rejected(self) -> Iterator[Measurement]:
        rows = self.con.execute(
            "select entity, n_raw, n_rejected from intermediate.int_row_counts"
        ).fetchall()
        counts = {entity: (n, rejected) for entity, n, rejected in rows}
        reasons = dict(
            self.con.execute(
                "select entity, string_agg(reason || ' ' || n, ', ' order by n desc, reason) from "
                "(select entity, reason, count(*) as n from marts.rejected_rows group by all) "
                "group by all"
            ).fetchall()
        )
        for entity in entities():
            limit = self.limits.of("rejected_share", entity, "", self.as_of)
            n, rejected = counts.get(entity, (0, 0))
            if limit is None or not n:
                continue
            says = f"{entity}: {rejected:,} of {n:,} rows were rejected, {{observed}}"
            says += f" ({reasons[entity]})" if rejected else ""
            yield Measurement(
                "rejected_share",
                entity,
                "",
                limit,
                [Point(rejected / n, says, n=n)],
                n_failing=rejected,
            )

    def _without_primary_kpi(self) -> Iterator[Point]:
        """1 for an agent with mature requests in the window whose primary KPI says nothing."""
        for agent, kpi, n, value in self.con.execute(
            """
            with agents as (
                select daily.agent_name, sum(daily.n_mature) as n
                from marts.kpi_daily as daily
                inner join intermediate.int_kpi_window as windows
                    on daily.agent_name = windows.agent_name
                        and daily.task_type = windows.task_type
                        and daily.cohort_date
                            between windows.window_start and windows.window_end
                where daily.arm = 'ai'
                group by all
            )

            select agents.agent_name, kpis.kpi, agents.n, card.value
            from agents
            cross join (select kpi from marts.dim_kpis where is_primary) as kpis
            left join marts.kpi_scorecard as card
                on agents.agent_name = card.agent_name
                    and kpis.kpi = card.kpi
                    and card.arm = 'ai'
                    and card.segment_type = 'all'
            where agents.n > 0
            order by 1
            """
        ).fetchall():
            says = (
                f"kpi_scorecard says nothing of {kpi} for {agent}, which has {n:,} mature requests"
                if value is None
                else f"Every agent has its {kpi}"
            )
            yield Point(float(value is None), says, agent, n)

    def _mature_lost(self, history: Profile | None) -> Iterator[Point]:
        for agent, before in (history.n_mature if history else {}).items():
            now = self.n_mature.get(agent, 0)
            says = f"{agent}: {now:,} mature requests, {before:,} in the last good run"
            lost = max(0.0, 1 - now / before) if before else 0.0
            yield Point(lost, says + ": {observed} fewer", agent, before)

    def _jumps(self) -> Iterator[Point]:
        """Completion of the last judged day against the four weeks before it, in points."""
        for agent, day, n, share, n_before, usual in self.con.execute(
            """
            with days as (
                select
                    agent_name, cohort_date, sum(n_mature) as n, sum(n_completed) as n_completed
                from marts.kpi_daily
                where arm = 'ai'
                group by all
                having sum(n_mature) > 0 and sum(n_pending) = 0
            ),

            last_days as (
                select agent_name, max(cohort_date) as last_day from days group by all
            )

            select
                agent_name,
                any_value(last_day),
                sum(n) filter (where cohort_date = last_day),
                sum(n_completed) filter (where cohort_date = last_day)
                    / sum(n) filter (where cohort_date = last_day),
                sum(n) filter (where cohort_date < last_day),
                sum(n_completed) filter (where cohort_date < last_day)
                    / sum(n) filter (where cohort_date < last_day)
            from days
            inner join last_days using (agent_name)
            where cohort_date >= last_day - to_days(?)
            group by all
            order by 1
            """,
            [DAYS_BEFORE],
        ).fetchall():
            if n_before:
                says = (
                    f"{agent}: completion of {day} is {100 * share:.1f}%, that of the "
                    f"{DAYS_BEFORE} days before {100 * usual:.1f}%: {{observed}} apart"
                )
                yield Point(abs(share - usual), says, agent, min(n, n_before))

    def _unpriced(self) -> Iterator[Point]:
        """Of the last four weeks. An agent without any price has no cost data: that is no fault."""
        if not self.as_of:
            return
        start = (self.as_of - timedelta(days=DAYS_BEFORE)).date()
        for agent, n, unpriced in self.con.execute(
            """
            select agent_name, sum(n_mature), sum(n_mature) - sum(n_priced)
            from marts.kpi_daily
            where arm = 'ai' and cohort_date >= ?
            group by all
            having sum(n_priced) > 0
            order by 1
            """,
            [start],
        ).fetchall():
            says = (
                f"{agent}: {unpriced:,} of {n:,} requests since {start} have no whole cost, "
                "{observed}"
            )
            yield Point(unpriced / n, says, agent, n)
