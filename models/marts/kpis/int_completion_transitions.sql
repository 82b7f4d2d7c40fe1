-- Steps on the way to completion by age in hours: open, done (completed and standing), failed. A pending request is censored at its age.
with timeline as (

    select * from {{ ref('int_interaction_timeline') }}
    where exclusion_reason is null

),

moments as (

    select
        coalesce(timeline.agent_name, '(none)') as agent_name,
        coalesce(timeline.agent_version, '(none)') as agent_version,
        timeline.arm,
        timeline.task_type,
        timeline.channel,
        coalesce(timeline.tier, '(none)') as tier,
        timeline.opened_at,
        timeline.deadline_at,
        timeline.matures_at,
        timeline.as_of,
        timeline.is_mature,
        timeline.resolve_within_hours + timeline.reopen_window_hours as horizon_hours,
        {{ completion_time('timeline', 'maturity') }} as stood_at,
        {{ basis_column('timeline', 'first_completed_at') }} as first_completed_at,
        {{ basis_column('timeline', 'undone') }} as undone,
        {{ basis_column('timeline', 'undone_at') }} as undone_at,
        {{ escalated_at('timeline') }} as escalated_at
    from timeline
    inner join {{ ref('int_kpi_window') }} as windows
        on coalesce(timeline.agent_name, '(none)') = windows.agent_name
            and timeline.task_type = windows.task_type
            and cast(timeline.opened_at as date) >= windows.window_start

),

ends as (

    select
        *,
        case when undone then first_completed_at else stood_at end as completed_at,
        case
            when undone and (escalated_at is null or undone_at < escalated_at) then undone_at
            else escalated_at
        end as undone_or_escalated_at
    from moments

),

paths as (

    select
        *,
        case
            when completed_at <= deadline_at and (undone_or_escalated_at is null or completed_at < undone_or_escalated_at)
                then completed_at
        end as done_at
    from ends

),

histories as (

    select
        *,
        case
            when done_at is null and deadline_at <= as_of and (undone_or_escalated_at is null or deadline_at < undone_or_escalated_at)
                then deadline_at
            else undone_or_escalated_at
        end as failed_at
    from paths

),

steps as (

    select
        histories.*,
        'open' as from_state,
        case
            when done_at is not null then 'done'
            when failed_at is not null then 'failed'
            else 'censored'
        end as to_state,
        coalesce(done_at, failed_at, as_of) as happened_at
    from histories
    union all
    select
        histories.*,
        'done' as from_state,
        case when failed_at is not null then 'failed' else 'censored' end as to_state,
        coalesce(failed_at, as_of) as happened_at
    from histories
    where done_at is not null and (failed_at is not null or not is_mature)

),

segmented as (

    {{ by_segment('steps') }}

),

final as (

    select
        agent_name,
        arm,
        segment_type,
        segment,
        task_type,
        cast(floor({{ seconds_between('opened_at', 'happened_at') }} / 3600) as integer) as age_hours,
        from_state,
        to_state,
        cast(max(horizon_hours) as {{ type_double() }}) as horizon_hours,
        count(*) as n
    from segmented
    group by agent_name, arm, segment_type, segment, task_type, 6, from_state, to_state

)

select * from final
