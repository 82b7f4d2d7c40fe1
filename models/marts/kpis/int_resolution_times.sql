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

segmented as (

    {{ by_segment('interactions') }}

),

final as (

    {{ median_times('segmented', ['agent_name', 'arm', 'segment_type', 'segment']) }}

)

select * from final
