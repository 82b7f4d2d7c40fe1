-- The requests in the windows of each release: `after` it, `before` it, and `earlier`, which only counts where there is no holdout.
-- One request may be after one release and before the next.
with interactions as (

    select
        compared.*,
        facts.opened_at,
        facts.customer_id,
        facts.assignment_kind,
        case
            when compared.population = 'holdout' then 'holdout'
            when facts.assignment_kind = 'replayed' then 'replayed'
            else 'ai'
        end as side
    from {{ ref('int_compared_interactions') }} as compared
    inner join {{ ref('fct_interactions') }} as facts on compared.interaction_id = facts.interaction_id
    where compared.arm = 'ai' or compared.population = 'holdout'

),

windows as (

    select * from {{ ref('int_release_windows') }}

),

live as (

    select
        windows.agent_version as release_version,
        case
            when interactions.opened_at >= windows.released_at then 'after'
            when interactions.opened_at >= windows.before_from then 'before'
            else 'earlier'
        end as period,
        interactions.*
    from interactions
    inner join windows
        on interactions.agent_name = windows.agent_name
            and interactions.opened_at >= windows.alone_from
            and interactions.opened_at < windows.after_to
    where interactions.population != 'other' and interactions.side != 'replayed'

),

-- Benchmarks run the same requests under each version; when they did so does not matter.
replays as (

    select
        windows.agent_version as release_version,
        case when interactions.agent_version = windows.agent_version then 'after' else 'before' end as period,
        interactions.*
    from interactions
    inner join windows
        on interactions.agent_name = windows.agent_name
            and interactions.agent_version in (windows.agent_version, windows.previous_version)
    where interactions.side = 'replayed' and interactions.is_mature and interactions.customer_id is not null

),

final as (

    select * from live
    union all
    select * from replays

)

select * from final
