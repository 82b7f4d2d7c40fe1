"""The tau2 loader: an invented benchmark of a few runs, and the real files where they are."""

from __future__ import annotations

import csv
import filecmp
from datetime import datetime
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from agent_kpis.contract import entities, seed_columns
from agent_kpis.loaders import LoadError
from agent_kpis.loaders.tau2 import load_tau2
from support import shared_data

SIMULATION = {
    "run_id": "r1",
    "domain": "retail",
    "task": "7",
    "agent": "model-a",
    "impl": "bot",
    "git_commit": "abc",
    "start": "2025-08-01T10:00:00",
    "end": "2025-08-01T10:01:00",
    "reward": 1.0,
    "agent_cost": 0.03,
    "xfer": 0,
    "ac_n": 4,
    "ac_ok": 3,
    "a_in": 30,
    "a_out": 3,
    "gold_transfer": False,
}


def message(sim: str, turn: int, role: str, second: int, cost=None, tokens=None) -> dict:
    return {
        "run_id": "r1",
        "sim": sim,
        "turn_idx": turn,
        "role": role,
        "timestamp": f"2025-08-01T10:00:{second:02}",
        "cost": cost,
        "prompt_tokens": tokens,
        "completion_tokens": None if tokens is None else 1.0,
    }


def call(sim: str, name: str, second: int, requestor="assistant", error=False, call_id="c") -> dict:
    return {
        "run_id": "r1",
        "sim": sim,
        "call_id": call_id,
        "name": name,
        "requestor": requestor,
        "ts": f"2025-08-01T10:00:{second:02}",
        "error": error,
        "result_ts": f"2025-08-01T10:00:{second + 1:02}",
    }


def runs() -> dict[str, list[dict]]:
    """One run for every branch; the name of each says which."""
    simulations = [
        {**SIMULATION, "sim": "priced"},
        {**SIMULATION, "sim": "does_not_add_up", "agent_cost": 0.5, "reward": 0.0, "ac_n": 0},
        {**SIMULATION, "sim": "no_message_cost", "agent_cost": 0.2, "reward": None},
        {**SIMULATION, "sim": "zero", "agent": "model-b", "agent_cost": 0.0, "xfer": 2},
        {**SIMULATION, "sim": "null", "agent": "model-b", "agent_cost": None, "reward": 0.5},
        {**SIMULATION, "sim": "greeting", "impl": "other", "agent_cost": 0.0, "a_in": 0},
        {**SIMULATION, "sim": "gold", "xfer": 1, "gold_transfer": True, "domain": "airline"},
    ]
    messages = []
    for run in simulations:
        sim = run["sim"]
        messages.append(message(sim, 0, "assistant", 0, 0.0))
        messages.append(message(sim, 1, "user", 5, 0.7, 100.0))
        if sim == "greeting":
            continue
        unpriced = sim in ("zero", "null", "no_message_cost")
        no_tokens = sim == "null"
        for turn, second in ((2, 10), (5, 20)):
            cost = (None if no_tokens or sim == "no_message_cost" else 0.0) if unpriced else 0.015
            messages.append(
                message(sim, turn, "assistant", second, cost, None if no_tokens else 15.0)
            )
        messages.append(message(sim, 3, "tool", 11))
        messages.append(message(sim, 4, "user", 15, 0.7, 100.0))
    calls = [
        call("priced", "look_up", 10, error=True),
        call("priced", "reboot", 15, requestor="user", call_id="u"),
        call("does_not_add_up", "look_up", 10),
        call("zero", "transfer_to_human_agents", 10, call_id="x"),
        call("zero", "transfer_to_human_agents", 20, call_id="y"),
        call("gold", "transfer_to_human_agents", 20),
    ]
    return {"simulations": simulations, "messages": messages, "tool_calls": calls}


def write(folder: Path, tables: dict[str, list[dict]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        frame = pd.DataFrame(rows)
        duckdb.from_df(frame).write_parquet(str(folder / f"{name}.parquet"))
    return folder


def landing(folder: Path, name: str) -> pd.DataFrame:
    return duckdb.execute("from read_parquet(?)", [str(folder / f"{name}.parquet")]).df()


def config(folder: Path, name: str) -> list[dict]:
    with (folder / "config" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> tuple[Path, dict, list[str]]:
    folder = tmp_path_factory.mktemp("tau2")
    steps: list[str] = []
    summary = load_tau2(write(folder / "in", runs()), folder / "out", steps.append)
    return folder / "out", summary, steps


def test_files_follow_the_contract(loaded):
    to, summary, steps = loaded
    for name in ("interactions", "events", "spans", "evaluations", "releases"):
        frame = landing(to, name)
        assert list(frame) == [column.name for column in entities()[name].columns]
        assert len(frame) == summary[name]
        assert not frame.duplicated(list(entities()[name].key)).any()
        for column in entities()[name].columns:
            if column.required:
                assert frame[column.name].notna().all(), f"{name}.{column.name}"
            if column.accepted:
                assert set(frame[column.name].dropna()) <= set(column.accepted)
    assert sorted(path.name for path in to.iterdir() if path.is_file()) == sorted(
        f"{name}.parquet" for name in ("interactions", "events", "spans", "evaluations", "releases")
    )
    for name, columns in seed_columns().items():
        header = (to / "config" / f"{name}.csv").read_text().splitlines()[0]
        assert header.split(",") == columns
    assert any("spans.parquet" in step for step in steps)


def test_a_run_is_an_interaction(loaded):
    to, summary, _ = loaded
    row = landing(to, "interactions").set_index("interaction_id").loc["r1:priced"]
    assert (row.agent_name, row.agent_version, row.task_type) == ("bot", "model-a", "retail")
    assert (row.assigned_arm, row.channel) == ("ai", "chat")
    assert row.opened_at == pd.Timestamp("2025-08-01 10:00:00")
    assert (row.assignment_kind, row.customer_id) == ("replayed", "7")
    assert summary["interactions"] == 7
    assert summary["unpriced"] == 3


def test_events(loaded):
    to, summary, _ = loaded
    events = landing(to, "events")
    priced = events[events.interaction_id == "r1:priced"].sort_values("occurred_at")
    kinds = priced.groupby(["event_type", "actor_kind"]).size().to_dict()
    assert kinds == {
        ("opened", "customer"): 1,
        ("message", "ai"): 3,
        ("message", "customer"): 2,
        ("resolved", "ai"): 1,
    }
    resolved = events[events.event_type == "resolved"]
    assert sorted(resolved.interaction_id) == ["r1:gold", "r1:greeting", "r1:priced", "r1:zero"]
    assert set(resolved.evidence) == {"verified"}
    assert set(resolved.occurred_at) == {pd.Timestamp("2025-08-01 10:01:00")}
    handed = events[events.event_type == "handed_off"]
    assert sorted(zip(handed.interaction_id, handed.reason, strict=True)) == [
        ("r1:gold", "gold_transfer"),
        ("r1:zero", "transfer_to_human"),
        ("r1:zero", "transfer_to_human"),
    ]
    assert (summary["escalated"], summary["resolved"]) == (2, 4)


def test_costs_add_up_or_are_null(loaded):
    to, _, _ = loaded
    inference = landing(to, "spans").query("operation == 'inference'")
    by_run = inference.groupby("interaction_id").reported_cost_usd
    costs = {run: (len(c), c.notna().sum(), float(c.dropna().sum())) for run, c in by_run}
    assert costs == {
        "r1:priced": (2, 2, 0.03),
        "r1:gold": (2, 2, 0.03),
        # The messages' costs do not give the run's: one span holds it.
        "r1:does_not_add_up": (1, 1, 0.5),
        "r1:no_message_cost": (1, 1, 0.2),
        # Unpriced: spans without cost, so that the interaction's cost is null.
        "r1:zero": (2, 0, 0.0),
        "r1:null": (2, 0, 0.0),
        "r1:greeting": (1, 0, 0.0),
    }
    whole = inference.set_index("span_id").loc["r1:does_not_add_up:run"]
    assert (whole.input_tokens, whole.output_tokens) == (30, 3)
    assert pd.isna(inference.set_index("span_id").loc["r1:greeting:run"].input_tokens)


def test_steps_of_the_agent(loaded):
    to, _, _ = loaded
    spans = landing(to, "spans")
    priced = spans[spans.interaction_id == "r1:priced"].set_index("span_id")
    assert "reboot" not in set(priced.name), "the customer's own tools are not the agent's"
    tool = priced[priced.operation == "tool"].iloc[0]
    assert (tool["name"], tool.error_type) == ("look_up", "tool_error")
    caller = priced.loc[tool.parent_span_id]
    assert caller.ended_at == tool.started_at
    assert caller.trace_id == tool.trace_id == "r1:priced:1"
    # It starts where the customer's message ended.
    assert caller.started_at == pd.Timestamp("2025-08-01 10:00:05")
    assert set(spans[spans.operation == "handoff"].interaction_id) == {"r1:zero", "r1:gold"}
    lone = spans[(spans.interaction_id == "r1:does_not_add_up") & (spans.operation == "tool")]
    assert list(lone.parent_span_id) == ["r1:does_not_add_up:run"]
    assert set(spans.parent_span_id.dropna()) <= set(spans.span_id)


def test_scores_and_releases(loaded):
    to, _, _ = loaded
    scores = landing(to, "evaluations").set_index("interaction_id")
    assert "r1:does_not_add_up" not in scores.index, "no expected action, no score"
    assert scores.loc["r1:priced"].value == 0.75
    releases = landing(to, "releases")
    assert sorted(zip(releases.agent_name, releases.agent_version, strict=True)) == [
        ("bot", "model-a"),
        ("bot", "model-b"),
        ("other", "model-a"),
    ]
    assert (releases.decide_by - releases.released_at == pd.Timedelta(days=14)).all()
    assert (releases.min_effect == 0.05).all(), "a share, as the KPI is"


def test_configuration(loaded):
    to, _, _ = loaded
    scopes = {(row["agent_name"], row["task_type"]) for row in config(to, "agent_scopes")}
    assert scopes == {("bot", "retail"), ("bot", "airline"), ("other", "retail")}
    assert {row["holdout_share"] for row in config(to, "agent_scopes")} == {""}
    assert [row["task_type"] for row in config(to, "task_types")] == ["airline", "retail"]
    classes = {row["reason"]: row["reason_class"] for row in config(to, "escalation_reasons")}
    assert classes == {"gold_transfer": "planned", "transfer_to_human": "capability_gap"}
    assert {row["threshold_profile"] for row in config(to, "thresholds")} == {"default"}
    for name in ("labour_rates", "model_prices", "survey_scales"):
        assert config(to, name) == []
    for name in seed_columns():
        for row in config(to, name):
            assert row["owner"] == "tau2-bench"
            assert row["effective_from"] == "2025-07-31"


def test_maturity_is_reported(loaded):
    _, summary, _ = loaded
    assert summary["watermark"] == datetime(2025, 8, 1, 10, 1)
    assert summary["all_mature_at"] == datetime(2025, 8, 1, 10, 15)
    assert summary["pending"] == 7
    assert any("--as-of 2025-08-01T10:15:01Z" in warning for warning in summary["warnings"])


def test_equal_input_gives_equal_files(tmp_path):
    source = write(tmp_path / "in", runs())
    for name in ("a", "b"):
        load_tau2(source, tmp_path / name)
    load_tau2(source, tmp_path / "a")
    names = [str(p.relative_to(tmp_path / "a")) for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert len(names) == 5 + len(seed_columns())
    _, mismatch, errors = filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", names, shallow=False)
    assert (mismatch, errors) == ([], [])


def test_a_transfer_in_one_file_only_is_reported(tmp_path):
    tables = runs()
    tables["simulations"][0]["xfer"] = 1
    summary = load_tau2(write(tmp_path / "in", tables), tmp_path / "out")
    assert any(warning.startswith("1 runs have transfers") for warning in summary["warnings"])


def test_entities_without_rows_have_no_file(tmp_path):
    tables = runs()
    for run in tables["simulations"]:
        run["ac_n"] = 0
    load_tau2(write(tmp_path / "in", tables), tmp_path / "out")
    assert not (tmp_path / "out" / "evaluations.parquet").exists()


def test_missing_file(tmp_path):
    write(tmp_path, {"simulations": runs()["simulations"]})
    with pytest.raises(LoadError, match=r"messages\.parquet: no such file"):
        load_tau2(tmp_path, tmp_path / "out")


def test_unreadable_file(tmp_path):
    write(tmp_path, runs())
    (tmp_path / "tool_calls.parquet").write_text("not parquet")
    with pytest.raises(LoadError, match=r"tool_calls\.parquet: not readable as parquet"):
        load_tau2(tmp_path, tmp_path / "out")


def test_missing_column(tmp_path):
    tables = runs()
    for run in tables["simulations"]:
        del run["reward"]
    with pytest.raises(LoadError, match=r"simulations\.parquet: no column 'reward'.*'run_id'"):
        load_tau2(write(tmp_path, tables), tmp_path / "out")


@pytest.mark.parametrize(
    ("table", "column"),
    [("simulations", "end"), ("messages", "timestamp"), ("tool_calls", "result_ts")],
)
def test_time_that_does_not_parse(tmp_path, table, column):
    tables = runs()
    tables[table][0][column] = "yesterday"
    with pytest.raises(LoadError, match=f"{column} of run 'r1:priced' is 'yesterday'.*ISO 8601"):
        load_tau2(write(tmp_path, tables), tmp_path / "out")


def test_run_that_stands_twice(tmp_path):
    tables = runs()
    tables["simulations"].append(tables["simulations"][0])
    with pytest.raises(LoadError, match=r"run 'r1:priced' .* has several rows"):
        load_tau2(write(tmp_path, tables), tmp_path / "out")


def test_no_runs(tmp_path):
    source = write(tmp_path, runs())
    path = source / "simulations.parquet"
    frame = duckdb.execute("from read_parquet(?)", [str(path)]).df().iloc[:0]
    duckdb.from_df(frame).write_parquet(str(path))
    with pytest.raises(LoadError, match="no rows"):
        load_tau2(source, tmp_path / "out")


@pytest.mark.parametrize("stale", ["surveys.parquet", "events.csv"])
def test_folder_with_other_landing_files(tmp_path, stale):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / stale).write_text("x")
    with pytest.raises(LoadError, match=f"another source \\({stale}\\)"):
        load_tau2(write(tmp_path / "in", runs()), tmp_path / "out")


def test_target_is_a_file(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(LoadError, match="not a folder"):
        load_tau2(write(tmp_path / "in", runs()), tmp_path / "out")


# The real files -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> tuple[Path, dict, pd.DataFrame]:
    source = shared_data("tau2")
    to = tmp_path_factory.mktemp("tau2_real")
    summary = load_tau2(source, to)
    runs = landing(source, "simulations")
    runs["interaction_id"] = runs.run_id + ":" + runs.sim
    return to, summary, runs


def test_real_totals(real):
    _, summary, runs = real
    assert summary["interactions"] == 471
    assert summary["resolved"] == 288
    assert summary["escalated"] == (runs.xfer > 0).sum() == 142
    assert summary["unpriced"] == (~(runs.agent_cost > 0)).sum()
    assert not [w for w in summary["warnings"] if "transfers" in w]


def test_real_groups(real):
    to, _, runs = real
    events, spans = landing(to, "events"), landing(to, "spans")
    runs["handed_off"] = runs.interaction_id.isin(
        events[events.event_type == "handed_off"].interaction_id
    )
    runs["resolved"] = runs.interaction_id.isin(
        events[events.event_type == "resolved"].interaction_id
    )
    inference = spans[spans.operation == "inference"]
    lacking = set(inference[inference.reported_cost_usd.isna()].interaction_id)
    cost = spans.groupby("interaction_id").reported_cost_usd.apply(
        lambda costs: float(costs.dropna().sum())
    )
    for run in runs.itertuples():
        if run.agent_cost > 0:
            assert run.interaction_id not in lacking
            assert cost[run.interaction_id] == pytest.approx(run.agent_cost, abs=1e-9)
        else:
            assert run.interaction_id in lacking
            assert cost[run.interaction_id] == 0
    groups = runs.groupby(["impl", "agent", "domain"])
    for _, group in groups:
        assert (group.handed_off == (group.xfer > 0)).all()
        assert (group.resolved == (group.reward >= 1)).all()
    telecom = groups.get_group(("llm_agent", "gpt-4.1", "telecom"))
    figures = (len(telecom), telecom.handed_off.sum(), telecom.resolved.sum())
    assert figures == (40, 25, 18)
    assert f"{cost[telecom.interaction_id].sum():.4f}" == "3.1110"
    tuned = groups.get_group(
        ("llm_agent", "ft:gpt-4.1-2025-04-14:sierra:tau2-full-sft:BzrYdMNm", "telecom")
    )
    assert (len(tuned), tuned.resolved.mean()) == (40, 0.75)


def test_real_rows_fit(real):
    to, _, _ = real
    events, interactions = landing(to, "events"), landing(to, "interactions")
    joined = events.merge(interactions, on="interaction_id", how="left", validate="m:1")
    assert joined.opened_at.notna().all()
    assert (joined.occurred_at >= joined.opened_at).all()
    assert not (to / "surveys.parquet").exists()
    assert not (to / "costs.parquet").exists()
    assert "reopened" not in set(events.event_type)
