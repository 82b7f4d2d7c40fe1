"""The demo story: the same rows every time, the plot as told, and a truth that fits the rows."""

import csv
import hashlib
import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml

from agent_kpis.story import plot, write_story
from agent_kpis.story.chance import quota, share
from agent_kpis.story.landing import AS_TEXT
from agent_kpis.story.tables import KEY

ROOT = Path(__file__).parents[2]
HOUR = pd.Timedelta(hours=1)
REASONS = {
    "missing_required_value",
    "unparsable_value",
    "unknown_value",
    "negative_value",
    "future_time",
    "responded_before_sent",
    "undeclared_survey_source",
    "score_outside_scale",
    "orphan",
    "before_interaction_opened",
}


class Landed:
    """The files of one run, and the good rows among them (dirty ones say so in their key, or stand
    again under the key of a good row)."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.truth = write_story(folder)

    def raw(self, entity: str) -> pd.DataFrame:
        if entity in AS_TEXT:
            return pd.read_csv(self.folder / f"{entity}.csv", dtype=str)
        path = (self.folder / f"{entity}.parquet").as_posix()
        with duckdb.connect() as connection:
            return connection.execute("select * from read_parquet(?)", [path]).df()


@pytest.fixture(scope="module")
def landed(tmp_path_factory) -> Landed:
    return Landed(tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="module")
def interactions(landed) -> pd.DataFrame:
    rows = landed.raw("interactions").dropna(subset=["opened_at", "task_type", "channel"])
    rows = rows[rows["assigned_arm"].isin(["ai", "human"])]
    rows = rows[rows["assignment_kind"].isin(["randomised", "routed"])]
    rows = rows[rows["opened_at"] < pd.Timestamp(plot.END)]
    return rows.drop_duplicates("interaction_id", keep="last").set_index("interaction_id")


@pytest.fixture(scope="module")
def events(landed, interactions) -> pd.DataFrame:
    rows = landed.raw("events").dropna(subset=["event_id", "event_type", "occurred_at"])
    rows = rows[rows["occurred_at"] < pd.Timestamp(plot.END)]
    rows = rows[~(rows["handle_seconds"] < 0)]
    rows = rows[rows["event_type"] != "solved"]
    rows = rows[rows["actor_kind"] != "bot"]
    rows = rows[rows["evidence"] != "likely"]
    rows = rows[rows["interaction_id"].isin(interactions.index)]
    opened = rows["interaction_id"].map(interactions["opened_at"])
    rows = rows[rows["occurred_at"] >= opened]
    return rows.drop_duplicates("event_id", keep="last")


@pytest.fixture(scope="module")
def roots(landed, interactions) -> pd.DataFrame:
    """Original requests in scope, mature as of the watermark."""
    rows = interactions[~interactions["parent_interaction_id"].isin(interactions.index)]
    rows = rows[~rows["is_spam"] & ~rows["is_test"] & rows["task_type"].isin(plot.TASKS)]
    as_of = pd.Timestamp(landed.truth["watermark"])
    return rows[rows["opened_at"] + 96 * HOUR <= as_of]


def digest(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def seed_rows(name: str) -> list[dict[str, str]]:
    with (ROOT / "seeds" / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- The files --------------------------------------------------------------------------------


def test_the_same_seed_writes_the_same_files(landed, tmp_path):
    said = []
    truth = write_story(tmp_path / "again", progress=said.append)
    assert truth == landed.truth
    assert digest(tmp_path / "again") == digest(landed.folder)
    assert said


def test_another_seed_tells_the_same_plot_with_other_rows(landed, tmp_path):
    truth = write_story(tmp_path / "other", seed=7)
    assert (
        digest(tmp_path / "other")["interactions.parquet"]
        != (digest(landed.folder)["interactions.parquet"])
    )
    assert truth["praise"]["atlas"]["deflection_rate"] == pytest.approx(0.60, abs=0.02)
    assert truth["csat"]["delta_after_six_weeks"] == pytest.approx(-8.0, abs=0.6)
    assert truth["completion_difference"]["crude_all_human_handled"] > 0.02
    assert truth["completion_difference"]["by_task_type_randomised"] < -0.25


def test_the_truth_lies_beside_the_files(landed):
    assert json.loads((landed.folder / "truth.json").read_text()) == landed.truth


@pytest.mark.parametrize("entity", list(KEY))
def test_columns_are_those_of_the_contract(landed, entity):
    path = ROOT / "models" / "input" / f"input_{entity}.yml"
    model = yaml.safe_load(path.read_text(encoding="utf-8"))["models"][0]
    assert set(landed.raw(entity)) <= {column["name"] for column in model["columns"]}
    assert model["config"]["meta"]["key"] == KEY[entity]
    if entity != "releases":
        assert set(landed.raw(entity)) == {column["name"] for column in model["columns"]}


def test_sizes(landed, interactions):
    assert 18_000 <= len(interactions) <= 22_000
    assert sum(path.stat().st_size for path in landed.folder.iterdir()) < 15_000_000
    spans = landed.raw("spans")
    served = spans["interaction_id"].isin(interactions.index[interactions["assigned_arm"] == "ai"])
    assert 6 <= served.sum() / spans.loc[served, "interaction_id"].nunique() <= 10


def test_nothing_happens_at_or_after_the_end(landed, interactions, events):
    last = max(interactions["opened_at"].max(), events["occurred_at"].max())
    assert last == pd.Timestamp(landed.truth["watermark"])
    assert last < pd.Timestamp(plot.END)


# --- What is wrong with the rows --------------------------------------------------------------


def test_every_reason_of_rejection_occurs(landed):
    rejected = landed.truth["rows"]["rejected"]
    assert {reason for by_reason in rejected.values() for reason in by_reason} == REASONS
    assert all(n > 0 for by_reason in rejected.values() for n in by_reason.values())
    assert 200 <= sum(n for by_reason in rejected.values() for n in by_reason.values()) <= 600


@pytest.mark.parametrize("entity", list(KEY))
def test_raw_rows_are_good_superseded_or_dirty(landed, entity):
    """Dirty rows have keys of their own, except the first of each kind."""
    rows, counts = landed.raw(entity), landed.truth["rows"]
    assert len(rows) == counts["raw"][entity]
    rejected = counts["rejected"][entity]
    key = KEY[entity][-1]
    own = rows[key].notna() & ~rows[key].astype(str).str.startswith("bad-")
    repeated = int(own.sum()) - rows.loc[own, key].nunique()
    first_of_each_kind = len(rejected)
    assert repeated == counts["superseded"][entity] + first_of_each_kind


def test_dirty_rows_are_dirty_in_the_way_they_say(landed, interactions):
    rejected = landed.truth["rows"]["rejected"]
    surveys, costs, events = landed.raw("surveys"), landed.raw("costs"), landed.raw("events")
    amounts = pd.to_numeric(costs["amount_usd"], errors="coerce")
    assert (amounts < 0).sum() == rejected["costs"]["negative_value"]
    assert (costs["component"] == "coffee").sum() == rejected["costs"]["unknown_value"]
    assert (events["handle_seconds"] < 0).sum() == rejected["events"]["negative_value"]
    known = events["interaction_id"].isin(interactions.index) | events["interaction_id"].isna()
    assert (~known).sum() == rejected["events"]["orphan"]
    late = events["occurred_at"] > pd.Timestamp(plot.END)
    assert late.sum() == rejected["events"]["future_time"]
    strange = surveys["survey_source"] == "app_store"
    assert strange.sum() == rejected["surveys"]["undeclared_survey_source"]
    mailed = surveys[surveys["survey_source"] == "email_csat"]
    scores = pd.to_numeric(mailed["score"], errors="coerce")
    assert ((scores < 1) | (scores > 5)).sum() == rejected["surveys"]["score_outside_scale"]
    sent = pd.to_datetime(surveys["sent_at"], errors="coerce", utc=True, format="mixed")
    answered = pd.to_datetime(surveys["responded_at"], errors="coerce", utc=True, format="mixed")
    before = (answered < sent) & (sent.dt.year < 2100)
    assert before.sum() == rejected["surveys"]["responded_before_sent"]


# --- The plot ---------------------------------------------------------------------------------


def test_deflection_and_completion_are_as_told(landed, roots, events):
    """Deflection from the raw rows, as somebody would have counted it three weeks in."""
    touched = events[(events["event_type"] == "handed_off") | (events["actor_kind"] == "human")]
    for as_of, told in (
        (landed.truth["days"]["praise"], landed.truth["praise"]["atlas"]),
        (landed.truth["watermark"], landed.truth["outcomes"]["by_arm"]["ai"]),
    ):
        agent = roots[roots["assigned_arm"] == "ai"]
        agent = agent[agent["opened_at"] + 96 * HOUR <= pd.Timestamp(as_of)]
        deflected = (~agent.index.isin(touched["interaction_id"])).sum()
        assert len(agent) == told["mature"]
        assert deflected == told["deflected"]
        assert deflected / len(agent) == pytest.approx(0.60, abs=0.02)
    praise = landed.truth["praise"]
    assert praise["atlas"]["completed_rate"] == pytest.approx(0.36, abs=0.02)
    assert praise["holdout"]["completed_rate"] == pytest.approx(0.66, abs=0.05)


def test_tickets_count_as_planted(landed, roots, interactions, events):
    """The rule for tickets, written again with joins, gives the planted counts by task type."""
    children = interactions[interactions["parent_interaction_id"].isin(interactions.index)]
    root = children["parent_interaction_id"].copy()
    while root.isin(children.index).any():
        root = root.map(children["parent_interaction_id"]).fillna(root)
    owner = events["interaction_id"].map(root).fillna(events["interaction_id"])
    happened = pd.DataFrame({"root": owner, "at": events["occurred_at"]})
    resolved = happened[
        (events["event_type"] == "resolved") & (events["actor_kind"] != "system")
    ].reset_index(drop=True)
    undone = pd.concat(
        [
            happened[events["event_type"] == "reopened"],
            pd.DataFrame({"root": root.to_numpy(), "at": children["opened_at"].to_numpy()}),
        ]
    )
    pairs = resolved.reset_index(names="moment").merge(undone, on="root", suffixes=("", "_undone"))
    gap = pairs["at_undone"] - pairs["at"]
    matures = pairs["root"].map(interactions["opened_at"]) + 96 * HOUR
    undoes = (gap >= 0 * HOUR) & (gap <= 24 * HOUR) & (pairs["at_undone"] <= matures)
    resolved["is_undone"] = resolved.index.isin(pairs.loc[undoes, "moment"])
    age = resolved["at"] - resolved["root"].map(interactions["opened_at"])
    handed = set(events.loc[events["event_type"] == "handed_off", "interaction_id"])
    was_undone = set(resolved.loc[resolved["is_undone"] & (age <= 96 * HOUR), "root"])
    stood = set(resolved.loc[~resolved["is_undone"] & (age <= 72 * HOUR), "root"])
    tickets = roots[roots["task_type"].isin(plot.TASKS[:3])]
    for told in landed.truth["outcomes"]["by_arm_and_task_type"]:
        here = (tickets["assigned_arm"] == told["arm"]) & (
            tickets["task_type"] == told["task_type"]
        )
        if not here.any():
            continue
        ids = set(tickets.index[here])
        assert len(ids) == told["mature"]
        assert len(ids & handed) == told["escalated"]
        assert len((ids - handed) & was_undone) == told["reopened"]
        assert len((ids - handed - was_undone) & stood) == told["completed"]


def test_outcomes_add_up(landed):
    outcomes = landed.truth["outcomes"]
    tables = [*outcomes["by_arm"].values(), *outcomes["by_group"].values()]
    tables += [*outcomes["by_arm_and_task_type"], *outcomes["by_week_and_group"]]
    for told in tables:
        assert sum(told[name] for name in plot.OUTCOMES[:5]) == told["mature"]
    for part in ("by_arm", "by_group"):
        total = sum(told["mature"] for told in outcomes[part].values())
        assert total == sum(told["mature"] for told in outcomes["by_week_and_group"])
    counts = landed.truth["interactions"]
    assert counts["original_requests"] == (
        total + sum(counts["pending"].values()) + sum(counts["excluded"].values())
    )
    assert counts["rows"] == counts["original_requests"] + counts["follow_ups"]


def test_the_crude_comparison_misleads(landed):
    told = landed.truth["completion_difference"]
    assert told["crude_all_human_handled"] > 0.02
    assert told["by_task_type_all_human_handled"] < -0.10
    assert told["by_task_type_randomised"] == pytest.approx(-0.32, abs=0.03)


def test_the_holdout_is_sticky_and_as_large_as_planned(landed, interactions):
    drawn = interactions[interactions["assignment_kind"] == "randomised"]
    assert drawn["opened_at"].min() >= pd.Timestamp(plot.LAUNCH)
    assert drawn.groupby("customer_id")["assigned_arm"].nunique().max() == 1
    assert landed.truth["interactions"]["holdout_share"] == pytest.approx(0.15, abs=0.01)


def test_satisfaction_is_eight_points_lower_and_the_angry_answer_first(landed):
    told = landed.truth["csat"]
    assert told["baseline"]["mean"] == pytest.approx(82.0, abs=0.5)
    assert told["atlas_first_six_weeks"]["mean"] == pytest.approx(74.0, abs=0.5)
    assert told["holdout"]["mean"] == pytest.approx(82.0, abs=1.0)
    assert told["mean_lag_days"]["angry"] + 1 < told["mean_lag_days"]["content"]
    early = told["atlas_first_six_weeks"]["mean_of_answers_by_disillusion"]
    assert early < told["atlas_first_six_weeks"]["mean"]
    assert told["atlas"]["answers_by_the_end"] < told["atlas"]["answers"]


def test_the_tool_breaks_four_days_before_completion_falls(landed):
    scores = landed.raw("evaluations").dropna(subset=["value"])
    scores = scores[scores["indicator"] == "tool_call_accuracy"]
    at = scores["evaluated_at"]

    def accuracy(first, end) -> float:
        return scores.loc[(at >= str(first)) & (at < str(end)), "value"].mean()

    assert accuracy(plot.LAUNCH, plot.BROKEN_FROM) == pytest.approx(0.95, abs=0.01)
    assert accuracy(plot.BROKEN_FROM, plot.FALL_FROM) < 0.84
    assert accuracy(plot.MENDED, plot.END) == pytest.approx(0.95, abs=0.01)
    periods = landed.truth["periods"]
    holds = periods["tool_broken_completion_holds"]["ai"]["completed_rate"]
    fallen = periods["tool_broken_completion_fallen"]["ai"]["completed_rate"]
    mended = periods["release_1_3_0"]["ai"]["completed_rate"]
    assert holds == pytest.approx(0.36, abs=0.04)
    assert fallen == pytest.approx(0.22, abs=0.02)
    assert mended == pytest.approx(0.36, abs=0.02)
    assert landed.truth["tool_call_accuracy"]["lead_days"] == 4


def test_one_week_hits_both_arms_and_one_hides_what_atlas_cannot_do(landed):
    periods = landed.truth["periods"]
    assert periods["dip"]["ai"]["completed_rate"] == pytest.approx(0.30, abs=0.02)
    assert periods["dip"]["tier_1_humans"]["completed_rate"] == pytest.approx(0.60, abs=0.03)
    silent = periods["under_escalation"]["ai"]
    assert 0.005 <= silent["escalated_rate"] <= 0.02
    assert silent["completed_rate"] == pytest.approx(0.36, abs=0.03)


def test_reasons_shift_from_preference_to_what_atlas_cannot_do(landed):
    shares = [landed.truth["escalation_reasons"][phase]["shares"] for phase in plot.PHASES]
    gap = [phase["capability_gap"] for phase in shares]
    preference = [phase["customer_preference"] for phase in shares]
    assert gap == sorted(gap)
    assert preference == sorted(preference, reverse=True)
    assert gap[0] < 0.3
    assert gap[-1] > 0.5
    assert all(0 < phase["unknown"] < 0.05 for phase in shares)
    assert all(phase["preference_after_failure"] > 0 for phase in shares)


def test_requests_for_a_human_after_failure_have_two_failed_turns(landed, roots, events):
    handed = events[events["event_type"] == "handed_off"]
    handed = handed[handed["interaction_id"].isin(roots.index[roots["assigned_arm"] == "ai"])]
    asked = handed[handed["reason"] == "customer_requested"]
    asked = asked.set_index("interaction_id")["occurred_at"]
    spans = landed.raw("spans").drop_duplicates("span_id", keep="last")
    failed = spans[spans["error_type"].notna() & spans["interaction_id"].isin(asked.index)]
    failed = failed[failed["started_at"] < failed["interaction_id"].map(asked)]
    turns = failed.groupby("interaction_id")["trace_id"].nunique()
    told = landed.truth["escalation_reasons"].values()
    after_failure = sum(phase["counts"]["preference_after_failure"] for phase in told)
    assert (turns >= 2).sum() == after_failure


def test_every_shape_of_the_data_occurs(landed, roots, events):
    spans, costs = landed.raw("spans"), landed.raw("costs")
    assert set(plot.TASKS) == set(roots["task_type"])
    assert {"inference", "tool", "retrieval", "guardrail", "handoff"} <= set(spans["operation"])
    assert spans["cached_input_tokens"].gt(0).any()
    parents = spans[spans["name"] == "invoke_agent"]
    below = spans[spans["parent_span_id"].isin(parents["span_id"])]
    assert len(parents) > 1_000
    usage = below.groupby("parent_span_id")["input_tokens"].sum()
    repeated = parents.drop_duplicates("span_id").set_index("span_id")["input_tokens"]
    assert (repeated.reindex(usage.index) == usage).mean() > 0.99  # all but corrected ones
    unpriced = landed.truth["interactions"]["unpriced"]
    assert 0 < unpriced < 0.01 * landed.truth["outcomes"]["by_arm"]["ai"]["mature"]
    assert {"platform", "telephony", "human", "evaluation", "other"} <= set(costs["component"])
    seen = set(events["event_type"])
    assert {"reopened", "wrapped_up", "booking_cancelled", "payment_reversed"} <= seen
    indicators = {row["indicator"] for row in seed_rows("leading_indicators")}
    scored = set(landed.raw("evaluations")["indicator"])
    assert indicators - scored == {"confidence_calibration"}, "computed from stated confidence"
    assert "confidence" in scored
    followed = landed.truth["interactions"]["follow_ups"]
    assert 300 < followed < 900


# --- The plot and the configuration -----------------------------------------------------------


def test_the_plot_agrees_with_the_configuration():
    tasks = seed_rows("task_types")
    assert [row["task_type"] for row in tasks] == plot.TASKS
    assert {int(row["resolve_within_hours"]) for row in tasks} == {plot.RESOLVE_WITHIN_HOURS}
    assert {int(row["reopen_window_hours"]) for row in tasks} == {plot.REOPEN_WINDOW_HOURS}
    scopes = seed_rows("agent_scopes")
    assert {row["task_type"] for row in scopes} == set(plot.TASKS)
    assert {row["launched_at"] for row in scopes} == {str(plot.LAUNCH)}
    assert {float(row["holdout_share"]) for row in scopes} == {plot.HOLDOUT_PER_20 / 20}
    classes = {row["reason"]: row["reason_class"] for row in seed_rows("escalation_reasons")}
    assert classes == plot.REASON_CLASSES
    for row in seed_rows("model_prices"):
        when = "after" if row["effective_from"] == str(plot.PRICE_CHANGE) else "before"
        price = plot.PRICES[row["model"], when]
        names = ("input_usd_per_mtok", "cached_input_usd_per_mtok", "output_usd_per_mtok")
        assert price == tuple(float(row[name]) for name in names)


# --- Drawing by quota -------------------------------------------------------------------------


def test_quotas_come_out_in_every_cell():
    rng = np.random.default_rng(1)
    cells = np.repeat(np.arange(50), 80)
    chances = np.array([0.66, 0.12, 0.08, 0.07, 0.07])
    drawn = quota(rng, cells, chances)
    for cell in range(50):
        found = np.bincount(drawn[cells == cell], minlength=5)
        assert np.abs(found - 80 * chances).max() < 4
    assert np.abs(np.bincount(drawn, minlength=5) - 4_000 * chances).max() < 8


def test_quotas_take_a_chance_per_row_and_no_rows():
    rng = np.random.default_rng(1)
    chance = np.repeat([0.0, 1.0], 10)
    assert (share(rng, np.zeros(20, dtype=int), chance) == (chance == 1)).all()
    assert len(quota(rng, np.zeros(0, dtype=int), np.array([0.5, 0.5]))) == 0
