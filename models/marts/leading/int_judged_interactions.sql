with evaluations as (

    select * from {{ ref('fct_evaluations') }}
    where evaluator_kind = 'llm'

),

interactions as (

    select interaction_id from {{ ref('fct_interactions') }}
    where arm = 'ai' and outcome != 'excluded'

),

surveys as (

    select
        interaction_id,
        avg(score) as csat
    from {{ ref('fct_surveys') }}
    where survey_kind = 'post_interaction'
    group by interaction_id

),

final as (

    select
        evaluations.indicator,
        coalesce(evaluations.evaluator_name, '(none)') as evaluator_name,
        coalesce(evaluations.evaluator_version, '(none)') as evaluator_version,
        interactions.interaction_id,
        avg(evaluations.value) as score,
        {{ any_true('surveys.interaction_id is not null') }} as is_surveyed,
        max(surveys.csat) as csat,
        max(surveys.csat) >= {{ var('survey_satisfied_from') }} as is_satisfied
    from evaluations
    inner join interactions on evaluations.interaction_id = interactions.interaction_id
    left join surveys on evaluations.interaction_id = surveys.interaction_id
    group by 1, 2, 3, 4

)

select * from final
