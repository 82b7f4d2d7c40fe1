"""Bad input has a clear outcome: a reason beside the row, or a message that names what to mend."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from agent_kpis.contract import entities
from oracle import Row
from strategies import CONFIG, FAR_FUTURE
from warehouse import Build, Replay, dbt, write_config, write_landing

Landing = dict[str, list[Row]]

START = datetime(2026, 2, 2, 9)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NO_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
INPUT_ONLY = ("path:models/staging", "path:models/input", "resource_type:seed")
FACTS = (
    "facts.fct_interactions",
    "facts.fct_surveys",
    "facts.fct_spans",
    "facts.fct_evaluations",
    "facts.fct_costs",
    "facts.dim_agent_versions",
)


def opened_at(number: int) -> datetime:
    return START + number * 6 * HOUR


def case(number: int) -> str:
    return f"case-{number:02}"


def events_of(number: int) -> list[Row]:
    """What happened to a case: what its task type's definition asks for, now and then undone."""
    handler = "ai" if number % 2 else "human"
    steps = (
        [("message", "customer"), ("resolved", handler)],
        [("message", "customer"), ("booking_confirmed", handler), ("payment_processed", "system")],
        [("question_asked", "customer"), ("question_answered", handler)],
    )[number % 3]
    if number % 5 == 0:
        steps = [*steps, ("handed_off", handler)]
    if number % 7 == 0:
        steps = [*steps, ("reopened", "customer")]
    return [
        {
            "event_id": f"{case(number)} event {position}",
            "interaction_id": case(number),
            "occurred_at": opened_at(number) + position * 10 * MINUTE,
            "event_type": event_type,
            "actor_kind": actor_kind,
            "question_key": "q1" if event_type.startswith("question") else None,
            "reason": "missing_tool" if event_type == "handed_off" else None,
            "handle_seconds": 120 if actor_kind == "human" else None,
        }
        for position, (event_type, actor_kind) in enumerate(steps)
    ]


def clean_landing(cases: int = 40) -> Landing:
    """Interactions of ten days with all that belongs to them; every row fits."""
    numbers = range(cases)
    return {
        "interactions": [
            {
                "interaction_id": case(number),
                "opened_at": opened_at(number),
                "assigned_arm": "ai" if number % 2 else "human",
                "task_type": ("support_last", "booking", "question_last")[number % 3],
                "channel": ("email", "chat")[number % 2],
                "assignment_kind": "randomised",
                "customer_id": f"customer {number % 9}",
                "tier": "tier_1",
                "agent_name": "atlas",
                "agent_version": "v1" if number % 2 else None,
                "is_spam": False,
                "is_test": number == 33,
            }
            for number in numbers
        ],
        "events": [event for number in numbers for event in events_of(number)],
        "surveys": [
            {
                "survey_id": f"{case(number)} survey",
                "interaction_id": case(number),
                "survey_kind": "post_interaction",
                "survey_source": "email_csat",
                "sent_at": opened_at(number) + HOUR,
                "responded_at": opened_at(number) + DAY if number % 3 else None,
                "score": 1 + number % 5 if number % 3 else None,
            }
            for number in numbers
        ],
        "spans": [
            {
                "span_id": f"{case(number)} span",
                "started_at": opened_at(number) + MINUTE,
                "operation": "inference",
                "interaction_id": case(number),
                "agent_name": "atlas",
                "agent_version": "v1",
                "model": "large",
                "input_tokens": 10_000 + number,
                "output_tokens": 500,
            }
            for number in numbers
        ],
        "evaluations": [
            {
                "evaluation_id": f"{case(number)} evaluation",
                "evaluated_at": opened_at(number) + HOUR,
                "indicator": "tool_call_accuracy",
                "value": 0.75,
                "interaction_id": case(number),
            }
            for number in numbers
        ],
        "releases": [
            {"agent_name": "atlas", "agent_version": "v1", "released_at": START - DAY},
            {"agent_name": "atlas", "agent_version": "v2", "released_at": START + 4 * DAY},
        ],
        "costs": [
            {
                "cost_id": f"{case(number)} cost",
                "occurred_at": opened_at(number) + HOUR,
                "component": "platform",
                "amount_usd": Decimal("0.05"),
                "interaction_id": case(number),
                "agent_name": "atlas",
            }
            for number in numbers
        ],
    }


def clean_row(entity: str, number: int) -> Row:
    rows = clean_landing()[entity]
    return next(row for row in rows if row.get("interaction_id") == case(number))


@dataclass(frozen=True)
class Injection:
    """A row that does not fit: a good row of a case, under a key of its own, with a fault."""

    entity: str
    fault: str
    reason: str
    column: str
    changes: tuple[tuple[str, Any], ...]

    @property
    def key(self) -> str | None:
        changes = dict(self.changes)
        if self.entity == "releases":
            return f"atlas {self.fault}"
        return changes.get(self.key_column, f"bad {self.fault}")

    @property
    def key_column(self) -> str:
        return entities()[self.entity].key[-1]

    @property
    def row(self) -> Row:
        if self.entity == "releases":
            good = clean_landing()["releases"][0]
            return good | {"agent_version": self.fault} | dict(self.changes)
        number = sum(map(ord, self.fault)) % 30  # some case; which one does not matter
        return clean_row(self.entity, number) | {
            self.key_column: f"bad {self.fault}",
            **dict(self.changes),
        }


def bad(entity: str, fault: str, reason: str, column: str, **changes: Any) -> Any:
    injection = Injection(entity, fault, reason, column, tuple(changes.items()))
    return pytest.param(injection, id=f"{entity}: {fault}")


MISSING, UNPARSABLE, UNKNOWN = "missing_required_value", "unparsable_value", "unknown_value"
NEGATIVE, FUTURE, EARLY = "negative_value", "future_time", "before_interaction_opened"
BEFORE = START - DAY

INJECTIONS = [
    bad("interactions", "no id", MISSING, "interaction_id", interaction_id=None),
    bad("interactions", "no opening", MISSING, "opened_at", opened_at=None),
    bad("interactions", "blank task type", MISSING, "task_type", task_type=" \t "),
    bad("interactions", "opening no date", UNPARSABLE, "opened_at", opened_at="yesterday"),
    bad("interactions", "day first", UNPARSABLE, "opened_at", opened_at="13/02/2026"),
    bad("interactions", "may be spam", UNPARSABLE, "is_spam", is_spam="maybe"),
    bad("interactions", "third arm", UNKNOWN, "assigned_arm", assigned_arm="robot"),
    bad("interactions", "arm in capitals", UNKNOWN, "assigned_arm", assigned_arm="AI"),
    bad("interactions", "guessed arm", UNKNOWN, "assignment_kind", assignment_kind="guess"),
    bad("interactions", "not yet", FUTURE, "opened_at", opened_at=FAR_FUTURE),
    bad("events", "no id", MISSING, "event_id", event_id=None),
    bad("events", "no time", MISSING, "occurred_at", occurred_at=None),
    bad("events", "no such day", UNPARSABLE, "occurred_at", occurred_at="2026-02-30"),
    bad("events", "infinite", UNPARSABLE, "occurred_at", occurred_at="infinity"),
    bad("events", "comma", UNPARSABLE, "handle_seconds", handle_seconds="12,5"),
    bad("events", "epoch", UNPARSABLE, "occurred_at", occurred_at="epoch"),
    bad("spans", "half a token", UNPARSABLE, "input_tokens", input_tokens="12.5"),
    bad("spans", "hexadecimal", UNPARSABLE, "output_tokens", output_tokens="0x1F"),
    bad("spans", "underscore", UNPARSABLE, "output_tokens", output_tokens="1_000"),
    bad("events", "exploded", UNKNOWN, "event_type", event_type="exploded"),
    bad("events", "cat", UNKNOWN, "actor_kind", actor_kind="cat"),
    bad("events", "negative", NEGATIVE, "handle_seconds", handle_seconds=-1),
    bad("events", "not yet", FUTURE, "occurred_at", occurred_at=FAR_FUTURE),
    bad("events", "orphan", "orphan", "interaction_id", interaction_id="nowhere"),
    bad("events", "solved first", EARLY, "occurred_at", occurred_at=BEFORE, event_type="resolved"),
    bad("surveys", "no source", MISSING, "survey_source", survey_source=None),
    bad("surveys", "in words", UNPARSABLE, "score", score="good"),
    bad("surveys", "not a number", UNPARSABLE, "score", score="nan"),
    bad("surveys", "other kind", UNKNOWN, "survey_kind", survey_kind="exit"),
    bad("surveys", "answer not yet", FUTURE, "responded_at", responded_at=FAR_FUTURE),
    bad(
        "surveys",
        "answer first",
        "responded_before_sent",
        "responded_at",
        responded_at=BEFORE,
        score=3,
    ),
    bad(
        "surveys",
        "fax",
        "undeclared_survey_source",
        "survey_source",
        survey_source="fax",
        score=3,
    ),
    bad("surveys", "above scale", "score_outside_scale", "score", score="5.5"),
    bad("surveys", "below scale", "score_outside_scale", "score", score=0),
    bad("surveys", "orphan", "orphan", "interaction_id", interaction_id="nowhere"),
    bad("surveys", "sent first", EARLY, "sent_at", sent_at=BEFORE, responded_at=None, score=None),
    bad("spans", "no start", MISSING, "started_at", started_at=None),
    bad("spans", "many tokens", UNPARSABLE, "input_tokens", input_tokens="many"),
    bad("spans", "dream", UNKNOWN, "operation", operation="dream"),
    bad("spans", "negative input", NEGATIVE, "input_tokens", input_tokens=-1),
    bad("spans", "negative cached", NEGATIVE, "cached_input_tokens", cached_input_tokens=-1),
    bad("spans", "negative output", NEGATIVE, "output_tokens", output_tokens=-1),
    bad("spans", "negative cost", NEGATIVE, "reported_cost_usd", reported_cost_usd="-0.01"),
    bad("spans", "end not yet", FUTURE, "ended_at", ended_at=FAR_FUTURE),
    bad("evaluations", "no value", MISSING, "value", value=None),
    bad("evaluations", "infinite", UNPARSABLE, "value", value="inf"),
    bad("evaluations", "early turn", NEGATIVE, "turn_index", turn_index=-1),
    bad("releases", "no date", MISSING, "released_at", released_at=None),
    bad("releases", "sideways", UNKNOWN, "expected_direction", expected_direction="sideways"),
    bad("costs", "negative", NEGATIVE, "amount_usd", amount_usd="-0.01"),
    bad("costs", "comma", UNPARSABLE, "amount_usd", amount_usd="1,25"),
    bad("costs", "coffee", UNKNOWN, "component", component="coffee"),
]


def with_rows(additions: Iterable[tuple[str, Row]]) -> Landing:
    """The clean landing rows and, after them, some more."""
    landing = clean_landing()
    for entity, row in additions:
        landing[entity].append(row)
    return landing


REJECTED = "select entity, key, reason, column_name from {}marts.rejected_rows"
COUNTS = "select entity, n_raw, n_accepted, n_rejected, n_superseded from {}intermediate."
COUNTS += "int_row_counts"


def contents(rows: Callable[[str], list[tuple]], prefix: str = "") -> dict[str, Counter]:
    """The rows of every fact table, in no order."""
    return {name: Counter(rows(f"select * from {prefix}{name}")) for name in FACTS}


def changed(before: dict[str, Counter], after: dict[str, Counter]) -> dict[str, set[str]]:
    """The first column of the rows that differ, by table; tables that are the same are left out."""
    found = {}
    for name in FACTS:
        rows = (before[name] - after[name]) + (after[name] - before[name])
        if rows:
            found[name] = {row[0] for row in rows}
    return found


def counts(rows: list[tuple]) -> dict[str, tuple[int, ...]]:
    return {row[0]: row[1:] for row in rows}


def build_of(folder: Path, landing: Landing, *arguments: str) -> Build:
    data = write_landing(folder / "data", landing)
    config = write_config(folder / "config", CONFIG)
    return dbt(folder, "build", *arguments, data=data, config=config)


# Builds take long, and most of that is one processor reading the project: two run at a time.


def in_background(make: Callable[[Path], Any]) -> Any:
    """A module's fixture, made in a folder of its own while earlier tests run."""
    MAKERS[make.__name__] = make

    @pytest.fixture(scope="module", name=make.__name__)
    def made(background: dict[str, Future]) -> Any:
        return background[make.__name__].result()

    return made


MAKERS: dict[str, Callable[[Path], Any]] = {}


@pytest.fixture(scope="module")
def background(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future]]:
    """Whatever the tests that were asked for need, in the order of this file."""
    asked = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    pool = ThreadPoolExecutor(max_workers=2)
    yield {
        name: pool.submit(make, tmp_path_factory.mktemp(name))
        for name, make in MAKERS.items()
        if name in asked
    }
    pool.shutdown(cancel_futures=True)


@in_background
def clean(folder: Path) -> Build:
    return build_of(folder, clean_landing(), *NO_TESTS)


@pytest.fixture(scope="module")
def clean_contents(clean: Build) -> dict[str, Counter]:
    assert clean.returncode == 0, clean.output
    return contents(clean.rows)


@pytest.fixture(scope="module")
def replay(clean: Build, clean_contents: dict[str, Counter]) -> Replay:
    replay = Replay(clean, clean.folder / "data", layers=("staging", "input", "facts"))
    replay.run(clean_landing(), None)
    assert contents(replay.rows, "agent_kpis.") == clean_contents
    return replay


def test_the_clean_rows_are_clean_and_show_every_outcome(clean: Build) -> None:
    assert clean.rows(REJECTED.format("")) == []
    for entity, rows in clean_landing().items():
        assert counts(clean.rows(COUNTS.format("")))[entity] == (len(rows), len(rows), 0, 0)
    outcomes = {row[0] for row in clean.rows("select distinct outcome from facts.fct_interactions")}
    assert outcomes >= {"completed", "escalated", "reopened", "pending", "excluded"}
    assert clean.value("select count(*) from facts.fct_interactions where not is_fully_priced") == 0


# One fault at a time


@pytest.mark.parametrize("injection", INJECTIONS)
def test_a_bad_row_is_kept_with_its_reason_and_changes_nothing_else(
    replay: Replay, clean_contents: dict[str, Counter], injection: Injection
) -> None:
    landing = with_rows([(injection.entity, injection.row)])
    replay.run(landing, None)
    expected = (injection.entity, injection.key, injection.reason, injection.column)
    assert replay.rows(REJECTED.format("agent_kpis.")) == [expected]
    assert changed(clean_contents, contents(replay.rows, "agent_kpis.")) == {}
    n = len(landing[injection.entity])
    found = counts(replay.rows(COUNTS.format("agent_kpis.")))
    assert found[injection.entity] == (n, n - 1, 1, 0)
    number, raw = replay.rows(
        "select source_row_number, raw_row from agent_kpis.marts.rejected_rows"
    )[0]
    assert number == n
    spoiled = dict(injection.changes)[injection.column]
    kept = json.loads(raw)[injection.column]
    blank = spoiled is None or not str(spoiled).strip()
    assert (kept is None) if blank else str(kept).startswith(str(spoiled)[:10]), raw


def test_a_rejected_interaction_takes_its_own_events_and_surveys_along(
    replay: Replay, clean_contents: dict[str, Counter]
) -> None:
    landing = clean_landing()
    landing["interactions"][5]["opened_at"] = "soon"
    replay.run(landing, None)
    own = [
        ("events", row["event_id"], "orphan", "interaction_id")
        for row in landing["events"]
        if row["interaction_id"] == case(5)
    ]
    expected = [
        ("interactions", case(5), UNPARSABLE, "opened_at"),
        *own,
        ("surveys", f"{case(5)} survey", "orphan", "interaction_id"),
    ]
    assert sorted(replay.rows(REJECTED.format("agent_kpis."))) == sorted(expected)
    found = changed(clean_contents, contents(replay.rows, "agent_kpis."))
    assert found["facts.fct_interactions"] == {case(5)}
    assert found["facts.fct_surveys"] == {f"{case(5)} survey"}
    unallocated = "select count(*) from agent_kpis.facts.fct_spans where interaction_id is null"
    assert replay.rows(unallocated) == [(1,)]


def test_a_row_with_many_faults_has_the_first_reason(replay: Replay) -> None:
    row = clean_row("events", 4) | {
        "event_id": "all wrong",
        "actor_kind": None,
        "occurred_at": "soon",
        "event_type": "exploded",
        "handle_seconds": -1,
        "interaction_id": "nowhere",
    }
    replay.run(with_rows([("events", row)]), None)
    found = replay.rows(REJECTED.format("agent_kpis."))
    assert found == [("events", "all wrong", MISSING, "actor_kind")]


def test_a_survey_of_an_undeclared_source_without_an_answer_fits(replay: Replay) -> None:
    row = clean_row("surveys", 3) | {"survey_id": "unanswered fax", "survey_source": "fax"}
    assert row["score"] is None
    replay.run(with_rows([("surveys", row)]), None)
    assert replay.rows(REJECTED.format("agent_kpis.")) == []


def test_clocks_may_be_a_day_ahead(replay: Replay) -> None:
    """Scores do not move the watermark, so only the check itself can tell the two rows apart."""
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    rows = [
        clean_row("evaluations", 0) | {"evaluation_id": name, "evaluated_at": now + ahead}
        for name, ahead in (("within", 23 * HOUR), ("beyond", 25 * HOUR))
    ]
    replay.run(with_rows(("evaluations", row) for row in rows), None)
    found = replay.rows(REJECTED.format("agent_kpis."))
    assert found == [("evaluations", "beyond", FUTURE, "evaluated_at")]


# Corrections and missing prices


def test_the_later_row_of_a_key_wins_and_the_earlier_is_counted(
    replay: Replay, clean_contents: dict[str, Counter]
) -> None:
    corrected = clean_row("interactions", 7) | {"channel": "pigeon"}
    same = clean_row("events", 8)
    answered = clean_row("surveys", 10) | {"score": 5}
    additions = [("interactions", corrected), ("events", same), ("surveys", answered)]
    replay.run(with_rows(additions), None)
    assert replay.rows(REJECTED.format("agent_kpis.")) == []
    found = counts(replay.rows(COUNTS.format("agent_kpis.")))
    for entity, rows in clean_landing().items():
        more = 1 if entity in ("interactions", "events", "surveys") else 0
        assert found[entity] == (len(rows) + more, len(rows), 0, more), entity
    assert changed(clean_contents, contents(replay.rows, "agent_kpis.")) == {
        "facts.fct_interactions": {case(7)},
        "facts.fct_surveys": {f"{case(10)} survey"},
    }
    interactions = replay.table("facts.fct_interactions", "interaction_id")
    surveys = replay.table("facts.fct_surveys", "survey_id")
    assert interactions[case(7)]["channel"] == "pigeon"
    assert surveys[f"{case(10)} survey"]["score"] == 100


def test_a_correction_that_does_not_fit_corrects_nothing(
    replay: Replay, clean_contents: dict[str, Counter]
) -> None:
    row = clean_row("interactions", 7) | {"channel": "pigeon", "assigned_arm": "robot"}
    replay.run(with_rows([("interactions", row)]), None)
    found = replay.rows(REJECTED.format("agent_kpis."))
    assert found == [("interactions", case(7), UNKNOWN, "assigned_arm")]
    assert changed(clean_contents, contents(replay.rows, "agent_kpis.")) == {}


def test_usage_without_a_price_is_no_cost_and_is_counted(
    replay: Replay, clean_contents: dict[str, Counter]
) -> None:
    before = {row[0]: row for row in clean_contents["facts.fct_costs"]}
    row = clean_row("spans", 9) | {"span_id": "unpriced", "model": "unheard-of"}
    replay.run(with_rows([("spans", row)]), None)
    assert replay.rows(REJECTED.format("agent_kpis.")) == []
    assert changed(clean_contents, contents(replay.rows, "agent_kpis.")) == {
        "facts.fct_interactions": {case(9)},
        "facts.fct_spans": {"unpriced"},
        "facts.fct_costs": {f"spans {case(9)}"},
    }
    assert replay.table("facts.fct_spans", "span_id")["unpriced"]["cost_usd"] is None
    fact = replay.table("facts.fct_interactions", "interaction_id")[case(9)]
    assert fact["cost_usd"] is None
    assert fact["is_fully_priced"] is False
    assert fact["known_cost_usd"] > 0
    entry = replay.table("facts.fct_costs", "cost_id")[f"spans {case(9)}"]
    assert (entry["n_entries"], entry["n_unpriced"]) == (2, 1)
    assert entry["amount_usd"] in before[f"spans {case(9)}"], "the priced part stays"


# All faults at once


@in_background
def spoiled(folder: Path) -> Build:
    injections = [parameter.values[0] for parameter in INJECTIONS]
    landing = with_rows((injection.entity, injection.row) for injection in injections)
    landing["events"].append(clean_row("events", 8))
    unpriced = clean_row("spans", 9) | {"span_id": "unpriced", "model": "unheard-of"}
    landing["spans"].append(unpriced)
    return build_of(folder, landing, "--exclude-resource-type", "unit_test")


def test_all_else_builds_and_passes(spoiled: Build) -> None:
    assert spoiled.returncode == 0, spoiled.output
    assert set(spoiled.results.values()) <= {"success", "pass", "warn"}
    assert spoiled.results["usage_without_a_price"] == "warn"


def test_every_bad_row_is_there_once(spoiled: Build) -> None:
    injections = [parameter.values[0] for parameter in INJECTIONS]
    expected = Counter((i.entity, i.key, i.reason, i.column) for i in injections)
    assert Counter(spoiled.rows(REJECTED.format(""))) == expected
    rejected = Counter(i.entity for i in injections)
    found = counts(spoiled.rows(COUNTS.format("")))
    for entity, rows in clean_landing().items():
        good = len(rows) + (entity == "spans")
        doubled = int(entity == "events")
        raw = good + doubled + rejected[entity]
        assert found[entity] == (raw, good, rejected[entity], doubled), entity


def test_all_other_facts_are_those_of_the_clean_rows(
    spoiled: Build, clean: Build, clean_contents: dict[str, Counter]
) -> None:
    assert changed(clean_contents, contents(spoiled.rows)) == {
        "facts.fct_interactions": {case(9)},
        "facts.fct_spans": {"unpriced"},
        "facts.fct_costs": {f"spans {case(9)}"},
    }
    numbers = "select sum(n_interactions), sum(n_mature), sum(n_completed), sum(n_escalated), "
    numbers += "sum(score_sum), sum(n_priced) from marts.kpi_daily"
    before, after = clean.row(numbers), spoiled.row(numbers)
    assert before[0] == 40
    assert after[:-1] == before[:-1]
    assert after[-1] == before[-1] - 1


# The kpi command


KPI = Path(sys.executable).parent / "kpi"


@dataclass(frozen=True)
class Run:
    """What `kpi build` did."""

    out: Path
    code: int
    stdout: str
    stderr: str

    def lines_about(self, text: str) -> str:
        return "\n".join(line for line in self.stderr.splitlines() if text in line)


def kpi_build(data: Path, config: Path, out: Path, *arguments: str) -> Run:
    """Run `kpi build`; whatever goes wrong, nobody is shown a traceback."""
    command = [str(KPI), "build", "--data", str(data), "--config", str(config), "--out", str(out)]
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=data if data.is_dir() else data.parent,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return Run(out, done.returncode, done.stdout, done.stderr)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Good data, a good configuration, and where to write."""
    data = write_landing(tmp_path / "data", clean_landing(6))
    return data, write_config(tmp_path / "config", CONFIG), tmp_path / "out"


def replace_in(file: Path, old: str, new: str) -> None:
    """Change a file's text, line ends kept; the text must be there."""
    text = file.read_bytes().decode()
    assert old in text, f"no {old!r} in {file}"
    file.write_bytes(text.replace(old, new).encode())


def replace_line(file: Path, number: int, line: str) -> None:
    lines = file.read_bytes().decode().split("\r\n")
    lines[number - 1] = line
    file.write_bytes("\r\n".join(lines).encode())


# Files that cannot be read


@in_background
def unreadable(folder: Path) -> Run:
    """Every entity has a file with another defect."""
    data = write_landing(folder / "data", clean_landing(6))
    csv = data / "interactions.csv"
    duckdb.sql(f"copy (from read_csv('{csv}')) to '{data}/interactions.parquet'")
    (data / "events.csv").unlink()
    replace_in(data / "surveys.csv", '"survey_source"', '"source"')
    (data / "spans.csv").write_bytes(b"")
    (data / "evaluations.csv").unlink()
    (data / "evaluations.parquet").write_bytes(bytes(range(256)) * 4)
    replace_in(data / "releases.csv", ",", ";")
    replace_line(data / "costs.csv", 3, '"case-01 cost,2026-02-02,platform,3,,')
    return kpi_build(data, write_config(folder / "config", CONFIG), folder / "out")


@in_background
def unreadable_too(folder: Path) -> Run:
    data = write_landing(folder / "data", clean_landing(6))
    (data / "interactions.csv").write_bytes(b"")
    (data / "events.csv").write_bytes(
        b"Export of 2026-02-10\n" + (data / "events.csv").read_bytes()
    )
    replace_in(data / "surveys.csv", '"responded_at"', '"sent_at"')
    replace_line(data / "spans.csv", 4, '"case-02 span","too","few"')
    (data / "evaluations.csv").unlink()
    (data / "evaluations.parquet").write_bytes(b"")
    file = data / "releases.csv"
    file.write_bytes(file.read_bytes().replace(b"atlas", b"atl\xe9s"))
    replace_line(data / "costs.csv", 5, '"case-03 cost"s,"2026-02-02","platform","3","",""')
    return kpi_build(data, write_config(folder / "config", CONFIG), folder / "out")


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("interactions.parquet", ["Two landing files", "interactions.csv", "Keep the one"]),
        ("events.csv", ["No landing file for events", "events.parquet", "--data"]),
        (
            "surveys.csv",
            ["lacks the required column survey_source.", "It has: survey_id", " source,"],
        ),
        ("spans.csv", ["is empty", "no header line"]),
        ("evaluations.parquet", ["No magic bytes"]),
        ("releases.csv", ["lacks the required columns agent_name", "divided by commas"]),
        ("costs.csv", ["line 3", "quote", "case-01 cost"]),
    ],
)
def test_a_file_that_cannot_be_read_is_named(unreadable: Run, file: str, told: list[str]) -> None:
    assert unreadable.code == 2
    message = unreadable.lines_about(file)
    assert message.startswith("error: ")
    assert [part for part in told if part not in message] == []


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("interactions.csv", ["is empty", "no header line"]),
        ("events.csv", ["lacks the required columns event_id", "export of 2026-02-10"]),
        ("surveys.csv", ["more than one column sent_at"]),
        ("evaluations.parquet", ["too small to be a Parquet file"]),
        ("spans.csv", ["line 4", "3 cells, but the header has 16"]),
        ("releases.csv", ["line 2", "not UTF-8"]),
        ("costs.csv", ["line 5", "quote", "case-03 cost"]),
    ],
)
def test_another_file_that_cannot_be_read_is_named(
    unreadable_too: Run, file: str, told: list[str]
) -> None:
    assert unreadable_too.code == 2
    message = unreadable_too.lines_about(file)
    assert message.startswith("error: ")
    assert [part for part in told if part not in message] == []


def test_what_cannot_be_built_is_not_published(unreadable: Run, unreadable_too: Run) -> None:
    for run in (unreadable, unreadable_too):
        assert "Nothing was published" in run.stderr
        assert not (run.out / "agent_kpis.duckdb").exists()


# Files that are short of something and still fine


@in_background
def header_alone(folder: Path) -> Build:
    return build_of(folder, {}, "--exclude-resource-type", "unit_test")


def test_files_with_a_header_alone_make_empty_marts(header_alone: Build) -> None:
    assert header_alone.returncode == 0, header_alone.output
    for table in (*FACTS[:5], "marts.rejected_rows", "marts.kpi_daily", "marts.kpi_scorecard"):
        assert header_alone.value(f"select count(*) from {table}") == 0, table


@in_background
def without_optional(folder: Path) -> Build:
    """Interactions and events alone, of them only what is required."""
    data = write_landing(folder / "data", {})
    for name, entity in entities().items():
        (data / f"{name}.csv").unlink()
        if name in ("interactions", "events"):
            columns = [column.name for column in entity.columns if column.required]
            rows = [[str(row[name]) for name in columns] for row in clean_landing()[name]]
            lines = [",".join(columns), *(",".join(row) for row in rows)]
            (data / f"{name}.csv").write_text("\n".join(lines))  # and no line end at the end
    config = write_config(folder / "config", CONFIG)
    return dbt(folder, "build", "--exclude-resource-type", "unit_test", data=data, config=config)


def test_optional_files_and_columns_may_be_left_out(without_optional: Build) -> None:
    assert without_optional.returncode == 0, without_optional.output
    assert without_optional.value("select count(*) from marts.rejected_rows") == 0
    count = "select count(*), count(customer_id), count(tier) from facts.fct_interactions"
    assert without_optional.row(count) == (40, 0, 0)


def test_what_was_left_out_is_unknown_and_not_zero(without_optional: Build) -> None:
    for table in ("fct_surveys", "fct_spans", "fct_evaluations"):
        assert without_optional.value(f"select count(*) from facts.{table}") == 0, table
    priced = "select count(cost_usd), count(*) filter (is_fully_priced) from facts.fct_interactions"
    assert without_optional.row(priced) == (0, 0)
    scores = without_optional.rows(
        "select distinct value, level from marts.kpi_scorecard"
        " where kpi in ('csat', 'cost_per_successful_outcome')"
    )
    assert scores == [(None, "no_data")]
    completion = without_optional.value(
        "select max(value) from marts.kpi_scorecard where kpi = 'task_completion_rate'"
    )
    assert completion is not None


# Odd, and to be read as it stands


LONG = "x" * 10_000
ODD_IDS = ["007", "7", "#1", "🙂 ñ 漢", 'say "hi", twice', "two\nlines", LONG, " 7 "]


@in_background
def odd(folder: Path) -> Build:
    """Proper CSV in improper clothes, in a folder whose name has all sorts of characters."""
    landing = clean_landing(12)
    for row, name in zip(landing["interactions"], ODD_IDS, strict=False):
        row["interaction_id"] = name
    for entity in ("events", "surveys", "spans", "evaluations", "costs"):
        for row in landing[entity]:
            number = int(row["interaction_id"].removeprefix("case-"))
            if number < len(ODD_IDS):
                row["interaction_id"] = ODD_IDS[number]
    times = ("2026-02-02T09:00:00+02:00", "2026-02-02 09:00:00-05:30", "2026-02-02T09:00:00Z")
    for row, time in zip(landing["interactions"], [*times, "2026-02-02 09:00:00"], strict=False):
        row["opened_at"] = time
    landing["interactions"][4]["customer_id"] = "   "
    landing["interactions"][4]["is_test"] = " "
    landing["interactions"].append(clean_row("interactions", 11) | {"interaction_id": "  "})
    data = write_landing(folder / "data", landing)

    file = data / "interactions.csv"
    replace_in(file, '"interaction_id"', '" Interaction_ID "')
    replace_in(file, '"source_system"', '"source_system","Custom","Custom",')
    text = file.read_bytes().replace(b',""\r\n', b',"","1","2",""\r\n')
    file.write_bytes(b"\xef\xbb\xbf" + text)
    events = (data / "events.csv").read_bytes().replace(b"\r\n", b"\n")
    (data / "events.csv").write_bytes(events + b"\n\n")

    strange = folder / "it's a [folder] of 100% ünusual * names"
    shutil.move(data, strange)
    config = write_config(folder / "config", CONFIG)
    return dbt(folder, "build", *NO_TESTS, "--select", *INPUT_ONLY, data=strange, config=config)


@pytest.fixture(scope="module")
def odd_rows(odd: Build) -> dict[str, dict[str, Any]]:
    assert odd.returncode == 0, odd.output
    rows = odd.rows(
        "select interaction_id, opened_at, customer_id, is_test, customer_id from "
        "intermediate.int_interactions_screened where rejection_reason is null"
    )
    return {row[0]: {"opened_at": row[1], "customer_id": row[2], "is_test": row[3]} for row in rows}


def test_ids_stay_as_they_are(odd_rows: dict[str, Any]) -> None:
    assert set(odd_rows) == {*ODD_IDS, *(case(number) for number in range(len(ODD_IDS), 12))}


def test_odd_ids_join(odd: Build, odd_rows: dict[str, Any]) -> None:
    assert odd_rows
    found = counts(odd.rows(COUNTS.format("")))
    landing = clean_landing(12)
    assert found["events"] == (len(landing["events"]), len(landing["events"]), 0, 0)
    assert found["surveys"] == (12, 12, 0, 0)


def test_times_with_an_offset_become_utc(odd_rows: dict[str, Any]) -> None:
    times = [odd_rows[name]["opened_at"] for name in ODD_IDS[:4]]
    nine = datetime(2026, 2, 2, 9)
    assert times == [nine - 2 * HOUR, nine + 5 * HOUR + 30 * MINUTE, nine, nine]


def test_a_cell_of_spaces_is_empty(odd: Build, odd_rows: dict[str, Any]) -> None:
    blank = odd_rows[ODD_IDS[4]]
    assert (blank["customer_id"], blank["is_test"]) == (None, None)
    rejected = odd.rows("select entity, key, reason, column_name from marts.rejected_rows")
    assert rejected == [("interactions", None, MISSING, "interaction_id")]


def test_columns_nobody_reads_are_noted(odd: Build, odd_rows: dict[str, Any]) -> None:
    assert odd_rows
    notes = {line.split("Note: ")[1] for line in odd.output.splitlines() if "Note: " in line}
    assert len(notes) == 1
    note = notes.pop()
    assert "interactions.csv: not read: custom" in note
    assert "interaction_id" not in note


# Parquet with other types than the contract


TYPED = {
    "interactions": """
        select 7 + range as interaction_id,
            timestamptz '2026-02-02 09:00:00+02' + range * interval 1 hour as opened_at,
            'ai'::enum ('ai', 'human') as assigned_arm, 'booking' as task_type, 'email' as channel,
            case range when 0 then 0 when 1 then 1 end as is_spam,
            case when range < 3 then 42::double else 'nan'::double end as customer_id
        from range(6)""",
    "events": """
        select uuid() as event_id, (7 + range)::smallint as interaction_id,
            (timestamp '2026-02-02 09:30:00' + range * interval 1 hour)::varchar as occurred_at,
            'message' as event_type, 'customer' as actor_kind,
            case when range = 0 then 'nan'::float else 12.5::float end as handle_seconds
        from range(6)""",
    "surveys": """
        select 100 + range as survey_id, 7 + range as interaction_id,
            'post_interaction' as survey_kind, 'email_csat' as survey_source,
            date '2026-02-03' as sent_at, null as responded_at, null::integer as score
        from range(6)""",
    "spans": """
        select encode('é' || range) as span_id, timestamp_ns '2026-02-02 09:00:00.5' as started_at,
            'inference' as operation, 7 + range as interaction_id,
            case when range > 1 then 'nan'::double else 1000.0 end as input_tokens,
            null::double as output_tokens, 0.25::float as reported_cost_usd
        from range(4)""",
    "costs": """
        select range as cost_id, 'platform' as component, 1.25::double as amount_usd,
            1770000000::bigint as occurred_at
        from range(2)""",
    "evaluations": """
        select range::utinyint as evaluation_id, timestamp_s '2026-02-02 09:00:00' as evaluated_at,
            'tool_call_accuracy' as indicator, [0.5] as value
        from range(2)""",
}


@in_background
def typed(folder: Path) -> Build:
    data = folder / "data"
    data.mkdir()
    with duckdb.connect() as connection:
        for entity, query in TYPED.items():
            connection.execute(f"copy ({query}) to '{data}/{entity}.parquet'")
    config = write_config(folder / "config", CONFIG)
    return dbt(folder, "build", *NO_TESTS, "--select", *INPUT_ONLY, data=data, config=config)


def test_parquet_ids_and_times_of_other_types(typed: Build) -> None:
    assert typed.returncode == 0, typed.output
    rows = typed.rows("select interaction_id, opened_at, is_spam from input.input_interactions")
    seven = datetime(2026, 2, 2, 7)
    assert sorted(rows, key=lambda row: row[1]) == [
        (str(7 + number), seven + number * HOUR, (False, True, None)[min(number, 2)])
        for number in range(6)
    ]
    found = counts(typed.rows(COUNTS.format("")))
    assert found["events"] == (6, 6, 0, 0)
    assert found["surveys"] == (6, 6, 0, 0)
    assert typed.value("select min(occurred_at) from input.input_events") == seven + 150 * MINUTE
    assert typed.value("select max(sent_at) from input.input_surveys") == datetime(2026, 2, 3)
    spans = typed.rows("select distinct started_at from input.input_spans")
    assert spans == [(datetime(2026, 2, 2, 9, 0, 0, 500_000),)]
    ids = {row[0] for row in typed.rows("select span_id from input.input_spans")}
    assert ids == {"é0", "é1", "é2", "é3"}


def test_not_a_number_in_parquet_is_missing(typed: Build) -> None:
    tokens = typed.rows("select input_tokens, output_tokens from input.input_spans order by 1")
    assert tokens == [(1000, None), (1000, None), (None, None), (None, None)]
    customers = "select count(*), count(customer_id) from input.input_interactions"
    assert typed.row(customers) == (6, 3)
    handled = "select sum(handle_seconds), count(handle_seconds) from input.input_events"
    assert typed.row(handled) == (62.5, 5)
    cost = typed.value("select sum(reported_cost_usd) from input.input_spans")
    assert cost == Decimal(1)


def test_parquet_values_that_cannot_be_converted_are_rejected(typed: Build) -> None:
    found = Counter(typed.rows("select entity, reason, column_name from marts.rejected_rows"))
    assert found == {
        ("costs", UNPARSABLE, "occurred_at"): 2,
        ("evaluations", UNPARSABLE, "value"): 2,
    }


# Configuration


def test_a_missing_configuration_file(folders: tuple[Path, Path, Path]) -> None:
    data, config, out = folders
    (config / "survey_scales.csv").unlink()
    run = kpi_build(data, config, out)
    assert run.code == 2
    assert f"{config}/survey_scales.csv is missing" in run.stderr


def test_a_missing_configuration_column(folders: tuple[Path, Path, Path]) -> None:
    data, config, out = folders
    replace_in(config / "labour_rates.csv", '"usd_per_hour"', '"rate"')
    run = kpi_build(data, config, out)
    assert run.code == 2
    assert f"{config}/labour_rates.csv lacks the column usd_per_hour" in run.stderr
    assert "It has: tier, rate" in run.stderr


def test_an_empty_configuration_file(folders: tuple[Path, Path, Path]) -> None:
    data, config, out = folders
    (config / "channels.csv").write_bytes(b"")
    run = kpi_build(data, config, out)
    assert run.code == 2
    assert f"{config}/channels.csv lacks the columns channel, kind" in run.stderr


@pytest.mark.parametrize("option", ["--data", "--config"])
def test_a_folder_that_is_not_there(folders: tuple[Path, Path, Path], option: str) -> None:
    data, config, out = folders
    shutil.rmtree(data if option == "--data" else config)
    run = kpi_build(data, config, out)
    assert run.code == 2
    assert str(data if option == "--data" else config) in run.stderr
    assert option in run.stderr


@pytest.mark.parametrize("text", ["tomorrow", "2026-02-30", "9 March"])
def test_a_time_that_is_none(folders: tuple[Path, Path, Path], text: str) -> None:
    run = kpi_build(*folders, "--as-of", text)
    assert run.code == 2
    assert f"--as-of {text}: not a time" in run.stderr


@in_background
def impossible(folder: Path) -> Run:
    """A definition that nobody wrote, and a threshold that is no number."""
    data = write_landing(folder / "data", clean_landing(6))
    config = write_config(folder / "config", CONFIG)
    replace_in(config / "task_types.csv", '"booking","booked_and_paid"', '"booking","smiled"')
    replace_in(config / "thresholds.csv", '"5"', '"five"')
    return kpi_build(data, config, folder / "out")


def test_an_unknown_completion_definition(impossible: Run) -> None:
    assert impossible.code == 2
    message = impossible.lines_about("smiled")
    told = ["task_types.csv", "'booking'", "'smiled'", "completed_smiled", "booked_and_paid"]
    told += ["question_not_repeated", "resolved_not_reopened"]
    assert [part for part in told if part not in message] == []


def test_a_cell_of_the_configuration_that_is_no_number(impossible: Run) -> None:
    message = impossible.lines_about("five")
    file = str(impossible.out.parent / "config" / "thresholds.csv")
    told = [f"{file}, line 2", '"warning"', '"five"']
    assert [part for part in told if part not in message] == []


THRESHOLD, SCOPE = CONFIG["thresholds"][0], CONFIG["agent_scopes"][0]
DISORDER = {"warning": 20, "critical": 10, "catastrophic": 5}
NO_SENSE = CONFIG | {
    "thresholds": [
        THRESHOLD,
        THRESHOLD | {"kpi": "happiness"},
        THRESHOLD | {"kpi": "deflection_rate"},
        THRESHOLD | {"kpi": "csat", "threshold_profile": "disorderly", **DISORDER},
        THRESHOLD | {"kpi": "csat", "unit": "furlongs"},
    ],
    "agent_scopes": [SCOPE | {"holdout_share": Decimal("1.5")}],
    "channels": [*CONFIG["channels"], *CONFIG["channels"]],
    "labour_rates": [CONFIG["labour_rates"][0] | {"owner": None}],
}


@in_background
def misconfigured(folder: Path) -> Run:
    data = write_landing(folder / "data", clean_landing(6))
    return kpi_build(data, write_config(folder / "config", NO_SENSE), folder / "out")


def test_the_configuration_is_read_and_not_written(misconfigured: Run, tmp_path: Path) -> None:
    original = write_config(tmp_path / "config", NO_SENSE)
    for file in original.iterdir():
        assert (misconfigured.out.parent / "config" / file.name).read_text() == file.read_text()


@pytest.mark.parametrize(
    "told",
    [
        ["thresholds", "kpi happiness"],
        ["thresholds", "kpi deflection_rate"],
        ["thresholds", "warning < critical and critical < catastrophic", "disorderly"],
        ["thresholds", "unit in (", "furlongs"],
        ["agent_scopes", "holdout_share > 0 and holdout_share < 1", "holdout_share 1.5"],
        ["channels", "channel chat", "n_rows 2"],
        ["labour_rates", "tier tier_1", "owner (empty)"],
    ],
    ids=lambda told: told[1],
)
def test_a_configuration_that_makes_no_sense_fails(misconfigured: Run, told: list[str]) -> None:
    assert misconfigured.code == 1, misconfigured.stderr
    failures = misconfigured.stderr.split("failed: ")[1:]
    assert any(all(part in failure for part in told) for failure in failures), failures
