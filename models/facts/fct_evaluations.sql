with evaluations as (

    select input.*
    from {{ ref('input_evaluations') }} as input
    inner join {{ ref('int_as_of') }} as clock on input.evaluated_at <= clock.as_of

),

roots as (

    select * from {{ ref('int_interaction_roots') }}

),

spans as (

    select
        span_id,
        interaction_id,
        agent_name,
        agent_version
    from {{ ref('fct_spans') }}

),

interactions as (

    select
        interaction_id,
        agent_name,
        agent_version
    from {{ ref('int_interactions_configured') }}

),

final as (

    select
        evaluations.evaluation_id,
        evaluations.evaluated_at,
        evaluations.indicator,
        evaluations.value,
        interactions.interaction_id,
        evaluations.span_id,
        coalesce(spans.agent_name, interactions.agent_name) as agent_name,
        coalesce(spans.agent_version, interactions.agent_version) as agent_version,
        evaluations.evaluator_kind,
        evaluations.evaluator_name,
        evaluations.evaluator_version,
        evaluations.turn_index
    from evaluations
    left join spans on evaluations.span_id = spans.span_id
    left join roots on evaluations.interaction_id = roots.interaction_id
    left join interactions
        on coalesce(roots.root_interaction_id, spans.interaction_id) = interactions.interaction_id

)

select * from final
