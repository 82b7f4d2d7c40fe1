-- Which task types cost most completions, and how they fail.
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
from {{ ref('weekly_task_types') }}
where week_start in (select max(week_start) from {{ ref('weekly_task_types') }} where is_complete)
order by agent_name, rank_by_lost_completions
