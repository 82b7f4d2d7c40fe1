"""What the report says in words: rules over the marts, no story of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from agent_kpis.display import LEVELS, amount, signed
from agent_kpis.doctor import listed
from agent_kpis.report.data import Agent, Row
from agent_kpis.scorecard import COMPLETION, compared_with, why_no_difference, why_no_value

BEYOND = LEVELS[:3]
CAUSES = {
    "ai_specific": "The agent: people on the same work did not move.",
    "shared_shock": "Everybody: people moved, too.",
}
NOBODY_KNOWS = "Nobody can tell: no people on the same days to compare with."
DOINGS = {
    "watch": "Nobody is paged. Look at it in the weekly review.",
    "ok": "Nothing.",
    "insufficient_data": "Wait for more requests.",
    "no_data": "Wait for requests that are old enough to judge.",
    "no_reference": "Name a baseline or a holdout in agent_scopes.csv.",
}
BEFORE_LAUNCH = "Look below at what is written down before launch, and what is missing."
SIDES = {"low": "too low", "high": "too high"}
COMPARISONS = {
    "holdout": "holdout, same time",
    "pre_launch": "before launch: time-confounded",
    "no_reference": "no reference",
}


@dataclass(frozen=True)
class Headline:
    """The answer for one agent. The sentence that begins with its name is name + verdict."""

    verdict: str
    sentence: str
    level: str
    """The worst level now."""
    facts: list[tuple[str, str]]
    """What a head of support asks next: what, since when, who, what to do, how fresh."""
    beyond: list[Row]
    """Metrics beyond their limits, the worst first: label, level, direction."""


def level_in_words(level: str | None) -> str:
    return (level or "no limit").replace("_", " ")


def headline(agent: Agent, as_of: datetime) -> Headline:
    """The state of an agent, by rules."""
    beyond = sorted(
        (row for row in agent.flagged.episodes if row["segment_type"] == "all"),
        key=lambda row: (_rank(row["level"]), row["display_order"]),
    )
    level = beyond[0]["level"] if beyond else calm_level(agent)
    return Headline(
        verdict=verdict(agent),
        sentence=sentence(agent),
        level=level,
        facts=_facts(agent, beyond[0] if beyond else None, level, as_of),
        beyond=beyond,
    )


def _rank(level: str | None) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def calm_level(agent: Agent) -> str:
    """The level where nothing is beyond its limits: the worst of what is left of the KPIs."""
    last = max((row["day"] for row in agent.days), default=None)
    levels = [row["level"] for row in agent.days if row["day"] == last]
    if not levels:
        row = agent.score(COMPLETION)
        levels = [row["level"] or "no_reference"] if row else ["no_data"]
    for level in ("watch", "no_reference", "insufficient_data", "no_data"):
        if level in levels:
            return level
    return "ok" if "ok" in levels else max(levels, key=_rank)


def verdict(agent: Agent) -> str:
    """What follows the agent's name."""
    row = agent.score(COMPLETION)
    if agent.arm == "human":
        if agent.name == "(none)":
            return "handle every request: there is no agent yet"
        return "has not met customers yet"
    if row["value"] is None:
        return "cannot be judged yet"
    if row["is_withheld"] or row["comparison_type"] == "no_reference":
        return "has nobody to be compared with"
    if row["delta"] is None:
        return "cannot be compared yet"
    low, high = row["delta_lower_bound"], row["delta_upper_bound"]
    if low is None or high is None:
        return "cannot be compared yet"
    if high < 0 and row["level"] != "ok":
        if has_recovered(agent):
            return "completed fewer requests than people did, and is within its limits now"
        if is_deflecting(agent):
            return "is deflecting, not resolving"
        return "completes fewer requests than people do"
    if low > 0:
        return "completes more requests than people do"
    if row["level"] == "ok":
        return "completes about as many requests as people do"
    return "cannot be told from people yet"


def has_recovered(agent: Agent) -> bool:
    """Completion was judged on the last day, and is within its limits."""
    days = [row for row in agent.days if row["kpi"] == COMPLETION]
    last = max(days, key=lambda row: row["day"], default=None)
    return last is not None and last["day"] == agent.flagged.day and last["level"] == "ok"


def window_in_words(row: Row) -> str:
    """since launch, all data or last 7 days."""
    return sentence_case(str(row["window_name"]).replace("_", " "))


def is_deflecting(agent: Agent) -> bool:
    """More is deflected than completed, beyond doubt: both intervals lie apart."""
    deflection, completion = agent.score("deflection_rate"), agent.score(COMPLETION)
    if deflection is None or None in (deflection["lower_bound"], completion["upper_bound"]):
        return False
    return deflection["lower_bound"] > completion["upper_bound"]


def sentence(agent: Agent) -> str:
    """The numbers behind the verdict."""
    if agent.arm == "human":
        row = agent.score(COMPLETION, "human") or agent.baseline
        if row is None or row["value"] is None:
            return "No request is old enough to be judged."
        return (
            f"People completed {amount(row['value'], 'share')} of {row['n']:,} requests: that is "
            "what an agent has to match."
        )
    row, deflection = agent.score(COMPLETION), agent.score("deflection_rate")
    if row["value"] is None:
        return f"Task completion: {why_no_value(row)}."
    parts = []
    if deflection and deflection["value"] is not None:
        parts.append(f"{amount(deflection['value'], 'share')} of requests handled without a person")
    parts.append(f"{amount(row['value'], 'share')} completed")
    text = f"{window_in_words(row)}: {', '.join(parts)}"
    if row["reference_value"] is not None and not row["is_withheld"]:
        when = " before launch" if row["comparison_type"] == "pre_launch" else ""
        people = amount(row["reference_value"], "share")
        return f"{text}; people{when} complete {people} of the same kinds of request."
    if row["is_withheld"]:
        return f"{text}. The comparison with people is withheld: the holdout is not what was drawn."
    reason = why_no_difference(row)
    return f"{text}. No comparison with people{reason and ': '}{reason}."


def _facts(agent: Agent, worst: Row | None, level: str, as_of: datetime) -> list[tuple[str, str]]:
    flagged = agent.flagged
    data_to = f"{as_of:%Y-%m-%d %H:%M} UTC"
    if worst is None:
        return [
            ("Now", calm_in_words(agent)),
            ("What to do", BEFORE_LAUNCH if agent.arm == "human" else DOINGS.get(level, "")),
            ("Data to", data_to),
        ]
    days = (flagged.day - worst["opened_on"]).days
    value = "" if worst["value"] is None else f", now {amount(worst['value'], worst['unit'])}"
    if worst["delta"] is not None:
        value += f", {signed(worst['delta'], worst['unit'])} from {reference_of(worst)}"
    side = SIDES[worst["direction"]]
    facts = [
        ("Worst now", f"{worst['label']} is {side}{value}."),
        ("Since", f"{worst['opened_on']} ({days:,} days)"),
        ("Who", CAUSES.get(worst["cause_now"] or worst["cause"], NOBODY_KNOWS)),
        ("What to do", sentence_case(worst["action_now"] or worst["action"] or "") + "."),
        ("Data to", f"{data_to}, judged to {flagged.day}"),
    ]
    if worst["is_set_after_launch"]:
        facts.insert(4, ("Limit", "Set after launch."))
    return facts


def reference_of(row: Row) -> str:
    return "people before launch" if row["comparison_type"] == "pre_launch" else "people"


def sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def calm_in_words(agent: Agent) -> str:
    """Why nothing stands out."""
    if agent.flagged.day is None:
        if agent.arm == "human":
            return "Nothing can be flagged before an agent meets customers."
        return "No limits are set, so nothing can be flagged."
    if agent.flagged.evaluated_on is None:
        return "No new data for 28 days: nothing can be flagged."
    last = [row for row in agent.days if row["day"] == agent.flagged.day]
    watched = [row["kpi"] for row in last if row["level"] == "watch"]
    if watched:
        return f"Nothing is beyond its limits; watched: {listed(labels(agent, watched))}."
    unknown = [row["kpi"] for row in last if row["level"] not in LEVELS]
    if unknown:
        return f"Nothing is beyond its limits; not known: {listed(labels(agent, unknown))}."
    return "Every KPI is within its limits."


def labels(agent: Agent, kpis: list[str]) -> list[str]:
    """Names for people of the KPIs on the scorecard."""
    names = {row["kpi"]: row["label"] for row in agent.scorecard}
    return [str(names.get(kpi, kpi)) for kpi in kpis]


def comparison_in_words(row: Row) -> str:
    """With whom a row of the scorecard is compared."""
    if row["is_withheld"]:
        return "withheld"
    text = COMPARISONS[row["comparison_type"]]
    if row["baseline_kind"] == "retroactive":
        text += ", and written down after launch"
    return text


def who_people_are(agent: Agent) -> list[str]:
    """Sentences on the comparison."""
    row = agent.score(COMPLETION)
    return compared_with(row, agent.balance, agent.baseline) if row else []


def definitions_in_words(agent: Agent) -> str:
    """How much completion hangs on how long a resolution has to stand."""
    rates = [
        f"{amount(row['task_completion_rate'], 'share')} for {_hours(row['window_hours'])}"
        for row in agent.definitions
    ]
    if len(rates) < 2:
        return ""
    return f"Completion, if a resolution had to stand: {listed(rates)}."


def _hours(hours: int) -> str:
    return f"{hours // 24} days" if hours >= 96 else f"{hours} h"


def health_in_words(agent: Agent) -> str:
    """Dashboards that are green while customers are not helped."""
    health = agent.health
    if not health or not health["n_failing_days"]:
        return ""
    return (
        f"On {health['n_failing_days']} of the last {health['n_days']} days the machines looked "
        "well (latency, errors, tools) while customers were not helped."
    )


def decision_in_words(row: Row) -> str:
    """What a weekly review decided."""
    if row["report_only"]:
        if row["next_change_summary"]:
            return f"Report only: {row['next_change_summary']} (no KPI, effect and date)"
        return "Report only: no change was decided."
    what = (row["next_change_type"] or "change").replace("_", " ")
    return f"{sentence_case(what)}: {row['next_change_summary']}"


def aim_in_words(row: Row) -> str:
    """What a decided change is to move, by how much, until when, and who makes it."""
    if row["report_only"]:
        return ""
    effect = signed(
        row["next_change_min_effect"] * (-1 if row["next_change_direction"] == "down" else 1),
        row["next_change_unit"] or "",
    )
    owner = f", by {row['next_change_owner']}" if row["next_change_owner"] else ""
    kpi = row["next_change_label"] or row["next_change_kpi"]
    return f"{kpi} {effect} or more until {row['next_change_decide_by']}{owner}"


def within_limits_in_words(review: list[Row]) -> str:
    """Question 1 of the weekly review."""
    beyond = [row for row in review if row["is_within_thresholds"] is False]
    unknown = [row for row in review if row["is_within_thresholds"] is None and row["level"]]
    if beyond:
        names = [f"{row['label']} ({level_in_words(row['worst_level'])})" for row in beyond]
        text = f"No. {listed(names)}."
        n_new = sum(row["n_new_alerts"] for row in review)
        n = sum(row["n_alerts"] for row in review)
        text += f" {n:,} alerts were open in all segments, {n_new:,} of them new."
    elif unknown:
        text = "Nothing is beyond its limits."
    elif any(row["is_within_thresholds"] for row in review):
        return "Yes, all that have limits."
    else:
        return "Nobody knows: no limits are set."
    if unknown:
        text += f" Not known: {listed(row['label'] for row in unknown)}."
    return text


def drifting_in_words(review: list[Row]) -> str:
    """Question 2."""
    drifting = [row["label"] for row in review if row["is_drifting"]]
    return f"{listed(drifting)}." if drifting else "Nothing that is still within its limits."


def week_in_words(row: Row) -> str:
    """Which week a review speaks for."""
    end: date = row["week_end"] if row["is_complete"] else row["last_day"]
    return f"{row['week_start']} to {end}" + ("" if row["is_complete"] else ", so far")
