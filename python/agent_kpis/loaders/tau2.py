"""Runs of the tau2 benchmark: real agents on customer-service tasks, with simulated customers.

Three files are read: `simulations.parquet` (one row a run), `messages.parquet` (one row a message)
and `tool_calls.parquet` (one row a call). What becomes of them:

- **An interaction is a run**, `<run_id>:<sim>`. The implementation (`impl`) is the agent, the model
  (`agent`) its version, the domain the task type.
- **Tasks are replayed**: every version gets the same ones, so versions are compared task by task.
  `customer_id` is the name of the task.
- **Times** have no zone in the files and are taken as UTC: durations are right, hours of day not.
- **Channel** `chat` is declared async. Nothing records handling time, and nobody waits in a queue,
  so the time to resolution is the whole run; the sync rule would leave out the first answer.
- **Messages** of the agent and of the customer are events, also where they only carry a tool call:
  the files hold no text to tell them apart. Results of tools are no events.
- **A hand-off** is a call of the agent's transfer tool. `user_xfer` is not one: there the simulated
  customer ends a run by saying it was transferred, also where the agent transferred nobody.
  Calls that share an id stand once in `tool_calls.parquet`, so `xfer` can be the larger number.
- **A reward of 1** is a verified resolution at the end of the run. A run without one has none.
- **Cost**: an `agent_cost` of 0 or null means that nobody knew the price. Such a run has inference
  spans without cost, so that its cost is null. A priced run has one span a message with the
  message's cost; where these do not add up to `agent_cost`, one span with that amount instead.
  A greeting without tokens and cost is scripted and no inference.
- **A message's time** is when it was written; its span starts with the message before it.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb

from agent_kpis.loaders import LoadError
from agent_kpis.loaders.landing import (
    Progress,
    check_target,
    connect,
    day_before,
    ident,
    maturity,
    read_parquet,
    require_columns,
    tell,
    write_config,
    write_landing,
)

OWNER = "tau2-bench"
ENTITIES = ("interactions", "events", "spans", "evaluations", "releases")
# The longest run takes ten minutes, and nobody can reopen one.
RESOLVE_WITHIN_HOURS = 0.25
REOPEN_WINDOW_HOURS = 0
REVIEW_AFTER = timedelta(days=14)

_COLUMNS = {
    "simulations": (
        "run_id",
        "sim",
        "domain",
        "task",
        "agent",
        "impl",
        "git_commit",
        "start",
        "end",
        "reward",
        "agent_cost",
        "xfer",
        "ac_n",
        "ac_ok",
        "a_in",
        "a_out",
        "gold_transfer",
    ),
    "messages": (
        "run_id",
        "sim",
        "turn_idx",
        "role",
        "timestamp",
        "cost",
        "prompt_tokens",
        "completion_tokens",
    ),
    "tool_calls": ("run_id", "sim", "call_id", "name", "requestor", "ts", "error", "result_ts"),
}
_TIMES = {
    "simulations": ("start", "end"),
    "messages": ("timestamp",),
    "tool_calls": ("ts", "result_ts"),
}


def load_tau2(source: Path, to: Path, progress: Progress = None) -> dict:
    """Turns the tau2 files in the folder `source` into landing files in `to`.

    Writes `to/{interactions,events,spans,evaluations,releases}.parquet` (those with rows) and the
    nine files of `to/config/`. `progress` is called with one line of text a step.

    Returns the number of rows by entity, and `escalated`, `resolved`, `unpriced` (interactions),
    `watermark`, `all_mature_at` (UTC; the `as_of` from which on no run is pending), `pending` (runs
    that are pending at the watermark) and `warnings` (a list of text).

    Raises LoadError where a file is missing or unreadable, lacks a column, holds a time that does
    not parse, or has two rows for one run.
    """
    source, to = Path(source), Path(to)
    check_target(to, ENTITIES)
    tell(progress, f"reading {source}")
    connection = connect()
    _read(connection, source)
    tell(progress, "building interactions, events and spans")
    for name, query in _QUERIES.items():
        connection.execute(f"create table {ident(name)} as {query}")

    task_types = [
        {
            "task_type": name,
            "definition": "resolved_not_reopened",
            "resolve_within_hours": RESOLVE_WITHIN_HOURS,
            "reopen_window_hours": REOPEN_WINDOW_HOURS,
            "reopen_rule": "any",
            "threshold_profile": "default",
        }
        for (name,) in connection.execute(
            "select distinct task_type from interactions order by all"
        ).fetchall()
    ]
    summary: dict = write_landing(connection, to, ENTITIES, progress)
    first = connection.execute("select min(opened_at) from interactions").fetchone()[0]
    write_config(to / "config", _config(connection, task_types), OWNER, day_before(first), progress)
    summary |= _counts(connection) | maturity(connection, task_types)
    summary["warnings"] = _warnings(connection, summary)
    for warning in summary["warnings"]:
        tell(progress, f"warning: {warning}")
    return summary


def _read(connection: duckdb.DuckDBPyConnection, source: Path) -> None:
    for name, columns in _COLUMNS.items():
        path = source / f"{name}.parquet"
        have = read_parquet(connection, path, f"file_{name}")
        require_columns(path, have, dict.fromkeys(columns, f"needed of {name}"))
        for column in _TIMES[name]:
            _check_times(connection, path, name, column)
        times = ", ".join(
            f"try_cast({ident(column)} as timestamp) as {ident(column)}" for column in _TIMES[name]
        )
        connection.execute(
            f"create table {name} as"
            f" select * replace ({times}), run_id || ':' || sim as interaction_id"
            f" from file_{name}"
        )
    path = source / "simulations.parquet"
    twice = connection.execute(
        "select interaction_id from simulations group by all having count(*) > 1 order by all"
    ).fetchone()
    if twice:
        raise LoadError(f"{path}: run {twice[0]!r} (run_id:sim) has several rows; keep one of them")
    if not connection.execute("select count(*) from simulations").fetchone()[0]:
        raise LoadError(f"{path}: no rows; there is nothing to load")


def _check_times(connection: duckdb.DuckDBPyConnection, path: Path, name: str, column: str) -> None:
    quoted = ident(column)
    bad = connection.execute(
        f"select run_id || ':' || sim, {quoted}::varchar from file_{name}"
        f" where try_cast({quoted} as timestamp) is null limit 1"
    ).fetchone()
    if bad:
        raise LoadError(
            f"{path}: {column} of run {bad[0]!r} is {bad[1]!r}, not a time; expected ISO 8601"
            " such as 2025-08-01T16:03:53"
        )


_QUERIES = {
    # Work tables first.
    "assistant_messages": """
        with turns as (
            select
                *,
                lag(timestamp) over run as previous_at,
                count(*) filter (role = 'user') over run as turn
            from messages
            window run as (partition by interaction_id order by turn_idx)
        )
        select
            t.* exclude (previous_at, turn),
            coalesce(t.previous_at, s.start, t.timestamp) as started_at,
            t.interaction_id || ':' || t.turn as trace_id,
            t.interaction_id || ':m:' || lpad(t.turn_idx::varchar, 4, '0') as span_id,
            t.cost is not distinct from 0 and t.prompt_tokens is null as is_scripted
        from turns as t
        left join simulations as s using (interaction_id)
        where t.role = 'assistant'
    """,
    "run_costs": """
        with of_messages as (
            select
                interaction_id,
                sum(cost) as cost,
                bool_and(cost is not null) as is_whole
            from assistant_messages
            where not is_scripted
            group by interaction_id
        )
        select
            s.interaction_id,
            coalesce(s.agent_cost, 0) > 0 as is_priced,
            case
                when not coalesce(s.agent_cost, 0) > 0 then m.interaction_id is not null
                else coalesce(m.is_whole and abs(m.cost - s.agent_cost) < 1e-9, false)
            end as by_message
        from simulations as s
        left join of_messages as m using (interaction_id)
    """,
    # Landing tables.
    "interactions": """
        select
            interaction_id,
            start as opened_at,
            'ai' as assigned_arm,
            domain as task_type,
            'chat' as channel,
            'replayed' as assignment_kind,
            task as customer_id,
            impl as agent_name,
            agent as agent_version,
            'tau2-bench' as source_system
        from simulations
    """,
    "events": """
        select
            interaction_id || ':opened' as event_id,
            interaction_id,
            start as occurred_at,
            'opened' as event_type,
            'customer' as actor_kind,
            null as actor_id,
            null as reason,
            null as evidence
        from simulations
        union all
        select
            m.interaction_id || ':m:' || lpad(m.turn_idx::varchar, 4, '0'),
            m.interaction_id,
            m.timestamp,
            'message',
            if(m.role = 'assistant', 'ai', 'customer'),
            if(m.role = 'assistant', s.impl, null),
            null,
            null
        from messages as m
        left join simulations as s using (interaction_id)
        where m.role in ('assistant', 'user')
        union all
        select
            t.interaction_id || ':handed_off:' || row_number() over (
                partition by t.interaction_id order by t.ts, t.call_id
            ),
            t.interaction_id,
            t.ts,
            'handed_off',
            'ai',
            s.impl,
            if(s.gold_transfer, 'gold_transfer', 'transfer_to_human'),
            null
        from tool_calls as t
        left join simulations as s using (interaction_id)
        where t.name like 'transfer_to_human%' and t.requestor = 'assistant'
        union all
        select
            interaction_id || ':resolved',
            interaction_id,
            "end",
            'resolved',
            'ai',
            impl,
            null,
            'verified'
        from simulations
        where reward >= 1
    """,
    "spans": """
        with asked as (
            -- One message a time: a call is joined to the message that made it.
            select interaction_id, timestamp, any_value(trace_id) as trace_id,
                min(span_id) filter (not is_scripted) as span_id
            from assistant_messages
            group by all
        ),
        steps as (
            select
                m.span_id,
                m.started_at,
                'inference' as operation,
                m.trace_id,
                null as parent_span_id,
                m.interaction_id,
                null as name,
                m.timestamp as ended_at,
                null as error_type,
                m.prompt_tokens::bigint as input_tokens,
                m.completion_tokens::bigint as output_tokens,
                if(c.is_priced, m.cost, null) as reported_cost_usd
            from assistant_messages as m
            left join run_costs as c using (interaction_id)
            where not m.is_scripted and coalesce(c.by_message, true)
            union all
            select
                s.interaction_id || ':run',
                s.start,
                'inference',
                s.interaction_id || ':run',
                null,
                s.interaction_id,
                'run',
                s."end",
                null,
                nullif(s.a_in, 0)::bigint,
                nullif(s.a_out, 0)::bigint,
                if(c.is_priced, s.agent_cost, null)
            from simulations as s
            inner join run_costs as c using (interaction_id)
            where not c.by_message
            union all
            select
                t.interaction_id || ':t:' || lpad(
                    (row_number() over (
                        partition by t.interaction_id order by t.ts, t.call_id, t.name
                    ))::varchar, 4, '0'
                ),
                t.ts,
                if(t.name like 'transfer_to_human%', 'handoff', 'tool'),
                coalesce(a.trace_id, t.interaction_id || ':run'),
                if(coalesce(c.by_message, true), a.span_id, t.interaction_id || ':run'),
                t.interaction_id,
                t.name,
                t.result_ts,
                if(t.error, 'tool_error', null),
                null,
                null,
                null
            from tool_calls as t
            left join asked as a on t.interaction_id = a.interaction_id and t.ts = a.timestamp
            left join run_costs as c on t.interaction_id = c.interaction_id
            where t.requestor = 'assistant'
        )
        select
            steps.*,
            s.impl as agent_name,
            s.agent as agent_version,
            if(steps.operation = 'inference', s.agent, null) as model
        from steps
        left join simulations as s using (interaction_id)
    """,
    "evaluations": """
        select
            interaction_id || ':tool_call_accuracy' as evaluation_id,
            "end" as evaluated_at,
            'tool_call_accuracy' as indicator,
            ac_ok / ac_n as value,
            interaction_id,
            'code' as evaluator_kind,
            'tau2-bench' as evaluator_name,
            git_commit as evaluator_version
        from simulations
        where ac_n > 0
    """,
    "releases": f"""
        select
            impl as agent_name,
            agent as agent_version,
            min(start) as released_at,
            'model' as change_type,
            'Runs on ' || agent as summary,
            'task_completion_rate' as target_kpi,
            'up' as expected_direction,
            0.05 as min_effect,
            min(start) + to_days({REVIEW_AFTER.days}) as decide_by
        from simulations
        group by impl, agent
    """,
}


def _config(connection: duckdb.DuckDBPyConnection, task_types: list[dict]) -> dict:
    scopes = connection.execute(
        "select impl, domain, min(start) from simulations group by all order by all"
    ).fetchall()
    return {
        "task_types": task_types,
        "agent_scopes": [
            {"agent_name": agent, "task_type": domain, "launched_at": launched}
            for agent, domain, launched in scopes
        ],
        "channels": [{"channel": "chat", "kind": "async"}],
        "escalation_reasons": [
            {"reason": "gold_transfer", "reason_class": "planned"},
            {"reason": "transfer_to_human", "reason_class": "capability_gap"},
        ],
        "leading_indicators": [
            {
                "indicator": "tool_call_accuracy",
                "kpi": "task_completion_rate",
                "diagnosis_order": 1,
                "direction": "low",
            }
        ],
    }


def _counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    escalated, resolved = connection.execute(
        "select count(distinct interaction_id) filter (event_type = 'handed_off'),"
        " count(distinct interaction_id) filter (event_type = 'resolved') from events"
    ).fetchone()
    unpriced = connection.execute("select count(*) from run_costs where not is_priced").fetchone()
    return {"escalated": escalated, "resolved": resolved, "unpriced": unpriced[0]}


def _warnings(connection: duckdb.DuckDBPyConnection, summary: dict) -> list[str]:
    warnings = []
    differ = connection.execute(
        """
        select count(*) from simulations
        where (coalesce(xfer, 0) > 0) <> (
            interaction_id in (select interaction_id from events where event_type = 'handed_off')
        )
        """
    ).fetchone()[0]
    if differ:
        warnings.append(
            f"{differ} runs have transfers in simulations.parquet or in tool_calls.parquet, but"
            " not in both; hand-offs were taken from tool_calls.parquet"
        )
    if summary["pending"]:
        warnings.append(
            f"{summary['pending']} runs are pending at the latest event"
            f" ({summary['watermark']:%Y-%m-%d %H:%M:%S}); run with --as-of"
            f" {summary['all_mature_at'] + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ} to count all"
        )
    return warnings
