with roots as (

    select interaction_id
    from {{ ref('int_interaction_roots') }}
    where not is_follow_up

),

interactions as (

    select input.*
    from {{ ref('input_interactions') }} as input
    inner join roots on input.interaction_id = roots.interaction_id

),

task_types as (

    select * from {{ ref('dim_task_types') }}

),

channels as (

    {{ effective_versions(ref('channels'), ['channel']) }}

),

scopes as (

    select
        agent_name,
        task_type,
        launched_at
    from {{ ref('dim_agent_scopes') }}

),

-- Of several agents on a task type: the latest launched at or before the opening, else the first to launch.
candidates as (

    select
        interactions.interaction_id,
        scopes.agent_name,
        row_number() over (
            partition by interactions.interaction_id
            order by
                case when scopes.launched_at <= interactions.opened_at then 0 else 1 end asc,
                case when scopes.launched_at <= interactions.opened_at then scopes.launched_at end desc nulls last,
                scopes.launched_at asc,
                scopes.agent_name asc
        ) as preference
    from interactions
    inner join scopes on interactions.task_type = scopes.task_type
    where interactions.agent_name is null

),

scope_agents as (

    select
        interaction_id,
        agent_name
    from candidates
    where preference = 1

),

configured as (

    select
        interactions.interaction_id,
        interactions.customer_id,
        coalesce(interactions.agent_name, scope_agents.agent_name) as agent_name,
        interactions.agent_version,
        interactions.assigned_arm as arm,
        interactions.assignment_kind,
        interactions.task_type,
        interactions.channel,
        coalesce(channels.kind, 'async') as channel_kind,
        interactions.tier,
        interactions.opened_at,
        case
            when interactions.is_spam then 'spam'
            when interactions.is_test then 'test'
            when task_types.task_type is null then 'undefined_task_type'
        end as exclusion_reason,
        task_types.completion_definition,
        task_types.basis,
        task_types.definition_hash,
        task_types.reopen_rule,
        task_types.threshold_profile,
        task_types.resolve_within_hours,
        task_types.reopen_window_hours,
        {{ add_hours('interactions.opened_at', 'task_types.resolve_within_hours') }} as deadline_at,
        {{ add_hours('interactions.opened_at', '(task_types.resolve_within_hours + task_types.reopen_window_hours)') }} as matures_at
    from interactions
    left join task_types
        on interactions.task_type = task_types.task_type
            and {{ is_effective('task_types', 'interactions.opened_at') }}
    left join channels
        on interactions.channel = channels.channel
            and {{ is_effective('channels', 'interactions.opened_at') }}
    left join scope_agents on interactions.interaction_id = scope_agents.interaction_id

),

final as (

    select
        configured.interaction_id,
        configured.customer_id,
        configured.agent_name,
        case
            when configured.arm = 'human' then null
            else coalesce(configured.agent_version, versions.agent_version, 'unknown_version')
        end as agent_version,
        configured.arm,
        configured.assignment_kind,
        configured.task_type,
        configured.channel,
        configured.channel_kind,
        configured.tier,
        configured.opened_at,
        configured.exclusion_reason,
        configured.completion_definition,
        configured.basis,
        configured.definition_hash,
        configured.reopen_rule,
        configured.threshold_profile,
        configured.resolve_within_hours,
        configured.reopen_window_hours,
        configured.deadline_at,
        configured.matures_at,
        clock.as_of,
        coalesce(configured.matures_at <= clock.as_of, false) as is_mature
    from configured
    cross join {{ ref('int_as_of') }} as clock
    left join {{ ref('dim_agent_versions') }} as versions
        on configured.agent_version is null
            and configured.agent_name = versions.agent_name
            and {{ is_effective('versions', 'configured.opened_at') }}

)

select * from final
