"""The mapping of an event log: a YAML file, read and checked before any log is.

docs/event_log_mapping.md describes every key.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import yaml

from agent_kpis.contract import Column, entities, seed_columns
from agent_kpis.loaders import LoadError
from agent_kpis.loaders.landing import first_line, ident, text

IGNORE = "ignore"
ANY_ACTIVITY = "any_activity_after_resolution"
EPOCHS = {"epoch_s": 1, "epoch_ms": 1000}
# Set by the loader itself.
NOT_MAPPED = {
    "interactions": ("interaction_id", "opened_at", "source_system"),
    "events": ("event_id", "interaction_id", "occurred_at", "event_type"),
}

KEYS = {
    "": (
        "source_system",
        "owner",
        "effective_from",
        "file",
        "case",
        "time",
        "order",
        "interaction",
        "event",
        "event_types",
        "otherwise",
        "opened_by",
        "resolution_again",
        "reopened",
        "escalation",
        "definition",
        "channel_kind",
        "config",
    ),
    "file": ("format", "delimiter", "encoding"),
    "time": ("column", "format", "zone"),
    "event_types": ("when", "is", "actor_kind", "reason", "evidence", "question_key"),
    "escalation": ("column", "levels", "reason", "reason_class"),
    "escalation.levels": ("level", "pattern"),
    "definition": (
        "name",
        "resolve_within_hours",
        "reopen_window_hours",
        "reopen_rule",
        "threshold_profile",
    ),
}
_REQUIRED = ("owner", "case", "time", "interaction", "event", "event_types")


@dataclass(frozen=True)
class Source:
    """Where a value comes from: a column, a constant, or the first level of the case."""

    setting: str
    column: str | None = None
    constant: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    otherwise: str | None = None
    level: bool = False

    def sql(self) -> str:
        """SQL for the value, over the table `log`."""
        if self.level:
            return "first_level"
        if self.column is None:
            return text(self.constant)
        column = log_column(self.column)
        rest = column if self.otherwise is None else text(self.otherwise)
        if not self.values:
            return rest if self.otherwise is None else f"coalesce({column}, {rest})"
        cases = " ".join(f"when {text(k)} then {text(v)}" for k, v in self.values.items())
        return f"case {column} {cases} else {rest} end"


@dataclass(frozen=True)
class Rule:
    """One entry of `event_types`."""

    setting: str
    when: dict[str, tuple[str | None, ...]]
    event_type: str
    constants: dict[str, str]

    def sql(self) -> str:
        """SQL for whether the rule applies, over the table `log`; never null."""
        return " and ".join(
            "(" + " or ".join(_equals(column, value) for value in values) + ")"
            for column, values in self.when.items()
        )


@dataclass(frozen=True)
class Level:
    """One level of support; without a pattern it holds what no other level matches."""

    name: str
    pattern: str | None


@dataclass(frozen=True)
class Mapping:
    """A mapping as read: defaults filled in, every value checked."""

    path: Path
    source_system: str | None
    owner: str
    effective_from: datetime | None
    file_format: str | None
    delimiter: str | None
    encoding: str | None
    case: str
    time_column: str
    time_format: str
    zone: str
    order: str | None
    interaction: dict[str, Source]
    event: dict[str, Source]
    rules: list[Rule]
    otherwise: str
    opened_by: str
    resolution_again: str
    any_activity_reopens: bool
    level_column: str | None
    levels: list[Level]
    escalation_reason: str | None
    escalation_class: str | None
    definition: dict[str, object] | None
    channel_kind: str | dict[str, str]
    config: dict[str, list[dict]]

    def columns(self) -> dict[str, str]:
        """Columns the mapping names: column, the first setting that names it."""
        named = [(self.case, "case"), (self.time_column, "time.column")]
        named += [(self.order, "order"), (self.level_column, "escalation.column")]
        named += [
            (source.column, source.setting)
            for source in (*self.interaction.values(), *self.event.values())
        ]
        named += [(column, rule.setting) for rule in self.rules for column in rule.when]
        found: dict[str, str] = {}
        for column, setting in named:
            if column is not None:
                found.setdefault(column, f"named by {setting}")
        return found


def log_column(name: str) -> str:
    """The column of the table `log` that holds the log's own column `name`."""
    return ident(f"log {name}")


def _equals(column: str, value: str | None) -> str:
    quoted = log_column(column)
    return f"{quoted} is null" if value is None else f"coalesce({quoted} = {text(value)}, false)"


def read_mapping(path: Path) -> Mapping:
    """Reads a mapping and checks it on its own, without a log.

    Raises LoadError where it cannot be read, or a setting is unknown, missing or wrong.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LoadError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LoadError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    try:
        return _parse(path, content)
    except LoadError as error:
        raise LoadError(f"{path}: {error}") from error


def _parse(path: Path, content: object) -> Mapping:
    top = _section(content, "")
    missing = [key for key in _REQUIRED if top.get(key) is None]
    if missing:
        raise LoadError(f"no {', '.join(missing)}; a mapping needs: {', '.join(_REQUIRED)}")
    file = _section(top.get("file") or {}, "file")
    time = top["time"]
    time = _section({"column": time} if isinstance(time, str) else time, "time")
    escalation = _section(top.get("escalation") or {}, "escalation")
    config = _config_rows(top.get("config") or {})
    definition = _definition(top.get("definition"), config)
    levels = _levels(escalation)
    event_types = entities()["events"].column("event_type").accepted
    reason_classes = (
        "capability_gap",
        "customer_preference",
        "policy_required",
        "safety",
        "system_failure",
        "planned",
    )
    interaction = _sources(top["interaction"], "interaction", "interactions", bool(levels))
    return Mapping(
        path=path,
        source_system=_text(top.get("source_system"), "source_system"),
        owner=_text(top["owner"], "owner"),
        effective_from=_moment(top.get("effective_from")),
        file_format=_one_of(file.get("format"), "file.format", ("csv", "parquet")),
        delimiter=_text(file.get("delimiter"), "file.delimiter"),
        encoding=_text(file.get("encoding"), "file.encoding"),
        case=_text(top["case"], "case"),
        time_column=_text(_needed(time, "column", "time"), "time.column"),
        time_format=_text(time.get("format"), "time.format") or "iso",
        zone=_text(time.get("zone"), "time.zone") or "UTC",
        order=_text(top.get("order"), "order"),
        interaction=interaction,
        event=_sources(top["event"], "event", "events", False),
        rules=_rules(top["event_types"], event_types),
        otherwise=_one_of(top.get("otherwise"), "otherwise", (*event_types, IGNORE)) or "message",
        opened_by=_one_of(
            top.get("opened_by"), "opened_by", entities()["events"].column("actor_kind").accepted
        )
        or "customer",
        resolution_again=_one_of(
            top.get("resolution_again"), "resolution_again", ("resolved", "closed")
        )
        or "resolved",
        any_activity_reopens=_one_of(top.get("reopened"), "reopened", ("event", ANY_ACTIVITY))
        == ANY_ACTIVITY,
        level_column=_text(escalation.get("column"), "escalation.column"),
        levels=levels,
        escalation_reason=_text(escalation.get("reason"), "escalation.reason"),
        escalation_class=_one_of(
            escalation.get("reason_class"), "escalation.reason_class", reason_classes
        ),
        definition=definition,
        channel_kind=_channel_kind(top.get("channel_kind")),
        config=config,
    )


def _section(value: object, name: str) -> dict:
    if not isinstance(value, dict):
        raise LoadError(f"{name or 'the mapping'} must be a set of `key: value` lines")
    known = KEYS[name]
    for key in value:
        if key not in known:
            raise LoadError(_unknown(key, name, known))
    return value


def _unknown(key: object, section: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(key), known, n=1)
    where = f" in {section}" if section else ""
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown setting {key!r}{where}{hint}; there are: {', '.join(known)}"


def _needed(section: dict, key: str, name: str) -> object:
    if section.get(key) is None:
        raise LoadError(f"{name}.{key} is missing")
    return section[key]


def _text(value: object, setting: str) -> str | None:
    """Text or a whole number as text. YAML reads yes, no, on, off and dates as something else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise LoadError(f"{setting}: {value!r} is no text; put quotes around it")
    return str(value)


def _one_of(value: object, setting: str, accepted: tuple[str, ...] | list[str]) -> str | None:
    chosen = _text(value, setting)
    if chosen is not None and chosen not in accepted:
        raise LoadError(f"{setting}: {chosen!r} is none of: {', '.join(accepted)}")
    return chosen


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise LoadError(f"effective_from: {value!r} is no date such as 2026-01-31") from error
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _sources(value: object, section: str, entity: str, has_levels: bool) -> dict[str, Source]:
    if not isinstance(value, dict):
        raise LoadError(f"{section} must be a set of `column: source` lines")
    columns = [c for c in entities()[entity].columns if c.name not in NOT_MAPPED[entity]]
    known = [column.name for column in columns]
    for key in value:
        if key not in known:
            raise LoadError(_unknown(key, section, known))
    missing = [c.name for c in columns if c.required and value.get(c.name) is None]
    if missing:
        raise LoadError(f"{section} lacks {', '.join(missing)}")
    return {
        column.name: _source(value[column.name], f"{section}.{column.name}", column, has_levels)
        for column in columns
        if value.get(column.name) is not None
    }


def _source(value: object, setting: str, column: Column, has_levels: bool) -> Source:
    known = ["column", "constant", "values", "otherwise", "level"]
    if not isinstance(value, dict):
        raise LoadError(
            f"{setting}: write {{column: NAME}} for a column of the log, or {{constant: VALUE}}"
        )
    for key in value:
        if key not in known:
            raise LoadError(_unknown(key, setting, known))
    given = [key for key in ("column", "constant", "level") if value.get(key) is not None]
    if len(given) != 1:
        raise LoadError(f"{setting}: give one of column, constant and level")
    if given[0] != "column" and (value.get("values") or value.get("otherwise") is not None):
        raise LoadError(f"{setting}: values and otherwise need a column")
    if given[0] == "level":
        if value["level"] != "first" or not setting.startswith("interaction."):
            raise LoadError(f"{setting}: the only level there is, is `interaction: level: first`")
        if not has_levels:
            raise LoadError(f"{setting}: level needs the section escalation")
    values = value.get("values") or {}
    if not isinstance(values, dict):
        raise LoadError(f"{setting}.values must be a set of `value: meaning` lines")
    source = Source(
        setting=setting,
        column=_text(value.get("column"), f"{setting}.column"),
        constant=_text(value.get("constant"), f"{setting}.constant"),
        values={
            _text(k, f"{setting}.values"): _text(v, f"{setting}.values") for k, v in values.items()
        },
        otherwise=_text(value.get("otherwise"), f"{setting}.otherwise"),
        level=given[0] == "level",
    )
    if column.accepted:
        for meaning in (source.constant, source.otherwise, *source.values.values()):
            _one_of(meaning, setting, column.accepted)
    return source


def _rules(value: object, event_types: tuple[str, ...]) -> list[Rule]:
    if not isinstance(value, list) or not value:
        raise LoadError("event_types must be a list of entries {when: {COLUMN: VALUE}, is: TYPE}")
    rules = []
    for number, entry in enumerate(value, start=1):
        setting = f"event_types[{number}]"
        if not isinstance(entry, dict):
            raise LoadError(f"{setting} must be {{when: {{COLUMN: VALUE}}, is: TYPE}}")
        for key in entry:
            if key not in KEYS["event_types"]:
                raise LoadError(_unknown(key, setting, KEYS["event_types"]))
        when = _needed(entry, "when", setting)
        if not isinstance(when, dict) or not when:
            raise LoadError(f"{setting}.when must be {{COLUMN: VALUE}} or {{COLUMN: [VALUE, ...]}}")
        _needed(entry, "is", setting)
        constants = {}
        for column in ("actor_kind", "reason", "evidence", "question_key"):
            if entry.get(column) is not None:
                accepted = entities()["events"].column(column).accepted
                constants[column] = (
                    _one_of(entry[column], f"{setting}.{column}", accepted)
                    if accepted
                    else _text(entry[column], f"{setting}.{column}")
                )
        rules.append(
            Rule(
                setting=setting,
                when={
                    _text(column, f"{setting}.when"): tuple(
                        _text(one, f"{setting}.when.{column}")
                        for one in (values if isinstance(values, list) else [values])
                    )
                    for column, values in when.items()
                },
                event_type=_one_of(entry["is"], f"{setting}.is", (*event_types, IGNORE)),
                constants=constants,
            )
        )
    return rules


def _levels(escalation: dict) -> list[Level]:
    if not escalation:
        return []
    _needed(escalation, "column", "escalation")
    entries = _needed(escalation, "levels", "escalation")
    if not isinstance(entries, list) or len(entries) < 2:
        raise LoadError("escalation.levels must be a list of two levels or more, lowest first")
    levels = []
    for number, entry in enumerate(entries, start=1):
        setting = f"escalation.levels[{number}]"
        if not isinstance(entry, dict):
            raise LoadError(f"{setting} must be {{level: NAME, pattern: REGEX}}")
        for key in entry:
            if key not in KEYS["escalation.levels"]:
                raise LoadError(_unknown(key, setting, KEYS["escalation.levels"]))
        pattern = _text(entry.get("pattern"), f"{setting}.pattern")
        if pattern is None and number > 1:
            raise LoadError(f"{setting}.pattern is missing; only the lowest level may go without")
        if pattern is not None:
            try:
                with duckdb.connect() as con:
                    con.execute(f"select regexp_matches('', {text(pattern)})").fetchall()
            except duckdb.Error as error:
                raise LoadError(
                    f"{setting}.pattern {pattern!r} is no regular expression: {first_line(error)}"
                ) from error
        levels.append(Level(_text(_needed(entry, "level", setting), f"{setting}.level"), pattern))
    return levels


def _definition(value: object, config: dict[str, list[dict]]) -> dict[str, object] | None:
    if value is None:
        if not config.get("task_types"):
            raise LoadError(
                "no definition: say resolve_within_hours and reopen_window_hours, or give rows in"
                " config.task_types"
            )
        return None
    section = _section(value, "definition")
    for key, low in (("resolve_within_hours", "above 0"), ("reopen_window_hours", "0 or more")):
        hours = _needed(section, key, "definition")
        number = isinstance(hours, (int, float)) and not isinstance(hours, bool)
        if not number or hours < 0 or (low == "above 0" and hours == 0):
            raise LoadError(f"definition.{key}: {hours!r} is no number of hours {low}")
    return {
        "definition": _text(section.get("name"), "definition.name") or "resolved_not_reopened",
        "resolve_within_hours": section["resolve_within_hours"],
        "reopen_window_hours": section["reopen_window_hours"],
        "reopen_rule": _one_of(
            section.get("reopen_rule"), "definition.reopen_rule", ("any", "last")
        )
        or "any",
        "threshold_profile": _text(section.get("threshold_profile"), "definition.threshold_profile")
        or "default",
    }


def _channel_kind(value: object) -> str | dict[str, str]:
    kinds = ("sync", "async")
    if isinstance(value, dict):
        return {
            _text(channel, "channel_kind"): _one_of(kind, f"channel_kind.{channel}", kinds)
            for channel, kind in value.items()
        }
    return _one_of(value, "channel_kind", kinds) or "async"


def _config_rows(value: object) -> dict[str, list[dict]]:
    """Rows of `config`, checked now: a mistake should not wait until the log is read."""
    if not isinstance(value, dict):
        raise LoadError("config must be a set of `file: [rows]` lines")
    columns = seed_columns()
    for name, rows in value.items():
        if name not in columns:
            raise LoadError(_unknown(name, "config", sorted(columns)))
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise LoadError(f"config.{name} must be a list of rows {{COLUMN: VALUE}}")
        for row in rows:
            for column in row:
                if column not in columns[name]:
                    raise LoadError(_unknown(column, f"config.{name}", columns[name]))
    for row in value.get("task_types", []):
        for column in ("task_type", "resolve_within_hours", "reopen_window_hours"):
            _needed(row, column, "config.task_types")
    return value
