"""Any flat event log (CSV or parquet, one row an event) as landing files, driven by a mapping.

The mapping is a YAML file; docs/event_log_mapping.md describes every key. What the loader adds to
the rows of the log, each as an event of its own at the time of the row that shows it:

- `opened`, at the first row of a case that has no such event;
- `reopened`, where the mapping says that any activity after a resolution is one: at the first such
  row after each resolution;
- `handed_off`, where the level of support rises above both the level before and the level the case
  began at: going back to where it began is no escalation.
"""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import duckdb

from agent_kpis.contract import Column, entities
from agent_kpis.loaders import LoadError
from agent_kpis.loaders.landing import (
    Progress,
    check_target,
    connect,
    day_before,
    first_line,
    ident,
    maturity,
    require_columns,
    sql_type,
    tell,
    text,
    write_config,
    write_landing,
)
from agent_kpis.loaders.mapping import (
    EPOCHS,
    IGNORE,
    NOT_MAPPED,
    Level,
    Mapping,
    log_column,
    read_mapping,
)

ENTITIES = ("interactions", "events")
# Tried in this order where the mapping names none: the one the header has most of.
_DELIMITERS = (",", ";", "\t", "|")
_WORDS = {"double": "a number", "boolean": "true or false"}
# An administrative end after a resolution does not put it in doubt.
_QUIET = ("resolved", "closed", "wrapped_up")
_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".csv.gz": "csv",
    ".parquet": "parquet",
}


def load_event_log(file: Path, mapping: Path, to: Path, progress: Progress = None) -> dict:
    """Turns the event log `file` into landing files in `to`, as the YAML file `mapping` says.

    Writes `to/interactions.parquet`, `to/events.parquet` and the nine files of `to/config/`.
    Times become UTC. `progress` is called with one line of text a step.

    Returns `interactions` and `events` (rows written), `rows` (rows of the log), `event_types`
    (events by type), `reopened` and `escalated` (interactions with such an event), `ties` (rows at
    the same time as the row before them in their case), `cases_ignored` (cases whose rows the
    mapping all ignores), `watermark`, `all_mature_at` (UTC; the `as_of` from which on nothing is
    pending), `pending` (interactions pending at the watermark) and `warnings` (a list of text).

    Raises LoadError where the file or the mapping cannot be read, a setting is unknown, missing or
    has a value it may not have, a column is missing, a time does not parse, or a value is outside
    the contract.
    """
    file, to = Path(file), Path(to)
    settings = read_mapping(Path(mapping))
    check_target(to, ENTITIES)
    connection = _connect(settings)
    tell(progress, f"reading {file}")
    _read_log(connection, file, settings)
    warnings = _unused(connection, settings)

    tell(progress, "building interactions and events")
    counts = _build(connection, file, settings)
    if counts["ties"] and settings.order is None:
        warnings.append(
            f"{counts['ties']} rows happen at the same time as the one before them in their case;"
            " they keep the order of the file, unless `order` names a column"
        )
    if counts["cases_ignored"]:
        warnings.append(f"{counts['cases_ignored']} cases consist of ignored rows only")

    config = _config(connection, settings)
    undefined = _undefined(connection, config)
    if undefined:
        warnings.append(
            "config.task_types has no row for the task type "
            + ", ".join(map(repr, undefined))
            + ": its interactions will be excluded"
        )
    summary: dict = write_landing(connection, to, ENTITIES, progress)
    first = connection.execute("select min(opened_at) from interactions").fetchone()[0]
    write_config(
        to / "config",
        config,
        settings.owner,
        settings.effective_from or day_before(first),
        progress,
    )
    summary |= counts | maturity(connection, config["task_types"])
    summary["warnings"] = warnings
    for warning in warnings:
        tell(progress, f"warning: {warning}")
    return summary


# The log ------------------------------------------------------------------------------------


def _connect(settings: Mapping) -> duckdb.DuckDBPyConnection:
    """A DuckDB that reads times without an offset in the mapping's zone."""
    try:
        return connect(settings.zone)
    except LoadError as error:
        raise LoadError(f"{settings.path}: {error}") from error


def _read_log(connection: duckdb.DuckDBPyConnection, file: Path, settings: Mapping) -> None:
    """Makes the table `log`: n (row, from 1), case_id, moment (UTC), the named columns as text."""
    if not file.is_file():
        raise LoadError(f"{file}: no such file")
    kind = settings.file_format or next(
        (kind for ending, kind in _ENDINGS.items() if file.name.lower().endswith(ending)), None
    )
    if kind is None:
        raise LoadError(
            f"{file}: neither .csv nor .parquet; say `file: {{format: csv}}` in {settings.path}"
        )
    reader = _csv_reader(file, settings) if kind == "csv" else f"read_parquet({text(file)})"
    try:
        types = {row[0]: row[1] for row in connection.execute(f"describe from {reader}").fetchall()}
    except duckdb.Error as error:
        raise LoadError(f"{file}: not readable as {kind}: {first_line(error)}") from error
    require_columns(file, types, settings.columns())

    columns = ", ".join(
        f"cast({ident(name)} as varchar) as {log_column(name)}" for name in settings.columns()
    )
    try:
        connection.execute(
            f"create table raw as select {ident(settings.time_column)} as moment_raw, {columns}"
            f" from {reader}"
        )
    except duckdb.Error as error:
        raise LoadError(f"{file}: not readable as {kind}: {first_line(error)}") from error
    if not connection.execute("select count(*) from raw").fetchone()[0]:
        raise LoadError(f"{file}: no rows; there is nothing to load")

    time = _time_sql(connection, settings, types[settings.time_column])
    # The rowid of a table just made follows the order of the file.
    connection.execute(
        f"create table log as select rowid + 1 as n, {log_column(settings.case)} as case_id,"
        f" {time} as moment, * from raw"
    )
    _check_log(connection, file, settings)


def _csv_reader(file: Path, settings: Mapping) -> str:
    """SQL that reads a CSV. The header is read here: an engine that guesses may skip rows."""
    opener = gzip.open if file.name.lower().endswith(".gz") else open
    try:
        with opener(file, "rt", encoding=settings.encoding or "utf-8-sig", newline="") as lines:
            first = lines.readline()
            lines.seek(0)
            delimiter = settings.delimiter or max(_DELIMITERS, key=first.count)
            header = next(csv.reader(lines, delimiter=delimiter), [])
    except (OSError, UnicodeError, LookupError, csv.Error, TypeError) as error:
        raise LoadError(
            f"{file}: not readable as csv: {error}; see file.encoding and file.delimiter in"
            f" {settings.path}"
        ) from error
    if not header:
        raise LoadError(f"{file}: empty; the first line of a CSV names its columns")
    twice = sorted({name for name in header if [h.lower() for h in header].count(name.lower()) > 1})
    if twice:
        raise LoadError(
            f"{file}: several columns are called {', '.join(map(repr, twice))}; rename them"
        )
    columns = ", ".join(f"{text(name)}: 'varchar'" for name in header)
    options = f"auto_detect = false, header = true, columns = {{{columns}}}"
    options += f", delim = {text(delimiter)}, quote = '\"', escape = '\"'"
    if settings.encoding is not None:
        options += f", encoding = {text(settings.encoding)}"
    return f"read_csv({text(file)}, {options})"


def _time_sql(connection: duckdb.DuckDBPyConnection, settings: Mapping, kind: str) -> str:
    """SQL for the UTC time of `moment_raw`, null where it does not parse."""
    chosen = settings.time_format
    if kind == "TIMESTAMP WITH TIME ZONE":
        return "moment_raw at time zone 'UTC'"
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return f"(moment_raw::timestamp at time zone {text(settings.zone)}) at time zone 'UTC'"
    if chosen in EPOCHS:
        seconds = f"try_cast(moment_raw as decimal(28, 6)) / {EPOCHS[chosen]}"
        return f"make_timestamp(cast({seconds} * 1e6 as bigint))"
    if chosen == "iso":
        return "try_cast(moment_raw::varchar as timestamptz) at time zone 'UTC'"
    try:
        found = connection.execute(f"select typeof(try_strptime('', {text(chosen)}))").fetchone()[0]
    except duckdb.Error as error:
        raise LoadError(
            f"{settings.path}: time.format {chosen!r}: {first_line(error)}; write it as strptime"
            " does, e.g. '%d.%m.%Y %H:%M:%S', or one of iso, epoch_s, epoch_ms"
        ) from error
    parsed = f"try_strptime(moment_raw::varchar, {text(chosen)})"
    if found == "TIMESTAMP WITH TIME ZONE":
        return f"{parsed} at time zone 'UTC'"
    return f"({parsed} at time zone {text(settings.zone)}) at time zone 'UTC'"


def _check_log(connection: duckdb.DuckDBPyConnection, file: Path, settings: Mapping) -> None:
    keyless = connection.execute(
        "select count(*), min(n) from log where case_id is null"
    ).fetchone()
    if keyless[0]:
        raise LoadError(
            f"{file}: {settings.case!r} (case) is empty in {keyless[0]} rows, first in row"
            f" {keyless[1]}; fill it in or remove the rows"
        )
    bad = connection.execute(
        "select count(*), min(n), arg_min(case_id, n),"
        " arg_min(coalesce(moment_raw::varchar, ''), n) from log where moment is null"
    ).fetchone()
    if bad[0]:
        raise LoadError(
            f"{file}: {settings.time_column!r} does not parse as {settings.time_format!r} in"
            f" {bad[0]} rows, first in row {bad[1]} (case {bad[2]!r}): {bad[3]!r}; set time.format"
            f" in {settings.path}, or mend the rows"
        )


def _unused(connection: duckdb.DuckDBPyConnection, settings: Mapping) -> list[str]:
    """Warnings about values of the mapping that the log does not hold."""
    asked = [
        (rule.setting, column, value)
        for rule in settings.rules
        for column, values in rule.when.items()
        for value in values
    ]
    asked += [
        (f"{source.setting}.values", source.column, value)
        for source in (*settings.interaction.values(), *settings.event.values())
        for value in source.values
    ]
    held: dict[str, set[str | None]] = {}
    for _, column, _ in asked:
        if column not in held:
            rows = connection.execute(f"select distinct {log_column(column)} from log").fetchall()
            held[column] = {row[0] for row in rows}
    warnings = [
        f"{setting}: {column!r} never is {value!r}"
        for setting, column, value in asked
        if value not in held[column]
    ]
    for number, level in enumerate(settings.levels):
        if (
            level.pattern is not None
            and not connection.execute(
                f"select count(*) from log where {_matches(settings, level)}"
            ).fetchone()[0]
        ):
            warnings.append(
                f"escalation.levels[{number + 1}]: {settings.level_column!r} never matches"
                f" {level.pattern!r}"
            )
    return warnings


# Interactions and events --------------------------------------------------------------------


def _build(connection: duckdb.DuckDBPyConnection, file: Path, settings: Mapping) -> dict:
    """Makes the tables `interactions` and `events`, and counts what the summary states."""
    _type_rows(connection, settings)
    interaction_columns = "".join(
        f", {source.sql()} as {ident(name)}" for name, source in settings.interaction.items()
    )
    source_system = settings.source_system or file.name.split(".")[0]
    connection.execute(
        f"""
        create table interactions as
        with first_rows as (
            select
                r.*,
                l.first_level
            from typed as r
            left join (
                select case_id, arg_min(level_name, seq) as first_level from typed group by 1
            ) as l using (case_id)
            where r.seq = 1
        )
        select
            case_id as interaction_id,
            moment as opened_at,
            {text(source_system)} as source_system,
            n
            {interaction_columns}
        from first_rows
        """
    )
    connection.execute(_EVENTS.format(reason=text(settings.escalation_reason)))
    for name, mapped in (("interactions", settings.interaction), ("events", settings.event)):
        for column in entities()[name].columns:
            if column.name in NOT_MAPPED[name]:
                continue
            setting = f"{name[:-1]}.{column.name}"
            if column.name in mapped or name == "events":
                _check_values(connection, settings, name, column, setting)
        connection.execute(f"alter table {name} drop column n")

    counts: dict = dict(
        zip(
            ("rows", "ties", "cases_ignored", "reopened", "escalated"),
            connection.execute(
                """
                select
                    (select count(*) from log),
                    (select count(*) from typed where is_tie),
                    (select count(distinct case_id) from log)
                        - (select count(*) from interactions),
                    (select count(distinct interaction_id) from events
                        where event_type = 'reopened'),
                    (select count(distinct interaction_id) from events
                        where event_type = 'handed_off')
                """
            ).fetchone(),
            strict=True,
        )
    )
    if not connection.execute("select count(*) from interactions").fetchone()[0]:
        raise LoadError(
            f"{file}: every row is ignored by {settings.path}; see event_types and otherwise"
        )
    counts["event_types"] = dict(
        connection.execute(
            "select event_type, count(*) from events group by all order by all"
        ).fetchall()
    )
    return counts


def _type_rows(connection: duckdb.DuckDBPyConnection, settings: Mapping) -> None:
    """Makes `typed`: the rows that count, in order (seq), with event type, columns and level."""
    rules = settings.rules
    event_type = "case " + " ".join(f"when {r.sql()} then {text(r.event_type)}" for r in rules)
    event_columns = []
    for column in entities()["events"].columns:
        if column.name in NOT_MAPPED["events"]:
            continue
        source = settings.event.get(column.name)
        general = source.sql() if source else "null::varchar"
        overruling = [r for r in rules if column.name in r.constants]
        if overruling:
            # The first rule that applies decides, also where it says nothing about this column.
            general = (
                "case "
                + " ".join(
                    f"when {r.sql()} then "
                    + (text(r.constants[column.name]) if column.name in r.constants else general)
                    for r in rules
                )
                + f" else {general} end"
            )
        event_columns.append(f"{general} as {ident('event ' + column.name)}")
    order = "moment"
    if settings.order is not None:
        # Numbers count as numbers: 10 comes after 9.
        quoted = log_column(settings.order)
        order += f", try_cast({quoted} as double), {quoted}"
    level = "null::integer"
    if settings.levels:
        level = f"case when {log_column(settings.level_column)} is null then null"
        lowest = "null"
        for rank, entry in reversed(list(enumerate(settings.levels))):
            if entry.pattern is None:
                lowest = str(rank)
            else:
                level += f" when {_matches(settings, entry)} then {rank}"
        level += f" else {lowest} end"
    names = "null::varchar"
    if settings.levels:
        whens = " ".join(f"when {i} then {text(e.name)}" for i, e in enumerate(settings.levels))
        names = f"case level {whens} end"

    connection.execute(
        f"""
        create table typed as
        with mapped as (
            select *, {event_type} else {text(settings.otherwise)} end as mapped_type,
                {level} as level, {", ".join(event_columns)}
            from log
        ),
        ordered as (
            select
                *,
                row_number() over in_case as seq,
                moment is not distinct from lag(moment) over in_case as is_tie,
                last_value(
                    if(mapped_type in ('closed', 'wrapped_up'), null, mapped_type) ignore nulls
                ) over before as type_before,
                last_value(level ignore nulls) over before as level_before,
                first_value(level ignore nulls) over before as level_at_first
            from mapped
            where mapped_type <> '{IGNORE}'
            window
                in_case as (partition by case_id order by {order}, n),
                before as (
                    partition by case_id order by {order}, n
                    rows between unbounded preceding and 1 preceding
                )
        )
        select
            *,
            {names} as level_name,
            if(mapped_type = 'resolved' and type_before = 'resolved',
                {text(settings.resolution_again)}, mapped_type) as event_type,
            {"true" if settings.any_activity_reopens else "false"}
                and coalesce(type_before = 'resolved', false)
                and mapped_type not in {_QUIET} and mapped_type <> 'reopened' as reopens,
            coalesce(level > greatest(level_before, level_at_first), false)
                and mapped_type <> 'handed_off' as escalates,
            seq = 1 and not bool_or(mapped_type = 'opened') over (partition by case_id) as opens,
            {text(settings.opened_by)} as opened_by
        from ordered
        """
    )


_EVENTS = """
    create table events as
    with numbered as (
        select
            *,
            case_id || '#'
                || lpad(seq::varchar, greatest(6, length(seq::varchar))::integer, '0') as row_id
        from typed
    )
    select
        row_id as event_id,
        case_id as interaction_id,
        moment as occurred_at,
        event_type,
        "event actor_kind" as actor_kind,
        "event actor_id" as actor_id,
        "event reason" as reason,
        "event question_key" as question_key,
        "event evidence" as evidence,
        "event handle_seconds" as handle_seconds,
        n
    from numbered
    union all
    select
        row_id || '.opened', case_id, moment, 'opened', opened_by, null,
        null, null, null, null, n
    from numbered where opens
    union all
    select
        row_id || '.reopened', case_id, moment, 'reopened', "event actor_kind", "event actor_id",
        null, null, null, null, n
    from numbered where reopens
    union all
    select
        row_id || '.handed_off', case_id, moment, 'handed_off',
        "event actor_kind", "event actor_id",
        coalesce({reason}, "event reason"), null, null, null, n
    from numbered where escalates
"""


def _check_values(
    connection: duckdb.DuckDBPyConnection,
    settings: Mapping,
    name: str,
    column: Column,
    setting: str,
) -> None:
    """Raises LoadError where a mapped column holds what the contract would reject."""
    quoted = ident(column.name)

    def refuse(condition: str, what: str) -> None:
        rows, first, value = connection.execute(
            f"select count(*), min(n), arg_min(coalesce({quoted}::varchar, ''), n)"
            f" from {name} where {condition}"
        ).fetchone()
        if rows:
            raise LoadError(
                f"{settings.path}: {setting} is {value!r} in {rows} {name}, first in row {first} of"
                f" the log; {what}"
            )

    if column.required:
        refuse(f"{quoted} is null", f"it may not be empty; give `otherwise` to {setting}")
    if column.accepted:
        accepted = ", ".join(map(text, column.accepted))
        refuse(
            f"{quoted} not in ({accepted})",
            f"give `values` or `otherwise` to {setting}, so that it is one of: "
            + ", ".join(column.accepted),
        )
    if column.type != "string":
        cast = f"try_cast({quoted} as {sql_type(column)})"
        refuse(f"{quoted} is not null and {cast} is null", f"it must be {_WORDS[column.type]}")
        if column.minimum is not None:
            refuse(f"{cast} < {column.minimum}", f"it may not be below {column.minimum}")


def _config(connection: duckdb.DuckDBPyConnection, settings: Mapping) -> dict[str, list[dict]]:
    def distinct(column: str) -> list[str]:
        rows = connection.execute(
            f"select distinct {column} from interactions order by 1"
        ).fetchall()
        return [row[0] for row in rows]

    config: dict[str, list[dict]] = {}
    if settings.definition is not None:
        config["task_types"] = [
            {"task_type": name, **settings.definition} for name in distinct("task_type")
        ]
    channels = distinct("channel")
    kinds = settings.channel_kind
    if isinstance(kinds, dict):
        missing = [channel for channel in channels if channel not in kinds]
        if missing and "channels" not in settings.config:
            raise LoadError(
                f"{settings.path}: channel_kind has no entry for {', '.join(map(repr, missing))};"
                " add it as sync or async"
            )
    config["channels"] = [
        {"channel": name, "kind": kinds.get(name) if isinstance(kinds, dict) else kinds}
        for name in channels
    ]
    if settings.escalation_reason and settings.escalation_class:
        config["escalation_reasons"] = [
            {
                "reason": settings.escalation_reason,
                "reason_class": settings.escalation_class,
            }
        ]
    return {**config, **settings.config}


def _undefined(connection: duckdb.DuckDBPyConnection, config: dict) -> list[str]:
    defined = {str(row.get("task_type")) for row in config["task_types"]}
    rows = connection.execute("select distinct task_type from interactions order by 1").fetchall()
    return [name for (name,) in rows if name not in defined]


def _matches(settings: Mapping, level: Level) -> str:
    return f"regexp_matches({log_column(settings.level_column)}, {text(level.pattern)})"
