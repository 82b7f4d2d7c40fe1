with releases as (

    select * from {{ ref('input_releases') }}

),

final as (

    select
        agent_name,
        agent_version,
        released_at as valid_from,
        lead(released_at) over (partition by agent_name order by released_at, agent_version) as valid_to,
        change_type,
        summary,
        target_kpi,
        expected_direction,
        min_effect,
        decide_by
    from releases

)

select * from final
