-- The days that the scorecard speaks for: since launch, per agent and task type, up to the last day with mature interactions.
with daily as (

    select * from {{ ref('kpi_daily') }}

),

last_mature_days as (

    select max(cohort_date) as window_end
    from daily
    where n_mature > 0

),

launches as (

    select
        agent_name,
        task_type,
        cast(launched_at as date) as launched_on
    from {{ ref('dim_agent_scopes') }}

),

first_launches as (

    select
        agent_name,
        min(launched_on) as launched_on
    from launches
    group by agent_name

),

first_days as (

    select min(cohort_date) as first_day from daily

),

scopes as (

    select distinct
        agent_name,
        task_type
    from daily

),

final as (

    select
        scopes.agent_name,
        scopes.task_type,
        {% set days = var('scorecard_window_days') -%}
        {%- if days -%}
        'last_{{ days }}_days' as window_name,
        cast({{ dbt.dateadd('day', -(days - 1), 'last_mature_days.window_end') }} as date) as window_start,
        {%- else -%}
        case when first_launches.agent_name is null then 'all_data' else 'since_launch' end as window_name,
        coalesce(launches.launched_on, first_launches.launched_on, first_days.first_day) as window_start,
        {%- endif %}
        last_mature_days.window_end
    from scopes
    cross join last_mature_days
    cross join first_days
    left join first_launches on scopes.agent_name = first_launches.agent_name
    left join launches on scopes.agent_name = launches.agent_name and scopes.task_type = launches.task_type

)

select * from final
