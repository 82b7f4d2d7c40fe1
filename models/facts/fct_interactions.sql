with timeline as (

    select * from {{ ref('int_interaction_timeline') }}

),

completions as (

    select
        timeline.*,
        {{ completion_time('timeline', 'maturity') }} as completed_at,
        {{ completion_time('timeline', 'as_of') }} as resolved_at,
        {{ basis_column('timeline', 'undone') }} as undone,
        {{ basis_column('timeline', 'was_ever_undone') }} as was_reopened,
        {{ basis_column('timeline', 'evidence_rank') }} as evidence_rank,
        {{ is_escalated('timeline') }} as escalated,
        timeline.exclusion_reason is null and timeline.is_mature as is_judged
    from timeline

),

outcomes as (

    select
        *,
        case
            when exclusion_reason is not null then 'excluded'
            when not is_mature then 'pending'
            when escalated then 'escalated'
            when undone then 'reopened'
            when completed_at <= deadline_at then 'completed'
            when completed_at is not null then 'resolved_late'
            else 'abandoned'
        end as outcome
    from completions

),

-- Handling ends where the request is taken up again after its resolution, or with the time that could still undo it.
handling_ends as (

    select
        outcomes.interaction_id,
        greatest(
            outcomes.matures_at, {{ add_hours('outcomes.resolved_at', 'outcomes.reopen_window_hours') }}
        ) as recorded_until,
        min(moments.next_undo_at) as ended_at
    from outcomes
    left join {{ ref('int_completion_moments') }} as moments
        on outcomes.interaction_id = moments.interaction_id
            and outcomes.basis = moments.basis
            and outcomes.resolved_at < moments.next_undo_at
    where outcomes.channel_kind = 'sync' and outcomes.resolved_at is not null
    group by 1, 2

),

handling as (

    select
        handling_ends.interaction_id,
        sum(events.handle_seconds) as handle_seconds
    from handling_ends
    inner join {{ ref('int_interaction_events') }} as events
        on handling_ends.interaction_id = events.interaction_id
            and events.occurred_at <= handling_ends.recorded_until
            and (handling_ends.ended_at is null or events.occurred_at < handling_ends.ended_at)
    group by handling_ends.interaction_id

),

reasons as (

    {{ effective_versions(ref('escalation_reasons'), ['reason']) }}

),

failed_turns as (

    select
        outcomes.interaction_id,
        count(distinct coalesce({{ dbt.concat(["'trace '", 'spans.trace_id']) }}, {{ dbt.concat(["'span '", 'spans.span_id']) }}))
            as n_failed_turns
    from outcomes
    inner join {{ ref('fct_spans') }} as spans
        on outcomes.interaction_id = spans.interaction_id
            and spans.started_at < outcomes.handed_off_at
    where spans.is_error
    group by outcomes.interaction_id

),

asks as (

    select
        events.interaction_id,
        events.occurred_at,
        min(events.occurred_at) over (partition by events.interaction_id, events.question_key) as first_asked_at
    from {{ ref('int_interaction_events') }} as events
    inner join outcomes
        on events.interaction_id = outcomes.interaction_id
            and events.occurred_at < outcomes.handed_off_at
    where events.event_type = 'question_asked' and events.question_key is not null

),

repeated_asks as (

    select
        interaction_id,
        count(*) as n_repeated_asks
    from asks
    where occurred_at > first_asked_at
    group by interaction_id

),

costs as (

    select
        interaction_id,
        sum(amount_usd) as known_cost_usd,
        sum(n_unpriced) as n_unpriced
    from {{ ref('fct_costs') }}
    where interaction_id is not null
    group by interaction_id

),

final as (

    select
        outcomes.interaction_id,
        outcomes.customer_id,
        outcomes.agent_name,
        outcomes.agent_version,
        outcomes.arm,
        outcomes.assignment_kind,
        outcomes.task_type,
        outcomes.channel,
        outcomes.tier,
        outcomes.opened_at,
        outcomes.matures_at,
        cast(outcomes.outcome as {{ dbt.type_string() }}) as outcome,
        cast(outcomes.exclusion_reason as {{ dbt.type_string() }}) as exclusion_reason,
        case when outcomes.is_judged then outcomes.outcome = 'completed' end as is_completed,
        case when outcomes.is_judged then coalesce(outcomes.completed_at <= outcomes.deadline_at, false) end as is_resolved,
        case when outcomes.is_judged then outcomes.escalated end as is_escalated,
        case when outcomes.is_judged then outcomes.was_reopened end as was_reopened,
        case when outcomes.is_judged then outcomes.arm = 'ai' and not outcomes.escalated end as is_deflected,
        case when outcomes.is_judged then outcomes.basis = 'answer' and outcomes.repeat_contact end as repeat_contact,
        cast(
            case
                when not outcomes.is_judged or not outcomes.escalated then null
                when reasons.reason_class = 'customer_preference'
                    and coalesce(failed_turns.n_failed_turns, 0) + coalesce(repeated_asks.n_repeated_asks, 0)
                    >= {{ var('failed_turns_before_preference') }}
                    then 'preference_after_failure'
                else coalesce(reasons.reason_class, 'unknown')
            end as {{ dbt.type_string() }}
        ) as escalation_reason_class,
        outcomes.completion_definition,
        cast(
            case
                when outcomes.outcome != 'completed' then null
                when outcomes.evidence_rank = 3 then 'verified'
                when outcomes.evidence_rank = 2 then 'confirmed'
                else 'assumed'
            end as {{ dbt.type_string() }}
        ) as completion_evidence,
        outcomes.definition_hash,
        outcomes.resolve_within_hours,
        outcomes.reopen_window_hours,
        case when outcomes.exclusion_reason is null then outcomes.resolved_at end as resolved_at,
        cast(
            case
                when outcomes.exclusion_reason is not null or outcomes.resolved_at is null then null
                when outcomes.channel_kind = 'async'
                    then {{ seconds_between('outcomes.opened_at', 'outcomes.resolved_at') }}
                when handling.handle_seconds is not null then handling.handle_seconds
                when outcomes.first_response_at <= outcomes.resolved_at
                    then {{ seconds_between('outcomes.first_response_at', 'outcomes.resolved_at') }}
                else {{ seconds_between('outcomes.opened_at', 'outcomes.resolved_at') }}
            end as {{ type_double() }}
        ) as time_to_resolution_seconds,
        cast(case when costs.n_unpriced = 0 then costs.known_cost_usd end as {{ type_money() }}) as cost_usd,
        cast(coalesce(costs.known_cost_usd, 0) as {{ type_money() }}) as known_cost_usd,
        coalesce(costs.n_unpriced = 0, false) as is_fully_priced
    from outcomes
    left join handling on outcomes.interaction_id = handling.interaction_id
    left join reasons
        on outcomes.handed_off_reason = reasons.reason
            and {{ is_effective('reasons', 'outcomes.handed_off_at') }}
    left join failed_turns on outcomes.interaction_id = failed_turns.interaction_id
    left join repeated_asks on outcomes.interaction_id = repeated_asks.interaction_id
    left join costs on outcomes.interaction_id = costs.interaction_id

)

select * from final
