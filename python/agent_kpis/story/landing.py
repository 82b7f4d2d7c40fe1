"""Rows as they land: corrected later, some of them wrong, in order of arrival, in files."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from agent_kpis.contract import entities
from agent_kpis.story import plot
from agent_kpis.story.tables import KEY, TIME, Tables

AS_TEXT = ("surveys", "costs")  # CSV files; only text can hold what does not parse
OFFSETS = 50  # surveys whose times come with an offset
FAR = np.datetime64("2126-01-01T00:00:00", "us")  # ahead of any clock this will run by
HOUR = np.timedelta64(1, "h")

# entity -> reason -> (how many rows, the ways to break one: column -> wrong value)
DIRT: dict[str, dict[str, tuple[int, list[dict]]]] = {
    "interactions": {
        "missing_required_value": (
            9,
            [{"opened_at": None}, {"task_type": None}, {"channel": None}],
        ),
        "unknown_value": (8, [{"assigned_arm": "robot"}, {"assignment_kind": "coin"}]),
        "future_time": (4, [{"opened_at": FAR}]),
    },
    "events": {
        "missing_required_value": (
            12,
            [
                {"event_type": None},
                {"occurred_at": None},
                {"interaction_id": None},
                {"event_id": None},
            ],
        ),
        "unknown_value": (
            12,
            [{"event_type": "solved"}, {"actor_kind": "bot"}, {"evidence": "likely"}],
        ),
        "negative_value": (12, [{"handle_seconds": -30.0}]),
        "future_time": (10, [{"occurred_at": FAR}]),
        "orphan": (12, [{"interaction_id": "int-gone"}]),
        "before_interaction_opened": (12, [{"occurred_at": -2 * HOUR}]),
    },
    "surveys": {
        "missing_required_value": (10, [{"sent_at": None}, {"survey_source": None}]),
        "unparsable_value": (
            12,
            [{"score": "great"}, {"sent_at": "yesterday"}, {"responded_at": "31/02/2026 10:00"}],
        ),
        "unknown_value": (10, [{"survey_kind": "nps"}]),
        "future_time": (8, [{"sent_at": FAR, "responded_at": None, "score": None}]),
        "responded_before_sent": (10, [{"responded_at": -HOUR}]),
        "undeclared_survey_source": (10, [{"survey_source": "app_store", "score": 4.0}]),
        "score_outside_scale": (12, [{"score": 7.0}, {"score": 0.0}]),
        "orphan": (10, [{"interaction_id": "int-gone"}]),
        "before_interaction_opened": (10, [{"sent_at": -50 * HOUR}]),
    },
    "spans": {
        "missing_required_value": (8, [{"started_at": None}, {"operation": None}]),
        "unknown_value": (8, [{"operation": "llm"}]),
        "negative_value": (8, [{"input_tokens": -5}, {"output_tokens": -1}]),
        "future_time": (8, [{"started_at": FAR, "ended_at": FAR}]),
    },
    "evaluations": {
        "missing_required_value": (8, [{"value": None}, {"indicator": None}]),
        "unknown_value": (8, [{"evaluator_kind": "crowd"}]),
        "negative_value": (8, [{"turn_index": -1}]),
        "future_time": (8, [{"evaluated_at": FAR}]),
    },
    "releases": {
        "missing_required_value": (1, [{"released_at": None}]),
        "unknown_value": (2, [{"change_type": "vibes"}, {"expected_direction": "sideways"}]),
        "future_time": (1, [{"released_at": FAR}]),
    },
    "costs": {
        "missing_required_value": (6, [{"amount_usd": None}, {"component": None}]),
        "unparsable_value": (6, [{"amount_usd": "12,50"}, {"occurred_at": "second quarter"}]),
        "unknown_value": (6, [{"component": "coffee"}]),
        "negative_value": (6, [{"amount_usd": -12.0}]),
        "future_time": (6, [{"occurred_at": FAR}]),
    },
}
TYPES = {
    column.name: column.type
    for entity in entities().values()
    for column in entity.columns
    if column.type != "string"
}


def land(rng: np.random.Generator, tables: Tables) -> tuple[Tables, dict]:
    """All rows in order of arrival, and what is wrong with them: counts of raw and superseded rows
    by entity and of rejected ones by entity and reason."""
    landed, wrong = {}, {"raw": {}, "superseded": {}, "rejected": {}}
    for entity, table in tables.items():
        arrived = _correct(rng, entity, table)
        dirty, reasons = _spoil(rng, entity, table)
        if entity == "events":
            orphans = _openings_of_rejected(landed["interactions"], table)
            dirty = [*dirty, orphans]
            reasons["orphan"] += len(orphans)
        rows = pd.concat([arrived, *dirty], ignore_index=True)
        rows = rows.sort_values("arrived", kind="stable", ignore_index=True)
        landed[entity] = rows.drop(columns="arrived")
        wrong["raw"][entity] = len(rows)
        wrong["superseded"][entity] = plot.CORRECTED[entity]
        wrong["rejected"][entity] = reasons
    return landed, wrong


def _correct(rng: np.random.Generator, entity: str, table: pd.DataFrame) -> pd.DataFrame:
    """Some rows arrived wrong at first, or twice; the last one holds."""
    table = table.assign(arrived=table[TIME[entity]])
    settled = np.flatnonzero(_interior(table, entity))
    n = plot.CORRECTED[entity]
    chosen = np.sort(rng.choice(settled, n, replace=False))
    first = table.iloc[chosen].copy()
    if entity == "releases":
        first["summary"] = "to be written"
    elif n:
        _make_wrong(rng, entity, first)
    late = pd.to_timedelta(rng.integers(1, 9 * 24, n), unit="h")
    table.loc[table.index[chosen], "arrived"] += late.to_numpy()
    return pd.concat([first, table], ignore_index=True)


def _make_wrong(rng: np.random.Generator, entity: str, rows: pd.DataFrame) -> None:
    """Valid but wrong values in the earlier versions; every third stays an exact duplicate."""
    wrong = np.arange(len(rows)) % 3 > 0
    here = rows.index[wrong]
    if entity == "interactions":
        rows.loc[here, "task_type"] = "order_status"
        rows.loc[here, "channel"] = "chat"
    elif entity == "events":
        rows.loc[here, "occurred_at"] += np.timedelta64(37, "m")
    elif entity == "surveys":
        answered = rows.loc[here, "score"].notna()
        rows.loc[here[answered], "score"] = 1.0
    elif entity == "spans":
        rows.loc[here, "error_type"] = "unknown"
        rows.loc[here, "output_tokens"] = 1
    elif entity == "evaluations":
        rows.loc[here, "value"] = 0.5
    elif entity == "costs":
        rows.loc[here, "amount_usd"] = rng.integers(1, 9_999, len(here)) / 100


def _interior(table: pd.DataFrame, entity: str) -> np.ndarray:
    """Rows some days before the end: what is done to them stays inside the data."""
    times = table[TIME[entity]]
    early = times < np.datetime64(plot.END) - np.timedelta64(12, "D")
    if entity == "surveys":
        return (early & table["score"].notna()).to_numpy()
    return early.to_numpy()


def _spoil(
    rng: np.random.Generator, entity: str, table: pd.DataFrame
) -> tuple[list[pd.DataFrame], dict[str, int]]:
    """Rows that fit nowhere. The first of each kind keeps the key of a good row, which it must not
    supersede; the others have keys of their own."""
    dirty, counts = [], {}
    key = KEY[entity][-1]
    for reason, (n, ways) in DIRT[entity].items():
        rows = table.iloc[_templates(rng, entity, reason, table, n)].copy().reset_index(drop=True)
        rows = rows.assign(arrived=rows[TIME[entity]] + HOUR).astype({key: object})
        rows.loc[1:, key] = [f"bad-{reason}-{i}" for i in range(1, n)]
        columns = {column for way in ways for column in way}
        rows = rows.astype(dict.fromkeys(columns, object))
        for number, way in enumerate(ways):
            for column, value in way.items():
                here = rows.index[rows.index % len(ways) == number]
                if isinstance(value, np.timedelta64):  # so much earlier than it should be
                    base = "sent_at" if column == "responded_at" else column
                    value = pd.Series(rows.loc[here, base] + value, index=here, dtype=object)
                rows.loc[here, column] = value
        if entity == "surveys" and reason == "before_interaction_opened":
            rows[["responded_at", "score"]] = None
        dirty.append(rows)
        counts[reason] = n
    return dirty, counts


def _templates(rng, entity: str, reason: str, table: pd.DataFrame, n: int) -> np.ndarray:
    good = _interior(table, entity)
    if entity == "events" and reason == "before_interaction_opened":
        good = good & (table["event_type"] == "opened").to_numpy()
    if entity == "surveys":
        good = good & (table["survey_source"] == "email_csat").to_numpy()
    return rng.choice(np.flatnonzero(good), n, replace=False)


def _openings_of_rejected(interactions: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """What happened in an interaction that was not accepted has nowhere to go."""
    bad = interactions[interactions["interaction_id"].str.startswith("bad-unknown_value", na=False)]
    rows = events.iloc[: len(bad)].copy()
    rows["event_id"] = [f"bad-opening-{i}" for i in range(len(bad))]
    rows["interaction_id"] = bad["interaction_id"].to_numpy()
    rows["occurred_at"] = rows["arrived"] = pd.to_datetime(bad["opened_at"]).to_numpy()
    return rows.assign(event_type="opened", actor_kind="customer", handle_seconds=np.nan)


def write_files(to: Path, landed: Tables) -> None:
    """One file per entity in the folder `to`: parquet, or CSV where text is needed."""
    to.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute("set threads = 1")  # the same bytes every time
        for entity, rows in landed.items():
            if entity in AS_TEXT:
                _as_text(entity, rows).to_csv(to / f"{entity}.csv", index=False)
                continue
            connection.register("landed", _plain(rows))
            columns = ", ".join(f"cast({c} as {TYPES.get(c, 'varchar')}) as {c}" for c in rows)
            path = (to / f"{entity}.parquet").as_posix().replace("'", "''")
            connection.execute(
                f"copy (select {columns} from landed) to '{path}' (format parquet, codec zstd)"
            )
            connection.unregister("landed")


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns whose types the broken rows made vague get them back."""
    rows = rows.copy()
    for column in rows:
        kind = TYPES.get(column, "varchar")
        if kind == "timestamp":
            rows[column] = pd.to_datetime(rows[column]).astype("datetime64[us]")
        elif kind in ("integer", "bigint"):
            rows[column] = rows[column].astype("Int64")
        elif kind == "boolean":
            rows[column] = rows[column].astype(bool)
        elif kind != "varchar":
            rows[column] = rows[column].astype(float)
    return rows


def _as_text(entity: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Text as an export would have it; some times with an offset, which means the same moment."""
    text = rows.astype(object)
    for column in rows:
        if TYPES.get(column) == "timestamp":
            text[column] = [_time_text(value) for value in rows[column]]
    if entity == "surveys":
        good = rows.index[rows["survey_id"].str.startswith("svy", na=False)]
        for row in good[:: max(1, len(good) // OFFSETS)]:
            value = text.at[row, "sent_at"]
            if isinstance(value, str) and value[:2] == "20" and len(value) == 19:
                local = pd.Timestamp(value) + 2 * HOUR
                text.at[row, "sent_at"] = f"{local:%Y-%m-%dT%H:%M:%S}+02:00"
    return text


def _time_text(value) -> str | None:
    if isinstance(value, str):
        return value
    return None if pd.isna(value) else f"{pd.Timestamp(value):%Y-%m-%d %H:%M:%S}"
