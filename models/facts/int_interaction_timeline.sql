{%- set moment_columns = [
    'first_completed_at', 'first_undo_at', 'stood_at', 'stood_as_of_at', 'undone_at', 'evidence_rank', 'judged_at', 'undo_gap_seconds',
] -%}

with interactions as (

    select * from {{ ref('int_interactions_configured') }}

),

events as (

    select * from {{ ref('int_interaction_events') }}

),

moments as (

    select
        moments.*,
        interactions.matures_at,
        interactions.deadline_at,
        interactions.as_of,
        interactions.reopen_rule,
        moments.completed_at <= interactions.matures_at as is_by_maturity,
        {{ add_hours('moments.completed_at', 'interactions.reopen_window_hours') }} as window_ends_at
    from {{ ref('int_completion_moments') }} as moments
    inner join interactions on moments.interaction_id = interactions.interaction_id

),

judged as (

    select
        *,
        case
            when basis = 'resolution' and next_undo_at <= window_ends_at then next_undo_at
            when basis != 'resolution' and next_undo_at <= greatest(matures_at, window_ends_at) then next_undo_at
        end as undone_at
    from moments

),

verdicts as (

    select
        *,
        is_by_maturity and (undone_at is null or undone_at > matures_at) as stood,
        coalesce(is_by_maturity and undone_at <= matures_at, false) as was_undone,
        window_ends_at <= as_of and undone_at is null as stood_as_of,
        {{ seconds_between('completed_at', 'next_undo_at') }} as undo_gap_seconds,
        max(case when is_by_maturity then completed_at end)
            over (partition by interaction_id, basis, question) as last_completed_at,
        max(case when is_by_maturity and completed_at <= deadline_at then completed_at end)
            over (partition by interaction_id, basis, question) as last_completed_in_time_at
    from judged

),

-- A request has one question on every basis but `answer`.
questions as (

    select
        interaction_id,
        basis,
        question,
        coalesce(min(asked_at) <= min(matures_at), true) as is_by_maturity,
        min(completed_at) as first_completed_at,
        min(next_undo_at) as first_undo_at,
        min(case when stood then completed_at end) as stood_at,
        min(case when stood_as_of then completed_at end) as stood_as_of_at,
        {{ any_true("was_undone and (reopen_rule = 'any' or completed_at = last_completed_at)") }} as undone,
        min(case when was_undone and (reopen_rule = 'any' or completed_at = last_completed_at) then undone_at end) as undone_at,
        {{ any_true('repeat_contact_at is not null') }} as is_repeat_contact,
        max(case when stood then evidence_rank end) as evidence_rank,
        min(case
            when is_by_maturity and (reopen_rule = 'any' or completed_at = last_completed_in_time_at)
                then completed_at
        end) as judged_at,
        min(case
            when is_by_maturity and (reopen_rule = 'any' or completed_at = last_completed_in_time_at)
                then undo_gap_seconds
        end) as undo_gap_seconds
    from verdicts
    group by interaction_id, basis, question

),

bases as (

    select
        interaction_id,
        basis,
        min(first_completed_at) as first_completed_at,
        min(first_undo_at) as first_undo_at,
        case when count(stood_at) = {{ count_where('is_by_maturity') }} then max(stood_at) end as stood_at,
        case when count(stood_as_of_at) = count(*) then max(stood_as_of_at) end as stood_as_of_at,
        {{ any_true('undone') }} as undone,
        min(undone_at) as undone_at,
        {{ any_true('first_undo_at is not null') }} as was_ever_undone,
        {{ any_true('is_repeat_contact') }} as is_repeat_contact,
        max(evidence_rank) as evidence_rank,
        case when count(judged_at) = {{ count_where('is_by_maturity') }} then max(judged_at) end as judged_at,
        min(undo_gap_seconds) as undo_gap_seconds
    from questions
    group by interaction_id, basis

),

completions as (

    select
        interaction_id,
        {%- for basis in completion_bases() %}
        {%- for column in moment_columns %}
        max(case when basis = '{{ basis }}' then {{ column }} end) as {{ basis }}_{{ column }},
        {%- endfor %}
        {{ any_true("basis = '" ~ basis ~ "' and undone") }} as {{ basis }}_undone,
        {{ any_true("basis = '" ~ basis ~ "' and was_ever_undone") }} as {{ basis }}_was_ever_undone,
        {%- endfor %}
        {{ any_true('is_repeat_contact') }} as repeat_contact
    from bases
    group by interaction_id

),

activity as (

    select
        interaction_id,
        count(*) as n_events,
        {{ count_where("event_type = 'message'") }} as n_messages,
        min(case when event_type = 'message' and actor_kind != 'customer' then occurred_at end) as first_response_at,
        min(case when event_type = 'handed_off' and is_by_maturity then occurred_at end) as handed_off_at,
        min(case when actor_kind = 'human' and event_type != 'opened' and is_by_maturity then occurred_at end)
            as human_touched_at
    from events
    group by interaction_id

),

-- The reason that counts is the first one given.
reasons as (

    select
        interaction_id,
        reason,
        row_number() over (partition by interaction_id order by occurred_at, event_id) as position
    from events
    where event_type = 'handed_off' and is_by_maturity and reason is not null

),

final as (

    select
        interactions.*,
        coalesce(activity.n_events, 0) as n_events,
        coalesce(activity.n_messages, 0) as n_messages,
        activity.first_response_at,
        activity.handed_off_at,
        activity.human_touched_at,
        reasons.reason as handed_off_reason,
        {%- for basis in completion_bases() %}
        {%- for column in moment_columns %}
        completions.{{ basis }}_{{ column }},
        {%- endfor %}
        coalesce(completions.{{ basis }}_undone, false) as {{ basis }}_undone,
        coalesce(completions.{{ basis }}_was_ever_undone, false) as {{ basis }}_was_ever_undone,
        {%- endfor %}
        coalesce(completions.repeat_contact, false) as repeat_contact
    from interactions
    left join activity on interactions.interaction_id = activity.interaction_id
    left join reasons on interactions.interaction_id = reasons.interaction_id and reasons.position = 1
    left join completions on interactions.interaction_id = completions.interaction_id

)

select * from final
