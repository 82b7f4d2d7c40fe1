with daily as (

    select * from {{ ref('kpi_daily') }}
    where arm = 'ai'

),

weekly as (

    select
        {{ week_of('cohort_date') }} as week_start,
        agent_name,
        {{- sum_kpi_parts() }}
    from daily
    group by 1, 2

),

final as (

    select
        week_start,
        agent_name,
        cast(n_mature as bigint) as n_mature,
        cast(n_deflected as bigint) as n_deflected,
        cast(n_completed as bigint) as n_completed,
        cast(n_deflected as {{ type_double() }}) / n_mature as deflection_rate,
        cast(n_completed as {{ type_double() }}) / n_mature as task_completion_rate,
        cast(n_deflected - n_completed as bigint) as n_gap,
        cast(n_reopened as bigint) as n_gap_reopened,
        cast(n_abandoned as bigint) as n_gap_abandoned,
        cast(n_resolved_late as bigint) as n_gap_resolved_late,
        cast(n_surveys_answered as bigint) as n_surveys_answered,
        cast(score_sum / nullif(n_surveys_answered, 0) as {{ type_double() }}) as csat
    from weekly
    where n_mature > 0

)

select * from final
