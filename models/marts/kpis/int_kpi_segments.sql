with daily as (

    select
        daily.*,
        windows.window_name,
        windows.window_start,
        windows.window_end
    from {{ ref('kpi_daily') }} as daily
    inner join {{ ref('int_kpi_window') }} as windows
        on daily.agent_name = windows.agent_name
            and daily.task_type = windows.task_type
            and daily.cohort_date between windows.window_start and windows.window_end
    where daily.arm in ('ai', 'human')

),

final as (

    {%- for segment_type, column in segment_types() %}
    select
        agent_name,
        arm,
        '{{ segment_type }}' as segment_type,
        {{ column if column else "'all'" }} as segment,
        min(window_name) as window_name,
        min(window_start) as window_start,
        max(window_end) as window_end,
        {{- sum_kpi_parts() }}
    from daily
    {%- if column %}
    where {{ column }} not in ('(none)', 'unallocated')
    {%- endif %}
    group by agent_name, arm{{ ', ' ~ column if column }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

)

select * from final
