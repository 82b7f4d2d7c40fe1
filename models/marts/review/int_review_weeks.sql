-- Weeks of the days for which flags are raised: since launch, up to the last complete day.
with launches as (

    select
        agent_name,
        min(cast(launched_at as date)) as launched_on
    from {{ ref('dim_agent_scopes') }}
    group by agent_name

),

clock as (

    select cast(as_of as date) as as_of_day from {{ ref('int_as_of') }}

),

days as (

    select
        launches.agent_name,
        dates.week_start,
        dates.date_day
    from launches
    cross join clock
    inner join {{ ref('dim_dates') }} as dates
        on launches.launched_on <= dates.date_day
            and clock.as_of_day > dates.date_day

),

final as (

    select
        agent_name,
        week_start,
        cast({{ dbt.dateadd('day', 6, 'week_start') }} as date) as week_end,
        max(date_day) as last_day
    from days
    group by agent_name, week_start

)

select
    *,
    last_day = week_end as is_complete
from final
