-- Question 3: what will be changed next, and how will one know that it worked? Week by week; a review without an answer only reported.
select distinct
    week_start,
    agent_name,
    report_only,
    next_change_type,
    next_change_summary,
    next_change_kpi,
    next_change_direction,
    next_change_min_effect,
    next_change_decide_by,
    next_change_owner,
    last_release,
    released_in_week
from {{ ref('weekly_review') }}
where is_complete
order by agent_name asc, week_start desc
