"""Six even weeks of landing files without a fault, for tests that put one in."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from support import REPOSITORY
from warehouse import write_landing

FIRST_DAY = datetime(2026, 1, 1)
DAYS = 43
PER_DAY = 40
# The latest row is of this day, so the last complete one is the day before.
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)
NOW = LAST_DAY + timedelta(days=1)
TASK_TYPES = ("refund", "booking", "question", "account")
CHANNELS = ("chat", "email")
OPERATIONS = ("inference", "tool")
Rows = dict[str, list[dict[str, Any]]]


def world() -> Rows:
    """Every day the same: 40 requests with three events, a survey and two steps each."""
    rows: Rows = {"interactions": [], "events": [], "surveys": [], "spans": []}
    for number in range(DAYS * PER_DAY):
        day, place = divmod(number, PER_DAY)
        opened_at = FIRST_DAY + timedelta(days=day, minutes=30 * place)
        key = f"i{number}"
        arm = "human" if place % 4 == 0 else "ai"
        rows["interactions"].append(
            {
                "interaction_id": key,
                "opened_at": opened_at,
                "assigned_arm": arm,
                "task_type": TASK_TYPES[place % 4],
                "channel": CHANNELS[place // 4 % 2],
                "customer_id": f"c{number}",
            }
        )
        for step, (kind, actor) in enumerate(
            [("opened", "customer"), ("message", arm), ("resolved", arm)]
        ):
            rows["events"].append(
                {
                    "event_id": f"e{number}-{step}",
                    "interaction_id": key,
                    "occurred_at": opened_at + timedelta(minutes=step),
                    "event_type": kind,
                    "actor_kind": actor,
                    "handle_seconds": 30 + step,
                }
            )
        answered = place % 2 == 0
        rows["surveys"].append(
            {
                "survey_id": f"s{number}",
                "interaction_id": key,
                "survey_kind": "post_interaction",
                "survey_source": "email_csat",
                "sent_at": opened_at + timedelta(minutes=5),
                "responded_at": opened_at + timedelta(minutes=9) if answered else None,
                "score": 1 + place // 2 % 5 if answered else None,
            }
        )
        for step, operation in enumerate(OPERATIONS):
            rows["spans"].append(
                {
                    "span_id": f"t{number}-{step}",
                    "interaction_id": key,
                    "started_at": opened_at + timedelta(minutes=1 + step),
                    "operation": operation,
                    "error_type": "timeout" if place == 7 and step == 1 else None,
                }
            )
    return rows


def write_world(folder: Path, rows: Rows) -> Path:
    """The files of the world's own entities."""
    write_landing(folder, rows)
    for name in ("evaluations", "releases", "costs"):
        (folder / f"{name}.csv").unlink()
    return folder


def configuration(folder: Path, *changes: Mapping[str, Any]) -> Path:
    """The project's configuration; each change sets cells of the rows that it names, or adds one.

    A change names rows by check_name, and by table_name and column_name where it gives them.
    """
    shutil.copytree(REPOSITORY / "seeds", folder)
    path = folder / "quality_checks.csv"
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        columns, rows = list(reader.fieldnames), list(reader)
    for change in changes:
        names = [k for k in ("check_name", "table_name", "column_name") if k in change]
        found = [row for row in rows if all(row[k] == change[k] for k in names)]
        if not found:
            found = [dict.fromkeys(columns, "") | {"owner": "me", "effective_from": "2026-01-01"}]
            rows += found
        for row in found:
            row |= {key: str(value) for key, value in change.items()}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return folder
