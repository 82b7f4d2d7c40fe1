-- Surveys and answers by task type and outcome: who answered, among all that could have.
with interactions as (

    select * from {{ ref('int_compared_interactions') }}
    where population in ('ai_randomised', 'ai_routed', 'holdout', 'baseline', 'restated')

),

surveys as (

    select
        interactions.agent_name,
        interactions.population,
        interactions.interaction_id,
        count(*) as n_sent,
        sum(case when surveys.responded_at <= interactions.known_at and surveys.score is not null then 1 else 0 end) as n_answered,
        sum(case when surveys.responded_at <= interactions.known_at then surveys.score end) as score_sum,
        sum(case when surveys.responded_at <= interactions.known_at then surveys.score * surveys.score end) as score_square_sum
    from interactions
    inner join {{ ref('fct_surveys') }} as surveys
        on interactions.interaction_id = surveys.interaction_id
            and interactions.known_at >= surveys.sent_at
    where surveys.survey_kind = 'post_interaction'
    group by interactions.agent_name, interactions.population, interactions.interaction_id

),

final as (

    select
        interactions.agent_name,
        case interactions.population
            when 'ai_randomised' then 'ai'
            when 'ai_routed' then 'ai'
            else interactions.population
        end as population,
        interactions.task_type,
        coalesce(interactions.outcome, 'pending') as outcome,
        count(*) as n_interactions,
        coalesce(sum(surveys.n_sent), 0) as n_sent,
        coalesce(sum(surveys.n_answered), 0) as n_answered,
        coalesce(sum(surveys.score_sum), 0) as score_sum,
        coalesce(sum(surveys.score_square_sum), 0) as score_square_sum
    from interactions
    left join surveys
        on interactions.agent_name = surveys.agent_name
            and interactions.population = surveys.population
            and interactions.interaction_id = surveys.interaction_id
    group by interactions.agent_name, 2, interactions.task_type, 4

)

select * from final
