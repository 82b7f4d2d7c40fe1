-- Question 2: what is still within its limits and on its way out of them?
with review as (

    select
        *,
        max(case when is_complete then week_start end) over () as last_week
    from {{ ref('weekly_review') }}

)

select
    week_start,
    agent_name,
    label,
    value,
    reference_value,
    judged_delta,
    warning,
    limit_unit,
    slope_per_week,
    -- At this pace; nobody says that it keeps it.
    (warning - judged_delta) / nullif(slope_per_week, 0) as weeks_to_the_limit
from review
where
    week_start = last_week
    and is_drifting
order by agent_name, display_order
