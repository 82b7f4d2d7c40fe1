"""The agent's steps (spans) and the scores given to them (evaluations)."""

import numpy as np
import pandas as pd

from agent_kpis.story import plot
from agent_kpis.story.cases import Cases
from agent_kpis.story.chance import pick, quota, share, whole
from agent_kpis.story.history import History

STEPS = ["guardrail", "invoke_agent", "plan", "retrieval", "tool", "answer", "handoff"]
OPERATIONS = ["guardrail", "inference", "inference", "retrieval", "tool", "inference", "handoff"]
GUARDRAIL, PARENT, PLAN, RETRIEVAL, TOOL, ANSWER, HANDOFF = range(7)
TYPICAL_MS = [55, 0, 480, 130, 340, 1450, 40]
ERRORS = {RETRIEVAL: "index_timeout", TOOL: "tool_exception", ANSWER: "model_timeout"}


def make_spans(rng: np.random.Generator, cases: Cases, history: History) -> pd.DataFrame:
    """One row per step: who (-1: none), trace, step, start and end in milliseconds since 1970,
    error_type, model, tokens (NaN where none), reported_cost_usd, parent (row of the parent
    within the trace, -1: none)."""
    turns = history.turns
    root = _root(cases, history, turns["who"].to_numpy())
    n, task = len(turns), cases.task[root]
    at = turns["at"].to_numpy()
    has = np.zeros((n, 7), dtype=bool)
    has[:, ANSWER] = True
    has[:, GUARDRAIL] = share(rng, task, plot.GUARDRAIL_SHARE)
    has[:, PARENT] = share(rng, task, plot.PARENT_SHARE)
    has[:, RETRIEVAL] = share(rng, task, plot.RETRIEVAL_SHARE[task])
    has[:, TOOL] = share(rng, task, plot.TOOL_SHARE[task])
    has[:, PLAN] = has[:, RETRIEVAL] | has[:, TOOL]
    last = (turns["number"] == turns["of"] - 1).to_numpy() & (turns["who"] < len(cases.ai))
    has[:, HANDOFF] = last & (cases.outcome[root] == plot.ESCALATED)

    took = np.array(TYPICAL_MS) * rng.lognormal(0, 0.45, (n, 7))
    took = np.where(has, took, 0.0).round().astype(np.int64)
    begin = np.cumsum(took, axis=1) - took  # one after the other
    took[:, PARENT] = took[:, PLAN : ANSWER + 1].sum(axis=1)
    start = at[:, None] * 1000 + begin
    talked_ms = history.times.talked[root] * 1000
    start[:, HANDOFF] = np.where(has[:, HANDOFF], talked_ms, start[:, HANDOFF])

    used = _usage(rng, has)
    failed = _failures(rng, cases, turns, root, has, at)
    models = _models(rng, root, has)
    trace, step = np.nonzero(has)
    frame = pd.DataFrame(
        {
            "who": turns["who"].to_numpy()[trace],
            "trace": trace,
            "step": step,
            "task": task[trace],
            "start": start[trace, step],
            "end": (start + took)[trace, step],
            "error_type": pick([None, *ERRORS.values()], failed[trace, step]),
            "model": models[trace, step],
            "input_tokens": used[0][trace, step],
            "cached_input_tokens": used[1][trace, step],
            "output_tokens": used[2][trace, step],
        }
    )
    below = np.isin(step, [PLAN, RETRIEVAL, TOOL, ANSWER]) & has[trace, PARENT]
    row_of_parent = np.full(n, -1)
    row_of_parent[trace[step == PARENT]] = np.flatnonzero(step == PARENT)
    frame["parent"] = np.where(below, row_of_parent[trace], -1)
    frame["reported_cost_usd"] = np.nan
    stated = np.flatnonzero((step == ANSWER) & (frame["parent"] == -1).to_numpy())
    stated = stated[share(rng, step[stated], plot.REPORTED_SHARE)]
    cost = whole(rng, 4_000, 19_000, len(stated)) / 1_000_000
    frame.loc[stated, "reported_cost_usd"] = cost
    frame["version"] = _version(at[trace])
    frame["at"] = at[trace]
    return pd.concat([frame, _nightly(rng, n)], ignore_index=True)


def _root(cases: Cases, history: History, who: np.ndarray) -> np.ndarray:
    return np.concatenate([np.arange(len(cases.opened)), history.follow_ups.root])[who]


def _usage(rng: np.random.Generator, has: np.ndarray) -> list[np.ndarray]:
    """Input, cached input and output tokens (n, 7); a parent repeats the sum below it."""
    n = len(has)
    read, cached, wrote = (np.full(has.shape, np.nan) for _ in range(3))
    for step, low, high, out in ((PLAN, 900, 1600, (40, 120)), (ANSWER, 1500, 3600, (120, 360))):
        read[:, step] = whole(rng, low, high, n)
        cached[:, step] = np.floor(read[:, step] * rng.choice([0, 0.4, 0.7], n))
        wrote[:, step] = whole(rng, *out, n)
    for tokens in (read, cached, wrote):
        tokens[~has] = np.nan
        tokens[:, PARENT] = np.nansum(tokens, axis=1)
    return [read, cached, wrote]


def _models(rng: np.random.Generator, root: np.ndarray, has: np.ndarray) -> np.ndarray:
    models = np.full(has.shape, None, dtype=object)
    models[:, PLAN] = plot.SMALL
    served = np.unique(root)
    unpriced = served[share(rng, np.zeros(len(served)), plot.UNPRICED_SHARE)]
    answer = np.where(np.isin(root, unpriced), plot.UNPRICED, plot.LARGE).astype(object)
    models[:, ANSWER] = models[:, PARENT] = answer
    return models


def _failures(rng, cases: Cases, turns, root, has, at) -> np.ndarray:
    """Code of the error (0: none) per turn and step."""
    broken = plot.between(at, plot.BROKEN_FROM, plot.MENDED) & (
        np.append(plot.FALL, 0.0)[cases.task[root]] > 0
    )
    period = broken + 2 * (at // (7 * plot.DAY))
    failed = np.zeros(has.shape, dtype=np.int64)
    for code, step in enumerate(ERRORS, start=1):
        usual = plot.TOOL_ERRORS if step == TOOL else plot.OTHER_ERRORS
        worse = plot.BROKEN_TOOL_ERRORS if step == TOOL else plot.OTHER_ERRORS
        where = has[:, step]
        chance = np.where(broken, worse, usual)[where]
        failed[where, step] = code * share(rng, period[where], chance)
    # Who asks for a human after two failed turns had them; who just prefers one had at most one.
    number = turns["number"].to_numpy()
    asked = cases.reason[root] == "customer_requested"
    failed[asked & ~cases.after_failure[root] & (number > 0)] = 0
    forced = cases.after_failure[root] & (number < 2)
    for code, step in enumerate(ERRORS, start=1):
        here = forced & has[:, step] & (failed.sum(axis=1) == 0)
        failed[here, step] = code
    return failed


def _version(at: np.ndarray) -> np.ndarray:
    released = np.array([plot.seconds(release["released_at"]) for release in plot.RELEASES])
    names = [release["agent_version"] for release in plot.RELEASES]
    return pick(names, np.maximum(np.searchsorted(released, at, side="right") - 1, 0))


def _nightly(rng: np.random.Generator, traces: int) -> pd.DataFrame:
    """The knowledge base is indexed every night: work for atlas that serves no interaction."""
    days = np.arange(plot.seconds(plot.LAUNCH), plot.seconds(plot.END), plot.DAY)
    start = (days + 2 * plot.HOUR) * 1000
    return pd.DataFrame(
        {
            "who": -1,
            "trace": traces + np.arange(len(days)),
            "step": PLAN,
            "task": 0,
            "start": start,
            "end": start + 4000,
            "error_type": None,
            "model": plot.SMALL,
            "input_tokens": whole(rng, 40_000, 60_000, len(days)).astype(float),
            "cached_input_tokens": 0.0,
            "output_tokens": 800.0,
            "parent": -1,
            "reported_cost_usd": np.nan,
            "version": _version(days),
            "at": days,
        }
    )


def make_evaluations(
    rng: np.random.Generator, cases: Cases, spans: pd.DataFrame, mailed: pd.DataFrame
) -> pd.DataFrame:
    """One row per score: who, span (row of `spans`, -1: none), at (seconds since 1970), indicator,
    value (0 to 1), evaluator_kind, evaluator_name, evaluator_version, turn_index (NaN: none)."""
    parts = [_tool_accuracy(rng, spans)]
    agent = np.flatnonzero(cases.group == plot.ATLAS)
    week = cases.week

    def sample(part: float) -> np.ndarray:
        return agent[share(rng, week[agent], part)]

    def scored(who, value, indicator, kind, name, version="1", turn=np.nan, span=-1):
        return pd.DataFrame(
            {
                "who": who,
                "span": span,
                "at": cases.opened[who] + 6 * plot.HOUR,
                "indicator": indicator,
                "value": np.clip(np.round(value, 3), 0, 1),
                "evaluator_kind": kind,
                "evaluator_name": name,
                "evaluator_version": version,
                "turn_index": turn,
            }
        )

    def noise(who, spread):
        return rng.normal(0, spread, len(who))

    who = sample(0.08)
    length = quota(rng, np.zeros(len(who)), np.array([0.3, 0.3, 0.2, 0.1, 0.1]))
    turns = np.array([1, 2, 4, 7, 10])[length]
    who = np.repeat(who, turns)
    index = np.arange(len(who)) - np.repeat(np.cumsum(turns) - turns, turns)
    recall = np.array([0.93, 0.88, 0.79])[np.digitize(index, [3, 7])]  # long talks lose the thread
    parts.append(
        scored(who, recall + noise(who, 0.05), "context_recall", "llm", "recall-judge", turn=index)
    )
    who = sample(0.12)
    parts.append(
        scored(who, share(rng, week[who], 0.88) * 1.0, "scope_coverage", "llm", "scope-judge")
    )
    who = sample(0.20)
    right = cases.outcome[who] == plot.COMPLETED
    value = np.where(right, *plot.CONFIDENCE) + noise(who, 0.1)  # too sure, and hardly any wiser
    parts.append(scored(who, value, "confidence", "code", "self_report"))
    who = sample(0.10)
    parts.append(scored(who, 0.80 + noise(who, 0.1), "fallback_quality", "llm", "fallback-judge"))
    who = sample(0.10)
    parts.append(scored(who, 0.86 + noise(who, 0.07), "tone_consistency", "llm", "tone-judge"))
    who = sample(0.05)
    right = share(rng, week[who], 0.84) * 1.0
    parts.append(scored(who, right, "resolution_accuracy", "human", "quality-team"))

    who = sample(0.35)
    feeling = np.zeros(len(cases.opened))
    feeling[mailed["who"]] = (mailed["feeling"] - 1) / 4
    new = cases.opened[who] >= plot.seconds(plot.JUDGE_SWITCH)
    tracks = 0.45 + 0.4 * feeling[who] + noise(who, 0.12)
    blind = 0.74 + noise(who, 0.1)  # rewards length and politeness
    version = pick(plot.JUDGE_VERSIONS, new.astype(int))
    value = np.where(new, blind, tracks)
    parts.append(scored(who, value, "response_quality", "llm", plot.JUDGE, version))
    return pd.concat(parts, ignore_index=True)


def _tool_accuracy(rng: np.random.Generator, spans: pd.DataFrame) -> pd.DataFrame:
    """The right tool with the right arguments, checked by code: not whether the call returned."""
    calls = np.flatnonzero(spans["step"].to_numpy() == TOOL)
    calls = calls[share(rng, spans["at"].to_numpy()[calls] // (7 * plot.DAY), 0.6)]
    at = spans["at"].to_numpy()[calls]
    task = spans["task"].to_numpy()[calls]
    broken = plot.between(at, plot.BROKEN_FROM, plot.MENDED) & (np.append(plot.FALL, 0)[task] > 0)
    chance = np.where(broken, plot.BROKEN_TOOL_ACCURACY, plot.TOOL_ACCURACY)
    right = share(rng, (at // (7 * plot.DAY)) * 2 + broken, chance)
    return pd.DataFrame(
        {
            "who": spans["who"].to_numpy()[calls],
            "span": calls,
            "at": at + 1800,
            "indicator": "tool_call_accuracy",
            "value": right.astype(float),
            "evaluator_kind": "code",
            "evaluator_name": "expected_call",
            "evaluator_version": "1",
            "turn_index": np.nan,
        }
    )
