"""`kpi plan`: how large a holdout and how many days, from a baseline or by hand."""

from __future__ import annotations

import io
import math
import sys
from datetime import date
from pathlib import Path

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from agent_kpis import cli, plan
from agent_kpis.build import DATABASE
from agent_kpis.errors import CannotRunError
from agent_kpis.plan import Measure
from agent_kpis.statistics.sequential import multiplier

Z80 = 2.8015852181129175  # 1.96 + .84: two-sided 5%, 80% power


def only(rows: list[plan.Row]) -> plan.Row:
    assert len(rows) == 1
    return rows[0]


def test_outcomes_that_the_holdout_needs() -> None:
    completion = only(plan.plan(Measure(300, share=0.80), [0.10], [5]))
    assert completion.outcomes == completion.requests == 568
    assert completion.days_one_look == 19, "30 a day: 18.9 days"
    satisfied = Measure(300 * 0.15, share=0.82, per_request=0.15)
    csat = only(plan.plan(satisfied, [0.10], [8]))
    assert csat.outcomes == 208
    assert csat.requests == 1387, "208 answers at 15% response"
    assert csat.days_one_look == 47, "4.5 answers a day in the holdout"


def test_the_smallest_effect_seen_after_so_many_days() -> None:
    row = only(plan.plan(Measure(300, share=0.70), [0.15], [5]))
    assert [round(effect, 1) for effect in row.visible] == [7.8, 3.9]


def test_a_mean_needs_its_spread() -> None:
    scores = Measure(100, standard_deviation=30.0)
    row = only(plan.plan(scores, [0.5], [8]))
    assert row.outcomes == math.ceil(2 * (Z80 * 30 / 8) ** 2)
    assert row.visible[0] == pytest.approx(Z80 * 30 * math.sqrt(2 / 350))


def test_higher_power_needs_more() -> None:
    needed = [
        only(plan.plan(Measure(300, share=0.7), [0.15], [5], power)).outcomes
        for power in (0.8, 0.9)
    ]
    assert needed[0] == 786
    assert needed[1] == pytest.approx(786 * ((1.959964 + 1.281552) / Z80) ** 2, abs=1)


measures = st.one_of(
    st.builds(Measure, st.floats(1, 1000), share=st.floats(0.4, 0.9)),
    st.builds(Measure, st.floats(1, 1000), standard_deviation=st.floats(10, 40)),
)


@example(Measure(1.0, standard_deviation=10.0), 0.0546875, 30.0, 0.84375)
@given(measures, st.floats(0.05, 0.5), st.floats(4, 30), st.floats(0.7, 0.9))
def test_the_days_are_the_first_on_which_the_effect_is_seen(
    measure: Measure, share: float, effect: float, power: float
) -> None:
    row = only(plan.plan(measure, [share], [effect], power))
    z_power = plan.ndtri(power)

    def one_look(day: int) -> float:
        return (1.959963984540054 + z_power) * measure.standard_error(effect, share, day)

    def daily_looks(day: int) -> float:
        factor = multiplier(measure.per_day * day, 28 * measure.per_day)
        return (factor + z_power) * measure.standard_error(effect, share, day)

    for days, width in ((row.days_one_look, one_look), (row.days_daily_looks, daily_looks)):
        assert width(days) <= effect * (1 + 1e-9)
        # Outcomes are whole: the day before may have had the fraction of one too few.
        assert days == 1 or width(days - 1) > effect * (1 - 1 / row.outcomes)
    assert row.days_daily_looks >= row.days_one_look


@given(st.integers(1, 10**6))
def test_the_first_day_is_found(day: int) -> None:
    assert plan.first_day(lambda other: other >= day) == day


def test_rows_go_by_share_then_effect_and_unusual_shares_are_marked() -> None:
    rows = plan.plan(Measure(300, share=0.7), [0.05, 0.10, 0.20, 0.30], [5, 10])
    assert [(row.holdout_share, row.effect) for row in rows[:3]] == [
        (0.05, 5),
        (0.05, 10),
        (0.1, 5),
    ]
    assert [row.is_unusual for row in rows[::2]] == [True, False, False, True]


def test_shares_as_people_write_them() -> None:
    assert plan.checked_shares([0.15, 15, 5, 1]) == [0.15, 0.05, 0.01]
    assert plan.checked_shares([]) == [0.05, 0.10, 0.15, 0.20, 0.30]


def served(folder: Path, **agents: dict) -> Path:
    """A served database with what a plan reads, agents by name."""
    file = folder / DATABASE
    with duckdb.connect(str(file)) as con:
        con.execute(
            """
            create schema marts; create schema intermediate; create schema facts;
            create table marts.kpi_baselines (
                agent_name text, segment_type text, kpi text, value double, lower_bound double,
                upper_bound double, n bigint, window_start date, window_end date
            );
            create table intermediate.int_comparison_cells (
                agent_name text, segment_type text, population text, task_type text,
                n_interactions bigint, n_surveys_answered bigint
            );
            create table facts.dim_agent_scopes (agent_name text, task_type text);
            create table facts.dim_task_types (
                task_type text, resolve_within_hours double, reopen_window_hours double,
                valid_to timestamp
            );
            insert into facts.dim_task_types values
                ('refund', 72, 24, null), ('order', 10, 2, null), ('order', 900, 0, '2026-01-01');
            """
        )
        for name, given_values in agents.items():
            agent = {"completion": 0.7, "sd": 30.0, "answers": 630, "task_type": "refund"}
            agent |= given_values
            days = (date(2026, 1, 5), date(2026, 2, 15))
            half_width = 1.959963984540054 * agent["sd"] / math.sqrt(agent["answers"] or 1)
            score = 82.0 if agent["answers"] else None
            baselines = [
                ("task_completion_rate", agent["completion"], None, None, 4000),
                ("csat", score, 82 - half_width, 82 + half_width, agent["answers"]),
            ]
            for kpi, value, lower, upper, n in baselines:
                limits = (lower, upper) if value is not None else (None, None)
                for segment_type, shift in (("all", 0), ("channel", 0.1)):
                    con.execute(
                        "insert into marts.kpi_baselines values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        [name, segment_type, kpi, value and value - shift, *limits, n, *days],
                    )
            con.executemany(
                "insert into intermediate.int_comparison_cells values (?, ?, ?, ?, ?, ?)",
                [
                    (name, "all", "baseline", "a", 4000, agent["answers"]),
                    (name, "all", "baseline", "b", 200, 0),
                    (name, "all", "holdout", "a", 9999, 9999),
                    (name, "channel", "baseline", "a", 9999, 9999),
                ],
            )
            con.execute(
                "insert into facts.dim_agent_scopes values (?, ?)", [name, agent["task_type"]]
            )
    return file


def test_a_baseline_is_read_from_the_database(tmp_path: Path) -> None:
    file = served(tmp_path, atlas={}, borea={"completion": 0.5, "task_type": "order"})
    atlas, borea = plan.read_baselines(file)
    assert (atlas.agent, borea.agent) == ("atlas", "borea")
    assert atlas.completion == Measure(100.0, share=0.7), "4,200 requests in 42 days"
    assert (atlas.first_day, atlas.last_day) == (date(2026, 1, 5), date(2026, 2, 15))
    assert atlas.csat.standard_deviation == pytest.approx(30)
    assert atlas.csat.per_request == pytest.approx(0.15)
    assert atlas.csat.per_day == pytest.approx(15)
    assert atlas.csat_mean == 82
    assert (atlas.maturity_hours, borea.maturity_hours) == (96, 12)
    assert plan.read_baselines(file, "borea") == [borea]
    assert plan.read_baselines(file, "atlas", maturity_hours=200)[0].maturity_hours == 200


def test_without_answers_there_is_no_plan_for_csat(tmp_path: Path) -> None:
    (baseline,) = plan.read_baselines(served(tmp_path, atlas={"answers": 0}))
    assert baseline.csat is None
    assert "too few survey answers" in printed(baseline)


def test_an_agent_without_a_baseline_is_told_which_have_one(tmp_path: Path) -> None:
    file = served(tmp_path, atlas={}, borea={}, cirrus={"completion": None})
    with pytest.raises(CannotRunError, match=r"--agent cirrus: .*It has atlas, borea\.$"):
        plan.read_baselines(file, "cirrus")


@pytest.mark.parametrize("agents", [{}, {"atlas": {"completion": None}}])
def test_no_baseline_at_all_names_what_is_missing(tmp_path: Path, agents: dict) -> None:
    with pytest.raises(CannotRunError, match=r"baseline_from.*--per-day and --completion"):
        plan.read_baselines(served(tmp_path, **agents))


def test_a_database_of_another_version_is_said(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / DATABASE)):
        pass
    with pytest.raises(CannotRunError, match=r"cannot be read .*kpi_baselines.*Run `kpi run`"):
        plan.read_baselines(tmp_path / DATABASE)
    (tmp_path / "other").write_text("no database")
    with pytest.raises(CannotRunError, match=r"other cannot be read"):
        plan.read_baselines(tmp_path / "other")


def printed(*baselines: plan.Baseline, width: int = 120, **arguments: object) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False, soft_wrap=True)
    plan.show(list(baselines), console, **arguments)
    return console.file.getvalue()


def cells(text: str, first: str) -> list[str]:
    """The cells of the first row that starts so."""
    return next(line.split() for line in text.splitlines() if line.strip().startswith(first))


@pytest.mark.parametrize("width", [80, 120])
def test_the_plan_reads_at_the_width_of_a_terminal(width: int) -> None:
    baseline = plan.by_hand(300, 0.7, csat=82, csat_sd=30, response_rate=0.15)
    text = printed(baseline, width=width, effects=[5, 10])
    tables = [line for line in text.splitlines() if line.startswith(" ")]
    assert max(map(len, tables)) <= width
    assert "…" not in text
    assert cells(text, "15%") == ["15%", "5", "786", "18", "34", "7.8", "3.9"]
    assert cells(text, "10 ") == ["10", "175", "12", "23"]
    assert cells(text, "30%")[0] == "30%*"
    assert "people complete 70.0% of 300 requests a day" in text
    assert "the last outcome is known 4 days later (96 h)" in text
    csat = text[text.index("CSAT 82.0, standard deviation 30.0; 15.0%") :]
    assert cells(csat, "15%")[:4] == ["15%", "8", "130", "867"]
    assert "weeks after" in csat
    assert "* Outside the usual 10 to 20%" in text


def test_nothing_is_marked_where_every_share_is_usual() -> None:
    text = printed(plan.by_hand(300, 0.7), shares=[0.1, 0.2])
    assert "*" not in text
    assert "CSAT" not in text


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["kpi", "plan", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as error:
        return error.code
    return 0


def test_the_command_plans_by_hand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = ["--per-day", 300, "--completion", 0.8, "--csat", 82, "--response-rate", 0.15]
    assert run(monkeypatch, *by_hand, "--share", 10, "--maturity-hours", 48) == 0
    text = capsys.readouterr().out
    assert cells(text, "10%")[:3] == ["10%", "5", "568"]
    assert "CSAT 82.0% of answers satisfied" in text
    assert cells(text[text.index("CSAT") :], "10%")[:4] == ["10%", "8", "208", "1,387"]
    assert "2 days later (48 h)" in text


def test_the_command_plans_from_the_baseline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    served(tmp_path, atlas={}, borea={"completion": 0.5})
    assert run(monkeypatch, "--out", tmp_path, "--csat-effect", 10, "--power", 0.9) == 0
    text = capsys.readouterr().out
    assert "atlas: people complete 70.0% of 100 requests a day (4,200 requests, 2026-01-05" in text
    assert "borea: people complete 50.0%" in text
    assert "borea: CSAT 82.0, standard deviation 30.0" in text
    assert "90% power" in text
    assert run(monkeypatch, "--out", tmp_path, "--agent", "borea") == 0
    assert "atlas" not in capsys.readouterr().out


HAND = ("--per-day", 300, "--completion", 0.7)
CSAT = (*HAND, "--csat", 82, "--response-rate", 0.15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "A plan needs --out"),
        (("--completion", 0.7), "--per-day"),
        (("--per-day", 300), "--completion is missing"),
        (("--per-day", 0, "--completion", 0.7), "--per-day 0"),
        (("--per-day", "nan", "--completion", 0.7), "--per-day nan"),
        (("--per-day", 300, "--completion", 70), "--completion 70: a share between 0 and 1"),
        (("--per-day", 300, "--completion", 1), "--completion 1"),
        (("--per-day", 300, "--completion", 0), "--completion 0"),
        ((*HAND, "--share", 0), "--share 0"),
        ((*HAND, "--share", 100), "--share 100"),
        ((*HAND, "--share", -5), "--share -5"),
        ((*HAND, "--share", "nan"), "--share nan"),
        ((*HAND, "--effect", 0), "--effect 0"),
        ((*HAND, "--effect", 5, "--effect", -5), "--effect -5"),
        ((*HAND, "--effect", 71), "--effect 71: 70.0 cannot fall by 71 points"),
        ((*HAND, "--effect", "inf"), "--effect inf"),
        ((*HAND, "--power", 1), "--power 1"),
        ((*HAND, "--power", 80), "80% is 0.8"),
        ((*HAND, "--maturity-hours", 0), "--maturity-hours 0"),
        ((*HAND, "--agent", "atlas"), "--agent names an agent of a database"),
        ((*HAND, "--csat", 82), "--response-rate is missing"),
        ((*HAND, "--response-rate", 0.15), "give --csat"),
        ((*HAND, "--csat", 82, "--response-rate", 15), "--response-rate 15"),
        ((*HAND, "--csat", 100, "--response-rate", 0.15), "--csat 100"),
        ((*CSAT, "--csat-sd", 0), "--csat-sd 0"),
        ((*HAND, "--csat", 120, "--csat-sd", 9, "--response-rate", 0.15), "--csat 120"),
        ((*CSAT, "--csat-effect", 0), "--csat-effect 0"),
        ((*CSAT, "--csat-effect", 83), "--csat-effect 83"),
        ((*HAND, "--csat-effect", 8), "--csat-effect: no CSAT"),
        (("--out", "nowhere"), "No served database nowhere/agent_kpis.duckdb. Run `kpi run"),
        (("--out", "nowhere", "--completion", 0.7), "leave out --completion"),
        (("--out", "nowhere", *HAND), "leave out --per-day and --completion"),
        (("--share", "a lot"), "--share"),
    ],
)
def test_what_cannot_be_planned_names_the_option(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[object, ...],
    message: str,
) -> None:
    assert run(monkeypatch, *arguments) == 2
    seen = capsys.readouterr()
    assert message in seen.err
    assert seen.out == "", "nothing is printed before it is known to be right"
