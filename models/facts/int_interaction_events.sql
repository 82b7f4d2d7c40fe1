with roots as (

    select * from {{ ref('int_interaction_roots') }}

),

interactions as (

    select
        interaction_id,
        matures_at,
        as_of
    from {{ ref('int_interactions_configured') }}

),

own_events as (

    select
        roots.root_interaction_id as interaction_id,
        input.event_id,
        input.occurred_at,
        input.event_type,
        input.actor_kind,
        input.reason,
        input.question_key,
        case input.evidence when 'verified' then 3 when 'confirmed' then 2 else 1 end as evidence_rank,
        input.handle_seconds
    from {{ ref('input_events') }} as input
    inner join roots on input.interaction_id = roots.interaction_id

),

-- A customer who opens a follow-up takes up the request again.
follow_up_openings as (

    select
        root_interaction_id as interaction_id,
        interaction_id as event_id,
        opened_at as occurred_at,
        'reopened' as event_type,
        'customer' as actor_kind,
        cast(null as {{ dbt.type_string() }}) as reason,
        cast(null as {{ dbt.type_string() }}) as question_key,
        1 as evidence_rank,
        cast(null as {{ type_double() }}) as handle_seconds
    from roots
    where is_follow_up

),

all_events as (

    select * from own_events
    union all
    select * from follow_up_openings

),

final as (

    select
        all_events.interaction_id,
        all_events.event_id,
        all_events.occurred_at,
        all_events.event_type,
        all_events.actor_kind,
        all_events.reason,
        all_events.question_key,
        all_events.evidence_rank,
        all_events.handle_seconds,
        coalesce(all_events.occurred_at <= interactions.matures_at, false) as is_by_maturity
    from all_events
    inner join interactions on all_events.interaction_id = interactions.interaction_id
    where all_events.occurred_at <= interactions.as_of

)

select * from final
