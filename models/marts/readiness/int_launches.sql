-- What each agent serves and since when: its scopes, and what it was seen to serve without one.
with scopes as (

    select * from {{ ref('dim_agent_scopes') }}

),

agents as (

    select distinct agent_name
    from scopes

),

seen as (

    select
        agent_name,
        task_type,
        exclusion_reason = 'undefined_task_type' as is_undefined,
        min(opened_at) as first_opened_at
    from {{ ref('fct_interactions') }}
    where arm = 'ai' and (exclusion_reason is null or exclusion_reason = 'undefined_task_type')
    group by agent_name, task_type, exclusion_reason = 'undefined_task_type'

),

-- A task type that nobody has defined is nobody's scope; everything else outside the scopes only where the agent has none at all.
unscoped as (

    select
        coalesce(seen.agent_name, '(none)') as agent_name,
        seen.task_type,
        min(seen.first_opened_at) as launched_at,
        min(
            case
                when agents.agent_name is null and (seen.agent_name is not null or not coalesce(seen.is_undefined, false))
                    then 'agent_without_scope'
                else 'undefined_task_type'
            end
        ) as kind
    from seen
    left join agents on seen.agent_name = agents.agent_name
    left join scopes
        on seen.agent_name = scopes.agent_name
            and seen.task_type = scopes.task_type
    where scopes.agent_name is null and (agents.agent_name is null or seen.is_undefined)
    group by coalesce(seen.agent_name, '(none)'), seen.task_type

),

launches as (

    select
        agent_name,
        task_type,
        launched_at,
        'scope' as kind
    from scopes
    union all
    select
        agent_name,
        task_type,
        launched_at,
        kind
    from unscoped

),

final as (

    select
        cast(agent_name as {{ dbt.type_string() }}) as agent_name,
        task_type,
        launched_at,
        coalesce(
            min(case when kind != 'undefined_task_type' then launched_at end) over (partition by agent_name),
            min(launched_at) over (partition by agent_name)
        ) as first_launched_at,
        cast(kind as {{ dbt.type_string() }}) as kind
    from launches

)

select * from final
