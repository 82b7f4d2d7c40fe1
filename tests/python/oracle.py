"""A second, plain-Python computation of what the models compute in SQL.

It was written from the decision records alone, not from the SQL; it uses the standard library only,
and prefers one obvious step after another to speed. Functions are named after the rules they hold.

    result = compute(landing, config, as_of=None, now=datetime(2026, 11, 1))
    result.interactions["i1"]["outcome"]
    kpis(result, arm="ai")["task_completion_rate"]

Landing rows are dictionaries of typed values (times are naive UTC); a cell that did not parse is an
`Unparsable`. Configuration rows are the typed rows of the seeds.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

Row = dict[str, Any]
Landing = Mapping[str, Sequence[Row]]
Config = Mapping[str, Sequence[Row]]

GENERATIONS = 32
SESSION_GAP = timedelta(minutes=30)
FAILED_TURNS_BEFORE_PREFERENCE = 2
USAGE_DEPTH = 8
FUTURE_TOLERANCE = timedelta(days=1)
DAY = timedelta(days=1)
CENT_FRACTION = Decimal("1e-10")
EVIDENCE_ORDER = ("assumed", "confirmed", "verified")


@dataclass(frozen=True)
class Unparsable:
    """A raw cell whose text is no value of its column's type."""

    text: str


@dataclass
class Result:
    """Everything the oracle knows about one set of landing rows."""

    as_of: datetime | None = None
    rejected: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    superseded: dict[str, list[int]] = field(default_factory=dict)
    accepted: dict[str, list[Row]] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)
    interactions: dict[str, Row] = field(default_factory=dict)
    span_costs: dict[str, Decimal | None] = field(default_factory=dict)
    surveys: dict[str, Row] = field(default_factory=dict)


# --- The contract ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entity:
    """One entity of the contract: its columns and what they accept."""

    key: tuple[str, ...]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    times: tuple[str, ...]
    accepted: Mapping[str, frozenset[str]] = field(default_factory=dict)
    not_negative: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.required + self.optional


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def one_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


EVENT_TYPES = words(
    "opened message assigned handed_off resolved reopened closed booking_confirmed"
    " booking_cancelled payment_processed payment_reversed question_asked question_answered"
    " wrapped_up"
)

CONTRACT: dict[str, Entity] = {
    "interactions": Entity(
        key=("interaction_id",),
        required=words("interaction_id opened_at assigned_arm task_type channel"),
        optional=words(
            "assignment_kind customer_id tier parent_interaction_id agent_name agent_version"
            " is_spam is_test source_system"
        ),
        times=("opened_at",),
        accepted={
            "assigned_arm": one_of("ai human"),
            "assignment_kind": one_of("randomised routed replayed"),
        },
    ),
    "events": Entity(
        key=("event_id",),
        required=words("event_id interaction_id occurred_at event_type actor_kind"),
        optional=words("actor_id reason question_key evidence handle_seconds"),
        times=("occurred_at",),
        accepted={
            "event_type": frozenset(EVENT_TYPES),
            "actor_kind": one_of("ai human customer system"),
            "evidence": frozenset(EVIDENCE_ORDER),
        },
        not_negative=("handle_seconds",),
    ),
    "surveys": Entity(
        key=("survey_id",),
        required=words("survey_id interaction_id survey_kind survey_source sent_at"),
        optional=words("responded_at score"),
        times=words("sent_at responded_at"),
        accepted={"survey_kind": one_of("post_interaction in_conversation")},
    ),
    "spans": Entity(
        key=("span_id",),
        required=words("span_id started_at operation"),
        optional=words(
            "trace_id parent_span_id interaction_id agent_name agent_version name ended_at"
            " error_type model input_tokens cached_input_tokens output_tokens reported_cost_usd"
        ),
        times=words("started_at ended_at"),
        accepted={"operation": one_of("inference tool retrieval guardrail handoff")},
        not_negative=words("input_tokens cached_input_tokens output_tokens reported_cost_usd"),
    ),
    "evaluations": Entity(
        key=("evaluation_id",),
        required=words("evaluation_id evaluated_at indicator value"),
        optional=words(
            "interaction_id span_id evaluator_kind evaluator_name evaluator_version turn_index"
        ),
        times=("evaluated_at",),
        accepted={"evaluator_kind": one_of("llm code human")},
        not_negative=("turn_index",),
    ),
    "releases": Entity(
        key=("agent_name", "agent_version"),
        required=words("agent_name agent_version released_at"),
        optional=words("change_type summary target_kpi expected_direction min_effect decide_by"),
        times=("released_at",),  # decide_by may lie in the future
        accepted={
            "change_type": one_of("prompt tool knowledge_base memory model routing"),
            "expected_direction": one_of("up down"),
        },
    ),
    "costs": Entity(
        key=("cost_id",),
        required=words("cost_id occurred_at component amount_usd"),
        optional=words("interaction_id agent_name"),
        times=("occurred_at",),
        accepted={"component": one_of("platform telephony human evaluation other")},
        not_negative=("amount_usd",),
    ),
}


# --- Configuration by date (decisions: definitions before their date) -----------------------------


class Dated:
    """Effective-dated configuration: the last row at or before a time applies.

    With `covers_before` the first row also covers the time before it (task types, reasons, scales,
    channels); without it there is nothing before the first row (prices, labour rates).
    """

    def __init__(self, rows: Iterable[Row], key: str, *, covers_before: bool) -> None:
        self.covers_before = covers_before
        self.rows: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            self.rows[row[key]].append(row)
        for versions in self.rows.values():
            versions.sort(key=lambda row: row["effective_from"])

    def __contains__(self, key: str | None) -> bool:
        return key in self.rows

    def at(self, key: str | None, time: datetime) -> Row | None:
        versions = self.rows.get(key, [])
        found = None
        for row in versions:
            if row["effective_from"] <= time:
                found = row
        if found is None and versions and self.covers_before:
            return versions[0]
        return found


class Settings:
    """All seeds that a fact depends on."""

    def __init__(self, config: Config) -> None:
        def dated(seed: str, key: str, covers_before: bool) -> Dated:
            return Dated(config.get(seed, ()), key, covers_before=covers_before)

        self.task_types = dated("task_types", "task_type", True)
        self.reasons = dated("escalation_reasons", "reason", True)
        self.scales = dated("survey_scales", "survey_source", True)
        self.channels = dated("channels", "channel", True)
        self.prices = dated("model_prices", "model", False)
        self.labour = dated("labour_rates", "tier", False)
        self.scopes = list(config.get("agent_scopes", ()))


# --- Screening (decisions: the input layer) -------------------------------------------------------


def own_reason(entity: Entity, row: Row, settings: Settings, now: datetime) -> str | None:
    """The first reason, in the decided order, that the row alone gives for rejecting it."""
    if any(row.get(column) is None for column in entity.required):
        return "missing_required_value"
    if any(isinstance(row.get(column), Unparsable) for column in entity.columns):
        return "unparsable_value"
    for column, values in entity.accepted.items():
        value = row.get(column)
        if value is not None and value not in values:
            return "unknown_value"
    for column in entity.not_negative:
        value = row.get(column)
        if value is not None and value < 0:
            return "negative_value"
    latest = now + FUTURE_TOLERANCE
    for column in entity.times:
        value = row.get(column)
        if value is not None and value > latest:
            return "future_time"
    if "survey_source" in entity.required:
        return survey_reason(row, settings)
    return None


def survey_reason(row: Row, settings: Settings) -> str | None:
    """What is wrong with an answer: its time, its undeclared scale, or its score."""
    responded_at, score = row.get("responded_at"), row.get("score")
    if responded_at is not None and responded_at < row["sent_at"]:
        return "responded_before_sent"
    if score is None:
        return None
    scale = settings.scales.at(row["survey_source"], row["sent_at"])
    if scale is None:
        return "undeclared_survey_source"
    if not decimal(scale["scale_min"]) <= decimal(score) <= decimal(scale["scale_max"]):
        return "score_outside_scale"
    return None


def relation_reason(row: Row, time: str, openings: Mapping[str, datetime]) -> str | None:
    """Events and surveys need an accepted interaction that opened no later than they happened."""
    opened_at = openings.get(row["interaction_id"])
    if opened_at is None:
        return "orphan"
    if row[time] < opened_at:
        return "before_interaction_opened"
    return None


def screen(landing: Landing, settings: Settings, now: datetime, result: Result) -> None:
    """Split every entity into accepted, rejected and superseded rows."""
    openings: dict[str, datetime] = {}
    for name, entity in CONTRACT.items():  # interactions come first
        time = {"events": "occurred_at", "surveys": "sent_at"}.get(name)
        rejected: list[tuple[int, str]] = []
        fitting: list[int] = []
        rows = landing.get(name) or ()
        for index, row in enumerate(rows):
            reason = own_reason(entity, row, settings, now)
            if reason is None and time is not None:
                reason = relation_reason(row, time, openings)
            if reason is None:
                fitting.append(index)
            else:
                rejected.append((index, reason))
        kept = last_of_each_key(entity, rows, fitting)
        result.rejected[name] = rejected
        result.superseded[name] = [index for index in fitting if index not in kept]
        result.accepted[name] = [
            {column: rows[index].get(column) for column in entity.columns}
            for index in fitting
            if index in kept
        ]
        if name == "interactions":
            openings = {row["interaction_id"]: row["opened_at"] for row in result.accepted[name]}


def last_of_each_key(entity: Entity, rows: Sequence[Row], fitting: Sequence[int]) -> set[int]:
    """Corrections: of the rows that fit, the last one in the source wins per key."""
    last: dict[tuple, int] = {}
    for index in fitting:
        last[tuple(rows[index][column] for column in entity.key)] = index
    return set(last.values())


def watermark(accepted: Mapping[str, Sequence[Row]]) -> datetime | None:
    """The latest opening or event; no other feed may age tickets."""
    times = [row["opened_at"] for row in accepted["interactions"]]
    times += [row["occurred_at"] for row in accepted["events"]]
    return max(times, default=None)


# --- Follow-ups -----------------------------------------------------------------------------------


def opened_no_later(parent: Row, child: Row) -> bool:
    return parent["opened_at"] <= child["opened_at"]


def find_roots(interactions: Mapping[str, Row]) -> dict[str, str]:
    """The root of every interaction: its first ancestor.

    One whose chain of parents never ends (a circle, too many generations) is a root of its own.
    """
    parents = {
        key: row["parent_interaction_id"]
        for key, row in interactions.items()
        if row["parent_interaction_id"] in interactions
        and row["parent_interaction_id"] != key
        and opened_no_later(interactions[row["parent_interaction_id"]], row)
    }
    roots = {}
    for key in interactions:
        node, steps = key, 0
        while node in parents and steps < GENERATIONS:
            node, steps = parents[node], steps + 1
        roots[key] = key if node in parents else node
    return roots


# --- Completion moments (decisions: completion) ---------------------------------------------------


@dataclass(frozen=True)
class Moment:
    """A time at which the request looked done, and the first undoing at or after it."""

    completed_at: datetime
    next_undo_at: datetime | None
    evidence: str | None


# A question (or None where the basis knows no questions) and its moments in order of time.
Moments = dict[Any, list[Moment]]

BASIS = {
    "resolved_not_reopened": "resolution",
    "booked_and_paid": "booking",
    "question_not_repeated": "answer",
}


def first_at_or_after(times: Sequence[datetime], time: datetime) -> datetime | None:
    position = bisect_left(times, time)
    return times[position] if position < len(times) else None


def first_after(times: Sequence[datetime], time: datetime) -> datetime | None:
    position = bisect_right(times, time)
    return times[position] if position < len(times) else None


def times_of(events: Iterable[Row], *types: str) -> list[datetime]:
    """The distinct times of the events of these types, in order."""
    return sorted({event["occurred_at"] for event in events if event["event_type"] in types})


def strongest(evidence: Iterable[str | None]) -> str | None:
    known = [EVIDENCE_ORDER.index(item) for item in evidence if item is not None]
    return EVIDENCE_ORDER[max(known)] if known else None


def resolution_moments(events: Sequence[Row], undoings: Sequence[datetime]) -> Moments:
    """Resolutions by ai, human or customer; an automatic closing by the system is none."""
    moments = [
        Moment(
            event["occurred_at"],
            first_at_or_after(undoings, event["occurred_at"]),
            event["evidence"],
        )
        for event in events
        if event["event_type"] == "resolved" and event["actor_kind"] != "system"
    ]
    return {None: moments}


def booking_moments(events: Sequence[Row], undoings: Sequence[datetime]) -> Moments:
    """The seconds at which booking and payment come to hold both; undoing comes last in each."""
    by_time: dict[datetime, list[Row]] = defaultdict(list)
    for event in events:
        by_time[event["occurred_at"]].append(event)
    moments: list[Moment] = []
    booked = paid = False
    for time in sorted(by_time):
        types = {event["event_type"] for event in by_time[time]}
        held = booked and paid
        booked = booked or "booking_confirmed" in types
        paid = paid or "payment_processed" in types
        if booked and paid and not held:
            evidence = strongest(
                event["evidence"]
                for event in by_time[time]
                if event["event_type"] in ("booking_confirmed", "payment_processed")
            )
            moments.append(Moment(time, first_at_or_after(undoings, time), evidence))
        booked = booked and "booking_cancelled" not in types
        paid = paid and "payment_reversed" not in types
    return {None: moments}


def session_starts(events: Sequence[Row]) -> list[datetime]:
    """The times at which a session starts: first ask, long silence, or a closing in between."""
    everything = times_of(events, *EVENT_TYPES)
    closings = times_of(events, "closed")
    starts: list[datetime] = []
    previous_ask: datetime | None = None
    for ask in times_of(events, "question_asked"):
        if previous_ask is None:
            starts.append(ask)
        else:
            last_event = everything[bisect_left(everything, ask) - 1]
            closed_at = first_at_or_after(closings, previous_ask)
            closed_between = closed_at is not None and closed_at < ask
            if ask - last_event > SESSION_GAP or closed_between:
                starts.append(ask)
        previous_ask = ask
    return starts


def question_of(ask: Row) -> tuple[str, str]:
    """An ask without a key is a question of its own."""
    if ask["question_key"] is None:
        return "ask", ask["event_id"]
    return "key", ask["question_key"]


def split_asks(events: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The asks of the first session, and those of later ones."""
    asks = [event for event in events if event["event_type"] == "question_asked"]
    starts = session_starts(events)
    if len(starts) < 2:
        return asks, []
    end = starts[1]
    first = [ask for ask in asks if ask["occurred_at"] < end]
    return first, [ask for ask in asks if ask["occurred_at"] >= end]


def answers_to(question: tuple[str, str], events: Sequence[Row]) -> list[Row]:
    """A keyed answer answers its own key and asks without one; an answer without a key all."""
    kind, key = question
    return [
        event
        for event in events
        if event["event_type"] == "question_answered"
        and (kind == "ask" or event["question_key"] in (None, key))
    ]


def answer_moments(events: Sequence[Row], until: datetime) -> Moments:
    """For each question asked in the first session by `until`: the first answer to each ask."""
    first_session, _ = split_asks(events)
    asked: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for ask in first_session:
        asked[question_of(ask)].append(ask["occurred_at"])
    moments: Moments = {}
    for question, asks in asked.items():
        known = sorted(time for time in asks if time <= until)
        if not known:
            continue
        answers = answers_to(question, events)
        answer_times = sorted({answer["occurred_at"] for answer in answers})
        completed = {first_at_or_after(answer_times, time) for time in known} - {None}
        moments[question] = [
            Moment(
                time,
                first_after(sorted(asks), time),
                strongest(a["evidence"] for a in answers if a["occurred_at"] == time),
            )
            for time in sorted(completed)
        ]
    return moments


def repeats_contact(events: Sequence[Row]) -> bool:
    """A question of the first session is asked again in a later one."""
    first, later = split_asks(events)
    keys = {ask["question_key"] for ask in first} - {None}
    return any(ask["question_key"] in keys for ask in later)


# --- One interaction with its follow-ups ----------------------------------------------------------


@dataclass
class Case:
    """A root, everything that counts for it by `as_of`, and its definition (None: undefined)."""

    root: Row
    as_of: datetime
    events: list[Row] = field(default_factory=list)
    spans: list[Row] = field(default_factory=list)
    costs: list[Row] = field(default_factory=list)
    definition: Row | None = None

    @property
    def opened_at(self) -> datetime:
        return self.root["opened_at"]

    @property
    def window(self) -> timedelta:
        return hours(self.definition["reopen_window_hours"])

    @property
    def deadline(self) -> datetime:
        return self.opened_at + hours(self.definition["resolve_within_hours"])

    @property
    def matures_at(self) -> datetime:
        """A fixed age, whatever happens in between."""
        return self.deadline + self.window

    @property
    def basis(self) -> str:
        return BASIS[self.definition["definition"]]

    @property
    def is_ai(self) -> bool:
        return self.root["assigned_arm"] == "ai"

    def undoings(self) -> list[datetime]:
        """The times of the events that undo on the bases resolution and booking."""
        if self.basis == "resolution":
            return times_of(self.events, "reopened")
        return times_of(self.events, "booking_cancelled", "payment_reversed")

    def moments(self, until: datetime) -> Moments:
        if self.basis == "resolution":
            return resolution_moments(self.events, self.undoings())
        if self.basis == "booking":
            return booking_moments(self.events, self.undoings())
        return answer_moments(self.events, until)

    def undone_by(self, moment: Moment, horizon: datetime) -> bool:
        """Undone within the window (inclusive), or by maturity for bookings and answers."""
        limit = moment.completed_at + self.window
        if self.basis != "resolution":
            limit = max(limit, self.matures_at)
        return moment.next_undo_at is not None and moment.next_undo_at <= min(limit, horizon)


def decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


def hours(value: Any) -> timedelta:
    return timedelta(microseconds=int(decimal(value) * 3_600_000_000))


def latest_of_first(moments: Moments, stands: Any) -> datetime | None:
    """The first standing moment; with several questions each needs one and the latest counts."""
    firsts = []
    for group in moments.values():
        standing = [moment.completed_at for moment in group if stands(moment)]
        if not standing:
            return None
        firsts.append(min(standing))
    return max(firsts, default=None)


def stands_at_maturity(case: Case, moment: Moment) -> bool:
    return moment.completed_at <= case.matures_at and not case.undone_by(moment, case.matures_at)


def first_standing(case: Case) -> datetime | None:
    """The first standing completion at the horizon of the outcome."""
    moments = case.moments(case.matures_at)
    return latest_of_first(moments, lambda moment: stands_at_maturity(case, moment))


def was_undone(case: Case) -> bool:
    """With `any` one undone moment by maturity, with `last` the last one (of any question)."""
    for group in case.moments(case.matures_at).values():
        judged = [moment for moment in group if moment.completed_at <= case.matures_at]
        if judged and case.definition["reopen_rule"] == "last":
            judged = [max(judged, key=lambda moment: moment.completed_at)]
        if any(case.undone_by(moment, case.matures_at) for moment in judged):
            return True
    return False


def was_ever_reopened(case: Case) -> bool:
    """Some moment was followed by an undoing by `as_of`, inside its window or not."""
    groups = case.moments(case.as_of).values()
    return any(moment.next_undo_at is not None for group in groups for moment in group)


def completion_evidence(case: Case) -> str:
    """The strongest evidence on standing moments; none recorded is assumed."""
    groups = case.moments(case.matures_at).values()
    found = strongest(
        moment.evidence for group in groups for moment in group if stands_at_maturity(case, moment)
    )
    return found or "assumed"


# --- Time to resolution ---------------------------------------------------------------------------


def find_resolved_at(case: Case) -> datetime | None:
    """The first moment that stood its whole window by `as_of`."""

    def stood(moment: Moment) -> bool:
        over = moment.completed_at + case.window <= case.as_of
        return over and not case.undone_by(moment, case.as_of)

    return latest_of_first(case.moments(case.as_of), stood)


def first_undoing_after(case: Case, time: datetime) -> datetime | None:
    if case.basis != "answer":
        return first_after(case.undoings(), time)
    groups = case.moments(case.as_of).values()
    undoings = {moment.next_undo_at for group in groups for moment in group} - {None}
    return first_after(sorted(undoings), time)


def time_to_resolution(case: Case, resolved_at: datetime, *, is_sync: bool) -> float:
    """Async: waits included. Sync: handling, else from the first message of the other side."""
    if is_sync:
        undone_at = first_undoing_after(case, resolved_at)
        handled = [
            event["handle_seconds"]
            for event in case.events
            if event["handle_seconds"] is not None
            and event["occurred_at"] <= max(case.matures_at, resolved_at + case.window)
            and (undone_at is None or event["occurred_at"] < undone_at)
        ]
        if handled:
            return math.fsum(handled)
        replies = [
            event["occurred_at"]
            for event in case.events
            if event["event_type"] == "message"
            and event["actor_kind"] != "customer"
            and event["occurred_at"] <= resolved_at
        ]
        return (resolved_at - min(replies, default=case.opened_at)).total_seconds()
    return (resolved_at - case.opened_at).total_seconds()


# --- Escalation -----------------------------------------------------------------------------------


def is_human_touch(event: Row) -> bool:
    return event["actor_kind"] == "human" and event["event_type"] != "opened"


def is_escalated(case: Case) -> bool:
    """Handed off by maturity; in the AI arm also touched by a human."""
    return any(
        event["event_type"] == "handed_off" or (case.is_ai and is_human_touch(event))
        for event in case.events
        if event["occurred_at"] <= case.matures_at
    )


def escalation_reason_class(case: Case, settings: Settings) -> str:
    """The class of the first stated reason; preference after two failed turns is its own."""
    handoffs = sorted(
        (
            event
            for event in case.events
            if event["event_type"] == "handed_off" and event["occurred_at"] <= case.matures_at
        ),
        key=lambda event: (event["occurred_at"], event["event_id"]),
    )
    stated = next((event for event in handoffs if event["reason"] is not None), None)
    if stated is None:
        return "unknown"
    mapped = settings.reasons.at(stated["reason"], stated["occurred_at"])
    if mapped is None:
        return "unknown"
    if mapped["reason_class"] == "customer_preference":
        failed = failed_turns(case, before=handoffs[0]["occurred_at"])
        if failed >= FAILED_TURNS_BEFORE_PREFERENCE:
            return "preference_after_failure"
    return mapped["reason_class"]


def failed_turns(case: Case, before: datetime) -> int:
    """Turns with an error, plus asks of a question that had been asked before."""
    failed = {
        span["span_id"] if span["trace_id"] is None else span["trace_id"]
        for span in case.spans
        if span["error_type"] is not None and span["started_at"] < before
    }
    first_asked: dict[str, datetime] = {}
    asks = [
        event
        for event in case.events
        if event["event_type"] == "question_asked"
        and event["question_key"] is not None
        and event["occurred_at"] < before
    ]
    for ask in asks:
        key, time = ask["question_key"], ask["occurred_at"]
        first_asked[key] = min(time, first_asked.get(key, time))
    return len(failed) + sum(ask["occurred_at"] > first_asked[ask["question_key"]] for ask in asks)


# --- Cost -----------------------------------------------------------------------------------------


def rounded(amount: Decimal) -> Decimal:
    """Ten decimals, once per entry."""
    return amount.quantize(CENT_FRACTION, rounding=ROUND_HALF_UP)


def has_tokens(span: Row) -> bool:
    return span["input_tokens"] is not None or span["output_tokens"] is not None


def has_usage(span: Row) -> bool:
    return span["reported_cost_usd"] is not None or has_tokens(span)


def repeating_spans(spans: Mapping[str, Row]) -> set[str]:
    """Spans with usage below them: they repeat it."""
    repeating: set[str] = set()
    for span in spans.values():
        if not has_usage(span):
            continue
        above = span["parent_span_id"]
        for _ in range(USAGE_DEPTH):
            if above not in spans or above == span["span_id"]:
                break
            repeating.add(above)
            above = spans[above]["parent_span_id"]
    return repeating


def token_cost(span: Row, price: Row) -> Decimal:
    """Cached input is part of input; without a cached price it costs what input costs."""
    read = span["input_tokens"] or 0
    cached = min(span["cached_input_tokens"] or 0, read)
    input_price = decimal(price["input_usd_per_mtok"])
    cached_price = price["cached_input_usd_per_mtok"]
    cached_price = input_price if cached_price is None else decimal(cached_price)
    output_price = decimal(price["output_usd_per_mtok"])
    written = span["output_tokens"] or 0
    total = (read - cached) * input_price + cached * cached_price + written * output_price
    return total / 1_000_000


def span_cost(span: Row, repeats: bool, settings: Settings) -> Decimal | None:
    """Reported before computed; a missing price is null, never 0."""
    if repeats:
        return Decimal(0)
    if span["reported_cost_usd"] is not None:
        return rounded(decimal(span["reported_cost_usd"]))
    if has_tokens(span):
        price = settings.prices.at(span["model"], span["started_at"])
        return None if price is None else rounded(token_cost(span, price))
    return None if span["operation"] == "inference" else Decimal(0)


def labour_parts(case: Case, settings: Settings) -> list[Decimal | None]:
    """The labour entry of an interaction: none, one amount, or one without a rate."""
    if any(cost["component"] == "human" for cost in case.costs):
        return []
    human = [event for event in case.events if event["actor_kind"] == "human"]
    recorded = [event for event in human if event["handle_seconds"] is not None]
    if recorded:
        total = Decimal(0)
        for event in recorded:
            rate = settings.labour.at(case.root["tier"], event["occurred_at"])
            if rate is None:
                return [None]
            total += decimal(event["handle_seconds"]) * decimal(rate["usd_per_hour"]) / 3600
        return [rounded(total)]
    touches = [event["occurred_at"] for event in human if is_human_touch(event)]
    if not touches:
        return []
    rate = settings.labour.at(case.root["tier"], min(touches))
    if rate is None:
        return [None]
    minutes = decimal(rate["default_handle_minutes"])
    return [rounded(minutes * decimal(rate["usd_per_hour"]) / 60)]


def cost_parts(
    case: Case, span_costs: Mapping[str, Decimal | None], settings: Settings
) -> list[Decimal | None]:
    parts = [span_costs[span["span_id"]] for span in case.spans]
    parts += labour_parts(case, settings)
    return parts + [rounded(decimal(cost["amount_usd"])) for cost in case.costs]


# --- Agents ---------------------------------------------------------------------------------------


def agent_of(root: Row, settings: Settings) -> str | None:
    """Its own agent, else the one whose scope holds its task type."""
    if root["agent_name"] is not None:
        return root["agent_name"]
    scopes = [scope for scope in settings.scopes if scope["task_type"] == root["task_type"]]
    launched = [scope for scope in scopes if scope["launched_at"] <= root["opened_at"]]
    if launched:
        chosen = max(scope["launched_at"] for scope in launched)
    else:
        chosen = min((scope["launched_at"] for scope in scopes), default=None)
    names = [scope["agent_name"] for scope in scopes if scope["launched_at"] == chosen]
    return min(names, default=None)


def version_of(root: Row, agent: str | None, releases: Mapping[str, list[Row]]) -> str | None:
    """Its own version, else the last release at or before the opening; humans have none."""
    if root["assigned_arm"] == "human":
        return None
    if root["agent_version"] is not None:
        return root["agent_version"]
    known = [
        (release["released_at"], release["agent_version"])
        for release in releases.get(agent, ())
        if release["released_at"] <= root["opened_at"]
    ]
    return max(known)[1] if known else "unknown_version"


# --- The facts ------------------------------------------------------------------------------------


def exclusion_reason(case: Case) -> str | None:
    if case.root["is_spam"]:
        return "spam"
    if case.root["is_test"]:
        return "test"
    return "undefined_task_type" if case.definition is None else None


def find_outcome(case: Case, first_done: datetime | None, *, escalated: bool) -> str:
    """The first match among the mature: nothing after maturity has a say."""
    if escalated:
        return "escalated"
    if was_undone(case):
        return "reopened"
    if first_done is None:
        return "abandoned"
    return "completed" if first_done <= case.deadline else "resolved_late"


def judgement(case: Case, settings: Settings) -> Row:
    """Outcome and flags; the flags stay null while pending, and where nothing is judged."""
    row: Row = dict.fromkeys(
        words(
            "is_completed is_resolved is_escalated was_reopened is_deflected"
            " escalation_reason_class completion_evidence first_standing_at resolved_at"
            " time_to_resolution_seconds repeat_contact"
        )
    )
    row["exclusion_reason"] = exclusion_reason(case)
    if row["exclusion_reason"] is not None:
        return row | {"outcome": "excluded"}
    row |= resolution_times(case, settings)
    if case.matures_at > case.as_of:
        return row | {"outcome": "pending"}
    escalated = is_escalated(case)
    first_done = first_standing(case)
    outcome = find_outcome(case, first_done, escalated=escalated)
    return row | {
        "outcome": outcome,
        "is_completed": outcome == "completed",
        "is_resolved": first_done is not None and first_done <= case.deadline,
        "is_escalated": escalated,
        "was_reopened": was_ever_reopened(case),
        "is_deflected": case.is_ai and not escalated,
        "escalation_reason_class": escalation_reason_class(case, settings) if escalated else None,
        "completion_evidence": completion_evidence(case) if outcome == "completed" else None,
        "first_standing_at": first_done,
        "repeat_contact": case.basis == "answer" and repeats_contact(case.events),
    }


def resolution_times(case: Case, settings: Settings) -> Row:
    resolved_at = find_resolved_at(case)
    if resolved_at is None:
        return {"resolved_at": None, "time_to_resolution_seconds": None}
    channel = settings.channels.at(case.root["channel"], case.opened_at)
    is_sync = channel is not None and channel["kind"] == "sync"
    seconds = time_to_resolution(case, resolved_at, is_sync=is_sync)
    return {"resolved_at": resolved_at, "time_to_resolution_seconds": seconds}


def interaction_fact(
    case: Case,
    span_costs: Mapping[str, Decimal | None],
    releases: Mapping[str, list[Row]],
    settings: Settings,
) -> Row:
    """One row of fct_interactions."""
    root, definition = case.root, case.definition
    agent = agent_of(root, settings)
    parts = cost_parts(case, span_costs, settings)
    known_cost = sum((part for part in parts if part is not None), Decimal(0))
    fully_priced = bool(parts) and None not in parts  # a missing trace is not a free one
    return {
        "interaction_id": root["interaction_id"],
        "customer_id": root["customer_id"],
        "agent_name": agent,
        "agent_version": version_of(root, agent, releases),
        "arm": root["assigned_arm"],
        "assignment_kind": root["assignment_kind"],
        "task_type": root["task_type"],
        "channel": root["channel"],
        "tier": root["tier"],
        "opened_at": root["opened_at"],
        "matures_at": None if definition is None else case.matures_at,
        "completion_definition": None if definition is None else definition["definition"],
        **judgement(case, settings),
        "cost_usd": known_cost if fully_priced else None,
        "known_cost_usd": known_cost,
        "is_fully_priced": fully_priced,
    }


def survey_fact(survey: Row, root: Row, as_of: datetime, settings: Settings) -> Row:
    """One row of fct_surveys; an answer given after `as_of` is not known."""
    responded_at = survey["responded_at"]
    if responded_at is not None and responded_at > as_of:
        responded_at = None
    score = lag_days = None
    if responded_at is not None:
        lag_days = (responded_at - root["opened_at"]) // DAY
        if survey["score"] is not None:
            scale = settings.scales.at(survey["survey_source"], survey["sent_at"])
            low, high = decimal(scale["scale_min"]), decimal(scale["scale_max"])
            score = (decimal(survey["score"]) - low) * 100 / (high - low)
    return {
        "survey_id": survey["survey_id"],
        "interaction_id": root["interaction_id"],
        "survey_kind": survey["survey_kind"],
        "sent_at": survey["sent_at"],
        "responded_at": responded_at,
        "lag_days": lag_days,
        "score": score,
    }


def opening_of(follow_up: Row) -> Row:
    """The opening of a follow-up, which reopens its root."""
    return {
        "event_id": follow_up["interaction_id"],
        "occurred_at": follow_up["opened_at"],
        "event_type": "reopened",
        "actor_kind": "customer",
        "reason": None,
        "question_key": None,
        "evidence": None,
        "handle_seconds": None,
    }


def build_cases(
    accepted: Mapping[str, Sequence[Row]],
    interactions: Mapping[str, Row],
    roots: Mapping[str, str],
    as_of: datetime,
    settings: Settings,
) -> dict[str, Case]:
    """Gather what counts for each root: events, spans and costs of it and its follow-ups."""
    cases = {
        key: Case(row, as_of, definition=settings.task_types.at(row["task_type"], row["opened_at"]))
        for key, row in interactions.items()
        if roots[key] == key
    }
    for key, row in interactions.items():
        if roots[key] != key:
            cases[roots[key]].events.append(opening_of(row))
    for entity, time in (("events", "occurred_at"), ("spans", "started_at")):
        for row in accepted[entity]:
            if row[time] <= as_of and row["interaction_id"] in roots:
                getattr(cases[roots[row["interaction_id"]]], entity).append(row)
    for row in accepted["costs"]:
        if row["occurred_at"] <= as_of and row["interaction_id"] in roots:
            cases[roots[row["interaction_id"]]].costs.append(row)
    return cases


def compute(landing: Landing, config: Config, as_of: datetime | None, now: datetime) -> Result:
    """Everything from raw rows; `as_of` None means the watermark of the data."""
    settings = Settings(config)
    result = Result()
    screen(landing, settings, now, result)
    result.as_of = watermark(result.accepted) if as_of is None else as_of
    if result.as_of is None:
        return result
    as_of = result.as_of
    accepted = result.accepted
    interactions = {
        row["interaction_id"]: row for row in accepted["interactions"] if row["opened_at"] <= as_of
    }
    result.roots = find_roots(interactions)

    spans = {row["span_id"]: row for row in accepted["spans"] if row["started_at"] <= as_of}
    repeating = repeating_spans(spans)
    result.span_costs = {
        key: span_cost(span, key in repeating, settings) for key, span in spans.items()
    }

    releases: dict[str, list[Row]] = defaultdict(list)
    for release in accepted["releases"]:
        releases[release["agent_name"]].append(release)
    cases = build_cases(accepted, interactions, result.roots, as_of, settings)
    for key, case in cases.items():
        result.interactions[key] = interaction_fact(case, result.span_costs, releases, settings)

    for survey in accepted["surveys"]:
        if survey["sent_at"] <= as_of:
            root = interactions[result.roots[survey["interaction_id"]]]
            result.surveys[survey["survey_id"]] = survey_fact(survey, root, as_of, settings)
    return result


# --- The KPIs -------------------------------------------------------------------------------------


def lower_median(seconds: Sequence[float | None]) -> float | None:
    """The smallest time at or below which half lie, the unresolved being longer than any."""
    ordered = sorted(math.inf if value is None else value for value in seconds)
    if not ordered:
        return None
    middle = ordered[(len(ordered) + 1) // 2 - 1]
    return None if middle == math.inf else middle


def ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None


def kpis(result: Result, arm: str, task_type: str | None = None) -> Row:
    """Counts and the five KPIs of an arm, over all task types or one."""
    rows = [
        row
        for row in result.interactions.values()
        if row["arm"] == arm and task_type in (None, row["task_type"])
    ]
    mature = [row for row in rows if row["outcome"] not in ("excluded", "pending")]

    def having(outcome: str) -> int:
        return sum(row["outcome"] == outcome for row in rows)

    def flagged(flag: str) -> int:
        return sum(row[flag] for row in mature)

    priced = [row for row in mature if row["is_fully_priced"]]
    n_priced_successes = sum(row["is_completed"] for row in priced)
    cost = sum((row["cost_usd"] for row in priced), Decimal(0))

    counted = {row["interaction_id"] for row in rows if row["outcome"] != "excluded"}
    scores = [
        survey["score"]
        for survey in result.surveys.values()
        if survey["interaction_id"] in counted
        and survey["survey_kind"] == "post_interaction"
        and survey["score"] is not None
    ]
    return {
        "n_interactions": len(rows),
        "n_excluded": having("excluded"),
        "n_pending": having("pending"),
        "n_mature": len(mature),
        "n_completed": flagged("is_completed"),
        "n_resolved": flagged("is_resolved"),
        "n_escalated": flagged("is_escalated"),
        "n_reopened": having("reopened"),
        "n_abandoned": having("abandoned"),
        "n_resolved_late": having("resolved_late"),
        "n_deflected": flagged("is_deflected"),
        "task_completion_rate": ratio(flagged("is_completed"), len(mature)),
        "escalation_rate": ratio(flagged("is_escalated"), len(mature)),
        "time_to_resolution": lower_median([row["time_to_resolution_seconds"] for row in mature]),
        "cost_per_successful_outcome": cost / n_priced_successes if n_priced_successes else None,
        "csat": sum(scores, Decimal(0)) / len(scores) if scores else None,
    }
