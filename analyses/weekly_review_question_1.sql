-- Question 1 of the weekly review: is every KPI within its limits? What is not, and what nobody can tell, in the last complete week.
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
from {{ ref('weekly_review') }}
where
    week_start in (select max(week_start) from {{ ref('weekly_review') }} where is_complete)
    and (role in ('primary', 'kpi') or n_alerts > 0)
    and (not coalesce(is_within_thresholds, false) or n_alerts > 0)
order by agent_name, display_order
