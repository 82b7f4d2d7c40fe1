"""The demo story: half a year of a support team and its agent, generated from a seed.

`plot` states what happens; `cases` who asked for what; `history`, `surveys` and `traces` what
followed; `tables` puts it into the columns of the contract; `landing` adds what real data has
(corrections, rows that fit nowhere) and writes it; `truth` states what there is to be found.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from agent_kpis.story.cases import make_cases
from agent_kpis.story.history import make_history
from agent_kpis.story.landing import land, write_files
from agent_kpis.story.surveys import make_surveys
from agent_kpis.story.tables import (
    cost_table,
    drop_future,
    evaluation_table,
    event_table,
    interaction_ids,
    interaction_table,
    release_table,
    span_table,
    survey_table,
)
from agent_kpis.story.traces import make_evaluations, make_spans
from agent_kpis.story.truth import make_truth

__all__ = ["write_story"]


def write_story(
    to: Path, seed: int = 20260105, progress: Callable[[str], None] | None = None
) -> dict:
    """Write the landing files and `truth.json` into the folder `to`; return the planted truth.

    The same seed gives the same rows. About 20,000 interactions and 5 MB, in a few seconds.
    """
    say = progress or (lambda message: None)
    rng = np.random.default_rng(seed)
    to = Path(to)

    say("Requests and their outcomes")
    cases = make_cases(rng)
    say("What happened in each")
    history = make_history(rng, cases)
    surveys = make_surveys(rng, cases, history.times)
    mailed = surveys[surveys["survey_kind"] == "post_interaction"]
    say("The agent's steps and their scores")
    spans = make_spans(rng, cases, history)
    evaluations = make_evaluations(rng, cases, spans, mailed)

    ids = interaction_ids(cases, history)
    span_rows = span_table(spans, ids)
    tables = drop_future(
        {
            "interactions": interaction_table(rng, cases, history),
            "events": event_table(history.events, ids),
            "surveys": survey_table(surveys, ids),
            "spans": span_rows,
            "evaluations": evaluation_table(evaluations, ids, span_rows["span_id"].to_numpy()),
            "releases": release_table(),
            "costs": cost_table(rng, cases, ids),
        }
    )
    truth = make_truth(cases, history, surveys, spans, tables, seed)

    say("Corrections and rows that do not fit")
    landed, truth["rows"] = land(rng, tables)
    for entity, rows in landed.items():
        say(f"Writing {entity}: {len(rows):,} rows")
    write_files(to, landed)
    (to / "truth.json").write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
    return truth
