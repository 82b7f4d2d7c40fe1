-- Times to resolution in the windows of each release, in bins one per cent wide: how many were resolved after so long, or not yet.
-- Of replayed requests those that were replayed under both versions.
with requests as (

    select
        requests.*,
        requests.time_to_resolution_seconds is not null as is_resolved_by_then,
        greatest(coalesce(requests.time_to_resolution_seconds, requests.censored_at_seconds), 0) as seconds
    from {{ ref('int_release_requests') }} as requests
    left join {{ ref('int_release_replays') }} as replays
        on requests.side = 'replayed'
            and {{ keys_agree('requests', 'replays', ['agent_name', 'release_version', 'task_type']) }}
            and requests.customer_id = replays.request
    where requests.is_mature and (requests.side != 'replayed' or replays.request is not null)

),

final as (

    select
        agent_name,
        release_version,
        period,
        side,
        population,
        task_type,
        cast(floor(100 * ln(1 + seconds)) as integer) as bin,
        is_resolved_by_then,
        avg(seconds) as seconds,
        count(*) as n
    from requests
    group by agent_name, release_version, period, side, population, task_type, 7, is_resolved_by_then

)

select * from final
