-- Times to resolution in bins one per cent wide: how many were resolved after so long, or not yet.
with interactions as (

    select * from {{ ref('int_compared_interactions') }}
    where is_mature

),

timed as (

    select
        *,
        time_to_resolution_seconds is not null as is_resolved_by_then,
        greatest(coalesce(time_to_resolution_seconds, censored_at_seconds), 0) as seconds
    from interactions

),

segmented as (

    {{ by_segment('timed') }}

),

final as (

    select
        agent_name,
        segment_type,
        segment,
        population,
        task_type,
        cast(floor(100 * ln(1 + seconds)) as integer) as bin,
        is_resolved_by_then,
        avg(seconds) as seconds,
        count(*) as n
    from segmented
    group by agent_name, segment_type, segment, population, task_type, 6, is_resolved_by_then

)

select * from final
