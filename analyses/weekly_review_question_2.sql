-- Question 2: what is still within its limits and on its way out of them?
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
from {{ ref('weekly_review') }}
where
    week_start in (select max(week_start) from {{ ref('weekly_review') }} where is_complete)
    and is_drifting
order by agent_name, display_order
