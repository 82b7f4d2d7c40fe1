with releases as (

    select input_releases.*
    from {{ ref('input_releases') }} as input_releases
    cross join {{ ref('int_as_of') }} as clock
    where input_releases.released_at <= clock.as_of

),

-- Of several releases in one second the version whose name comes last stays; the others were live for no time at all.
final as (

    select
        agent_name,
        agent_version,
        lag(agent_version) over (partition by agent_name order by released_at, agent_version) as previous_version,
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
