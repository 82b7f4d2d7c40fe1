-- Question 1 of the weekly review: is every KPI within its limits? What is not, and what nobody can tell, in the last complete week.
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
    case when is_within_thresholds is null then 'not known' when is_within_thresholds then 'within limits' else 'beyond a limit' end as answer,
    worst_level,
    level as level_now,
    value,
    reference_value,
    comparison_type,
    cause,
    n_alerts,
    n_new_alerts,
    first_mover,
    diagnosis
from review
where
    week_start = last_week
    and (role in ('primary', 'kpi') or n_alerts > 0)
    and (not coalesce(is_within_thresholds, false) or n_alerts > 0)
order by agent_name, display_order
