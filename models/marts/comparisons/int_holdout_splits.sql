-- What the holdout drew, by agent and planned share: units (requests or customers) and how clean the split was.
with interactions as (

    select * from {{ ref('int_compared_interactions') }}
    where population in ('ai_randomised', 'holdout')

),

scopes as (

    select
        agent_name,
        task_type,
        holdout_share,
        holdout_unit
    from {{ ref('dim_agent_scopes') }}

),

answered_by_ai as (

    select distinct interaction_id
    from {{ ref('int_interaction_events') }}
    where actor_kind = 'ai'

),

drawn as (

    select
        interactions.agent_name,
        scopes.holdout_share,
        coalesce(scopes.holdout_unit, 'interaction') as holdout_unit,
        interactions.unit_id,
        interactions.interaction_id,
        interactions.population = 'holdout' as is_holdout,
        interactions.population = 'holdout' and answered_by_ai.interaction_id is not null as is_contaminated
    from interactions
    inner join scopes
        on interactions.agent_name = scopes.agent_name
            and interactions.task_type = scopes.task_type
    left join answered_by_ai on interactions.interaction_id = answered_by_ai.interaction_id

),

units as (

    select
        agent_name,
        holdout_share,
        holdout_unit,
        unit_id,
        count(*) as n_interactions,
        {{ count_where('is_holdout') }} as n_holdout,
        {{ count_where('is_contaminated') }} as n_contaminated
    from drawn
    group by agent_name, holdout_share, holdout_unit, unit_id

),

final as (

    select
        agent_name,
        cast(holdout_share as {{ type_double() }}) as holdout_share,
        holdout_unit,
        sum(n_interactions) as n_interactions,
        sum(n_holdout) as n_holdout,
        sum(n_contaminated) as n_contaminated,
        count(*) as n_units,
        -- A unit in both arms was not drawn once: it counts for the arm that it should not have left, the holdout.
        {{ count_where('n_holdout > 0') }} as n_holdout_units,
        {{ count_where('n_holdout > 0 and n_holdout < n_interactions') }} as n_units_in_both_arms
    from units
    group by agent_name, holdout_share, holdout_unit

)

select * from final
