-- Surveys and answers by task type and outcome: who answered, among all that could have.
with interactions as (

    select * from {{ ref('int_compared_interactions') }}
    where population in ('ai_randomised', 'ai_routed', 'holdout', 'baseline', 'restated')

),

final as (

    select
        agent_name,
        case when population in ('ai_randomised', 'ai_routed') then 'ai' else population end as population,
        task_type,
        coalesce(outcome, 'pending') as outcome,
        count(*) as n_interactions,
        sum(n_surveys_sent) as n_sent,
        sum(n_surveys_answered) as n_answered,
        sum(score_sum) as score_sum,
        sum(score_square_sum) as score_square_sum
    from interactions
    group by agent_name, 2, task_type, 4

)

select * from final
