-- Counts and sums in the windows of each release, by day and task type.
with requests as (

    select
        *,
        is_mature and cost_usd is not null as is_priced
    from {{ ref('int_release_requests') }}
    where side != 'replayed'

),

final as (

    select
        agent_name,
        release_version,
        period,
        side,
        population,
        task_type,
        cohort_date,
        count(*) as n_interactions,
        {{ count_where('is_mature') }} as n_mature,
        {{ count_where('is_completed') }} as n_completed,
        {{ count_where('is_escalated') }} as n_escalated,
        {{ count_where('is_priced') }} as n_priced,
        {{ count_where('is_priced and is_completed') }} as n_completed_priced,
        coalesce(sum(cost_usd), 0) as cost_priced_usd,
        coalesce(sum(cost_usd * cost_usd), 0) as cost_square_sum,
        coalesce(sum(case when is_completed then cost_usd end), 0) as cost_completed_usd,
        sum(n_surveys_answered) as n_surveys_answered
    from requests
    group by agent_name, release_version, period, side, population, task_type, cohort_date

)

select * from final
