-- Threshold profiles that apply to an agent from its launch on, each since the first launch on a task type that has it.
with launches as (

    select * from {{ ref('int_launches') }}
    where kind != 'undefined_task_type'

),

task_types as (

    select * from {{ ref('dim_task_types') }}

),

final as (

    select
        launches.agent_name,
        task_types.threshold_profile,
        min(launches.launched_at) as launched_at
    from launches
    inner join task_types
        on launches.task_type = task_types.task_type
            and (task_types.valid_to is null or launches.launched_at < task_types.valid_to)
    group by launches.agent_name, task_types.threshold_profile

)

select * from final
