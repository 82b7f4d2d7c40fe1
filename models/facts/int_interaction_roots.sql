with interactions as (

    select
        input.interaction_id,
        input.parent_interaction_id,
        input.opened_at
    from {{ ref('input_interactions') }} as input
    inner join {{ ref('int_as_of') }} as clock on input.opened_at <= clock.as_of

),

follow_ups as (

    select
        child.interaction_id,
        parent.interaction_id as ancestor_id
    from interactions as child
    inner join interactions as parent
        on child.parent_interaction_id = parent.interaction_id
            and child.interaction_id != parent.interaction_id
            -- A parent opened later would take over a request that has been judged already.
            and parent.opened_at <= child.opened_at

),

-- Every hop doubles the generations climbed: five reach 32.
{% for hop in range(1, 6) -%}
{%- set below = 'follow_ups' if loop.first else 'hop_' ~ (hop - 1) %}
hop_{{ hop }} as (

    select
        lower_half.interaction_id,
        coalesce(upper_half.ancestor_id, lower_half.ancestor_id) as ancestor_id
    from {{ below }} as lower_half
    left join {{ below }} as upper_half on lower_half.ancestor_id = upper_half.interaction_id

),
{% endfor %}
-- An ancestor that is a follow-up itself means that the chain does not end: a circle.
ancestors as (

    select
        hop_5.interaction_id,
        case when follow_ups.interaction_id is null then hop_5.ancestor_id end as root_interaction_id
    from hop_5
    left join follow_ups on hop_5.ancestor_id = follow_ups.interaction_id

),

final as (

    select
        interactions.interaction_id,
        coalesce(ancestors.root_interaction_id, interactions.interaction_id) as root_interaction_id,
        interactions.opened_at,
        ancestors.root_interaction_id is not null as is_follow_up,
        interactions.parent_interaction_id is not null and ancestors.interaction_id is null as is_parent_unknown,
        ancestors.interaction_id is not null and ancestors.root_interaction_id is null as is_in_circle
    from interactions
    left join ancestors on interactions.interaction_id = ancestors.interaction_id

)

select * from final
