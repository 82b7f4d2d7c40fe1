"""The gate before dbt: are the landing files whole, current, and like those of yesterday?

Single rows are screened by the input layer. This looks at what no row can tell: columns, volumes,
mixes, ages, and shares of cells that cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import duckdb

from agent_kpis.build import readable
from agent_kpis.contract import Column, Entity, entities
from agent_kpis.errors import CannotRunError
from agent_kpis.quality.engine import macros
from agent_kpis.quality.judging import Measurement, Mix, Point, judge
from agent_kpis.quality.limits import LANDING, Limit, Limits, read_limits
from agent_kpis.quality.profile import Profile, folder_name
from agent_kpis.quality.report import Report

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[str], None] | None
DAY = timedelta(days=1)
# The last week is compared with the four before it; a day with the same weekday in them.
WEEK, WEEKS = 7, 4
# At least so many of those weeks have to be in the data.
FEWEST_WEEKS = 2
# What a number is an average of: scores of two surveys are on two scales.
GROUPS = {("surveys", "score"): "survey_source", ("evaluations", "value"): "indicator"}
# When a value came, where that is not the time of its row.
TIMES = {("surveys", "score"): "responded_at"}
WATERMARK = ("interactions", "events")


@dataclass
class Landed:
    """A landing file as it was read."""

    entity: Entity
    file: str
    columns: list[str]
    relation: str  # the contract's columns as text or as the file has them, and row_number
    casts: dict[str, str]
    can_fail: set[str]
    n: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None
    by_day: dict[date, int] = field(default_factory=dict)

    @property
    def time(self) -> str:
        """The time of a row: the first required time of the contract."""
        return next(c.name for c in self.entity.columns if c.required and c.type == "timestamp")

    @property
    def missing(self) -> list[str]:
        """Required columns that the file lacks."""
        return [c.name for c in self.entity.columns if c.required and c.name not in self.columns]

    @property
    def last_day(self) -> date | None:
        """The last complete day: the one before the latest row's."""
        return self.last.date() - DAY if self.last else None


def check_landing(
    data: Path,
    config: Path,
    history: Profile | None = None,
    progress: Progress = None,
    now: datetime | None = None,
) -> Report:
    """Check the landing files in `data` with the limits in `config`.

    `history` is the profile of the last good run. `now` (UTC) is the clock: times more than a day
    after it are not believed, as in the input layer, and age_hours counts from it. Raises
    CannotRunError where a file or a limit cannot be read.
    """
    limits = read_limits(config)
    if not data.is_dir():
        raise CannotRunError(
            f"No data folder {data}. Name the folder of your landing files with --data."
        )
    clock = now or datetime.now(UTC).replace(tzinfo=None)
    notes: list[str] = []
    folder = folder_name(data)
    if history and history.data and history.data != folder:
        notes.append(
            f"The last good run read {history.data}: rows and columns are not compared with it."
        )
        history = None
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        con.execute("set enable_progress_bar = false")
        landing = Landing(con, data, limits, clock, history)
        try:
            for name in entities():
                landing.read(name, progress)
            tell(progress, "judging")
            results, failing = judge(landing.measurements())
        except duckdb.Error as error:
            raise CannotRunError(readable(str(error))) from error
    profile = Profile(
        data=folder,
        rows={name: landed.n for name, landed in landing.files.items()},
        columns={name: landed.columns for name, landed in landing.files.items()},
    )
    as_of = landing.watermark
    return Report(LANDING, results, failing, profile, notes, as_of.isoformat() if as_of else None)


def tell(progress: Progress, text: str) -> None:
    if progress is not None:
        progress(text)


class Landing:
    """The landing files of one folder, and what is measured of them."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        data: Path,
        limits: Limits,
        clock: datetime,
        history: Profile | None,
    ) -> None:
        self.con = con
        self.limits = limits
        self.clock = clock
        self.history = history
        self.macros = macros(con, data)
        self.files: dict[str, Landed] = {}

    @property
    def watermark(self) -> datetime | None:
        """The latest opening or event."""
        times = [self.files[name].last for name in WATERMARK if name in self.files]
        return max((moment for moment in times if moment), default=None)

    def read(self, name: str, progress: Progress) -> None:
        """Read an entity's file, if there is one: two passes, whatever its size."""
        found = self.macros.duckdb__read_landing(name)
        if found is None:
            return
        entity = entities()[name]
        known = {column.name: column for column in entity.columns}
        if repeated := sorted(set(found["repeated"]) & set(known)):
            raise CannotRunError(
                f"{found['file']} has more than one column {', '.join(repeated)}. "
                "Keep the one that counts."
            )
        tell(progress, f"{name}: counting")
        types = {c: kind for c, kind in found["columns"].items() if c != "file_row_number"}
        present = {c: kind for c, kind in types.items() if c in known}
        cells = [
            f'{self.macros.duckdb__landing_value(c, kind)} as "{c}"' for c, kind in present.items()
        ]
        cells.append(f"{found['row_number']} as landing_row_number")
        landed = Landed(
            entity,
            found["file"],
            list(types),
            f"(select {', '.join(cells)} from {found['scan']})",
            {
                c: self.macros.duckdb__try_cast(f'"{c}"', _engine_type(known[c]), kind)
                for c, kind in present.items()
            },
            {
                c
                for c, kind in present.items()
                if known[c].type != "string"
                and self.macros.duckdb__cast_may_fail(kind, known[c].type)
            },
        )
        self.files[name] = landed
        self._count(landed)
        if landed.last:
            self._keep_recent(landed)

    def _count(self, landed: Landed) -> None:
        """Rows, cells that cannot be read, first and last time: one pass."""
        faults = {c.name: self._fault(landed, c) for c in landed.entity.columns}
        faults = {name: fault for name, fault in faults.items() if fault}
        counted = ["count(*)", *(f"count(*) filter (where {fault})" for fault in faults.values())]
        moment = landed.casts.get(landed.time)
        believed = f"filter (where moment <= {_time(self.clock + DAY)})"
        counted += [f"min(moment) {believed}", f"max(moment) {believed}"]
        row = self.con.execute(
            f"select {', '.join(counted)} "
            f"from (select *, {moment or 'cast(null as timestamp)'} as moment "
            f"from {landed.relation})"
        ).fetchall()[0]
        landed.n, landed.first, landed.last = row[0], row[-2], row[-1]
        landed.unreadable = dict(zip(faults, row[1:-2], strict=True))

    def _fault(self, landed: Landed, column: Column) -> str:
        """When a cell cannot be read: empty where it is required, or text that does not parse."""
        if column.name not in landed.casts:
            return ""
        faults = [f'"{column.name}" is null'] if column.required else []
        if column.name in landed.can_fail:
            faults.append(f'("{column.name}" is not null and {landed.casts[column.name]} is null)')
        return " or ".join(faults)

    def _keep_recent(self, landed: Landed) -> None:
        """The last weeks of the columns that are watched, in memory, and rows by day."""
        start = datetime.combine(landed.last_day, datetime.min.time()) - timedelta(
            days=WEEK * (WEEKS + 1)
        )
        wanted = {landed.time}
        for check in ("mix_shift", "mean_shift", "filled_shift"):
            for column in self.limits.columns(check, landed.entity.name):
                key = (landed.entity.name, column)
                wanted |= {column, GROUPS.get(key, column), TIMES.get(key, column)}
        casts = {c: landed.casts[c] for c in sorted(wanted) if c in landed.casts}
        times = [f'"{c}"' for c in casts if landed.entity.column(c).type == "timestamp"]
        cells = ", ".join(f'{cast} as "{c}"' for c, cast in casts.items())
        self.con.execute(
            f"create temp table recent_{landed.entity.name} as select * from "
            f"(select {cells} from {landed.relation}) "
            f"where greatest({', '.join(times)}) >= {_time(start)} "
            f'and "{landed.time}" <= {_time(self.clock + DAY)}'
        )
        landed.by_day = dict(
            self.con.execute(
                f'select cast("{landed.time}" as date), count(*) '
                f"from recent_{landed.entity.name} group by all"
            ).fetchall()
        )

    def limit(self, check: str, table: str, column: str = "") -> Limit | None:
        return self.limits.of(check, table, column, self.watermark)

    def measurements(self) -> Iterator[Measurement]:
        """Everything there is to judge, table by table."""
        yield from self._rows_lost()
        for landed in self.files.values():
            yield from self._columns(landed)
            yield from self._unreadable(landed)
            if landed.last:
                yield from self._volume(landed)
                yield from self._ages(landed)
                yield from self._shifts(landed)

    def _rows_lost(self) -> Iterator[Measurement]:
        for name, before in (self.history.rows if self.history else {}).items():
            limit = self.limit("rows_lost", name)
            if limit is None or name not in entities():
                continue
            landed = self.files.get(name)
            n = landed.n if landed else 0
            lost = max(0.0, 1 - n / before) if before else 0.0
            place = landed.file if landed else f"{name} (no file)"
            says = f"{place} has {n:,} rows, {before:,} in the last good run: {{observed}} lost"
            point = Point(lost, says, n=before)
            yield Measurement("rows_lost", name, "", limit, [point], n_failing=before - n)

    def _columns(self, landed: Landed) -> Iterator[Measurement]:
        name = landed.entity.name
        known = [column.name for column in landed.entity.columns]
        found = ", ".join(landed.columns)
        lacks = _listed(landed.missing, "required column")
        by_commas = len(landed.columns) == 1 and landed.file.endswith(".csv")
        hint = " (columns are to be divided by commas)" if by_commas else ""
        sets = {
            "missing_columns": (
                landed.missing,
                f"{landed.file} lacks the {lacks}. It has: {found}{hint}. "
                f"models/input/input_{name}.yml is the contract",
            )
        }
        before = self.history.columns.get(name) if self.history else None
        if before is not None:
            gone = [c for c in before if c not in landed.columns and c not in landed.missing]
            new = [c for c in landed.columns if c not in known and c not in before]
            sets["columns_gone"] = (
                gone,
                f"{landed.file} no longer has the {_listed(gone, 'column')} of the last good run",
            )
            sets["unknown_columns"] = (
                new,
                f"{landed.file} has the new {_listed(new, 'column')}, "
                "which the contract does not know",
            )
        for check, (columns, says) in sets.items():
            if limit := self.limit(check, name):
                says = says if columns else "Columns are as expected"
                rows = _frame([(column, None) for column in columns])
                point = Point(len(columns), says)
                yield Measurement(
                    check, name, "", limit, [point], rows=rows, n_failing=len(columns)
                )

    def _unreadable(self, landed: Landed) -> Iterator[Measurement]:
        for column, n in landed.unreadable.items():
            limit = self.limit("unreadable_share", landed.entity.name, column)
            if limit is None:
                continue
            says = (
                f"{landed.file}: {n:,} of {landed.n:,} cells of {column} are empty or do not "
                "parse, {observed}"
                if landed.entity.column(column).required
                else f"{landed.file}: {n:,} of {landed.n:,} cells of {column} do not parse, "
                "{observed}"
            )
            share = n / landed.n if landed.n else 0.0
            yield Measurement(
                "unreadable_share",
                landed.entity.name,
                column,
                limit,
                [Point(share, says, n=landed.n)],
                rows=_Failing(self, landed, column),
                n_failing=n,
            )

    def failing_rows(self, landed: Landed, column: str) -> pd.DataFrame:
        """Key (or place in the file) and value of the rows whose cell cannot be read."""
        keys = [f'"{c}"' for c in landed.entity.key if c in landed.casts]
        whole = " and ".join(f"{key} is not null" for key in keys) or "false"
        key = f"concat_ws(' ', {', '.join(keys)})" if keys else "''"
        fault = self._fault(landed, landed.entity.column(column))
        return self.con.execute(
            f"select case when {whole} then {key} else 'row ' || landing_row_number end "
            f'as row_key, cast("{column}" as varchar) as value from {landed.relation} '
            f"where {fault} order by landing_row_number"
        ).df()

    def _volume(self, landed: Landed) -> Iterator[Measurement]:
        """Rows of the last complete day and week against the same days of the weeks before."""
        name, day = landed.entity.name, landed.last_day
        for word, days in (("day", 1), ("week", WEEK)):
            now = _rows_until(landed, day, days)
            # The first day in the data may be half a one.
            ends = [day - timedelta(weeks=k) for k in range(1, WEEKS + 1)]
            ends = [end for end in ends if end - days * DAY >= landed.first.date()]
            usual = median([_rows_until(landed, end, days) for end in ends] or [0])
            what = (
                f"{day:%A} {day}: {now:,} rows, {usual:,.0f} on the last {len(ends)} {day:%A}s"
                if days == 1
                else f"7 days until {day}: {now:,} rows, {usual:,.0f} in the {len(ends)} weeks "
                "before"
            )
            few = "" if len(ends) >= FEWEST_WEEKS else f"fewer than {FEWEST_WEEKS} weeks of data"
            for check, observed, says in (
                (f"{word}_drop", max(0.0, 1 - now / usual) if usual else 0.0, "{observed} fewer"),
                (f"{word}_rise", now / usual if usual else 0.0, "{observed} the usual"),
            ):
                if limit := self.limit(check, name):
                    point = Point(observed, f"{name}, {what} (median): {says}", n=usual)
                    points = [] if few else [point]
                    yield Measurement(check, name, "", limit, points, too_little=few)

    def _ages(self, landed: Landed) -> Iterator[Measurement]:
        name = landed.entity.name
        if self.watermark and (limit := self.limit("hours_behind", name)):
            hours = max(0.0, (self.watermark - landed.last).total_seconds() / 3600)
            says = (
                f"{name} ends {landed.last:%Y-%m-%d %H:%M}, {{observed}} before the latest "
                f"request or event ({self.watermark:%Y-%m-%d %H:%M})"
            )
            yield Measurement("hours_behind", name, "", limit, [Point(hours, says)])
        if limit := self.limit("age_hours", name):
            hours = max(0.0, (self.clock - landed.last).total_seconds() / 3600)
            says = f"{name} ends {landed.last:%Y-%m-%d %H:%M}, {{observed}} ago"
            yield Measurement("age_hours", name, "", limit, [Point(hours, says)])

    def _shifts(self, landed: Landed) -> Iterator[Measurement]:
        """The last 7 complete days against the 28 before, column by column."""
        name = landed.entity.name
        for check, measure in (
            ("mix_shift", self._mix),
            ("mean_shift", self._means),
            ("filled_shift", self._filled),
        ):
            for column in self.limits.columns(check, name):
                limit = self.limit(check, name, column)
                if column not in landed.casts:
                    continue
                yield measure(landed, column, limit)

    def _periods(self, landed: Landed, time: str) -> tuple[str, str]:
        """When a row is of the last week, and when of the four before, by one of its times."""
        end = datetime.combine(landed.last_day + DAY, datetime.min.time())
        middle = end - timedelta(days=WEEK)
        start = middle - timedelta(weeks=WEEKS)
        return (
            f'("{time}" >= {_time(middle)} and "{time}" < {_time(end)})',
            f'("{time}" >= {_time(start)} and "{time}" < {_time(middle)})',
        )

    def _mix(self, landed: Landed, column: str, limit: Limit) -> Measurement:
        now, before = self._periods(landed, landed.time)
        rows = self.con.execute(
            f"select coalesce(\"{column}\", '(empty)'), count(*) filter (where {now}), "
            f"count(*) filter (where {before}) "
            f"from recent_{landed.entity.name} where {now} or {before} group by all order by all"
        ).fetchall()
        mix = Mix({v: n for v, n, _ in rows if n}, {v: n for v, _, n in rows if n})
        return Measurement("mix_shift", landed.entity.name, column, limit, mix=mix)

    def _means(self, landed: Landed, column: str, limit: Limit) -> Measurement:
        key = (landed.entity.name, column)
        now, before = self._periods(landed, TIMES.get(key, landed.time))
        group = f'"{GROUPS[key]}"' if GROUPS.get(key) in landed.casts else "''"
        value = f'cast("{column}" as double)'
        rows = self.con.execute(
            f"select coalesce({group}, '(empty)'), "
            f"count({value}) filter (where {now}), count({value}) filter (where {before}), "
            f"avg({value}) filter (where {now}), avg({value}) filter (where {before}), "
            f"stddev_samp({value}) filter (where {before}) "
            f"from recent_{landed.entity.name} group by all order by 1"
        ).fetchall()
        points = [
            Point(
                abs(mean - usual) / spread,
                f"{column} of {name or landed.entity.name}: mean {mean:.3g} in the last 7 days, "
                f"{usual:.3g} in the 28 before, {{observed}} apart",
                name,
                min(n, n_before),
            )
            for name, n, n_before, mean, usual, spread in rows
            if n and n_before > 1 and spread
        ]
        return Measurement("mean_shift", landed.entity.name, column, limit, points)

    def _filled(self, landed: Landed, column: str, limit: Limit) -> Measurement:
        """A time counts when it came: answers still to come would look like answers lost."""
        own = column if landed.entity.column(column).type == "timestamp" else landed.time
        now, before = self._periods(landed, landed.time)
        now_filled, before_filled = self._periods(landed, own)
        n, n_before, filled, filled_before = self.con.execute(
            f"select count(*) filter (where {now}), count(*) filter (where {before}), "
            f'count("{column}") filter (where {now_filled}), '
            f'count("{column}") filter (where {before_filled}) '
            f"from recent_{landed.entity.name}"
        ).fetchall()[0]
        points = []
        if n and n_before:
            share, usual = filled / n, filled_before / n_before
            says = (
                f"{landed.entity.name}: {column} is filled in {100 * share:.1f}% of rows in the "
                f"last 7 days, {100 * usual:.1f}% in the 28 before: {{observed}} apart"
            )
            points = [Point(abs(share - usual), says, n=min(n, n_before))]
        return Measurement("filled_shift", landed.entity.name, column, limit, points)


@dataclass(frozen=True)
class _Failing:
    """The failing rows of a column, fetched when asked for."""

    landing: Landing
    landed: Landed
    column: str

    def __call__(self) -> pd.DataFrame:
        return self.landing.failing_rows(self.landed, self.column)


def _frame(rows: list[tuple]) -> Callable[[], pd.DataFrame]:
    def frame() -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(rows, columns=["row_key", "value"])

    return frame


def _rows_until(landed: Landed, day: date, days: int) -> int:
    return sum(landed.by_day.get(day - k * DAY, 0) for k in range(days))


def _listed(names: list[str], word: str) -> str:
    return f"{word}{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _time(moment: datetime) -> str:
    return f"timestamp '{moment:%Y-%m-%d %H:%M:%S}'"


def _engine_type(column: Column) -> str:
    return "varchar" if column.type == "string" else column.type
