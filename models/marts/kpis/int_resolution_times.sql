-- Medians of time to resolution by segment, the unresolved counted as longer than any, with order-statistic limits.
with interactions as (

    select
        coalesce(facts.agent_name, '(none)') as agent_name,
        coalesce(facts.agent_version, '(none)') as agent_version,
        facts.arm,
        facts.task_type,
        facts.channel,
        coalesce(facts.tier, '(none)') as tier,
        facts.time_to_resolution_seconds
    from {{ ref('fct_interactions') }} as facts
    inner join {{ ref('int_kpi_window') }} as windows
        on coalesce(facts.agent_name, '(none)') = windows.agent_name
            and facts.task_type = windows.task_type
            and cast(facts.opened_at as date) between windows.window_start and windows.window_end
    where facts.outcome not in ('excluded', 'pending')

),

{%- for segment_type, column in segment_types() %}
ranked_by_{{ segment_type }} as (

    select
        agent_name,
        arm,
        '{{ segment_type }}' as segment_type,
        {{ column if column else "'all'" }} as segment,
        time_to_resolution_seconds,
        row_number() over (
            partition by agent_name, arm{{ ', ' ~ column if column }}
            order by time_to_resolution_seconds nulls last
        ) as position,
        count(*) over (partition by agent_name, arm{{ ', ' ~ column if column }}) as n
    from interactions
    {%- if column %}
    where {{ column }} != '(none)'
    {%- endif %}

),
{% endfor %}
ranked as (

    {%- for segment_type, _ in segment_types() %}
    select * from ranked_by_{{ segment_type }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

final as (

    select
        agent_name,
        arm,
        segment_type,
        segment,
        max(n) as n,
        {{ count_where('time_to_resolution_seconds is null') }} as n_unresolved,
        max(case when position = ceil(n / 2.0) then time_to_resolution_seconds end) as median_seconds,
        max(case when position = floor((n - {{ z95() }} * sqrt(n)) / 2) then time_to_resolution_seconds end) as lower_seconds,
        max(case when position = ceil(1 + (n + {{ z95() }} * sqrt(n)) / 2) then time_to_resolution_seconds end) as upper_seconds
    from ranked
    group by agent_name, arm, segment_type, segment

)

select * from final
