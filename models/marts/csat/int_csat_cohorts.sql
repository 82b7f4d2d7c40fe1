-- Requests, surveys and answers by day of the request, as known at as_of.
with interactions as (

    select * from {{ ref('int_compared_interactions') }}
    where population not in ('baseline', 'restated')

),

surveys as (

    select
        interaction_id,
        count(*) as n_sent,
        {{ count_where('score is not null') }} as n_answered,
        sum(score) as score_sum,
        sum(score * score) as score_square_sum
    from {{ ref('fct_surveys') }}
    where survey_kind = 'post_interaction'
    group by interaction_id

),

final as (

    select
        interactions.cohort_date,
        interactions.agent_name,
        interactions.arm,
        interactions.task_type,
        cast({{ dbt.dateadd('day', -1, 'cast(max(interactions.known_at) as date)') }} as date) as last_day,
        count(*) as n_interactions,
        coalesce(sum(surveys.n_sent), 0) as n_sent,
        coalesce(sum(surveys.n_answered), 0) as n_answered,
        coalesce(sum(surveys.score_sum), 0) as score_sum,
        coalesce(sum(surveys.score_square_sum), 0) as score_square_sum
    from interactions
    left join surveys on interactions.interaction_id = surveys.interaction_id
    group by interactions.cohort_date, interactions.agent_name, interactions.arm, interactions.task_type

)

select * from final
