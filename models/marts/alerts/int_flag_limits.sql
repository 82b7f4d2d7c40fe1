{%- set csat_days = var('csat_evaluation_days') %}
{%- if csat_days is not number or csat_days != csat_days | int or csat_days < 1 %}
    {{ exceptions.raise_compiler_error(
        "csat_evaluation_days in dbt_project.yml is " ~ csat_days ~ ". Surveys are judged by whole days: 1 or more; 7 is usual."
    ) }}
{%- endif %}

-- Limits by agent and segment from the day they apply: those of the profiles of its task types, the tightest where there are several.
with task_types as (

    select
        task_type,
        threshold_profile
    from {{ ref('dim_task_types') }}
    where valid_to is null

),

scopes as (

    select * from {{ ref('dim_agent_scopes') }}

),

profiles as (

    select distinct
        flag_days.agent_name,
        flag_days.segment_type,
        flag_days.segment,
        task_types.threshold_profile
    from {{ ref('int_flag_days') }} as flag_days
    inner join task_types on flag_days.task_type = task_types.task_type
    inner join scopes
        on flag_days.agent_name = scopes.agent_name
            and flag_days.task_type = scopes.task_type
    where flag_days.population = 'ai'
    union
    -- Tools, stretches of a conversation and days without a mature request answer to the limits of the whole.
    select distinct
        scopes.agent_name,
        'all' as segment_type,
        'all' as segment,
        task_types.threshold_profile
    from scopes
    inner join task_types on scopes.task_type = task_types.task_type

),

launches as (

    select
        agent_name,
        min(launched_at) as launched_at
    from scopes
    group by agent_name

),

limits as (

    {{ threshold_limits('profiles', ['agent_name', 'segment_type', 'segment'], every_change=true) }}

),

final as (

    select
        limits.agent_name,
        limits.segment_type,
        limits.segment,
        limits.kpi,
        limits.direction,
        limits.unit,
        limits.applies_from,
        cast(limits.warning as {{ type_double() }}) as warning,
        cast(limits.critical as {{ type_double() }}) as critical,
        cast(limits.catastrophic as {{ type_double() }}) as catastrophic,
        limits.sustained_periods,
        case when limits.kpi = 'csat' then {{ csat_days | int }} else 1 end as evaluated_every_days,
        limits.defined_at > launches.launched_at as is_set_after_launch,
        launches.launched_at
    from limits
    inner join launches on limits.agent_name = launches.agent_name

)

select * from final
