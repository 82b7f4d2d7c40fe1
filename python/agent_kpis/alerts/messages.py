"""What people read: the text of one change, of many in one, and of blocked alerts.

Names come from data and from a team's files. They arrive as text: without control characters and
line breaks, and without a mention (`@everyone`) that a chat would act on. Escaping for HTML or
Slack is done where the message leaves, because all of this is declared as plain text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent_kpis.alerts.episodes import Episode
from agent_kpis.alerts.ledger import Item, Series, Told
from agent_kpis.alerts.routes import severity
from agent_kpis.display import amount, signed
from agent_kpis.flagged import CAUSES

LISTED = 20
SUMMARY_LINES = 5
COMPARED = {
    "pre_launch": "requests before launch (pre_launch). Time-confounded: whatever else has "
    "changed since then is in the difference, too",
    "holdout": "people over the same days (holdout)",
}
BASELINES = {"retroactive": ", a baseline that was set after launch"}
REMARKS = {
    "possible_under_escalation": "possible under-escalation: requests that need a person may not "
    "reach one"
}
BLOCKED_KEY = "agent-kpis-data"


@dataclass(frozen=True)
class Change:
    """What has to be told of an episode; `episode` is None where the marts have it no more."""

    kind: str  # opened, worsened, still open, cleared
    key: str
    level: str
    episode: Episode | None
    told: Told | None

    @property
    def series(self) -> Series:
        return self.episode.series if self.episode else self.told.series

    @property
    def order(self) -> tuple:
        """What has cleared comes last; all requests before segments, the worst first."""
        overall = self.series[1] == "all"
        place = self.episode.facts["display_order"] if self.episode else 0
        return (self.kind == "cleared", not overall, -severity(self.level), place, self.series)

    def item(self, incident: str | None = None) -> Item:
        return Item(
            key=self.key,
            kind="episode",
            change=self.kind,
            level=self.level,
            is_open=self.kind != "cleared",
            episode_id=self.episode.id if self.episode else self.told.episode_id,
            series=self.series,
            incident=incident,
        )


@dataclass(frozen=True)
class Message:
    """What leaves, and what its reader then knows. `incident`: its key where these are kept."""

    title: str
    body: str
    level: str
    items: tuple[Item, ...]
    incident: str
    resolves: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return f"{self.title}\n{self.body}"


def plain(value: object, limit: int = 120) -> str:
    """A name from data as text on one line that no chat acts on."""
    shown = "".join(
        " " if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") else char
        for char in str(value)
    )
    shown = " ".join(shown.split())
    if len(shown) > limit:
        shown = shown[: limit - 3] + "..."
    return re.sub("@(?=[^ ])", "@\u200b", shown)


def about(series: Series, label: str | None = None) -> str:
    """Which KPI, in which requests of which agent, in one line."""
    agent, _, _, kpi, direction = series
    return f"{plain(label or kpi)} {direction} ({plain(agent)}, {segment(series)})"


def segment(series: Series) -> str:
    _, segment_type, name, *_ = series
    return "all requests" if segment_type == "all" else f"{_words(segment_type)} {plain(name)}"


def single(change: Change, link: str) -> Message:
    """One message of one change."""
    facts = _cleared(change) if change.kind == "cleared" else _open(change)
    facts["Report"] = link
    title = f"{_headline(change)}: {about(change.series, _label(change))}"
    first = _ending(change) if change.kind == "cleared" else _asked(change.episode)
    return Message(
        title=title,
        body="\n".join([first, *(f"{name}: {value}" for name, value in facts.items())]),
        level=change.level,
        items=(change.item(),),
        incident=change.key,
        resolves=change.kind == "cleared",
        facts={"Asked": first, **facts},
    )


def digest(
    changes: Sequence[Change], link: str, incident: str = "", also: Sequence[Item] = ()
) -> Message:
    """Many changes in one message: all requests before segments, the worst first."""
    ordered = sorted(changes, key=lambda change: change.order)
    now = [change for change in ordered if change.kind != "cleared"]
    worst = max((change.level for change in now), key=severity, default="")
    cleared = len(ordered) - len(now)
    asked = next((_asked(change.episode) for change in now if change.level == worst), "")
    parts = [f"{len(now)} open, the worst {worst}"] if now else []
    parts += [f"{cleared} cleared"] if cleared else []
    lines = [_line(change) for change in ordered[:LISTED]]
    if len(ordered) > LISTED:
        lines.append(f"and {len(ordered) - LISTED} more: marts.alert_episodes")
    rows = [change.episode.facts for change in now]
    compared = sorted({row["compared_with"] for row in rows if row["compared_with"]})
    facts = {"Compared with": "; ".join(COMPARED[name] for name in compared)} if compared else {}
    if rows:
        facts["As known on"] = str(max(row["evaluation_date"] for row in rows))
    facts["Report"] = link
    number = f"{len(ordered)} alert{'s' if len(ordered) > 1 else ''}"
    names = list(dict.fromkeys(plain(change.series[0]) for change in ordered))
    agents = ", ".join(names) if len(names) <= 3 else f"{len(names)} agents"
    return Message(
        title=f"{worst.upper() or 'CLEARED'}: {number} of {agents}",
        body="\n".join(
            [
                f"{'; '.join(parts)}. {asked}".rstrip(),
                *lines,
                *(f"{name}: {value}" for name, value in facts.items()),
            ]
        ),
        level=worst,
        items=(*(change.item(incident or None) for change in ordered), *also),
        incident=incident,
        resolves=not now,
        facts={"Asked": asked, "Alerts": "\n".join(lines), **facts},
    )


def blocked(step: str, summary: str, what_to_do: str) -> Message:
    """KPI alerts cannot be trusted, so none is sent."""
    lines = [plain(line, 300) for line in summary.splitlines() if line.strip()]
    if len(lines) > SUMMARY_LINES:
        lines[SUMMARY_LINES:] = [f"and {len(lines) - SUMMARY_LINES} lines more"]
    return Message(
        title=f"KPI alerts are blocked: {plain(step)} failed",
        body="\n".join([*lines, f"What to do: {plain(what_to_do, 300)}"]),
        level="critical",
        items=(Item(BLOCKED_KEY, "data", "blocked", "critical", True, detail=step),),
        incident=BLOCKED_KEY,
        facts={"Failed": "\n".join(lines), "What to do": plain(what_to_do, 300)},
    )


def unblocked(step: str) -> Message:
    """The run after it was good."""
    return Message(
        title=f"KPI alerts are back: {plain(step)} passed",
        body="The data is sound again, and alerts of KPIs are sent as before.",
        level="",
        items=(Item(BLOCKED_KEY, "data", "recovered", "", False, detail=step),),
        incident=BLOCKED_KEY,
        resolves=True,
    )


def _headline(change: Change) -> str:
    level = change.level.upper()
    return {
        "opened": level,
        "worsened": f"WORSE, NOW {level}",
        "still open": f"STILL {level}",
        "cleared": "CLEARED",
    }[change.kind]


def _label(change: Change) -> str | None:
    return change.episode.facts["label"] if change.episode else None


def _asked(episode: Episode) -> str:
    """What the level asks for, as a sentence."""
    action = episode.facts["to_do"] or episode.facts["action"] or ""
    return f"{action[:1].upper()}{action[1:]}."


def _open(change: Change) -> dict[str, str]:
    """What is known of an open episode, line by line."""
    episode, row = change.episode, change.episode.facts
    unit = row["unit"]
    level = change.level
    if change.kind == "worsened":
        level += f", was {change.told.level} when it was last told"
    elif severity(row["worst_level"]) > severity(level):
        level += f", was {row['worst_level']} on {row['worst_on']}"
    found = {
        "Level": level,
        "KPI": plain(row["label"]),
        "Agent": plain(episode.agent),
        "Segment": segment(episode.series),
        "Value": f"{_amount(row['value'], unit)} over {_days(row['window_days'])}, n {row['n']}",
        "Reference": "none, the limits are for the value itself"
        if row["reference"] is None
        else _amount(row["reference"], unit),
        "Difference": _difference(row),
        "Limits": ", ".join(f"{name} {_limit(row[name], row)}" for name in _LIMITS),
        "Compared with": COMPARED.get(row["compared_with"], "")
        + BASELINES.get(row["baseline_kind"], ""),
        "Smallest difference that would be seen": ""
        if row["minimum_detectable_effect"] is None
        else f"{_unsigned(row['minimum_detectable_effect'], row)} (4 times of 5)",
        "Who moved": CAUSES.get(row["who_moved"], "cannot be told"),
        "Limit set after launch": "yes" if row["late"] else "",
        "Top reasons": plain(row["reasons"] or "", 300),
        "Top task types": plain(row["task_types"] or "", 300),
        "Note": REMARKS.get(row["remark"], plain(row["remark"] or "")),
        "Open since": f"{row['opened_on']}, as known on {row['evaluation_date']}",
    }
    return {name: value for name, value in found.items() if value}


_LIMITS = ("warning", "critical", "catastrophic")


def _cleared(change: Change) -> dict[str, str]:
    if change.episode is None:
        agent, _, _, kpi, _ = change.series
        return {"KPI": plain(kpi), "Agent": plain(agent), "Segment": segment(change.series)}
    row = change.episode.facts
    found = {
        "KPI": plain(row["label"]),
        "Agent": plain(change.episode.agent),
        "Segment": segment(change.series),
        "Value": "" if row["value"] is None else _amount(row["value"], row["unit"]),
        "Reference": "" if row["reference"] is None else _amount(row["reference"], row["unit"]),
        "Difference": _difference(row),
        "Compared with": COMPARED.get(row["compared_with"], ""),
        "Worst": f"{row['worst_level']} on {row['worst_on']}, "
        f"{_amount(row['worst_value'], row['unit'])}",
        "Open": f"from {row['opened_on']} to {row['cleared_on']}, {_days(row['n_days'])}",
    }
    return {name: value for name, value in found.items() if value}


def _ending(change: Change) -> str:
    if change.episode is None:
        return "It is in the data no more: the data or the limits were corrected."
    ended_as = change.episode.facts["cleared_as"]
    if ended_as in ("ok", "watch"):
        return f"Within its limits again ({ended_as})."
    return f"No all-clear: nobody knows, because the last day cannot be judged ({plain(ended_as)})."


def _line(change: Change) -> str:
    """One change in one line of a digest."""
    text = f"- {_headline(change)}: {about(change.series, _label(change))}"
    if change.kind == "cleared":
        return f"{text}. {_ending(change)}"
    row = change.episode.facts
    text += f", {_amount(row['value'], row['unit'])}"
    if row["reference"] is not None:
        text += f" against {_amount(row['reference'], row['unit'])}"
    if row["delta"] is not None:
        text += f" ({signed(row['delta'], row['unit'])}, {row['compared_with']})"
    text += f", since {row['opened_on']}"
    return text + (", limit set after launch" if row["late"] else "")


def _difference(row: Mapping) -> str:
    """In the unit of the KPI, and what was judged where that is another number."""
    if row["delta"] is None:
        return ""
    text = signed(row["delta"], row["unit"])
    judged = _limit(row["judged_delta"], row) if row["judged_delta"] is not None else text
    if judged != text:
        text += f", judged {judged}"
        if row["limit_unit"] == "pp":
            text += " (reasons that may raise an alarm)"
    if row["judged_bound"] is not None:
        text += f"; {_limit(row['judged_bound'], row)} at the better end of its 95% interval"
    return text


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    return amount(value, unit) + (" ms" if unit == "ms" else "")


def _limit(value: float, row: Mapping) -> str:
    """A number in the unit of the limits, a distance with its sign."""
    if row["limit_unit"] == "absolute":
        return _amount(value, row["unit"])
    if row["limit_unit"] == "percent":
        return f"{value:+.1f}%"
    if row["unit"] == "share":
        return signed(value / 100, "share")
    return signed(value, row["unit"])


def _unsigned(value: float, row: Mapping) -> str:
    return _limit(abs(value), row).lstrip("+")


def _days(number: int) -> str:
    return f"{number} day" if number == 1 else f"{number} days"


def _words(name: str) -> str:
    return plain(name).replace("_", " ")
