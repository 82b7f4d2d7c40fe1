-- Every cost of an interaction by the moment it was made, with those that another one took the place of later.
with entries as (

    select
        interaction_id,
        started_at as occurred_at,
        cast(null as {{ dbt.type_timestamp() }}) as superseded_at,
        cost_usd as amount_usd
    from {{ ref('fct_spans') }}
    where interaction_id is not null
    union all
    select
        interaction_id,
        occurred_at,
        superseded_at,
        cost_usd as amount_usd
    from {{ ref('int_labour_costs') }}
    union all
    select
        interaction_id,
        occurred_at,
        cast(null as {{ dbt.type_timestamp() }}) as superseded_at,
        amount_usd
    from {{ ref('fct_costs') }}
    where source_entity = 'costs' and interaction_id is not null

),

final as (

    select
        interaction_id,
        occurred_at,
        superseded_at,
        amount_usd,
        case when amount_usd is null then 1 else 0 end as n_unpriced
    from entries

)

select * from final
