-- Answers to surveys of requests in the windows of each release, by the day of the request and the calendar days until the answer.
with requests as (

    select * from {{ ref('int_release_requests') }}
    where side != 'replayed'

),

answers as (

    select
        requests.agent_name,
        requests.release_version,
        requests.period,
        requests.side,
        requests.population,
        requests.task_type,
        requests.cohort_date,
        cast(surveys.responded_at as date) as answered_on,
        cast({{ dbt.dateadd('day', -1, 'cast(requests.known_at as date)') }} as date) as last_day,
        surveys.score
    from requests
    inner join {{ ref('fct_surveys') }} as surveys
        on requests.interaction_id = surveys.interaction_id
            and requests.known_at >= surveys.responded_at
    where
        surveys.survey_kind = 'post_interaction'
        and surveys.score is not null

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
        cast({{ dbt.datediff('cohort_date', 'answered_on', 'day') }} as integer) as lag_days,
        max(last_day) as last_day,
        count(*) as n,
        sum(score) as score_sum,
        sum(score * score) as score_square_sum
    from answers
    group by agent_name, release_version, period, side, population, task_type, cohort_date, 8

)

select * from final
