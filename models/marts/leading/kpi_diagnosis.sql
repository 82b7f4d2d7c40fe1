{%- set key = ['agent_name', 'indicator'] -%}

with clock as (

    select cast(as_of as date) as today from {{ ref('int_as_of') }}

),

recent as (

    select days_known.*
    from {{ ref('int_indicator_days') }} as days_known
    inner join clock
        on days_known.cohort_date > {{ dbt.dateadd('day', -28, 'clock.today') }}
    where days_known.segment_type = 'all'

),

measured as (

    {{ indicator_values('recent', key) }}

),

judges as (

    select
        recent.agent_name,
        recent.indicator,
        {{ any_true('not judges.may_alert') }} as is_doubted
    from recent
    inner join {{ ref('judge_calibration') }} as judges
        on recent.indicator = judges.indicator
            and recent.evaluator_name = judges.evaluator_name
            and recent.evaluator_version = judges.evaluator_version
    group by recent.agent_name, recent.indicator

),

agents as (

    select distinct agent_name from {{ ref('kpi_daily') }}
    where arm = 'ai' and n_interactions > 0

),

final as (

    select
        cast(agents.agent_name as {{ dbt.type_string() }}) as agent_name,
        cast(orders.kpi as {{ dbt.type_string() }}) as kpi,
        cast(orders.diagnosis_order as integer) as diagnosis_order,
        cast(orders.indicator as {{ dbt.type_string() }}) as indicator,
        cast(orders.direction as {{ dbt.type_string() }}) as bad_direction,
        cast(measured.value as {{ type_double() }}) as value,
        cast(coalesce(measured.n, 0) as bigint) as n,
        cast(
            case
                when measured.n is null then 'no_data'
                when coalesce(judges.is_doubted, false) then 'judge_not_calibrated'
                else 'ok'
            end as {{ dbt.type_string() }}
        ) as status,
        cast(orders.owner as {{ dbt.type_string() }}) as owner
    from agents
    cross join {{ ref('int_diagnosis_order') }} as orders
    left join measured
        on agents.agent_name = measured.agent_name
            and orders.indicator = measured.indicator
    left join judges
        on agents.agent_name = judges.agent_name
            and orders.indicator = judges.indicator

)

select * from final
