"""The event log loader: small invented logs for every branch and error, and a real log."""

from __future__ import annotations

import copy
import csv
import filecmp
import gzip
import re
from datetime import date, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import yaml

from agent_kpis.contract import entities, seed_columns
from agent_kpis.loaders import LoadError
from agent_kpis.loaders.event_log import load_event_log
from agent_kpis.loaders.mapping import KEYS
from support import REPOSITORY, shared_data

BPI13 = REPOSITORY / "python" / "agent_kpis" / "loaders" / "mappings" / "bpi13.yml"

MAPPING = {
    "owner": "ops",
    "case": "case",
    "time": {"column": "at"},
    "interaction": {
        "assigned_arm": {"constant": "human"},
        "task_type": {"constant": "request"},
        "channel": {"constant": "ticket"},
    },
    "event": {"actor_kind": {"constant": "human"}},
    "event_types": [{"when": {"what": "solved"}, "is": "resolved"}],
    "definition": {"resolve_within_hours": 72, "reopen_window_hours": 24},
}


def mapping(**changes) -> dict:
    """The smallest mapping, with changes; a value of None takes a key away."""
    changed = copy.deepcopy(MAPPING) | changes
    return {key: value for key, value in changed.items() if value is not None}


def log(*rows: str, header: str = "case,at,what") -> str:
    return "\n".join([header, *rows]) + "\n"


ONE = log("a,2026-01-01 10:00:00,new", "a,2026-01-01 11:00:00,solved")


def load(folder: Path, content: str, settings: dict | str, name: str = "log.csv") -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)
    text = settings if isinstance(settings, str) else yaml.safe_dump(settings)
    (folder / "mapping.yml").write_text(text)
    return load_event_log(folder / name, folder / "mapping.yml", folder / "out")


def landing(folder: Path, name: str) -> pd.DataFrame:
    path = folder / "out" / f"{name}.parquet"
    return duckdb.execute("from read_parquet(?)", [str(path)]).df()


def events(folder: Path) -> list[tuple[str, str]]:
    """(event type, time of day) in the order of ids."""
    return [
        (row.event_type, f"{row.occurred_at:%H:%M}")
        for row in landing(folder, "events").sort_values("event_id").itertuples()
    ]


def config(folder: Path, name: str) -> list[dict]:
    with (folder / "out" / "config" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# Events -------------------------------------------------------------------------------------


def test_smallest_mapping(tmp_path):
    summary = load(tmp_path, ONE, mapping())
    assert events(tmp_path) == [("message", "10:00"), ("opened", "10:00"), ("resolved", "11:00")]
    row = landing(tmp_path, "interactions").iloc[0]
    assert (row.interaction_id, row.source_system) == ("a", "log")
    assert row.opened_at == pd.Timestamp("2026-01-01 10:00:00")
    assert summary["rows"] == 2
    assert summary["event_types"] == {"message": 1, "opened": 1, "resolved": 1}
    assert summary["warnings"] == []
    assert summary["watermark"] == datetime(2026, 1, 1, 11)
    assert summary["all_mature_at"] == datetime(2026, 1, 5, 10)
    assert summary["pending"] == 1


def test_files_follow_the_contract(tmp_path):
    load(tmp_path, ONE, mapping())
    for name in ("interactions", "events"):
        frame = landing(tmp_path, name)
        assert list(frame) == [column.name for column in entities()[name].columns]
    for name, columns in seed_columns().items():
        header = (tmp_path / "out" / "config" / f"{name}.csv").read_text().splitlines()[0]
        assert header.split(",") == columns
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == ["config", "events.parquet", "interactions.parquet"]


def test_ids_keep_leading_zeros_and_stay_apart(tmp_path):
    content = log("007,2026-01-01 10:00:00,x", "7,2026-01-01 10:00:00,x", "7#1,2026-01-01,x")
    load(tmp_path, content, mapping(event_types=[{"when": {"what": "x"}, "is": "message"}]))
    assert list(landing(tmp_path, "interactions").interaction_id) == ["007", "7", "7#1"]
    assert not landing(tmp_path, "events").event_id.duplicated().any()


def test_first_rule_that_agrees_wins(tmp_path):
    rules = [
        {"when": {"what": "solved", "how": None}, "is": "closed"},
        {"when": {"what": ["solved", "fixed"]}, "is": "resolved", "evidence": "verified"},
        {"when": {"what": "moved"}, "is": "handed_off", "reason": "wrong desk"},
        {"when": {"what": "asked", "how": 1}, "is": "message", "actor_kind": "customer"},
    ]
    content = log(
        "a,2026-01-01 10:00:00,asked,1",
        "a,2026-01-01 10:30:00,asked,2",
        "a,2026-01-01 11:00:00,solved,",
        "a,2026-01-01 12:00:00,solved,x",
        "b,2026-01-01 12:00:00,moved,x",
        "b,2026-01-01 13:00:00,fixed,x",
        header="case,at,what,how",
    )
    load(tmp_path, content, mapping(event_types=rules))
    found = landing(tmp_path, "events").sort_values("event_id")
    found = found[found.event_type != "opened"].astype(object).where(lambda x: x.notna(), None)
    assert list(
        zip(found.event_type, found.actor_kind, found.reason, found.evidence, strict=True)
    ) == [
        ("message", "customer", None, None),
        ("message", "human", None, None),
        ("closed", "human", None, None),
        ("resolved", "human", None, "verified"),
        ("handed_off", "human", "wrong desk", None),
        ("resolved", "human", None, "verified"),
    ]


def test_a_rule_without_a_constant_keeps_the_column(tmp_path):
    settings = mapping(
        event={"actor_kind": {"column": "who", "values": {"bot": "ai"}, "otherwise": "system"}},
        event_types=[
            {"when": {"what": "solved"}, "is": "resolved"},
            {"when": {"who": "bot"}, "is": "message", "actor_kind": "human"},
        ],
    )
    content = log(
        "a,2026-01-01 10:00:00,new,bot",
        "a,2026-01-01 11:00:00,solved,bot",
        "a,2026-01-01 12:00:00,x,",
        header="case,at,what,who",
    )
    load(tmp_path, content, settings)
    found = landing(tmp_path, "events").sort_values("event_id")
    assert list(found[found.event_type != "opened"].actor_kind) == ["human", "ai", "system"]


def test_a_case_with_an_opened_event_gets_no_other(tmp_path):
    rules = [{"when": {"what": "new"}, "is": "opened"}, *MAPPING["event_types"]]
    load(tmp_path, ONE, mapping(event_types=rules))
    assert events(tmp_path) == [("opened", "10:00"), ("resolved", "11:00")]


def test_opened_by(tmp_path):
    load(tmp_path, ONE, mapping(opened_by="system"))
    found = landing(tmp_path, "events").set_index("event_type")
    assert found.loc["opened"].actor_kind == "system"


def test_ignored_rows_open_nothing(tmp_path):
    content = log(
        "a,2026-01-01 09:00:00,sync", "a,2026-01-01 10:00:00,solved", "b,2026-01-01 10:00:00,sync"
    )
    summary = load(tmp_path, content, mapping(otherwise="ignore"))
    assert events(tmp_path) == [("resolved", "10:00"), ("opened", "10:00")]
    assert len(landing(tmp_path, "interactions")) == 1
    assert summary["cases_ignored"] == 1
    assert summary["warnings"] == ["1 cases consist of ignored rows only"]


def test_all_rows_ignored(tmp_path):
    rules = [{"when": {"what": ["new", "solved"]}, "is": "ignore"}]
    with pytest.raises(LoadError, match="every row is ignored"):
        load(tmp_path, ONE, mapping(event_types=rules))


REOPENINGS = log(
    "a,2026-01-01 10:00:00,new",
    "a,2026-01-01 11:00:00,solved",
    "a,2026-01-01 12:00:00,solved",
    "a,2026-01-01 13:00:00,filed",
    "a,2026-01-01 14:00:00,call",
    "a,2026-01-01 15:00:00,call",
    "a,2026-01-01 16:00:00,solved",
    "a,2026-01-01 17:00:00,complaint",
)
REOPENING_RULES = [
    {"when": {"what": "solved"}, "is": "resolved"},
    {"when": {"what": "filed"}, "is": "closed"},
    {"when": {"what": "complaint"}, "is": "reopened"},
]


def test_any_activity_after_a_resolution(tmp_path):
    settings = mapping(event_types=REOPENING_RULES, reopened="any_activity_after_resolution")
    summary = load(tmp_path, REOPENINGS, settings)
    assert events(tmp_path) == [
        ("message", "10:00"),
        ("opened", "10:00"),
        ("resolved", "11:00"),
        ("resolved", "12:00"),
        ("closed", "13:00"),
        # Once a resolution, and not where a rule has made one.
        ("message", "14:00"),
        ("reopened", "14:00"),
        ("message", "15:00"),
        ("resolved", "16:00"),
        ("reopened", "17:00"),
    ]
    assert summary["reopened"] == 1


def test_reopened_by_rules_only(tmp_path):
    load(tmp_path, REOPENINGS, mapping(event_types=REOPENING_RULES))
    assert [event for event in events(tmp_path) if event[0] == "reopened"] == [
        ("reopened", "17:00")
    ]


def test_a_resolution_of_a_resolved_case_may_be_a_closing(tmp_path):
    settings = mapping(event_types=REOPENING_RULES, resolution_again="closed")
    load(tmp_path, REOPENINGS, settings)
    found = [event for event in events(tmp_path) if event[0] in ("resolved", "closed")]
    assert found == [
        ("resolved", "11:00"),
        ("closed", "12:00"),
        ("closed", "13:00"),
        ("resolved", "16:00"),
    ]


LEVELS = {
    "column": "desk",
    "levels": [{"level": "1st"}, {"level": "2nd", "pattern": "2nd"}, {"level": 3, "pattern": "3"}],
    "reason": "up",
    "reason_class": "capability_gap",
}


def escalate(folder: Path, *desks: str, **changes) -> dict:
    rows = [f"a,2026-01-01 {10 + hour}:00:00,x,{desk}" for hour, desk in enumerate(desks)]
    settings = mapping(
        event_types=[{"when": {"what": "x"}, "is": "message"}],
        escalation=LEVELS | changes,
        interaction=MAPPING["interaction"] | {"tier": {"level": "first"}},
    )
    return load(folder, log(*rows, header="case,at,what,desk"), settings)


@pytest.mark.parametrize(
    ("desks", "hours", "tier"),
    [
        (("A", "A"), [], "1st"),
        (("A", "A 2nd", "A 2nd"), ["11:00"], "1st"),
        (("A", "A 2nd", "A", "B 2nd"), ["11:00", "13:00"], "1st"),
        (("A", "A 2nd 3rd"), ["11:00"], "1st"),
        (("A 2nd", "A", "A 2nd"), [], "2nd"),
        (("A 2nd", "A", "A 3rd"), ["12:00"], "2nd"),
        (("A", "", "A 2nd"), ["12:00"], "1st"),
        (("", "A 2nd", "A 2nd"), [], "2nd"),
    ],
)
def test_escalation(tmp_path, desks, hours, tier):
    summary = escalate(tmp_path, *desks)
    handed = landing(tmp_path, "events").query("event_type == 'handed_off'")
    assert [f"{at:%H:%M}" for at in sorted(handed.occurred_at)] == hours
    assert set(handed.reason) <= {"up"}
    assert landing(tmp_path, "interactions").tier.iloc[0] == tier
    assert summary["escalated"] == (1 if hours else 0)
    assert config(tmp_path, "escalation_reasons")[0]["reason_class"] == "capability_gap"


def test_levels_that_never_match_are_reported(tmp_path):
    summary = escalate(tmp_path, "A", "A 2nd")
    assert summary["warnings"] == ["escalation.levels[3]: 'desk' never matches '3'"]


def test_a_lowest_level_with_a_pattern_leaves_the_rest_open(tmp_path):
    levels = [{"level": "low", "pattern": "low"}, {"level": "high", "pattern": "high"}]
    summary = escalate(tmp_path, "other", "high", "low", "high", levels=levels, reason=None)
    assert summary["escalated"] == 0
    assert config(tmp_path, "escalation_reasons") == []


def test_a_hand_off_of_a_rule_is_not_doubled(tmp_path):
    content = log(
        "a,2026-01-01 10:00:00,x,A", "a,2026-01-01 11:00:00,up,A 2nd", header="case,at,what,desk"
    )
    settings = mapping(
        event_types=[{"when": {"what": "up"}, "is": "handed_off"}],
        escalation=LEVELS | {"levels": LEVELS["levels"][:2]},
    )
    load(tmp_path, content, settings)
    assert events(tmp_path).count(("handed_off", "11:00")) == 1


# Times and order ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("2026-07-01T10:00:00+02:00", {}),
        ("2026-07-01 08:00", {}),
        ("2026-07-01 10:00:00", {"zone": "Europe/Berlin"}),
        ("2026-07-01T10:00:00+02:00", {"zone": "America/New_York"}),
        ("01.07.2026 10:00", {"format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}),
        ("01/Jul/2026:10:00:00 +0200", {"format": "%d/%b/%Y:%H:%M:%S %z"}),
        ("1782892800", {"format": "epoch_s"}),
        ("1782892800000", {"format": "epoch_ms", "zone": "Europe/Berlin"}),
    ],
)
def test_times_become_utc(tmp_path, written, time):
    settings = mapping(time={"column": "at"} | time)
    load(tmp_path, log(f"a,{written},solved"), settings)
    opened = landing(tmp_path, "interactions").opened_at.iloc[0]
    assert opened == pd.Timestamp("2026-07-01 08:00:00")


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
def test_parquet_with_times(tmp_path, kind):
    path = tmp_path / "log.parquet"
    duckdb.execute(
        "set timezone = 'UTC'; copy (select 1 as case, 'solved' as what, 5 as seconds,"
        f" (timestamp '2026-07-01 00:00:00')::{kind} as at) to '{path}' (format parquet)"
    )
    settings = mapping(
        time={"column": "at", "zone": "Europe/Berlin"},
        event=MAPPING["event"] | {"handle_seconds": {"column": "seconds"}},
    )
    (tmp_path / "mapping.yml").write_text(yaml.safe_dump(settings))
    load_event_log(path, tmp_path / "mapping.yml", tmp_path / "out")
    row = landing(tmp_path, "interactions").iloc[0]
    hour = "2026-07-01 00:00" if kind == "timestamptz" else "2026-06-30 22:00"
    assert (row.interaction_id, row.opened_at) == ("1", pd.Timestamp(hour))
    assert sorted(landing(tmp_path, "events").handle_seconds.dropna()) == [5.0]


def test_time_of_one_word(tmp_path):
    load(tmp_path, ONE, mapping(time="at"))
    assert len(landing(tmp_path, "events")) == 3


TIED = log(
    "a,2026-01-01 10:00:00,solved,10",
    "a,2026-01-01 10:00:00,call,9",
    header="case,at,what,nr",
)


def test_ties_follow_the_order_column(tmp_path):
    settings = mapping(order="nr", reopened="any_activity_after_resolution")
    summary = load(tmp_path, TIED, settings)
    assert [event for event, _ in events(tmp_path)] == ["message", "opened", "resolved"]
    assert (summary["ties"], summary["warnings"]) == (1, [])


def test_ties_without_one_follow_the_file(tmp_path):
    summary = load(tmp_path, TIED, mapping(reopened="any_activity_after_resolution"))
    found = [event for event, _ in events(tmp_path)]
    assert found == ["resolved", "opened", "message", "reopened"]
    assert summary["ties"] == 1
    assert summary["warnings"][0].startswith("1 rows happen at the same time")


def test_rows_need_not_be_sorted(tmp_path):
    content = log("a,2026-01-01 11:00:00,solved", "a,2026-01-01 10:00:00,new")
    load(tmp_path, content, mapping())
    assert events(tmp_path) == [("message", "10:00"), ("opened", "10:00"), ("resolved", "11:00")]


# Values and configuration -------------------------------------------------------------------


def test_interaction_columns_come_from_the_first_row(tmp_path):
    settings = mapping(
        source_system="desk",
        interaction={
            "assigned_arm": {"column": "who", "values": {"bot": "ai"}, "otherwise": "human"},
            "task_type": {"column": "topic", "otherwise": "other"},
            "channel": {"column": "via", "values": {"tel": "phone"}},
            "customer_id": {"column": "customer"},
            "is_test": {"column": "test"},
            "agent_name": {"constant": "nova"},
        },
    )
    content = log(
        "a,2026-01-01 10:00:00,x,bot,,tel,c1,true",
        "a,2026-01-01 11:00:00,solved,ines,billing,web,c2,false",
        "b,2026-01-01 11:00:00,solved,ines,billing,web,,",
        header="case,at,what,who,topic,via,customer,test",
    )
    load(tmp_path, content, settings)
    rows = landing(tmp_path, "interactions").astype(object).where(lambda x: x.notna(), None)
    columns = ["assigned_arm", "task_type", "channel", "customer_id", "is_test", "source_system"]
    assert rows[columns].to_numpy().tolist() == [
        ["ai", "other", "phone", "c1", True, "desk"],
        ["human", "billing", "web", None, None, "desk"],
    ]
    assert set(rows.agent_name) == {"nova"}
    assert [row["task_type"] for row in config(tmp_path, "task_types")] == ["billing", "other"]
    channels = {row["channel"]: row["kind"] for row in config(tmp_path, "channels")}
    assert channels == {"phone": "async", "web": "async"}


def test_configuration(tmp_path):
    settings = mapping(
        effective_from=date(2025, 6, 1),
        channel_kind={"ticket": "sync"},
        definition=MAPPING["definition"] | {"reopen_rule": "last", "name": "booked_and_paid"},
        config={
            "labour_rates": [{"tier": "1st", "usd_per_hour": 30, "default_handle_minutes": 8}],
            "agent_scopes": [
                {"agent_name": "nova", "task_type": "request", "launched_at": date(2026, 1, 1)}
            ],
        },
    )
    load(tmp_path, ONE, settings)
    standard = {"owner": "ops", "effective_from": "2025-06-01"}
    assert config(tmp_path, "task_types") == [
        {
            "task_type": "request",
            "definition": "booked_and_paid",
            "resolve_within_hours": "72",
            "reopen_window_hours": "24",
            "reopen_rule": "last",
            "threshold_profile": "default",
        }
        | standard
    ]
    assert config(tmp_path, "channels") == [{"channel": "ticket", "kind": "sync"} | standard]
    assert config(tmp_path, "labour_rates")[0]["usd_per_hour"] == "30"
    assert config(tmp_path, "agent_scopes")[0]["launched_at"] == "2026-01-01"
    assert config(tmp_path, "agent_scopes")[0]["holdout_share"] == ""
    assert config(tmp_path, "survey_scales") == []
    with (REPOSITORY / "seeds" / "thresholds.csv").open(newline="") as file:
        default = [
            r | standard for r in csv.DictReader(file) if r["threshold_profile"] == "default"
        ]
    assert config(tmp_path, "thresholds") == default


def test_configuration_applies_from_the_day_before_the_first_event(tmp_path):
    load(tmp_path, ONE, mapping())
    assert config(tmp_path, "task_types")[0]["effective_from"] == "2025-12-31"


def test_task_types_of_the_mapping(tmp_path):
    row = {
        "task_type": "other",
        "definition": "resolved_not_reopened",
        "resolve_within_hours": 1,
        "reopen_window_hours": 0,
        "reopen_rule": "any",
        "threshold_profile": "default",
    }
    summary = load(tmp_path, ONE, mapping(definition=None, config={"task_types": [row]}))
    assert [r["task_type"] for r in config(tmp_path, "task_types")] == ["other"]
    assert summary["warnings"][0].startswith("config.task_types has no row for the task type 're")
    assert (summary["pending"], summary["all_mature_at"]) == (0, None)


def test_values_that_never_occur_are_reported(tmp_path):
    settings = mapping(
        event={"actor_kind": {"column": "what", "values": {"old": "ai"}, "otherwise": "human"}},
        event_types=[{"when": {"what": ["solved", "fixed"]}, "is": "resolved"}],
    )
    assert load(tmp_path, ONE, settings)["warnings"] == [
        "event_types[1]: 'what' never is 'fixed'",
        "event.actor_kind.values: 'what' never is 'old'",
    ]


def test_progress_tells_every_step(tmp_path):
    load(tmp_path, ONE, mapping(otherwise="assigned"))
    steps: list[str] = []
    load_event_log(tmp_path / "log.csv", tmp_path / "mapping.yml", tmp_path / "out", steps.append)
    assert [step.split()[0] for step in steps] == ["reading", "building"] + ["writing"] * 3


def test_equal_input_gives_equal_files(tmp_path):
    for name in ("a", "b"):
        load(tmp_path / name, REOPENINGS, mapping())
    names = ["interactions.parquet", "events.parquet"]
    names += [f"config/{name}.csv" for name in seed_columns()]
    _, mismatch, errors = filecmp.cmpfiles(
        tmp_path / "a" / "out", tmp_path / "b" / "out", names, shallow=False
    )
    assert (mismatch, errors) == ([], [])


@pytest.mark.parametrize(
    ("name", "content", "file"),
    [
        ("log.tsv", ONE.replace(",", "\t"), None),
        ("log.txt", ONE.replace(",", ";"), {"delimiter": ";"}),
        ("log.csv", ONE.replace(",", ";"), None),
        ("log.csv", "\ufeff" + ONE, None),
        ("log.csv", ONE.replace("a,", '"a",').replace("\n", "\r\n"), None),
        ("log.csv", ONE.replace("a,", "#a,"), None),
        ("log.export", ONE, {"format": "csv", "encoding": "utf-8"}),
    ],
)
def test_formats(tmp_path, name, content, file):
    load(tmp_path, content, mapping(file=file), name)
    assert len(landing(tmp_path, "events")) == 3


def test_compressed_and_in_another_encoding(tmp_path):
    with gzip.open(tmp_path / "log.csv.gz", "wb") as file:
        file.write(ONE.replace("new", "Störung").encode("latin-1"))
    rules = [{"when": {"what": "Störung"}, "is": "assigned"}, *MAPPING["event_types"]]
    settings = mapping(file={"encoding": "latin-1"}, event_types=rules)
    (tmp_path / "mapping.yml").write_text(yaml.safe_dump(settings))
    load_event_log(tmp_path / "log.csv.gz", tmp_path / "mapping.yml", tmp_path / "out")
    assert events(tmp_path) == [("assigned", "10:00"), ("opened", "10:00"), ("resolved", "11:00")]


# Errors -------------------------------------------------------------------------------------


def changed(section: str, **changes) -> dict:
    return mapping(**{section: MAPPING[section] | changes})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (mapping(owner=None), "no owner; a mapping needs: owner, case"),
        (mapping(cases="x"), "unknown setting 'cases' (did you mean 'case'?); there are: source_"),
        (changed("time", fromat="iso"), "unknown setting 'fromat' in time (did you mean 'format'"),
        (mapping(time={"zone": "UTC"}), "time.column is missing"),
        (changed("time", zone="Mars/Base"), "time.zone: 'Mars/Base' is no time zone"),
        (changed("time", format="%Q"), "time.format '%Q'"),
        (mapping(file={"format": "xls"}), "file.format: 'xls' is none of: csv, parquet"),
        (mapping(order=True), "order: True is no text; put quotes around it"),
        (mapping(effective_from="soon"), "effective_from: 'soon' is no date"),
        (mapping(interaction=["x"]), "interaction must be a set of"),
        (changed("interaction", tire={"constant": 1}), "unknown setting 'tire' in interaction"),
        (changed("interaction", channel=None), "interaction lacks channel"),
        (changed("interaction", channel="web"), "interaction.channel: write {column: NAME}"),
        (changed("interaction", channel={"col": "x"}), "unknown setting 'col' in interaction.ch"),
        (
            changed("interaction", channel={"column": "what", "constant": "x"}),
            "interaction.channel: give one of column, constant and level",
        ),
        (
            changed("interaction", channel={"constant": "x", "otherwise": "y"}),
            "interaction.channel: values and otherwise need a column",
        ),
        (
            changed("interaction", channel={"column": "what", "values": ["x"]}),
            "interaction.channel.values must be",
        ),
        (
            changed("interaction", assigned_arm={"constant": "robot"}),
            "interaction.assigned_arm: 'robot' is none of: ai, human",
        ),
        (changed("interaction", tier={"level": "last"}), "interaction.tier: the only level"),
        (changed("interaction", tier={"level": "first"}), "level needs the section escalation"),
        (changed("event", actor_kind={"level": "first"}), "event.actor_kind: the only level"),
        (mapping(event_types=[]), "event_types must be a list"),
        (mapping(event_types=["x"]), "event_types[1] must be"),
        (mapping(event_types=[{"when": {"a": 1}, "as": "x"}]), "unknown setting 'as' in event_t"),
        (mapping(event_types=[{"is": "resolved"}]), "event_types[1].when is missing"),
        (mapping(event_types=[{"when": "x", "is": "resolved"}]), "event_types[1].when must be"),
        (mapping(event_types=[{"when": {"what": "x"}}]), "event_types[1].is is missing"),
        (
            mapping(event_types=[{"when": {"what": "x"}, "is": "solved"}]),
            "event_types[1].is: 'solved' is none of: opened, message",
        ),
        (
            mapping(event_types=[{"when": {"what": True}, "is": "resolved"}]),
            "event_types[1].when.what: True is no text",
        ),
        (
            mapping(event_types=[{"when": {"what": "x"}, "is": "resolved", "evidence": "sure"}]),
            "event_types[1].evidence: 'sure' is none of",
        ),
        (mapping(otherwise="skip"), "otherwise: 'skip' is none of"),
        (mapping(opened_by="me"), "opened_by: 'me' is none of"),
        (mapping(resolution_again="x"), "resolution_again: 'x' is none of: resolved, closed"),
        (mapping(reopened="always"), "reopened: 'always' is none of: event, any_activity"),
        (mapping(escalation={"levels": []}), "escalation.column is missing"),
        (mapping(escalation={"column": "what"}), "escalation.levels is missing"),
        (
            mapping(escalation={"column": "what", "levels": [{"level": "x"}]}),
            "escalation.levels must be a list of two levels",
        ),
        (
            mapping(escalation={"column": "what", "levels": [{"level": "x"}, "y"]}),
            "escalation.levels[2] must be",
        ),
        (
            mapping(escalation={"column": "what", "levels": [{"name": "x"}, {"level": "y"}]}),
            "unknown setting 'name' in escalation.levels[1]",
        ),
        (
            mapping(escalation={"column": "what", "levels": [{"level": "x"}, {"level": "y"}]}),
            "escalation.levels[2].pattern is missing",
        ),
        (
            mapping(escalation=LEVELS | {"levels": [{"level": 1}, {"level": 2, "pattern": "("}]}),
            "escalation.levels[2].pattern '(' is no regular expression",
        ),
        (mapping(escalation=LEVELS | {"reason_class": "x"}), "escalation.reason_class: 'x' is no"),
        (mapping(definition=None), "no definition: say resolve_within_hours"),
        (
            mapping(definition={"resolve_within_hours": 1}),
            "definition.reopen_window_hours is missing",
        ),
        (
            changed("definition", resolve_within_hours=0),
            "definition.resolve_within_hours: 0 is no number of hours above 0",
        ),
        (
            changed("definition", reopen_window_hours="a day"),
            "definition.reopen_window_hours: 'a day' is no number of hours 0 or more",
        ),
        (changed("definition", reopen_rule="all"), "definition.reopen_rule: 'all' is none of"),
        (mapping(channel_kind="slow"), "channel_kind: 'slow' is none of: sync, async"),
        (mapping(channel_kind={"web": "sync"}), "channel_kind has no entry for 'ticket'"),
        (mapping(config=["x"]), "config must be"),
        (mapping(config={"prices": []}), "unknown setting 'prices' in config"),
        (mapping(config={"channels": [1]}), "config.channels must be a list of rows"),
        (mapping(config={"channels": [{"kin": 1}]}), "unknown setting 'kin' in config.channels"),
        (
            mapping(config={"task_types": [{"task_type": "x"}]}),
            "config.task_types.resolve_within_hours is missing",
        ),
        ("just text", "the mapping must be a set of"),
        ("case: [", "not valid YAML"),
    ],
)
def test_mapping_errors(tmp_path, settings, message):
    with pytest.raises(LoadError, match=re.escape(message)) as raised:
        load(tmp_path, ONE, settings)
    assert str(raised.value).startswith(str(tmp_path / "mapping.yml"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (
            ONE.replace("what", "activity"),
            mapping(),
            "log.csv: no column 'what' (named by event_types[1]); the file has: 'case', 'at', 'act",
        ),
        ("case,at,what\n", mapping(), "log.csv: no rows"),
        (
            log("a,2026-01-01,x", ",2026-01-01,x"),
            mapping(),
            "'case' (case) is empty in 1 rows, first in row 2",
        ),
        (
            log("a,2026-01-01,x", "b,13/01/2026,x", "c,,x"),
            mapping(),
            "'at' does not parse as 'iso' in 2 rows, first in row 2 (case 'b'): '13/01/2026'; set"
            " time.format",
        ),
        (
            log("a,2026-01-01,x"),
            changed("time", format="%d.%m.%Y"),
            "'at' does not parse as '%d.%m.%Y' in 1 rows, first in row 1 (case 'a'): '2026-01-01'",
        ),
        (
            log("a,soon,x"),
            changed("time", format="epoch_s"),
            "'at' does not parse as 'epoch_s'",
        ),
        (
            log("a,2026-01-01,bot", "a,2026-01-02,x"),
            changed("event", actor_kind={"column": "what", "values": {"bot": "ai"}}),
            "mapping.yml: event.actor_kind is 'x' in 1 events, first in row 2 of the log; give"
            " `values` or `otherwise` to event.actor_kind, so that it is one of: ai, human",
        ),
        (
            log("a,2026-01-01,"),
            changed("interaction", task_type={"column": "what"}),
            "interaction.task_type is '' in 1 interactions, first in row 1 of the log; it may not",
        ),
        (
            log("a,2026-01-01,1", 'a,2026-01-02,"1,5"'),
            changed("event", handle_seconds={"column": "what"}),
            "event.handle_seconds is '1,5' in 1 events, first in row 2 of the log; it must be a nu",
        ),
        (
            log("a,2026-01-01,-1"),
            changed("event", handle_seconds={"column": "what"}),
            "event.handle_seconds is '-1' in 1 events, first in row 1 of the log; it may not be be",
        ),
        (
            log("a,2026-01-01,perhaps"),
            changed("interaction", is_spam={"column": "what"}),
            "interaction.is_spam is 'perhaps' in 1 interactions, first in row 1 of the log; it mus",
        ),
    ],
)
def test_log_errors(tmp_path, content, settings, message):
    with pytest.raises(LoadError, match=re.escape(message)):
        load(tmp_path, content, settings)
    assert not (tmp_path / "out").exists()


def test_missing_files(tmp_path):
    with pytest.raises(LoadError, match=r"mapping\.yml: cannot be read: No such file"):
        load_event_log(tmp_path / "log.csv", tmp_path / "mapping.yml", tmp_path / "out")
    (tmp_path / "mapping.yml").write_text(yaml.safe_dump(mapping()))
    with pytest.raises(LoadError, match=r"log\.csv: no such file"):
        load_event_log(tmp_path / "log.csv", tmp_path / "mapping.yml", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.parquet", ONE, r"log\.parquet: not readable as parquet"),
        ("log.xlsx", ONE, r"log\.xlsx: neither \.csv nor \.parquet"),
        ("log.csv", "case,at,what\na,2026-01-01,\xff", r"log\.csv: not readable as csv"),
        ("log.csv", "case,at,wh\xff\n", r"log\.csv: not readable as csv.*file\.encoding"),
        ("log.csv", "", r"log\.csv: empty; the first line"),
        ("log.csv", "case,at,At,what\n", r"log\.csv: several columns are called 'At', 'at'"),
        ("log.csv", ONE + "b,2026-01-01\n", r"log\.csv: not readable as csv.*Line: 4.*Columns: 3"),
        ("log.csv", ONE + 'b,2026-01-01,"x\n', r"log\.csv: not readable as csv.*Line: 4"),
    ],
)
def test_unreadable_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    (tmp_path / "mapping.yml").write_text(yaml.safe_dump(mapping()))
    with pytest.raises(LoadError, match=message):
        load_event_log(tmp_path / name, tmp_path / "mapping.yml", tmp_path / "out")


def test_folder_with_other_landing_files(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "spans.parquet").write_text("x")
    with pytest.raises(LoadError, match=r"another source \(spans\.parquet\)"):
        load(tmp_path, ONE, mapping())


# The example of the documentation -----------------------------------------------------------


def test_documented_example(tmp_path):
    page = (REPOSITORY / "docs" / "event_log_mapping.md").read_text()
    content = re.search(r"```csv\n(.*?)```", page, re.DOTALL).group(1)
    settings = re.search(r"```yaml\n(.*?)```", page, re.DOTALL).group(1)
    summary = load(tmp_path, content, settings)
    assert events(tmp_path) == [
        ("opened", "08:15"),
        ("message", "08:16"),
        ("message", "08:16"),
        ("handed_off", "08:16"),
        ("resolved", "08:21"),
        ("opened", "08:20"),
        ("resolved", "08:22"),
        ("reopened", "14:40"),
    ]
    assert (summary["escalated"], summary["reopened"], summary["ties"]) == (1, 1, 1)
    assert summary["warnings"] == []
    handled = landing(tmp_path, "events").groupby("interaction_id").handle_seconds.sum()
    assert handled.to_dict() == {"0071": 400, "0072": 120}
    assert set(landing(tmp_path, "interactions").task_type) == {"billing", "delivery"}


def test_every_key_is_documented():
    page = (REPOSITORY / "docs" / "event_log_mapping.md").read_text()
    table = page[page.index("## Every key") : page.index("## What comes out")]
    keys = {key for keys in KEYS.values() for key in keys}
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}\b", table)] == []


# A real log ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def incidents(tmp_path_factory):
    source = shared_data("bpi13") / "incidents.parquet"
    folder = tmp_path_factory.mktemp("bpi13")
    summary = load_event_log(source, BPI13, folder / "out")
    connection = duckdb.connect()
    for name in ("interactions", "events"):
        path = str(folder / "out" / f"{name}.parquet")
        connection.read_parquet(path).create(name)
    return connection, summary, folder


def test_real_totals(incidents):
    connection, summary, _ = incidents
    assert summary["interactions"] == 7554
    assert summary["rows"] == 65533
    assert summary["ties"] == 0
    assert summary["pending"] == 0
    assert summary["warnings"] == []
    types = summary["event_types"]
    own = types["resolved"] + types["closed"] + types["message"]
    assert own == 65533
    assert types["resolved"] + types["closed"] == 13867
    assert types["opened"] == 7554
    arms = connection.execute("select distinct assigned_arm from interactions").fetchall()
    assert arms == [("human",)]


def test_real_resolutions_and_reopenings(incidents):
    connection, _, _ = incidents
    never, median, reopened, within_a_day = connection.execute(
        """
        with cases as (
            select
                i.interaction_id,
                i.opened_at,
                min(e.occurred_at) filter (e.event_type = 'resolved') as resolved_at
            from interactions as i
            inner join events as e using (interaction_id)
            group by all
        ),
        undone as (
            select c.interaction_id, min(e.occurred_at - c.resolved_at) as after
            from cases as c
            inner join events as e using (interaction_id)
            where e.event_type = 'reopened' and e.occurred_at >= c.resolved_at
            group by all
        )
        select
            (select count(*) from cases where resolved_at is null),
            (select median(epoch(resolved_at - opened_at)) / 3600 from cases),
            (select count(*) from undone),
            (select count(*) from undone where after <= interval 24 hour)
        """
    ).fetchone()
    assert (never, reopened, within_a_day) == (8, 514, 293)
    assert round(median, 2) == 6.03


def test_real_resolutions_are_by_people(incidents):
    connection, _, _ = incidents
    kinds = connection.execute(
        "select distinct actor_kind from events where event_type = 'resolved'"
    ).fetchall()
    assert kinds == [("human",)]


def test_real_escalations(incidents):
    connection, _, _ = incidents
    rows = connection.execute(
        """
        select
            tier,
            count(*),
            count(*) filter (interaction_id in (
                select interaction_id from events where event_type = 'handed_off'
            ))
        from interactions
        group by all
        order by all
        """
    ).fetchall()
    assert rows == [("1st", 6702, 2156), ("2nd", 704, 84), ("3rd", 148, 0)]


def test_real_windows(incidents):
    _, _, folder = incidents
    (row,) = config(folder, "task_types")
    assert (row["resolve_within_hours"], row["reopen_window_hours"]) == ("336", "24")
    assert config(folder, "agent_scopes") == []
