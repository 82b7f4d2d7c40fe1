"""What was planted, counted where it was planted and not from the rows."""

from datetime import date

import numpy as np
import pandas as pd

from agent_kpis.story import plot
from agent_kpis.story.cases import Cases
from agent_kpis.story.history import History
from agent_kpis.story.traces import ANSWER, PARENT

RATES = [*plot.OUTCOMES[:5], "resolved"]


def make_truth(
    cases: Cases,
    history: History,
    surveys: pd.DataFrame,
    spans: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    seed: int,
) -> dict:
    """The whole truth as a dictionary that JSON can hold. Counts are of mature original requests
    as of the watermark, times are UTC in ISO 8601, rates are shares, differences AI minus human."""
    as_of = _watermark(tables)
    mature = (cases.matures <= as_of) & (cases.group != plot.EXTRA)
    resolved = mature & (history.stood <= cases.deadline)
    count = Counter(cases, mature, resolved)
    ai, after = cases.group == plot.ATLAS, cases.opened >= plot.seconds(plot.LAUNCH)
    human = ~cases.ai
    tier_1 = np.isin(cases.group, [plot.BASELINE, plot.HOLDOUT])
    praise = (cases.matures <= plot.seconds(plot.PRAISE)) & mature
    return {
        "seed": seed,
        "agent_name": plot.AGENT,
        "days": {
            "start": str(plot.START),
            "end": str(plot.END),
            "launch": str(plot.LAUNCH),
            "praise": str(plot.PRAISE),
            "disillusion": str(plot.DISILLUSION),
            "dip_from": str(plot.DIP_FROM),
            "dip_to": str(plot.DIP_TO),
            "tool_broken_from": str(plot.BROKEN_FROM),
            "completion_falls_from": str(plot.FALL_FROM),
            "tool_mended": str(plot.MENDED),
            "under_escalation_from": str(plot.SILENT_FROM),
            "under_escalation_to": str(plot.SILENT_TO),
            "slow_from": str(plot.SLOW_FROM),
            "slow_to": str(plot.SLOW_TO),
            "price_change": str(plot.PRICE_CHANGE),
            "judge_switch": str(plot.JUDGE_SWITCH),
        },
        "watermark": pd.Timestamp(as_of, unit="s").isoformat(),
        "interactions": {
            "rows": len(tables["interactions"]),
            "original_requests": len(cases.opened),
            "follow_ups": int((tables["interactions"]["interaction_id"].str[:5] == "int-f").sum()),
            "lost_parents": plot.LOST_PARENTS,
            "spam": plot.SPAM,
            "test": plot.TEST,
            "undefined_task_type": plot.UNDEFINED,
            "by_group": {
                name: int((cases.group == code).sum()) for code, name in enumerate(plot.GROUPS)
            },
            "pending": {
                "ai": int((ai & ~mature).sum()),
                "human": int((human & ~mature & (cases.group != plot.EXTRA)).sum()),
            },
            "excluded": {
                "ai": int((cases.ai & (cases.group == plot.EXTRA)).sum()),
                "human": int((human & (cases.group == plot.EXTRA)).sum()),
            },
            "holdout_share": _ratio(
                (cases.group == plot.HOLDOUT).sum(), (after & (tier_1 | ai)).sum()
            ),
            "contaminated": plot.CONTAMINATED,
            "unpriced": _unpriced(cases, spans),
        },
        "outcomes": {
            "by_arm": {"ai": count(ai), "human": count(human)},
            "by_group": {
                name: count(cases.group == code) for code, name in enumerate(plot.GROUPS[:4])
            },
            "by_arm_and_task_type": [
                {"arm": arm, "task_type": task, **count(where & (cases.task == code))}
                for arm, where in (("ai", ai), ("human", human))
                for code, task in enumerate(plot.TASKS)
            ],
            "by_week_and_group": [
                {
                    "week": str(plot.START + pd.Timedelta(weeks=week)),
                    "group": plot.GROUPS[group],
                    **count((cases.week == week) & (cases.group == group)),
                }
                for week in range(plot.WEEKS)
                for group in range(4)
                if (mature & (cases.week == week) & (cases.group == group)).any()
            ],
        },
        "periods": _periods(count, cases, ai, tier_1),
        "praise": {
            "as_of": str(plot.PRAISE),
            "atlas": Counter(cases, praise, resolved & praise)(ai),
            "holdout": Counter(cases, praise, resolved & praise)(cases.group == plot.HOLDOUT),
        },
        "completion_difference": _differences(cases, mature, after, ai, tier_1),
        "csat": _csat(cases, surveys, ai),
        "escalation_reasons": _reasons(cases, mature, ai),
        "costs": _money(spans, tables["costs"]),
        "releases": _releases(),
        "judge": {
            "name": plot.JUDGE,
            "tracks_satisfaction": dict(zip(plot.JUDGE_VERSIONS, (True, False), strict=True)),
        },
        "confidence": dict(
            zip(("stated_when_completed", "stated_when_not"), plot.CONFIDENCE, strict=True)
        ),
        "tool_call_accuracy": {
            "usual": plot.TOOL_ACCURACY,
            "broken": plot.BROKEN_TOOL_ACCURACY,
            "affected_tools": [
                tool for tool, lost in zip(plot.TOOLS, plot.FALL, strict=False) if lost > 0
            ],
            "lead_days": (plot.FALL_FROM - plot.BROKEN_FROM).days,
        },
    }


class Counter:
    """Counts of outcomes among the mature requests of a part of the cases."""

    def __init__(self, cases: Cases, mature: np.ndarray, resolved: np.ndarray):
        self.outcome, self.ai = cases.outcome, cases.ai
        self.mature, self.is_resolved = mature, resolved

    def __call__(self, where: np.ndarray) -> dict:
        where = where & self.mature
        n = int(where.sum())
        counts = {
            name: int((where & (self.outcome == c)).sum()) for c, name in enumerate(RATES[:5])
        }
        counts["resolved"] = int((where & self.is_resolved).sum())
        rates = {f"{name}_rate": _ratio(value, n) for name, value in counts.items()}
        if self.ai[where].all():  # handled by the agent alone
            counts["deflected"] = n - counts["escalated"]
            rates["deflection_rate"] = _ratio(counts["deflected"], n)
        return {"mature": n, **counts, **rates}


def _ratio(part, whole) -> float | None:
    return round(float(part) / float(whole), 6) if whole else None


def _watermark(tables: dict[str, pd.DataFrame]) -> int:
    last = max(tables["interactions"]["opened_at"].max(), tables["events"]["occurred_at"].max())
    return int(last.timestamp())


def _unpriced(cases: Cases, spans: pd.DataFrame) -> int:
    """Original requests in scope with an answer whose model has no price and no stated cost."""
    spans = spans[(spans["step"] == ANSWER) & (spans["model"] == plot.UNPRICED)]
    spans = spans[
        spans["reported_cost_usd"].isna() & (spans["start"] < plot.seconds(plot.END) * 1000)
    ]
    who = spans["who"].unique()
    who = who[who < len(cases.opened)]
    return int((cases.group[who] == plot.ATLAS).sum())


def _periods(count: Counter, cases: Cases, ai, tier_1) -> dict:
    spans = {
        "baseline": (plot.START, plot.LAUNCH),
        "release_1_0_0": (plot.LAUNCH, date(2026, 3, 23)),
        "release_1_1_0": (date(2026, 3, 23), plot.BROKEN_FROM),
        "tool_broken_completion_holds": (plot.BROKEN_FROM, plot.FALL_FROM),
        "tool_broken_completion_fallen": (plot.FALL_FROM, plot.MENDED),
        "release_1_3_0": (plot.MENDED, plot.END),
        "dip": (plot.DIP_FROM, plot.DIP_TO),
        "under_escalation": (plot.SILENT_FROM, plot.SILENT_TO),
    }
    return {
        name: {
            "from": str(first),
            "to": str(end),
            "ai": count(ai & cases.during(first, end)),
            "tier_1_humans": count(tier_1 & cases.during(first, end)),
        }
        for name, (first, end) in spans.items()
    }


def _differences(cases: Cases, mature, after, ai, tier_1) -> dict:
    """Completion of the agent minus that of humans since launch, compared in three ways."""
    base, completed = mature & after, cases.outcome == plot.COMPLETED
    human = base & ~cases.ai

    def rate(where) -> float:
        return _ratio((where & completed).sum(), where.sum())

    def by_task(one, other) -> float:
        weight = [(one & (cases.task == code)).sum() / one.sum() for code in range(5)]
        return round(
            sum(
                w * (rate(one & (cases.task == code)) - rate(other & (cases.task == code)))
                for code, w in enumerate(weight)
            ),
            6,
        )

    one = base & ai
    return {
        "population": "mature interactions opened since launch, as of the watermark",
        "crude_all_human_handled": round(rate(one) - rate(human), 6),
        "by_task_type_all_human_handled": by_task(one, human),
        "crude_randomised": round(rate(one) - rate(human & tier_1), 6),
        "by_task_type_randomised": by_task(one, human & tier_1),
        "weights": "task mix of the AI arm",
    }


def _csat(cases: Cases, surveys: pd.DataFrame, ai) -> dict:
    """Means in points of everybody who answers, however late; and how many do."""
    mail = surveys[surveys["survey_kind"] == "post_interaction"]
    who, answered = mail["who"].to_numpy(), mail["score"].notna().to_numpy()
    points = (mail["score"].to_numpy() - 1) * 25
    in_time = (mail["responded_at"] < plot.seconds(plot.END)).to_numpy()

    def mean(where: np.ndarray) -> dict:
        chosen = where[who]
        known = chosen & answered
        sent = chosen & (mail["sent_at"] < plot.seconds(plot.END)).to_numpy()
        return {
            "mean": round(float(points[known].mean()), 4),
            "sent": int(sent.sum()),
            "answers": int(known.sum()),
            "answers_by_the_end": int((known & in_time).sum()),
            "response_rate": _ratio(known.sum(), chosen.sum()),
        }

    before = mean(cases.group == plot.BASELINE)
    first_six = ai & cases.during(plot.LAUNCH, plot.DISILLUSION)
    six_weeks = mean(first_six)
    early = (mail["responded_at"] < plot.seconds(plot.DISILLUSION)).to_numpy()
    seen = float(points[first_six[who] & early].mean())  # the angry ones were sooner
    six_weeks["mean_of_answers_by_disillusion"] = round(seen, 4)
    lag = (mail["responded_at"].to_numpy() - cases.opened[who]) / plot.DAY
    angry, content = (points <= 25) & answered, (points >= 75) & answered
    return {
        "baseline": before,
        "atlas_first_six_weeks": six_weeks,
        "delta_after_six_weeks": round(six_weeks["mean"] - before["mean"], 4),
        "holdout": mean(cases.group == plot.HOLDOUT),
        "atlas": mean(ai),
        "tier_2": mean(cases.group == plot.TIER_2),
        "mean_lag_days": {
            "angry": round(float(lag[angry].mean()), 3),
            "content": round(float(lag[content].mean()), 3),
        },
        "longest_lag_days": int(np.nanmax(lag)),
        "thumbs_rows": int((surveys["survey_kind"] == "in_conversation").sum()),
    }


def reason_class(reason: str | None, after_failure: bool) -> str:
    """The class that the configuration gives to a reason."""
    name = plot.REASON_CLASSES.get(reason, "unknown")
    return "preference_after_failure" if name == "customer_preference" and after_failure else name


def _reasons(cases: Cases, mature, ai) -> dict:
    shares = {}
    for phase, (first, end) in plot.PHASES.items():
        here = mature & ai & (cases.outcome == plot.ESCALATED) & cases.during(first, end)
        pairs = zip(cases.reason[here], cases.after_failure[here], strict=True)
        classes = pd.Series([reason_class(*pair) for pair in pairs]).value_counts()
        shares[phase] = {
            "from": str(first),
            "to": str(end),
            "escalated": int(here.sum()),
            "counts": {name: int(n) for name, n in sorted(classes.items())},
            "shares": {name: _ratio(n, here.sum()) for name, n in sorted(classes.items())},
        }
    return shares


def _money(spans: pd.DataFrame, costs: pd.DataFrame) -> dict:
    """USD: what the models cost (parents repeat what is below them and cost nothing), and the
    other costs by component. Steps of a model without a price are counted, not guessed."""
    spans = spans[spans["model"].notna() & (spans["step"] != PARENT)]
    spans = spans[spans["start"] < plot.seconds(plot.END) * 1000]
    late = spans["start"].to_numpy() >= plot.seconds(plot.PRICE_CHANGE) * 1000
    rates = [
        plot.PRICES.get((model, when), (np.nan,) * 3)
        for model, when in zip(spans["model"], np.where(late, "after", "before"), strict=True)
    ]
    cached = spans["cached_input_tokens"]
    tokens = np.column_stack(
        [spans["input_tokens"] - cached, cached, spans["output_tokens"]]
    ).astype(float)
    usd = spans["reported_cost_usd"].fillna(
        pd.Series((tokens * np.array(rates)).sum(axis=1) / 1e6, index=spans.index)
    )
    shared = (spans["who"] < 0).to_numpy()
    return {
        "model_usd_before_price_change": round(float(usd[~late].sum()), 6),
        "model_usd_after_price_change": round(float(usd[late].sum()), 6),
        "model_usd_without_interaction": round(float(usd[shared].sum()), 6),
        "steps_without_price": int(usd.isna().sum()),
        "usd_by_component": {
            name: round(float(amount), 2)
            for name, amount in costs.groupby("component")["amount_usd"].sum().items()
        },
    }


def _releases() -> list[dict]:
    fall = -round(float(np.dot(plot.TASK_MIX, plot.FALL)), 6)
    effects = {"1.0.0": None, "1.1.0": 0.0, "1.2.0": fall, "1.3.0": -fall}
    return [
        {
            "agent_version": release["agent_version"],
            "released_at": str(release["released_at"]),
            "planted_effect_on_completion": effects[release["agent_version"]],
        }
        for release in plot.RELEASES
    ]
