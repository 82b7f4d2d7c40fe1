{%- set kpis = ['task_completion_rate', 'escalation_rate'] -%}

with daily as (

    select * from {{ ref('kpi_daily') }}
    where arm = 'ai' and n_mature > 0

),

segmented as (

    {{ by_segment('daily') }}

),

cohorts as (

    select * from {{ ref('csat_cohorts') }}
    where arm = 'ai'

),

-- A day counts once its answers are in: early ones are the angry ones, and would fake a fall at the end.
final_cohorts as (

    select
        cohort_date,
        agent_name,
        'all' as segment_type,
        'all' as segment,
        sum(n_answered) as n,
        sum(score_sum) as score_sum
    from cohorts
    group by cohort_date, agent_name
    having {{ count_where("status = 'provisional'") }} = 0
    union all
    select
        cohort_date,
        agent_name,
        'task_type' as segment_type,
        task_type as segment,
        n_answered as n,
        score_sum
    from cohorts
    where status = 'final'

),

final as (

    {%- for entry in kpi_registry() if entry.kpi in kpis %}
    select
        agent_name,
        segment_type,
        segment,
        '{{ entry.kpi }}' as kpi,
        '{{ entry.better }}' as better,
        cohort_date,
        sum({{ entry.denominator }}) as n,
        cast(sum({{ entry.numerator }}) as {{ type_double() }}) / sum({{ entry.denominator }}) as value
    from segmented
    where segment_type in ('all', 'task_type')
    group by agent_name, segment_type, segment, cohort_date
    union all
    {%- endfor %}
    select
        agent_name,
        segment_type,
        segment,
        'csat' as kpi,
        'high' as better,
        cohort_date,
        n,
        cast(score_sum as {{ type_double() }}) / n as value
    from final_cohorts
    where n > 0

)

select * from final
