{%- set window_hours = [0, 24, 72, 168] -%}

with timeline as (

    select
        coalesce(agent_name, '(none)') as agent_name,
        arm,
        {{ basis_column('timeline', 'judged_at') }} as judged_at,
        {{ basis_column('timeline', 'undo_gap_seconds') }} as undo_gap_seconds,
        deadline_at,
        {{ is_escalated('timeline') }} as is_escalated
    from {{ ref('int_interaction_timeline') }} as timeline
    -- Only those that every window can be applied to, so that the windows compare like with like.
    where
        exclusion_reason is null
        and is_mature
        and {{ add_hours('deadline_at', window_hours | max) }} <= as_of

),

windows as (

    {%- for hours in window_hours %}
    select {{ hours }} as window_hours
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

counted as (

    select
        timeline.agent_name,
        timeline.arm,
        windows.window_hours,
        count(*) as n,
        {{ count_where(
            "not timeline.is_escalated and timeline.judged_at <= timeline.deadline_at"
            ~ " and (timeline.undo_gap_seconds is null or timeline.undo_gap_seconds > windows.window_hours * 3600)"
        ) }} as n_completed
    from timeline
    cross join windows
    group by timeline.agent_name, timeline.arm, windows.window_hours

),

final as (

    select
        agent_name,
        arm,
        cast(window_hours as integer) as window_hours,
        cast(n as bigint) as n,
        cast(n_completed as bigint) as n_completed,
        cast(n_completed as {{ type_double() }}) / n as task_completion_rate,
        {{ wilson('n_completed', 'n', 'lower') }} as lower_bound,
        {{ wilson('n_completed', 'n', 'upper') }} as upper_bound
    from counted

)

select * from final
