{%- set failures = {'escalated': 'n_escalated', 'reopened': 'n_reopened', 'abandoned': 'n_abandoned', 'late': 'n_resolved_late'} -%}

with weeks as (

    select * from {{ ref('int_review_weeks') }}

),

-- By the day they matured, as flags count them.
flag_days as (

    select * from {{ ref('int_flag_days') }}
    where segment_type = 'all' and population in ('ai', 'holdout')

),

counted as (

    select
        weeks.agent_name,
        weeks.week_start,
        flag_days.task_type,
        sum(flag_days.n_mature) as n_mature,
        sum(flag_days.n_completed) as n_completed,
        {%- for column in failures.values() %}
        sum(flag_days.{{ column }}) as {{ column }},
        {%- endfor %}
        min(weeks.week_end) as week_end,
        min(weeks.last_day) as last_day
    from weeks
    inner join flag_days
        on weeks.agent_name = flag_days.agent_name
            and flag_days.known_on between weeks.week_start and weeks.last_day
    where flag_days.population = 'ai'
    group by weeks.agent_name, weeks.week_start, flag_days.task_type
    having sum(flag_days.n_mature) > 0

),

-- What people completed since launch, as known at the end of the week.
holdout as (

    select
        weeks.agent_name,
        weeks.week_start,
        flag_days.task_type,
        sum(flag_days.n_mature) as n,
        cast(sum(flag_days.n_completed) as {{ type_double() }}) / nullif(sum(flag_days.n_mature), 0) as value
    from weeks
    inner join flag_days
        on weeks.agent_name = flag_days.agent_name
            and weeks.last_day >= flag_days.known_on
    where flag_days.population = 'holdout'
    group by weeks.agent_name, weeks.week_start, flag_days.task_type

),

baselines as (

    select
        agent_name,
        segment as task_type,
        n,
        value
    from {{ ref('kpi_baselines') }}
    where segment_type = 'task_type' and kpi = 'task_completion_rate' and value is not null

),

referenced as (

    select
        counted.*,
        counted.n_mature - counted.n_completed as n_failed,
        cast(counted.n_completed as {{ type_double() }}) / counted.n_mature as task_completion_rate,
        coalesce(baselines.value, holdout.value) as reference_rate,
        case when baselines.value is not null then baselines.n else holdout.n end as reference_n,
        case when baselines.value is not null then 'pre_launch' when holdout.value is not null then 'holdout' end as comparison_type
    from counted
    left join baselines
        on {{ keys_agree('counted', 'baselines', ['agent_name', 'task_type']) }}
    left join holdout
        on {{ keys_agree('counted', 'holdout', ['agent_name', 'week_start', 'task_type']) }}

),

weighed as (

    select
        *,
        case
            when reference_rate is not null then greatest(0, reference_rate * n_mature - n_completed)
        end as lost_completions
    from referenced

),

ranked as (

    select
        *,
        row_number() over (
            partition by agent_name, week_start
            order by lost_completions desc nulls last, n_failed desc, task_type asc
        ) as rank_by_lost_completions
    from weighed

),

final as (

    select
        week_start,
        week_end,
        last_day = week_end as is_complete,
        cast(agent_name as {{ dbt.type_string() }}) as agent_name,
        cast(task_type as {{ dbt.type_string() }}) as task_type,
        cast(rank_by_lost_completions as integer) as rank_by_lost_completions,
        cast(lost_completions as {{ type_double() }}) as lost_completions,
        cast(n_mature as bigint) as n_mature,
        cast(n_completed as bigint) as n_completed,
        cast(n_failed as bigint) as n_failed,
        cast(task_completion_rate as {{ type_double() }}) as task_completion_rate,
        cast(reference_rate as {{ type_double() }}) as reference_rate,
        cast(reference_n as bigint) as reference_n,
        cast(comparison_type as {{ dbt.type_string() }}) as comparison_type,
        case when comparison_type is not null then comparison_type = 'pre_launch' end as is_time_confounded,
        {%- for column in failures.values() %}
        cast({{ column }} as bigint) as {{ column }},
        {%- endfor %}
        {%- for outcome, column in failures.items() %}
        cast({{ column }} as {{ type_double() }}) / nullif(n_failed, 0) as {{ outcome }}_share,
        {%- endfor %}
        last_day
    from ranked

)

select * from final
