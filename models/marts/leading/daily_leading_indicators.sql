{{ config(alias="leading_indicators") }}
{%- set key = ['cohort_date', 'agent_name', 'segment_type', 'segment'] %}
{%- set without_traces = ['abstain_rate', 'silent_failure_rate'] %}
{%- set doubted = [] %}
{%- for indicator in shipped_indicators() %}{% do doubted.append("coalesce(leading_layer.doubted_" ~ indicator ~ ", '')") %}{% endfor %}

with indicator_days as (

    select * from {{ ref('int_indicator_days') }}

),

judges as (

    select * from {{ ref('judge_calibration') }}

),

measured as (

    {{ indicator_values('indicator_days', key + ['indicator']) }}

),

doubted as (

    select distinct
        {%- for column in key %}
        indicator_days.{{ column }},
        {%- endfor %}
        indicator_days.indicator
    from indicator_days
    inner join judges
        on indicator_days.indicator = judges.indicator
            and indicator_days.evaluator_name = judges.evaluator_name
            and indicator_days.evaluator_version = judges.evaluator_version
    where not judges.may_alert

),

-- Only what traces and scores say: outcomes alone are no leading layer.
leading_layer as (

    select
        {%- for column in key %}
        measured.{{ column }},
        {%- endfor %}
        {%- for indicator in shipped_indicators() %}
        max(case when measured.indicator = '{{ indicator }}' then measured.value end) as {{ indicator }},
        max(case when measured.indicator = '{{ indicator }}' then measured.n end) as n_{{ indicator }},
        {%- endfor %}
        {%- for indicator in shipped_indicators() %}
        max(case when doubted.indicator = '{{ indicator }}' then ' {{ indicator }}' else '' end) as doubted_{{ indicator }},
        {%- endfor %}
        {{ any_true("measured.indicator not in ('" ~ without_traces | join("', '") ~ "')") }} as has_data
    from measured
    left join doubted
        on measured.cohort_date = doubted.cohort_date
            and measured.agent_name = doubted.agent_name
            and measured.segment_type = doubted.segment_type
            and measured.segment = doubted.segment
            and measured.indicator = doubted.indicator
    group by 1, 2, 3, 4

),

daily as (

    select * from {{ ref('kpi_daily') }}
    where arm = 'ai' and n_interactions > 0

),

daily_segments as (

    {{ by_segment('daily') }}

),

lagging_layer as (

    select
        {{ key | join(', ') }},
        sum(n_interactions) as n_interactions,
        sum(n_mature) as n_mature,
        sum(n_completed) as n_completed,
        sum(n_escalated) as n_escalated,
        sum(n_surveys_answered) as n_surveys_answered,
        sum(score_sum) as score_sum
    from daily_segments
    group by {{ key | join(', ') }}

),

-- Every day that either layer knows.
days_known as (

    select {{ key | join(', ') }} from leading_layer
    union
    select {{ key | join(', ') }} from lagging_layer

),

final as (

    select
        days_known.cohort_date,
        cast(days_known.agent_name as {{ dbt.type_string() }}) as agent_name,
        cast(days_known.segment_type as {{ dbt.type_string() }}) as segment_type,
        cast(days_known.segment as {{ dbt.type_string() }}) as segment,
        {%- for indicator in shipped_indicators() %}
        cast(leading_layer.{{ indicator }} as {{ type_double() }}) as {{ indicator }},
        cast(leading_layer.n_{{ indicator }} as bigint) as n_{{ indicator }},
        {%- endfor %}
        {%- for column in ['n_interactions', 'n_mature', 'n_completed'] %}
        cast(lagging_layer.{{ column }} as bigint) as {{ column }},
        {%- endfor %}
        cast(lagging_layer.n_completed as {{ type_double() }}) / nullif(lagging_layer.n_mature, 0) as task_completion_rate,
        cast(lagging_layer.n_escalated as bigint) as n_escalated,
        cast(lagging_layer.n_escalated as {{ type_double() }}) / nullif(lagging_layer.n_mature, 0) as escalation_rate,
        cast(lagging_layer.n_surveys_answered as bigint) as n_surveys_answered,
        cast(lagging_layer.score_sum as {{ type_double() }}) as score_sum,
        cast(lagging_layer.score_sum as {{ type_double() }}) / nullif(lagging_layer.n_surveys_answered, 0) as csat,
        cast(nullif(trim({{ dbt.concat(doubted) }}), '') as {{ dbt.type_string() }}) as judges_not_calibrated,
        cast(case when leading_layer.has_data then 'ok' else 'no_data' end as {{ dbt.type_string() }}) as status
    from days_known
    left join leading_layer
        on {{ keys_agree('days_known', 'leading_layer', key) }}
    left join lagging_layer
        on {{ keys_agree('days_known', 'lagging_layer', key) }}

)

select * from final
