{{ config(severity='warn') }}

with moments as (

    select
        interaction_id,
        'interactions ' || interaction_id as row_name,
        opened_at as happened_at
    from {{ ref('input_interactions') }}
    union all
    select
        interaction_id,
        'events ' || event_id as row_name,
        occurred_at as happened_at
    from {{ ref('input_events') }}

),

latest_by_interaction as (

    select
        interaction_id,
        max(happened_at) as latest_at
    from moments
    group by interaction_id

),

in_order as (

    select
        interaction_id,
        latest_at,
        lead(latest_at) over (order by latest_at desc) as next_latest_at,
        row_number() over (order by latest_at desc) as position
    from latest_by_interaction

)

select
    moments.row_name,
    moments.happened_at,
    in_order.next_latest_at as all_others_until
from in_order
inner join moments on in_order.interaction_id = moments.interaction_id and in_order.latest_at = moments.happened_at
where
    in_order.position = 1
    and {{ seconds_between('in_order.next_latest_at', 'in_order.latest_at') }} > 7 * 86400
