"""Surveys: sent when handling ends, answered by few, and by the angry ones first."""

import numpy as np
import pandas as pd

from agent_kpis.story import plot
from agent_kpis.story.cases import Cases
from agent_kpis.story.chance import quota, share, whole
from agent_kpis.story.history import Times


def make_surveys(rng: np.random.Generator, cases: Cases, times: Times) -> pd.DataFrame:
    """One row per survey sent (who, survey_kind, survey_source, sent_at, responded_at, score),
    times in seconds since 1970, NaN where nobody answers. Answers after the end are still in."""
    mail = _mailed(rng, cases, times)
    return pd.concat([mail, _thumbs(rng, cases, times, mail)], ignore_index=True)


def _mailed(rng: np.random.Generator, cases: Cases, times: Times) -> pd.DataFrame:
    who = np.flatnonzero(cases.group != plot.EXTRA)
    crew, outcome, group = cases.crew[who], cases.outcome[who], cases.group[who]
    season = cases.week[who] // 6  # the first two are the baseline and the time of praise
    block = group * 10 + season
    answers = share(rng, block * 5 + outcome, plot.RESPONSE[crew])
    points = plot.CSAT_POINTS[crew, outcome]
    high, low = (25 * np.arange(5) @ mix for mix in (plot.CSAT_HAPPY, plot.CSAT_UNHAPPY))
    weight = (points - low) / (high - low)
    chances = weight[:, None] * plot.CSAT_HAPPY + (1 - weight[:, None]) * plot.CSAT_UNHAPPY
    score = quota(rng, (block * 2 + answers) * 5 + outcome, chances) + 1
    days = _lag_days(rng, score)
    # sent when handling ends, a day after opening at the latest
    sent = np.minimum(times.end[who] + 600, cases.opened[who] + plot.DAY)
    responded = sent + days * plot.DAY + whole(rng, 300, plot.DAY, len(who))
    return pd.DataFrame(
        {
            "who": who,
            "survey_kind": "post_interaction",
            "survey_source": "email_csat",
            "sent_at": sent,
            "responded_at": np.where(answers, responded, np.nan),
            "score": np.where(answers, score.astype(float), np.nan),
            "feeling": score,  # what the customer thinks, answered or not
        }
    )


def _lag_days(rng: np.random.Generator, score: np.ndarray) -> np.ndarray:
    """Whole days until the answer: geometric, cut at the last day, slower for the content."""
    chance = plot.ANSWER_TODAY[score - 1]
    reach = 1 - (1 - chance) ** (plot.LAST_ANSWER_DAY + 1)
    return np.floor(np.log1p(-rng.random(len(score)) * reach) / np.log1p(-chance)).astype(int)


def _thumbs(rng, cases: Cases, times: Times, mail: pd.DataFrame) -> pd.DataFrame:
    chats = mail[(cases.channel[mail["who"]] == 0)]
    who = chats["who"].to_numpy()
    chosen = share(rng, cases.group[who], plot.THUMBS_ASKED)
    who, feeling = who[chosen], chats["feeling"].to_numpy()[chosen]
    answers = share(rng, cases.group[who], plot.THUMBS_ANSWERED)
    sent = times.talked[who] - 30
    up = rng.random(len(who)) < np.array([0.1, 0.2, 0.4, 0.75, 0.9])[feeling - 1]
    return pd.DataFrame(
        {
            "who": who,
            "survey_kind": "in_conversation",
            "survey_source": "chat_thumbs",
            "sent_at": sent,
            "responded_at": np.where(answers, sent + 15, np.nan),
            "score": np.where(answers, up.astype(float), np.nan),
            "feeling": feeling,
        }
    )
