"""What comparisons are made of, in plain Python: from fact rows and DECISIONS.md, not from the SQL.

Facts come in as the models' own: test_models_agree_with_oracle checks those. Each function takes
lists of rows as mappings.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

Row = Mapping[str, Any]
NONE = "(none)"


def scopes_of(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """The latest terms by agent and task type."""
    latest: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["effective_from"]):
        latest[row["agent_name"], row["task_type"]] = row
    return latest


def version_at(releases: Iterable[Row], agent: str, time: datetime) -> str | None:
    live = [r for r in releases if r["agent_name"] == agent and r["released_at"] <= time]
    live.sort(key=lambda r: (r["released_at"], r["agent_version"]))
    return live[-1]["agent_version"] if live else None


def members(
    facts: Iterable[Row],
    scopes: Mapping[tuple[str, str], Row],
    releases: Iterable[Row],
    as_of: datetime,
) -> Iterator[dict[str, Any]]:
    """Every request under what it can be compared as: agent, population, known_at, version."""
    releases = list(releases)
    for fact in facts:
        if fact["outcome"] == "excluded":
            continue
        scope = scopes.get((fact["agent_name"], fact["task_type"]))
        population, version = "other", fact["agent_version"]
        if scope is not None and fact["opened_at"] >= scope["launched_at"]:
            drawn = fact["assignment_kind"] == "randomised"
            if fact["arm"] == "ai":
                population = "ai_randomised" if drawn else "ai_routed"
            else:
                population = "holdout" if drawn else "human_routed"
                version = version_at(releases, fact["agent_name"], fact["opened_at"])
        yield {
            "agent": fact["agent_name"] or NONE,
            "population": population,
            "version": version or NONE,
            "known_at": as_of,
            "unit": unit_of(fact, scope),
            "fact": fact,
        }
        if fact["arm"] != "human":
            continue
        for (agent, task_type), terms in scopes.items():
            if task_type != fact["task_type"] or terms["baseline_from"] is None:
                continue
            tier = terms.get("baseline_tier")
            if not terms["baseline_from"] <= fact["opened_at"] < terms["launched_at"]:
                continue
            if tier is not None and tier != fact["tier"]:
                continue
            at_launch = min(terms["launched_at"], as_of)
            for population, known_at in (("baseline", at_launch), ("restated", as_of)):
                yield {
                    "agent": agent,
                    "population": population,
                    "version": NONE,
                    "known_at": known_at,
                    "unit": unit_of(fact, terms),
                    "fact": fact,
                }


def unit_of(fact: Row, scope: Row | None) -> str:
    by_customer = scope is not None and scope["holdout_unit"] == "customer"
    return fact["customer_id"] if by_customer and fact["customer_id"] else fact["interaction_id"]


def segments_of(member: Row) -> list[tuple[str, str]]:
    fact = member["fact"]
    values = {
        "all": "all",
        "task_type": fact["task_type"],
        "channel": fact["channel"],
        "tier": fact["tier"] or NONE,
        "agent_version": member["version"],
    }
    return [(name, value) for name, value in values.items() if value != NONE]


def cells(
    found: Iterable[Row], surveys: Iterable[Row], costs: Iterable[Row]
) -> dict[tuple, Counter]:
    """Counts and sums by agent, segment, population and task type."""
    by_interaction = defaultdict(list)
    for survey in surveys:
        if survey["survey_kind"] == "post_interaction":
            by_interaction[survey["interaction_id"]].append(survey)
    ledger = defaultdict(list)
    for cost in costs:
        ledger[cost["interaction_id"]].append(cost)
    sums: dict[tuple, Counter] = defaultdict(Counter)
    for member in found:
        fact, known_at = member["fact"], member["known_at"]
        part = Counter(n_interactions=1)
        cost = fact["cost_usd"]
        if member["population"] == "baseline":
            known = [
                c
                for c in ledger[fact["interaction_id"]]
                if c["occurred_at"] < known_at
                and (c["superseded_at"] is None or c["superseded_at"] >= known_at)
            ]
            priced = known and all(c["n_unpriced"] == 0 for c in known)
            cost = sum(c["amount_usd"] for c in known) if priced else None
        if fact["matures_at"] <= known_at:
            part["n_mature"] = 1
            part["n_completed"] = fact["is_completed"]
            part["n_resolved"] = fact["is_resolved"]
            part["n_escalated"] = fact["is_escalated"]
            part["n_unresolved"] = resolution_seconds(fact, known_at) is None
            if cost is not None:
                part["n_priced"] = 1
                part["cost_priced_usd"] = float(cost)
                part["n_completed_priced"] = fact["is_completed"]
                part["cost_completed_usd"] = float(cost) if fact["is_completed"] else 0
        for survey in by_interaction[fact["interaction_id"]]:
            if survey["sent_at"] > known_at:
                continue
            part["n_surveys_sent"] += 1
            if answered(survey, known_at):
                part["n_surveys_answered"] += 1
                part["score_sum"] += survey["score"]
        for segment_type, segment in segments_of(member):
            key = (member["agent"], segment_type, segment, member["population"], fact["task_type"])
            sums[key].update(part)
    return sums


def resolution_seconds(fact: Row, known_at: datetime) -> float | None:
    """Known once the resolution has stood its window."""
    window = timedelta(hours=float(fact["reopen_window_hours"]))
    if fact["resolved_at"] is None or fact["resolved_at"] + window > known_at:
        return None
    return fact["time_to_resolution_seconds"]


def answered(survey: Row, known_at: datetime) -> bool:
    return survey["score"] is not None and survey["responded_at"] <= known_at


def triangle(found: Iterable[Row], surveys: Iterable[Row]) -> dict[tuple, Counter]:
    """Answers of segment `all` by agent, population, arm, task type, day of the request, lag."""
    by_interaction = defaultdict(list)
    for survey in surveys:
        if survey["survey_kind"] == "post_interaction":
            by_interaction[survey["interaction_id"]].append(survey)
    sums: dict[tuple, Counter] = defaultdict(Counter)
    for member in found:
        fact = member["fact"]
        if member["population"] == "restated":
            continue
        for survey in by_interaction[fact["interaction_id"]]:
            if answered(survey, member["known_at"]):
                day = fact["opened_at"].date()
                lag = (survey["responded_at"].date() - day).days
                who = (member["agent"], member["population"], fact["arm"])
                key = (*who, fact["task_type"], day, lag)
                sums[key].update(n=1, score_sum=survey["score"])
    return sums


def splits(found: Iterable[Row], touched_by_ai: set[str]) -> dict[str, Counter]:
    """Units drawn by agent."""
    units: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for member in found:
        if member["population"] in ("ai_randomised", "holdout"):
            units[member["agent"], member["unit"]].append(member)
    sums: dict[str, Counter] = defaultdict(Counter)
    for (agent, _), drawn in units.items():
        held = [member for member in drawn if member["population"] == "holdout"]
        sums[agent].update(
            n_units=1,
            n_holdout_units=bool(held),
            n_units_in_both_arms=0 < len(held) < len(drawn),
            n_interactions=len(drawn),
            n_holdout=len(held),
            n_contaminated=sum(m["fact"]["interaction_id"] in touched_by_ai for m in held),
        )
    return sums
