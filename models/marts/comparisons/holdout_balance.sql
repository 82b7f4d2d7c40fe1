with agents as (

    select
        agent_name,
        max(case when holdout_share is not null then 1 else 0 end) = 1 as is_planned
    from {{ ref('dim_agent_scopes') }}
    group by agent_name

),

splits as (

    select
        agent_name,
        min(holdout_unit) as holdout_unit,
        sum(n_interactions) as n_interactions,
        sum(n_holdout) as n_holdout,
        sum(n_contaminated) as n_contaminated,
        sum(n_units) as n_units,
        sum(n_holdout_units) as n_holdout_units,
        sum(n_units_in_both_arms) as n_units_in_both_arms,
        sum(holdout_share * n_units) / nullif(sum(case when holdout_share is not null then n_units end), 0) as planned_share
    from {{ ref('int_holdout_splits') }}
    group by agent_name

),

ratio_tests as (

    select * from {{ ref('int_holdout_ratio_tests') }}

),

final as (

    select
        agents.agent_name,
        cast(splits.holdout_unit as {{ dbt.type_string() }}) as holdout_unit,
        cast(splits.planned_share as {{ type_double() }}) as planned_share,
        cast(splits.n_holdout_units as {{ type_double() }}) / nullif(splits.n_units, 0) as actual_share,
        cast(coalesce(splits.n_units, 0) as bigint) as n_units,
        cast(coalesce(splits.n_holdout_units, 0) as bigint) as n_holdout_units,
        cast(coalesce(splits.n_interactions, 0) as bigint) as n_interactions,
        cast(coalesce(splits.n_holdout, 0) as bigint) as n_holdout,
        cast(ratio_tests.chi_square as {{ type_double() }}) as sample_ratio_chi_square,
        cast(ratio_tests.p_value as {{ type_double() }}) as sample_ratio_p_value,
        coalesce(ratio_tests.p_value < {{ var('sample_ratio_alpha') }}, false) as has_sample_ratio_mismatch,
        cast(coalesce(splits.n_units_in_both_arms, 0) as bigint) as n_units_in_both_arms,
        cast(coalesce(splits.n_contaminated, 0) as bigint) as n_contaminated,
        cast(splits.n_contaminated as {{ type_double() }}) / nullif(splits.n_holdout, 0) as contamination_rate,
        coalesce(
            cast(splits.n_contaminated as {{ type_double() }}) / nullif(splits.n_holdout, 0) > {{ var('contamination_limit') }},
            false
        ) as is_contaminated,
        cast(
            case
                when coalesce(splits.n_units, 0) = 0 and not agents.is_planned then 'no_holdout'
                when coalesce(splits.n_units, 0) = 0 then 'nobody_drawn'
                when ratio_tests.p_value is null then 'share_not_planned'
                when ratio_tests.p_value < {{ var('sample_ratio_alpha') }} then 'sample_ratio_mismatch'
                else 'ok'
            end as {{ dbt.type_string() }}
        ) as status
    from agents
    left join splits on agents.agent_name = splits.agent_name
    left join ratio_tests on agents.agent_name = ratio_tests.agent_name

)

select * from final
