-- What the agent does differently in the task types that fail most: where it fails, and since it changed. The five that stand out most, each way.
with review as (

    select
        *,
        max(case when is_complete then week_start end) over () as last_week
    from {{ ref('failing_and_passing') }}

)

select
    week_start,
    agent_name,
    task_type,
    trait_group,
    trait,
    unit,
    passing,
    n_known_passing,
    failing,
    n_known_failing,
    rank_by_difference,
    value,
    value_before,
    rank_by_change
from review
where
    week_start = last_week
    and (rank_by_difference <= 5 or rank_by_change <= 5)
order by agent_name, task_type_rank, rank_by_difference nulls last, rank_by_change nulls last
