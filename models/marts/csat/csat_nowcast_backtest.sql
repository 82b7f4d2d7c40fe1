with backtests as (

    select * from {{ ref('int_csat_backtests') }}

),

coverages as (

    select
        backtests.*,
        avg(case when is_covered then 1.0 else 0.0 end) over (partition by agent_name, arm) as coverage
    from backtests

),

final as (

    select
        cast(as_of_date as date) as as_of_date,
        cast(agent_name as {{ dbt.type_string() }}) as agent_name,
        cast(arm as {{ dbt.type_string() }}) as arm,
        cast({{ dbt.dateadd('day', -6, 'cast(as_of_date as date)') }} as date) as window_start,
        cast(n_observed as bigint) as n_observed,
        cast(observed_mean as {{ type_double() }}) as observed_mean,
        cast(nowcast_mean as {{ type_double() }}) as nowcast_mean,
        cast(nowcast_lower_bound as {{ type_double() }}) as nowcast_lower_bound,
        cast(nowcast_upper_bound as {{ type_double() }}) as nowcast_upper_bound,
        cast(n_final as bigint) as n_final,
        cast(final_mean as {{ type_double() }}) as final_mean,
        is_covered,
        cast(coverage as {{ type_double() }}) as coverage,
        coverage < {{ var('nowcast_coverage_limit') }} as is_unreliable
    from coverages

)

select * from final
