{%- set key = ['agent_name', 'segment_type', 'segment', 'indicator', 'evaluator_name', 'evaluator_version', 'cohort_date'] -%}

with mapped as (

    select distinct indicator from {{ ref('int_diagnosis_order') }}

),

judges as (

    select * from {{ ref('judge_calibration') }}

),

-- Scores of two judges, or of two versions of one, are never one series: the switch is no change of the agent.
days_known as (

    select days_known.*
    from {{ ref('int_indicator_days') }} as days_known
    inner join mapped on days_known.indicator = mapped.indicator
    left join judges
        on days_known.indicator = judges.indicator
            and days_known.evaluator_name = judges.evaluator_name
            and days_known.evaluator_version = judges.evaluator_version
    where days_known.segment_type in ('all', 'task_type') and coalesce(judges.may_alert, true)

),

final as (

    {{ indicator_values('days_known', key) }}

)

select * from final
