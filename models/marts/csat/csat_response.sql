with responses as (

    select
        agent_name,
        population,
        sum(n_interactions) as n_interactions,
        sum(n_sent) as n_sent,
        sum(n_answered) as n_answered,
        sum(score_sum) as score_sum
    from {{ ref('int_csat_responses') }}
    group by agent_name, population

),

-- The baseline's answers had no time to come before launch: its rate is that of now.
rates as (

    select
        agent_name,
        case population when 'restated' then 'baseline' else population end as population,
        cast(n_answered as {{ type_double() }}) / nullif(n_sent, 0) as response_rate
    from responses
    where population != 'baseline'

),

ai_rates as (

    select * from rates
    where population = 'ai'

),

means as (

    select * from {{ ref('int_csat_means') }}

),

final as (

    select
        responses.agent_name,
        cast(responses.population as {{ dbt.type_string() }}) as population,
        cast(responses.n_interactions as bigint) as n_interactions,
        cast(responses.n_sent as bigint) as n_sent,
        cast(responses.n_answered as bigint) as n_answered,
        rates.response_rate,
        ai_rates.response_rate - rates.response_rate as response_gap,
        coalesce(
            round(cast(abs(ai_rates.response_rate - rates.response_rate) as decimal(28, 12)), 9) > {{ var('response_gap_limit') }},
            false
        ) as nonresponse_risk,
        {%- for kind in ['lag_adjusted', 'post_stratified'] %}
        {%- for column in ['mean', 'lower_bound', 'upper_bound'] %}
        cast(means.{{ kind }}_{{ column }} as {{ type_double() }}) as {{ kind }}_{{ column }},
        {%- endfor %}
        {%- endfor %}
        cast(responses.score_sum as {{ type_double() }}) / nullif(responses.n_answered, 0) as observed_mean
    from responses
    left join rates
        on responses.agent_name = rates.agent_name
            and responses.population = rates.population
    left join ai_rates on responses.agent_name = ai_rates.agent_name
    left join means
        on responses.agent_name = means.agent_name
            and responses.population = means.population
    where responses.population != 'restated'

)

select * from final
