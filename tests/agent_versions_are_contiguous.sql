with versions as (

    select
        agent_name,
        agent_version,
        valid_from,
        valid_to,
        row_number() over (partition by agent_name order by valid_from, valid_to nulls last) as position
    from {{ ref('dim_agent_versions') }}

),

final as (

    select
        versions.agent_name,
        versions.agent_version,
        versions.valid_to,
        following.agent_version as next_version,
        following.valid_from as next_valid_from
    from versions
    left join versions as following
        on versions.agent_name = following.agent_name
            and versions.position + 1 = following.position
    where
        versions.valid_to != following.valid_from
        or (versions.valid_to is null and following.valid_from is not null)
        or (versions.valid_to is not null and following.valid_from is null)

)

select * from final
