-- Which task types cost most completions, and how they fail.
with review as (

    select
        *,
        max(case when is_complete then week_start end) over () as last_week
    from {{ ref('weekly_task_types') }}

)

select
    week_start,
    agent_name,
    rank_by_lost_completions,
    task_type,
    lost_completions,
    n_mature,
    task_completion_rate,
    reference_rate,
    comparison_type,
    escalated_share,
    reopened_share,
    abandoned_share,
    late_share
from review
where
    week_start = last_week
order by agent_name, rank_by_lost_completions
