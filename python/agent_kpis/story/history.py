"""What happened in each interaction, so that its planted outcome is what the rules make of it."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from agent_kpis.story import plot
from agent_kpis.story.cases import Cases
from agent_kpis.story.chance import pick, quota, share, whole

MINUTE, HOUR = 60, plot.HOUR
NEVER = np.iinfo(np.int64).max
EVIDENCE = ["confirmed", "assumed", "verified", None]
EVIDENCE_MIX = np.array([0.40, 0.42, 0.14, 0.04])
QUESTIONS = 40
HUMANS = 42


@dataclass
class Times:
    """Moments per case, seconds since 1970: first reply, end of the talk, resolution (or its time
    had there been one)."""

    first: np.ndarray
    talked: np.ndarray
    end: np.ndarray


@dataclass
class FollowUps:
    """Tickets opened because the first one was closed. root and parent number the interactions:
    cases first, then follow-ups in this order."""

    root: np.ndarray
    parent: np.ndarray
    opened: np.ndarray
    resolved: np.ndarray  # NEVER where nobody did


@dataclass
class Log:
    """Collects events, a batch of the same kind at a time."""

    parts: list[dict] = field(default_factory=list)

    def add(self, who: np.ndarray, at: np.ndarray, event_type: str, actor_kind, **more) -> None:
        columns = {"actor_id": None, "reason": None, "question_key": None, "evidence": None}
        columns |= {"handle_seconds": np.nan, "event_type": event_type, "actor_kind": actor_kind}
        batch = {"who": who, "at": at}
        for name, value in (columns | more).items():
            kind = float if name == "handle_seconds" else object
            full = np.empty(len(who), dtype=kind)
            full[:] = value
            batch[name] = full
        self.parts.append(batch)

    def frame(self) -> pd.DataFrame:
        names = self.parts[0]
        return pd.DataFrame({n: np.concatenate([part[n] for part in self.parts]) for n in names})


@dataclass
class History:
    """events: one row each (`who` numbers the interaction). stood: when a resolution by anyone
    stood, NEVER if none did. turns: one row per turn of the agent (who, at, number, of)."""

    events: pd.DataFrame
    follow_ups: FollowUps
    times: Times
    stood: np.ndarray
    turns: pd.DataFrame


class Narrator:
    """Tells the cases one aspect at a time; every method adds events to the log."""

    def __init__(self, rng: np.random.Generator, cases: Cases):
        self.rng, self.cases, self.log = rng, cases, Log()
        self.n = len(cases.opened)
        self.all = np.arange(self.n)
        self.live = ~cases.is_spam
        self.slow = cases.sync & cases.during(plot.SLOW_FROM, plot.SLOW_TO)
        self.times = self._times()
        self.kind = np.where(cases.ai, "ai", "human").astype(object)
        humans = [f"human-{i:02d}" for i in range(1, HUMANS + 1)]
        self.handler = pick(humans, rng.integers(0, HUMANS, self.n))
        self.handler[cases.ai] = plot.AGENT
        self.taker = pick(humans, rng.integers(0, HUMANS, self.n))
        recorded = ~share(rng, cases.group, plot.HANDLE_MISSING)
        self.recorded = np.where(recorded, 1.0, np.nan)
        self.evidence = pick(EVIDENCE, quota(rng, cases.crew * 6 + cases.task, EVIDENCE_MIX))
        self.stood = np.full(self.n, NEVER)
        self.follow_up = np.zeros(self.n, dtype=bool)

    def tell(self) -> History:
        self._openings()
        turns = self._talk()
        self._handoffs()
        self._bookings()
        self._answers()
        follow_ups = self._resolutions()
        self._closings()
        turns = pd.concat([turns, self._follow_up_turns(follow_ups)], ignore_index=True)
        return History(self.log.frame(), follow_ups, self.times, self.stood, turns)

    def _times(self) -> Times:
        rng, cases, n = self.rng, self.cases, self.n
        wait = whole(rng, np.where(cases.ai, 8, 40), np.where(cases.ai, 20, 260))
        human_mail = np.minimum(rng.lognormal(np.log(2.5 * HOUR), 0.8, n), 20 * HOUR)
        slow = np.where(cases.ai, whole(rng, 30, 200, n), human_mail.astype(np.int64))
        first = cases.opened + np.where(cases.sync, wait, slow)
        shortest = np.where(cases.sync, np.where(cases.ai, 150, 240), 15 * MINUTE)
        longest = np.where(cases.ai, 4 * HOUR, 20 * HOUR)
        longest = np.where(cases.sync, np.where(cases.ai, 900, 1500), longest)
        talk = whole(rng, shortest, longest)
        talk = np.where(self.slow, (talk * plot.SLOW).astype(np.int64), talk)
        hard = cases.group == plot.TIER_2
        talk[hard] += whole(rng, HOUR, 30 * HOUR, int(hard.sum()))
        talked = first + talk
        late = cases.opened + whole(rng, int(72.3 * HOUR), 94 * HOUR, n)
        return Times(first, talked, np.where(cases.outcome == plot.LATE, late, talked))

    def _says(self, where: np.ndarray, event_type: str, at: np.ndarray, **more) -> None:
        """An event by whoever the interaction is assigned to. Arrays are one entry per case."""
        picked = {
            name: value[where] if isinstance(value, np.ndarray) else value
            for name, value in more.items()
        }
        who = self.all[where]
        picked |= {"actor_id": self.handler[where]}
        self.log.add(who, at[where], event_type, self.kind[where], **picked)

    def _openings(self) -> None:
        cases = self.cases
        self.log.add(self.all, cases.opened, "opened", "customer")
        queued = self.live & ~cases.ai
        at = cases.opened + (self.times.first - cases.opened) // 3
        self.log.add(self.all[queued], at[queued], "assigned", "system")

    def _talk(self) -> pd.DataFrame:
        """The conversation; its working time, where a human leads it. Returns the agent's turns."""
        rng, cases, times = self.rng, self.cases, self.times
        human = self.live & ~cases.ai
        typical = np.where(cases.group == plot.TIER_2, 15 * MINUTE, 8 * MINUTE)
        handle = typical * rng.lognormal(0, 0.45, self.n)
        handle = np.where(self.slow, handle * plot.SLOW, handle)
        calls = cases.sync & (cases.group != plot.TIER_2)
        handle = np.where(calls, times.talked - times.first, handle.round())
        self._says(human, "message", times.first, handle_seconds=handle * self.recorded)
        wrap = np.minimum(rng.lognormal(np.log(110), 0.5, self.n).round(), 600)
        stays = np.isin(cases.outcome, [plot.COMPLETED, plot.REOPENED])
        at = np.where(stays, times.end, times.talked) + wrap.astype(np.int64)
        self._says(human, "wrapped_up", at, handle_seconds=wrap * self.recorded)

        agent = self.live & cases.ai
        of = quota(rng, cases.crew * 5 + cases.outcome, np.array(plot.TURNS)) + 1
        of = np.where(cases.group == plot.EXTRA, 1, of)
        of = np.maximum(of, np.where(cases.after_failure, 2, 1))
        turns = []
        for number in range(len(plot.TURNS)):
            where = agent & (of > number)
            step = times.first + (times.talked - times.first) * number // of
            self._says(where, "message", step if number == 0 else step + 5)
            if number:
                self.log.add(self.all[where], step[where] - 5, "message", "customer")
            at = step - 3 if number == 0 else step
            turns.append(
                pd.DataFrame(
                    {"who": self.all[where], "at": at[where], "number": number, "of": of[where]}
                )
            )
        # A holdout is never perfectly clean.
        held = self.all[self.live & (cases.group == plot.HOLDOUT)]
        leaked = rng.choice(held, size=plot.CONTAMINATED, replace=False)
        self.log.add(leaked, times.first[leaked] + 9, "message", "ai", actor_id=plot.AGENT)
        return pd.concat(turns, ignore_index=True)

    def _handoffs(self) -> None:
        """Handed to a human or a higher tier, who mostly resolves it."""
        rng, cases, times, n = self.rng, self.cases, self.times, self.n
        where = cases.outcome == plot.ESCALATED
        self._says(where, "handed_off", times.talked, reason=cases.reason)
        wait = np.where(cases.sync, whole(rng, 120, 900, n), whole(rng, HOUR, 10 * HOUR, n))
        work = np.where(cases.sync, whole(rng, 300, 1500, n), whole(rng, HOUR, 16 * HOUR, n))
        taken, done = times.talked + wait, times.talked + wait + work
        handle = (11 * MINUTE * rng.lognormal(0, 0.45, n)).round() * self.recorded

        def taker(who, at, event_type, **more):
            who = self.all[who]
            self.log.add(who, at[who], event_type, "human", actor_id=self.taker[who], **more)

        taker(where, taken, "message", handle_seconds=handle[where])
        taker(where, done + 90, "wrapped_up", handle_seconds=90 * self.recorded[where])
        solved = where & share(rng, cases.group, plot.RESOLVED_AFTER_HANDOFF)
        stood = np.where(solved, done, NEVER)
        plain, booked = solved & cases.basis("resolution"), solved & cases.basis("booking")
        taker(plain, done, "resolved", evidence="confirmed")
        taker(booked, done - 30, "booking_confirmed")
        self.log.add(self.all[booked], done[booked], "payment_processed", "system")
        keys = self._keys()
        asked, answered = where & cases.basis("answer"), solved & cases.basis("answer")
        self._ask(asked, cases.opened + 5, keys)
        taker(answered, done, "question_answered", question_key=keys[answered])
        # Humans are undone too.
        again = plain & share(rng, cases.group, 0.05)
        at = done + whole(rng, HOUR, 20 * HOUR, n)
        self.log.add(self.all[again], at[again], "reopened", "customer")
        stood = np.where(again & (at <= cases.matures), NEVER, stood)
        self.stood = np.where(where, stood, self.stood)

    def _resolutions(self) -> FollowUps:
        """Tickets: resolved, and undone by reopening them or by writing again."""
        rng, cases, times, n = self.rng, self.cases, self.times, self.n
        mine = cases.basis("resolution") & self.live
        completed, reopened, late, excluded = (
            mine & (cases.outcome == code)
            for code in (plot.COMPLETED, plot.REOPENED, plot.LATE, plot.EXCLUDED)
        )
        by_customer = completed & share(rng, cases.group, 0.05)
        resolved = (completed | reopened | late | excluded) & ~by_customer
        evidence = np.where(reopened, "assumed", self.evidence)
        self._says(resolved, "resolved", times.end, evidence=evidence)
        who = self.all[by_customer]
        self.log.add(who, times.end[who], "resolved", "customer", evidence="confirmed")
        self.stood = np.where(completed | late, times.end, self.stood)

        self.follow_up = reopened & share(rng, cases.group, plot.FOLLOW_UP_SHARE)
        undone = times.end + whole(rng, HOUR // 3, 23 * HOUR, n)
        # Exactly at the end of the window is inside it, a second later is not.
        undone = np.where(share(rng, cases.group, 0.02), times.end + 24 * HOUR, undone)
        self._reopen(reopened & ~self.follow_up, undone, counts=True)
        after = completed & share(rng, cases.group, plot.REOPENED_AFTER_WINDOW)
        later = times.end + whole(rng, 25 * HOUR, 200 * HOUR, n)
        later = np.where(share(rng, cases.group, 0.05), times.end + 24 * HOUR + 1, later)
        self._reopen(after, later, counts=False)
        wrote = completed & ~after & share(rng, cases.group, plot.FOLLOWED_UP_AFTER_WINDOW)
        return self._follow_ups(undone, wrote, times.end + whole(rng, 25 * HOUR, 240 * HOUR, n))

    def _reopen(self, where: np.ndarray, at: np.ndarray, *, counts: bool) -> None:
        """Reopened by the customer; in half of the cases resolved again by the same handler."""
        self.log.add(self.all[where], at[where], "reopened", "customer")
        again = where & share(self.rng, self.cases.group, 0.5)
        resolved = at + whole(self.rng, HOUR, 10 * HOUR, self.n)
        self._says(again, "resolved", resolved, evidence="assumed")
        if counts:
            self.stood = np.where(again, resolved, self.stood)

    def _follow_ups(self, undone: np.ndarray, wrote: np.ndarray, later: np.ndarray) -> FollowUps:
        rng, root = self.rng, self.all[self.follow_up | wrote]
        inside = self.follow_up[root]
        opened = np.where(inside, undone[root], later[root])
        chained = inside & share(rng, inside, plot.CHAINED_FOLLOW_UPS)
        second = opened[chained] + whole(rng, HOUR, 5 * HOUR, int(chained.sum()))
        solved = share(rng, inside, 0.75) & ~chained
        resolved = np.where(solved, opened + whole(rng, HOUR // 3, 5 * HOUR, len(root)), NEVER)
        follow_ups = FollowUps(
            root=np.concatenate([root, root[chained]]),
            parent=np.concatenate([root, self.n + np.flatnonzero(chained)]),
            opened=np.concatenate([opened, second]),
            resolved=np.concatenate([resolved, second + HOUR]),
        )
        who = self.n + np.arange(len(follow_ups.root))
        of = follow_ups.root
        self.log.add(who, follow_ups.opened, "opened", "customer")
        replied = {"actor_kind": self.kind[of], "actor_id": self.handler[of]}
        self.log.add(who, follow_ups.opened + 300, "message", **replied)
        done = follow_ups.resolved < NEVER
        replied = {name: value[done] for name, value in replied.items()}
        at = follow_ups.resolved[done]
        self.log.add(who[done], at, "resolved", evidence="assumed", **replied)
        counts = done & self.follow_up[of]
        self.stood[of[counts]] = follow_ups.resolved[counts]
        return follow_ups

    def _bookings(self) -> None:
        """Booked and paid, in either order; undone by a cancellation or a reversed payment."""
        rng, cases, times, n = self.rng, self.cases, self.times, self.n
        mine = cases.basis("booking")
        completed, reopened, late, abandoned = (
            mine & (cases.outcome == code)
            for code in (plot.COMPLETED, plot.REOPENED, plot.LATE, plot.ABANDONED)
        )
        both = completed | reopened | late
        paid_first = share(rng, cases.crew, 0.3)
        before = times.end - whole(rng, 20, 120, n)
        booked, paid = np.where(paid_first, times.end, before), np.where(paid_first, before, 0)
        paid = np.where(paid_first, paid, times.end)
        self._says(both, "booking_confirmed", booked, evidence=self.evidence)
        self._pays(both, paid)
        self._pays(completed & share(rng, cases.group, 0.04), times.end + 30)  # charged twice
        half = abandoned & share(rng, cases.group, 0.5)
        self._says(half, "booking_confirmed", times.talked)  # but never paid
        self.stood = np.where(completed | late, times.end, self.stood)

        undone = times.end + whole(rng, HOUR // 2, 23 * HOUR, n)
        cancels = reopened & share(rng, cases.group, 0.6)
        self.log.add(self.all[cancels], undone[cancels], "booking_cancelled", "customer")
        reverses = reopened & ~cancels
        self.log.add(self.all[reverses], undone[reverses], "payment_reversed", "system")
        again = reopened & share(rng, cases.group, 0.4)
        at = undone + whole(rng, HOUR // 2, 6 * HOUR, n)
        self._says(again & cancels, "booking_confirmed", at, evidence=self.evidence)
        self._pays(again & reverses, at)
        self.stood = np.where(again, at, self.stood)
        # A refund after the request has matured says nothing about it.
        refunded = completed & share(rng, cases.group, 0.02)
        at = cases.matures + whole(rng, HOUR, 60 * HOUR, n)
        self.log.add(self.all[refunded], at[refunded], "payment_reversed", "system")

    def _pays(self, where: np.ndarray, at: np.ndarray) -> None:
        evidence = self.evidence[where]
        who = self.all[where]
        self.log.add(who, at[where], "payment_processed", "system", evidence=evidence)

    def _keys(self) -> np.ndarray:
        names = [f"q-{i:02d}" for i in range(1, QUESTIONS + 1)]
        keys = pick(names, self.rng.integers(0, QUESTIONS, self.n))
        unknown = (self.cases.outcome != plot.REOPENED) & share(self.rng, self.cases.group, 0.03)
        keys[unknown] = None
        return keys

    def _ask(self, where: np.ndarray, at: np.ndarray, keys: np.ndarray) -> None:
        who = self.all[where]
        self.log.add(who, at[where], "question_asked", "customer", question_key=keys[where])

    def _answers(self) -> None:
        """Questions: answered, and undone by asking the same again in the same session."""
        rng, cases, times, n = self.rng, self.cases, self.times, self.n
        mine = cases.basis("answer")
        completed, reopened, late, abandoned = (
            mine & (cases.outcome == code)
            for code in (plot.COMPLETED, plot.REOPENED, plot.LATE, plot.ABANDONED)
        )
        keys = self._keys()
        answered = completed | reopened | late
        self._ask(answered | abandoned, cases.opened + 5, keys)
        self._says(
            answered, "question_answered", times.end, question_key=keys, evidence=self.evidence
        )
        self.stood = np.where(completed | late, times.end, self.stood)
        # Impatience is no second question: asked twice within a minute, before any answer.
        self._ask(completed & share(rng, cases.group, 0.04), cases.opened + 40, keys)
        # Another question in the same session, answered as well.
        two = completed & cases.sync & share(rng, cases.group, 0.25)
        second = np.full(n, "q-other", dtype=object)
        self._ask(two, times.first + (times.talked - times.first) // 2, second)
        self._says(two, "question_answered", times.end + 30, question_key=second)
        self.stood = np.where(two, times.end + 30, self.stood)

        asked = times.end + whole(rng, 60, 900, n)
        self._ask(reopened, asked, keys)
        again = reopened & share(rng, cases.group, 0.6)
        self._says(again, "question_answered", asked + 240, question_key=keys)
        self.stood = np.where(again, asked + 240, self.stood)
        # The same question on another day is a new contact, not a failed answer.
        known = np.array([key is not None for key in keys])
        repeats = completed & known & share(rng, cases.group, plot.REPEAT_CONTACT)
        at = times.end + whole(rng, 26 * HOUR, 60 * HOUR, n)
        self._ask(repeats, at, keys)
        self._says(repeats, "question_answered", at + 240, question_key=keys)

    def _closings(self) -> None:
        """The system closes what is quiet: never a resolution, also where it says so."""
        rng, cases, times = self.rng, self.cases, self.times
        spam = self.all[cases.is_spam]
        self.log.add(spam, cases.opened[spam] + 600, "closed", "system")
        # An abandoned one is nobody's by the second day.
        quiet = np.maximum(cases.opened + 48 * HOUR, times.talked + 12 * HOUR)
        quiet += whole(rng, 0, HOUR, self.n)
        way = quota(rng, cases.group, np.array([0.60, 0.25, 0.15]))
        for number, event_type in enumerate(["closed", "resolved"]):
            left = self.all[(cases.outcome == plot.ABANDONED) & (way == number)]
            self.log.add(left, quiet[left], event_type, "system")
        done = np.isin(cases.outcome, [plot.COMPLETED, plot.LATE, plot.ESCALATED])
        done &= share(rng, cases.group, 0.8)
        at = np.maximum(times.end, times.talked) + 48 * HOUR + whole(rng, 0, HOUR, self.n)
        self.log.add(self.all[done], at[done], "closed", "system")
        # A closed ticket cannot be reopened: that is why customers write a new one.
        shut = self.all[self.follow_up]
        self.log.add(shut, times.end[shut] + 120, "closed", "system")

    def _follow_up_turns(self, follow_ups: FollowUps) -> pd.DataFrame:
        agent = self.cases.ai[follow_ups.root]
        who = self.n + np.flatnonzero(agent)
        at = follow_ups.opened[agent] + 290
        return pd.DataFrame({"who": who, "at": at, "number": 0, "of": 1})


def make_history(rng: np.random.Generator, cases: Cases) -> History:
    """The events of all cases, their follow-ups and the agent's turns."""
    return Narrator(rng, cases).tell()
