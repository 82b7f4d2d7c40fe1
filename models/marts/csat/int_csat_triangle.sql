-- Answers by the day of the request and the days until the answer. Days are calendar days, so that what was known at the end of a day is a
-- corner of the triangle; `last_day` is the last complete one.
with interactions as (

    select * from {{ ref('int_compared_interactions') }}

),

answers as (

    select
        interactions.agent_name,
        interactions.population,
        interactions.arm,
        interactions.task_type,
        interactions.channel,
        interactions.tier,
        interactions.agent_version,
        interactions.cohort_date,
        cast(surveys.responded_at as date) as answered_on,
        cast({{ dbt.dateadd('day', -1, 'cast(interactions.known_at as date)') }} as date) as last_day,
        surveys.score
    from interactions
    inner join {{ ref('fct_surveys') }} as surveys
        on interactions.interaction_id = surveys.interaction_id
            and interactions.known_at >= surveys.responded_at
    where
        surveys.survey_kind = 'post_interaction'
        and surveys.score is not null
        and interactions.population != 'restated'

),

segmented as (

    {{ by_segment('answers') }}

),

final as (

    select
        agent_name,
        segment_type,
        segment,
        population,
        arm,
        task_type,
        cohort_date,
        cast({{ dbt.datediff('cohort_date', 'answered_on', 'day') }} as integer) as lag_days,
        max(last_day) as last_day,
        count(*) as n,
        sum(score) as score_sum,
        sum(score * score) as score_square_sum
    from segmented
    group by agent_name, segment_type, segment, population, arm, task_type, cohort_date, 8

)

select * from final
