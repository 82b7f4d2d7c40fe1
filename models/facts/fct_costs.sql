with interactions as (

    select
        interaction_id,
        agent_name
    from {{ ref('int_interactions_configured') }}

),

span_costs as (

    select
        case
            when interaction_id is not null then {{ dbt.concat(["'spans '", 'interaction_id']) }}
            else {{ dbt.concat([
                "'spans unallocated '",
                "coalesce(agent_name, '(none)')",
                "' '",
                'cast(cast(started_at as date) as ' ~ dbt.type_string() ~ ')',
            ]) }}
        end as cost_id,
        'spans' as source_entity,
        'inference' as component,
        interaction_id,
        case when interaction_id is null then agent_name end as agent_name,
        min(started_at) as occurred_at,
        sum(cost_usd) as amount_usd,
        count(*) as n_entries,
        {{ count_where('cost_usd is null') }} as n_unpriced
    from {{ ref('fct_spans') }}
    group by 1, 2, 3, 4, 5

),

labour_costs as (

    select
        {{ dbt.concat(["'labour '", "interaction_id"]) }} as cost_id,
        'events' as source_entity,
        'human' as component,
        interaction_id,
        cast(null as {{ dbt.type_string() }}) as agent_name,
        min(occurred_at) as occurred_at,
        sum(cost_usd) as amount_usd,
        count(*) as n_entries,
        {{ count_where('cost_usd is null') }} as n_unpriced
    from {{ ref('int_labour_costs') }}
    where superseded_at is null
    group by interaction_id

),

other_costs as (

    select
        {{ dbt.concat(["'costs '", "input.cost_id"]) }} as cost_id,
        'costs' as source_entity,
        input.component,
        roots.root_interaction_id as interaction_id,
        input.agent_name,
        input.occurred_at,
        input.amount_usd,
        1 as n_entries,
        0 as n_unpriced
    from {{ ref('input_costs') }} as input
    inner join {{ ref('int_as_of') }} as clock on input.occurred_at <= clock.as_of
    left join {{ ref('int_interaction_roots') }} as roots on input.interaction_id = roots.interaction_id

),

entries as (

    select * from span_costs
    union all
    select * from labour_costs
    union all
    select * from other_costs

),

final as (

    select
        cast(entries.cost_id as {{ dbt.type_string() }}) as cost_id,
        cast(entries.source_entity as {{ dbt.type_string() }}) as source_entity,
        cast(entries.component as {{ dbt.type_string() }}) as component,
        entries.interaction_id,
        case when interactions.interaction_id is null then entries.agent_name else interactions.agent_name end as agent_name,
        entries.occurred_at,
        cast(entries.amount_usd as {{ type_money() }}) as amount_usd,
        cast(entries.n_entries as bigint) as n_entries,
        cast(entries.n_unpriced as bigint) as n_unpriced
    from entries
    left join interactions on entries.interaction_id = interactions.interaction_id

)

select * from final
