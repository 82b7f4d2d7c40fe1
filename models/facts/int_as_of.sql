{%- set given = var('as_of') or env_var('AGENT_KPIS_AS_OF', '') -%}

with interactions as (

    select max(opened_at) as latest_at from {{ ref('input_interactions') }}

),

events as (

    select max(occurred_at) as latest_at from {{ ref('input_events') }}

),

watermark as (

    select max(latest_at) as latest_at
    from (
        select latest_at from interactions
        union all
        select latest_at from events
    ) as latest

),

final as (

    select {{ timestamp_constant(given) if given else 'latest_at' }} as as_of
    from watermark

)

select * from final
