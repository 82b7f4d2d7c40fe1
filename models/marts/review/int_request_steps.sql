-- The steps of the agent's judged requests, added up once: everything that asks how a request went reads this.
with requests as (

    select
        interaction_id,
        agent_name,
        cast(matures_at as date) as known_on
    from {{ ref('int_compared_interactions') }}
    where is_mature and population in ('ai_randomised', 'ai_routed')

),

weeks as (

    select * from {{ ref('int_review_weeks') }}

),

reviewed as (

    select
        requests.interaction_id,
        weeks.last_day
    from requests
    inner join weeks
        on requests.agent_name = weeks.agent_name
            and requests.known_on between weeks.week_start and weeks.last_day

),

final as (

    select
        spans.interaction_id,
        spans.operation,
        coalesce(spans.name, '(none)') as name,
        count(*) as n_steps,
        {{ count_where('spans.is_error') }} as n_errors,
        {{ count_where('not spans.is_repetition') }} as n_own_steps,
        sum(case when not spans.is_repetition then spans.tokens else 0 end) as tokens,
        sum(spans.cost_usd) as cost_usd,
        {{ count_where('spans.cost_usd is null') }} as n_unpriced
    from {{ ref('fct_spans') }} as spans
    inner join reviewed
        on spans.interaction_id = reviewed.interaction_id
            and spans.started_at < {{ dbt.dateadd('day', 1, 'reviewed.last_day') }}
    group by spans.interaction_id, spans.operation, coalesce(spans.name, '(none)')

)

select * from final
