"""Who asked for what, who was to handle it, and what becomes of it."""

from dataclasses import dataclass, replace

import numpy as np

from agent_kpis.story import plot
from agent_kpis.story.chance import pick, quota, share, whole


@dataclass
class Cases:
    """One entry per original request, in order of opening. Arrays of equal length.

    opened: seconds since 1970. group, task, channel, outcome: codes into the lists of `plot`
    (task 5 is the undefined one). ai: assigned to the agent. reason: why it was handed over, for
    escalated ones. after_failure: handed over on request after two failed turns.
    """

    opened: np.ndarray
    group: np.ndarray
    task: np.ndarray
    channel: np.ndarray
    customer: np.ndarray
    outcome: np.ndarray
    reason: np.ndarray
    after_failure: np.ndarray
    is_spam: np.ndarray
    is_test: np.ndarray

    @property
    def ai(self) -> np.ndarray:
        after = self.opened >= plot.seconds(plot.LAUNCH)
        return (self.group == plot.ATLAS) | ((self.group == plot.EXTRA) & after)

    @property
    def sync(self) -> np.ndarray:
        return plot.SYNC[self.channel]

    @property
    def crew(self) -> np.ndarray:
        return plot.CREW[self.group]

    @property
    def week(self) -> np.ndarray:
        return (self.opened - plot.seconds(plot.START)) // (7 * plot.DAY)

    @property
    def deadline(self) -> np.ndarray:
        return self.opened + plot.RESOLVE_WITHIN_HOURS * plot.HOUR

    @property
    def matures(self) -> np.ndarray:
        return self.deadline + plot.REOPEN_WINDOW_HOURS * plot.HOUR

    @property
    def ids(self) -> np.ndarray:
        return np.array([f"int-{i:06d}" for i in range(1, len(self.opened) + 1)], dtype=object)

    def basis(self, name: str) -> np.ndarray:
        """Which requests are judged on this basis (resolution also for those nobody judges)."""
        return np.array([*plot.BASIS, "resolution"], dtype=object)[self.task] == name

    def during(self, first, end) -> np.ndarray:
        return plot.between(self.opened, first, end)


def make_cases(rng: np.random.Generator) -> Cases:
    """All original requests with their planted outcomes."""
    eligible = _requests(rng, plot.ELIGIBLE_A_WEEK, plot.TASK_MIX)
    tier_2 = _requests(rng, plot.TIER_2_A_WEEK, plot.TIER_2_MIX)
    extra = _extras(rng)
    eligible.group = _assign(rng, eligible)
    tier_2.group[:] = plot.TIER_2
    cases = _in_order([eligible, tier_2, extra])
    judged = cases.group != plot.EXTRA
    cases.outcome[judged] = quota(rng, _cells(cases)[judged], outcome_chances(cases)[judged])
    cases.reason = _reasons(rng, cases)
    asked = cases.ai & (cases.reason == "customer_requested")
    cases.after_failure[asked] = share(rng, cases.week[asked], plot.AFTER_FAILURE)
    return cases


def outcome_chances(cases: Cases) -> np.ndarray:
    """Chances (n, 5) of completed, escalated, reopened, resolved late, abandoned."""
    crew, task = cases.crew, np.minimum(cases.task, len(plot.TASKS) - 1)
    chances = np.zeros((len(task), 5))
    chances[:, plot.COMPLETED] = plot.COMPLETION[crew, task]
    chances[:, plot.ESCALATED] = plot.ESCALATION[crew, task]
    rest = 1 - chances.sum(axis=1)
    chances[:, plot.REOPENED :] = rest[:, None] * plot.REST[crew]

    dip = cases.during(plot.DIP_FROM, plot.DIP_TO)
    _move(chances, dip, plot.COMPLETED, plot.DIP, {plot.ABANDONED: 0.7, plot.LATE: 0.3})
    fallen = (crew == plot.AI) & cases.during(plot.FALL_FROM, plot.MENDED)
    _move(chances, fallen, plot.COMPLETED, plot.FALL[task], plot.FALL_TO)
    silent = (crew == plot.AI) & cases.during(plot.SILENT_FROM, plot.SILENT_TO)
    kept = chances[:, plot.ESCALATED] - plot.SILENT_ESCALATION
    _move(chances, silent, plot.ESCALATED, kept, plot.SILENT_TO_OUTCOME)
    return chances


def _move(chances, where, source: int, amount, targets: dict[int, float]) -> None:
    amount = np.where(where, amount, 0.0)
    chances[:, source] -= amount
    for target, part in targets.items():
        chances[:, target] += part * amount


def _requests(rng: np.random.Generator, a_week: int, mix: list[float]) -> Cases:
    n = a_week * plot.WEEKS
    week = np.repeat(np.arange(plot.WEEKS), a_week)
    weekday = quota(rng, week, np.array(plot.WEEKDAY_SHARE))
    hour_chance = np.array(plot.HOUR_WEIGHT) / sum(plot.HOUR_WEIGHT)
    hour = rng.choice(24, size=n, p=hour_chance)
    day = plot.seconds(plot.START) + (7 * week + weekday) * plot.DAY
    task = quota(rng, week, np.array(mix))
    activity = rng.gamma(1.2, size=plot.CUSTOMERS)
    return Cases(
        opened=day + hour * plot.HOUR + whole(rng, 0, plot.HOUR, n),
        group=np.full(n, plot.BASELINE),
        task=task,
        channel=quota(rng, week * 10 + task, np.array(plot.CHANNEL_MIX)),
        customer=rng.choice(plot.CUSTOMERS, size=n, p=activity / activity.sum()),
        outcome=np.full(n, plot.EXCLUDED),
        reason=np.full(n, None, dtype=object),
        after_failure=np.zeros(n, dtype=bool),
        is_spam=np.zeros(n, dtype=bool),
        is_test=np.zeros(n, dtype=bool),
    )


def _extras(rng: np.random.Generator) -> Cases:
    """Spam, tests and a task type that nobody has defined: in the data, in no rate."""
    kind = np.repeat([0, 1, 2], [plot.SPAM, plot.TEST, plot.UNDEFINED])
    pool = _requests(rng, -(-len(kind) // plot.WEEKS), plot.TASK_MIX)
    chosen = rng.permutation(len(pool.opened))[: len(kind)]
    extra = replace(pool, **{name: value[chosen] for name, value in vars(pool).items()})
    extra.group[:] = plot.EXTRA
    extra.is_spam, extra.is_test = kind == 0, kind == 1
    extra.task[kind == 2] = len(plot.TASKS)
    return extra


def _assign(rng: np.random.Generator, cases: Cases) -> np.ndarray:
    """Baseline before the launch; after it the holdout, drawn by customer and sticky.

    Customers are dealt out in order of how often they write, so that 15% of them are also 15% of
    the interactions.
    """
    after = cases.opened >= plot.seconds(plot.LAUNCH)
    often = np.bincount(cases.customer[after], minlength=plot.CUSTOMERS)
    place = np.empty(plot.CUSTOMERS, dtype=np.int64)
    place[np.lexsort((rng.random(plot.CUSTOMERS), often))] = np.arange(plot.CUSTOMERS)
    held_out = (7 * place) % 20 < plot.HOLDOUT_PER_20
    arm = np.where(held_out[cases.customer], plot.HOLDOUT, plot.ATLAS)
    return np.where(after, arm, plot.BASELINE)


def _in_order(parts: list[Cases]) -> Cases:
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])
    }
    order = np.argsort(joined["opened"], kind="stable")
    return Cases(**{name: value[order] for name, value in joined.items()})


def _cells(cases: Cases) -> np.ndarray:
    """Group, week, turn of the plot and task type, in this order: see `quota`."""
    turn = (cases.opened >= plot.seconds(plot.FALL_FROM)) * 1
    turn += cases.opened >= plot.seconds(plot.MENDED)
    return ((cases.group * plot.WEEKS + cases.week) * 3 + turn) * 6 + cases.task


def _reasons(rng: np.random.Generator, cases: Cases) -> np.ndarray:
    reason = np.full(len(cases.opened), None, dtype=object)
    escalated = cases.outcome == plot.ESCALATED
    names = list(plot.REASONS)
    shares = np.array(list(plot.REASONS.values()))
    broken_share = np.array([plot.BROKEN_REASONS.get(name, 0.0) for name in names])
    for number, (first, end) in enumerate(plot.PHASES.values()):
        here = escalated & cases.ai & cases.during(first, end)
        broken = cases.during(plot.FALL_FROM, plot.MENDED)[here] & (plot.FALL > 0)[cases.task[here]]
        usual = shares[:, number] / shares[:, number].sum()
        worse = usual * (1 - broken_share.sum()) + broken_share
        chances = np.where(broken[:, None], worse, usual)
        reason[here] = pick(names, quota(rng, cases.week[here], chances))
    policy = reason == "policy"
    is_refund = cases.task == plot.TASKS.index("refund_request")
    reason[policy & is_refund] = "refund_over_limit"
    reason[policy & ~is_refund] = "identity_check"
    by_human = escalated & ~cases.ai
    chances = np.array(list(plot.HUMAN_REASONS.values()))
    drawn = quota(rng, cases.group[by_human], chances)
    reason[by_human] = pick(list(plot.HUMAN_REASONS), drawn)
    return reason
