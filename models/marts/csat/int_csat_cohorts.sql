-- Requests, surveys and answers by day of the request, as known at as_of.
with interactions as (

    select * from {{ ref('int_compared_interactions') }}
    where population not in ('baseline', 'restated')

),

final as (

    select
        cohort_date,
        agent_name,
        arm,
        task_type,
        cast({{ dbt.dateadd('day', -1, 'cast(max(known_at) as date)') }} as date) as last_day,
        count(*) as n_interactions,
        sum(n_surveys_sent) as n_sent,
        sum(n_surveys_answered) as n_answered,
        sum(score_sum) as score_sum,
        sum(score_square_sum) as score_square_sum
    from interactions
    group by cohort_date, agent_name, arm, task_type

)

select * from final
