-- Times to resolution by the day the request matured, in bins of two per cent; what was not resolved by then has no bin.
with interactions as (

    select
        *,
        case when population in ('ai_randomised', 'ai_routed') then 'ai' else population end as flag_population,
        cast(matures_at as date) as known_on
    from {{ ref('int_compared_interactions') }}
    where is_mature and is_resolved and time_to_resolution_seconds is not null
        and population in ('ai_randomised', 'ai_routed', 'holdout', 'baseline')

),

clock as (

    select cast(as_of as date) as as_of_day from {{ ref('int_as_of') }}

),

known as (

    select interactions.*
    from interactions
    cross join clock
    where interactions.known_on < clock.as_of_day or interactions.population = 'baseline'

),

segmented as (

    {{ by_segment('known', ['all', 'task_type', 'channel', 'tier']) }}

),

final as (

    select
        agent_name,
        segment_type,
        segment,
        flag_population as population,
        task_type,
        known_on,
        cast(floor(50 * ln(1 + greatest(time_to_resolution_seconds, 0))) as integer) as bin,
        count(*) as n
    from segmented
    group by agent_name, segment_type, segment, flag_population, task_type, known_on, 7

)

select * from final
