"""The story as rows of the contract: what a helpdesk, a tracer and an accountant would export."""

from datetime import date

import numpy as np
import pandas as pd

from agent_kpis.story import plot
from agent_kpis.story.cases import Cases
from agent_kpis.story.chance import pick, share
from agent_kpis.story.history import History
from agent_kpis.story.traces import OPERATIONS, STEPS, TOOL

Tables = dict[str, pd.DataFrame]


def moment(at: np.ndarray, unit: str = "s") -> np.ndarray:
    """UTC timestamps of numbers since 1970 (NaN: none)."""
    at = np.asarray(at, dtype=float)
    micro = np.where(np.isnan(at), 0, at * {"s": 1_000_000, "ms": 1_000}[unit])
    times = micro.astype(np.int64).astype("datetime64[us]")
    times[np.isnan(at)] = np.datetime64("NaT")
    return times


def numbered(prefix: str, n: int) -> np.ndarray:
    return np.array([f"{prefix}-{i:06d}" for i in range(1, n + 1)], dtype=object)


def interaction_ids(cases: Cases, history: History) -> np.ndarray:
    """Cases first, then follow-ups, then None (index -1)."""
    follow_ups = numbered("int-f", len(history.follow_ups.root))
    return np.concatenate([cases.ids, follow_ups, np.array([None], dtype=object)])


def interaction_table(rng: np.random.Generator, cases: Cases, history: History) -> pd.DataFrame:
    follow_ups = history.follow_ups
    ids = interaction_ids(cases, history)
    own = np.arange(len(cases.opened))
    root = np.concatenate([own, follow_ups.root])
    parent = np.concatenate([np.full(len(own), -1), follow_ups.parent])
    agent, group = cases.ai[root], cases.group[root]
    opened = np.concatenate([cases.opened, follow_ups.opened])
    named = agent & ~((group == plot.ATLAS) & share(rng, group, 0.06))
    known = agent & ~((group == plot.ATLAS) & share(rng, group, 0.05))
    randomised = np.isin(group, [plot.HOLDOUT, plot.ATLAS])
    tables = pd.DataFrame(
        {
            "interaction_id": ids[:-1],
            "opened_at": moment(opened),
            "assigned_arm": np.where(agent, "ai", "human"),
            "task_type": pick([*plot.TASKS, plot.UNDEFINED_TASK], cases.task[root]),
            "channel": pick(plot.CHANNELS, cases.channel[root]),
            "assignment_kind": np.where(randomised, "randomised", "routed"),
            "customer_id": pick(
                [f"cust-{i:05d}" for i in range(plot.CUSTOMERS)], cases.customer[root]
            ),
            "tier": np.where(group == plot.TIER_2, "tier_2", "tier_1"),
            "parent_interaction_id": ids[parent],
            "agent_name": pick([None, plot.AGENT], named.astype(int)),
            "agent_version": pick(_versions(), np.where(known, _version_codes(opened), 0)),
            "is_spam": cases.is_spam[root],
            "is_test": cases.is_test[root],
            "source_system": pick(plot.SOURCES, cases.channel[root]),
        }
    )
    held_out = np.flatnonzero(group[: len(own)] == plot.HOLDOUT)
    lost = rng.choice(held_out, plot.LOST_PARENTS, replace=False)
    tables.loc[lost, "parent_interaction_id"] = "int-before-migration"
    return tables


def _versions() -> list[str | None]:
    return [None] + [release["agent_version"] for release in plot.RELEASES]


def _version_codes(at: np.ndarray) -> np.ndarray:
    released = [plot.seconds(release["released_at"]) for release in plot.RELEASES]
    return np.searchsorted(released, at, side="right")


def event_table(events: pd.DataFrame, ids: np.ndarray) -> pd.DataFrame:
    events = events.sort_values(["at", "who"], kind="stable", ignore_index=True)
    return pd.DataFrame(
        {
            "event_id": numbered("evt", len(events)),
            "interaction_id": ids[events["who"]],
            "occurred_at": moment(events["at"]),
            **{
                name: events[name]
                for name in (
                    "event_type",
                    "actor_kind",
                    "actor_id",
                    "reason",
                    "question_key",
                    "evidence",
                    "handle_seconds",
                )
            },
        }
    )


def survey_table(surveys: pd.DataFrame, ids: np.ndarray) -> pd.DataFrame:
    """What is known at the end: later answers are not there yet."""
    surveys = surveys.sort_values(["sent_at", "who"], kind="stable", ignore_index=True)
    open_still = surveys["responded_at"] >= plot.seconds(plot.END)
    return pd.DataFrame(
        {
            "survey_id": numbered("svy", len(surveys)),
            "interaction_id": ids[surveys["who"]],
            "survey_kind": surveys["survey_kind"],
            "survey_source": surveys["survey_source"],
            "sent_at": moment(surveys["sent_at"]),
            "responded_at": moment(surveys["responded_at"].mask(open_still)),
            "score": surveys["score"].mask(open_still),
        }
    )


def span_table(spans: pd.DataFrame, ids: np.ndarray, task_names: int = 6) -> pd.DataFrame:
    """Rows in the order of `spans`, so that their numbers still name parents."""
    step, task = spans["step"].to_numpy(), spans["task"].to_numpy()
    names = np.array([STEPS] * task_names, dtype=object)
    names[:, TOOL] = plot.TOOLS
    names[:, STEPS.index("retrieval")] = plot.INDEXES
    names[:, STEPS.index("handoff")] = "to_human"
    span_ids = np.append(numbered("spn", len(spans)), None)
    return pd.DataFrame(
        {
            "span_id": span_ids[:-1],
            "started_at": moment(spans["start"], "ms"),
            "operation": pick(OPERATIONS, step),
            "trace_id": pick(
                list(numbered("trc", int(spans["trace"].max()) + 1)), spans["trace"].to_numpy()
            ),
            "parent_span_id": span_ids[spans["parent"]],
            "interaction_id": ids[spans["who"]],
            "agent_name": plot.AGENT,
            "agent_version": spans["version"],
            "name": names[task, step],
            "ended_at": moment(spans["end"], "ms"),
            "error_type": spans["error_type"],
            "model": spans["model"],
            **{
                name: spans[name].astype("Int64")
                for name in ("input_tokens", "cached_input_tokens", "output_tokens")
            },
            "reported_cost_usd": spans["reported_cost_usd"],
        }
    )


def evaluation_table(
    evaluations: pd.DataFrame, ids: np.ndarray, span_ids: np.ndarray
) -> pd.DataFrame:
    evaluations = evaluations.sort_values(["at", "indicator"], kind="stable", ignore_index=True)
    span_ids = np.append(span_ids, None)
    return pd.DataFrame(
        {
            "evaluation_id": numbered("evl", len(evaluations)),
            "evaluated_at": moment(evaluations["at"]),
            "indicator": evaluations["indicator"],
            "value": evaluations["value"],
            "interaction_id": ids[evaluations["who"]],
            "span_id": span_ids[evaluations["span"]],
            "evaluator_kind": evaluations["evaluator_kind"],
            "evaluator_name": evaluations["evaluator_name"],
            "evaluator_version": evaluations["evaluator_version"],
            "turn_index": evaluations["turn_index"].astype("Int64"),
        }
    )


def release_table() -> pd.DataFrame:
    table = pd.DataFrame([{"agent_name": plot.AGENT, **release} for release in plot.RELEASES])
    for name in ("released_at", "decide_by"):
        table[name] = moment([plot.seconds(day) for day in table[name]])
    return table


def cost_table(rng: np.random.Generator, cases: Cases, ids: np.ndarray) -> pd.DataFrame:
    """Platform and evaluation costs of the agent, a licence of nobody's, calls, and invoices."""
    months = [plot.LAUNCH, *(date(2026, month, 1) for month in (3, 4, 5, 6, 7))]
    part = (date(2026, 3, 1) - plot.LAUNCH).days / 28  # launched in mid-month
    weeks = np.arange(plot.seconds(plot.LAUNCH), plot.seconds(plot.END), 7 * plot.DAY)
    calls = np.flatnonzero((cases.channel == plot.CHANNELS.index("voice")) & ~cases.is_spam)
    human = (cases.group == plot.BASELINE) | (cases.group == plot.TIER_2)
    invoiced = np.sort(rng.choice(np.flatnonzero(human), plot.OUTSOURCED, replace=False))
    parts = [
        _costs(
            [plot.seconds(day) for day in months],
            "platform",
            plot.PLATFORM_A_MONTH * np.array([part, 1, 1, 1, 1, 1]),
            plot.AGENT,
        ),
        _costs(
            [plot.seconds(date(2026, month, 5)) for month in range(1, 8)],
            "other",
            plot.HELPDESK_A_MONTH,
        ),
        _costs(weeks, "evaluation", plot.EVALUATION_A_WEEK, plot.AGENT),
        _costs(
            cases.opened[calls],
            "telephony",
            plot.TELEPHONY_A_CALL * rng.lognormal(0, 0.3, len(calls)),
            pick([None, plot.AGENT], cases.ai[calls].astype(int)),
            ids[calls],
        ),
        _costs(
            cases.opened[invoiced] + 3 * plot.DAY,
            "human",
            7.5 * rng.lognormal(0, 0.25, len(invoiced)),
            None,
            ids[invoiced],
        ),
    ]
    table = pd.concat(parts, ignore_index=True)
    table = table.sort_values(["at", "component"], kind="stable", ignore_index=True)
    table.insert(0, "cost_id", numbered("cst", len(table)))
    table.insert(1, "occurred_at", moment(table.pop("at")))
    return table


def _costs(at, component: str, amount, agent=None, who=None) -> pd.DataFrame:
    n = len(at)
    table = pd.DataFrame({"at": at, "component": component, "amount_usd": np.round(amount, 2)})
    for name, value in (("interaction_id", who), ("agent_name", agent)):
        full = np.empty(n, dtype=object)
        full[:] = value
        table[name] = full
    return table


def drop_future(tables: Tables) -> Tables:
    """Nothing that happens at or after the end has happened yet."""
    end = np.datetime64(plot.END)
    kept = {}
    for entity, table in tables.items():
        kept[entity] = table[(table[TIME[entity]] < end).to_numpy()].reset_index(drop=True)
    return kept


KEY = {
    "interactions": ["interaction_id"],
    "events": ["event_id"],
    "surveys": ["survey_id"],
    "spans": ["span_id"],
    "evaluations": ["evaluation_id"],
    "releases": ["agent_name", "agent_version"],
    "costs": ["cost_id"],
}
TIME = {
    "interactions": "opened_at",
    "events": "occurred_at",
    "surveys": "sent_at",
    "spans": "started_at",
    "evaluations": "evaluated_at",
    "releases": "released_at",
    "costs": "occurred_at",
}
