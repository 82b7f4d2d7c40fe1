with steps as (

    select
        cast(started_at as date) as health_date,
        agent_name,
        count(*) as n_steps,
        {{ count_where('is_error') }} as n_errors,
        {{ count_where("operation = 'inference'") }} as n_inferences,
        {{ percentile("case when operation = 'inference' and not is_repetition then duration_ms end", 0.5) }} as p50_latency_ms,
        {{ percentile("case when operation = 'inference' and not is_repetition then duration_ms end", 0.95) }} as p95_latency_ms,
        {{ count_where("operation = 'tool'") }} as n_tool_calls,
        {{ count_where("operation = 'tool' and not is_error") }} as n_tool_successes,
        sum(case when not is_repetition then tokens end) as tokens,
        sum(cost_usd) as cost_usd,
        count(distinct interaction_id) as n_interactions
    from {{ ref('fct_spans') }}
    where agent_name is not null
    group by 1, 2

),

completion as (

    select
        cohort_date,
        agent_name,
        sum(n_mature) as n_mature,
        sum(n_completed) as n_completed
    from {{ ref('kpi_daily') }}
    where arm = 'ai'
    group by cohort_date, agent_name

),

measured as (

    select
        steps.health_date,
        steps.agent_name,
        steps.n_steps,
        steps.n_inferences,
        steps.p50_latency_ms,
        steps.p95_latency_ms,
        cast(steps.n_errors as {{ type_double() }}) / steps.n_steps as error_rate,
        steps.n_tool_calls,
        cast(steps.n_tool_successes as {{ type_double() }}) / nullif(steps.n_tool_calls, 0) as tool_success_rate,
        steps.tokens,
        cast(steps.tokens as {{ type_double() }}) / nullif(steps.n_interactions, 0) as tokens_per_interaction,
        steps.cost_usd,
        coalesce(completion.n_mature, 0) as n_mature,
        coalesce(completion.n_completed, 0) as n_completed,
        cast(completion.n_completed as {{ type_double() }}) / nullif(completion.n_mature, 0) as task_completion_rate
    from steps
    left join completion
        on steps.health_date = completion.cohort_date
            and steps.agent_name = completion.agent_name

),

agent_profiles as (

    select distinct
        agent_name,
        threshold_profile
    from {{ ref('int_interactions_configured') }}
    where arm = 'ai' and agent_name is not null

),

limits as (

    {{ threshold_limits('agent_profiles', ['agent_name']) }}

),

-- One row a metric, so that any metric of the registry can have limits.
unpivoted as (

    {%- for kpi in kpi_registry() | selectattr('method', 'equalto', 'health') | map(attribute='kpi') | list + ['task_completion_rate'] %}
    select
        health_date,
        agent_name,
        '{{ kpi }}' as kpi,
        {{ kpi }} as value,
        {% if kpi == 'task_completion_rate' -%}
        {{ wilson('n_completed', 'n_mature', 'lower') }} as lower_bound,
        {{ wilson('n_completed', 'n_mature', 'upper') }} as upper_bound
        {%- else -%}
        {{ kpi }} as lower_bound,
        {{ kpi }} as upper_bound
        {%- endif %}
    from measured
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

graded as (

    select
        unpivoted.health_date,
        unpivoted.agent_name,
        unpivoted.kpi,
        {{ level_number('unpivoted.value', 'limits.direction', 'limits.warning', 'limits.critical', 'limits.catastrophic') }}
            as level_number,
        coalesce({{ certain_level_number('unpivoted.lower_bound', 'unpivoted.upper_bound', 'limits') }} >= 2, false) as is_certain
    from unpivoted
    inner join limits
        on unpivoted.agent_name = limits.agent_name
            and unpivoted.kpi = limits.kpi
            and limits.unit = 'absolute'

),

levels as (

    select
        health_date,
        agent_name,
        max(case when kpi != 'task_completion_rate' then level_number end) as health_number,
        max(case when kpi = 'task_completion_rate' then level_number end) as completion_number,
        {{ any_true("kpi = 'task_completion_rate' and level_number >= 2 and is_certain") }} as is_failing
    from graded
    group by health_date, agent_name

),

final as (

    select
        measured.health_date,
        cast(measured.agent_name as {{ dbt.type_string() }}) as agent_name,
        cast(measured.n_steps as bigint) as n_steps,
        cast(measured.n_inferences as bigint) as n_inferences,
        cast(measured.p50_latency_ms as {{ type_double() }}) as p50_latency_ms,
        cast(measured.p95_latency_ms as {{ type_double() }}) as p95_latency_ms,
        measured.error_rate,
        cast(measured.n_tool_calls as bigint) as n_tool_calls,
        measured.tool_success_rate,
        cast(measured.tokens as bigint) as tokens,
        measured.tokens_per_interaction,
        cast(measured.cost_usd as {{ type_money() }}) as cost_usd,
        cast(measured.n_mature as bigint) as n_mature,
        cast(measured.n_completed as bigint) as n_completed,
        measured.task_completion_rate,
        cast(coalesce({{ level_name('levels.health_number') }}, 'no_reference') as {{ dbt.type_string() }}) as health_level,
        cast(
            case
                when measured.n_mature = 0 then 'no_data'
                when levels.completion_number >= 2 and not levels.is_failing then 'insufficient_data'
                else coalesce({{ level_name('levels.completion_number') }}, 'no_reference')
            end as {{ dbt.type_string() }}
        ) as completion_level,
        case when measured.n_mature > 0 then coalesce(levels.health_number <= 1 and levels.is_failing, false) end
            as health_ok_but_failing
    from measured
    left join levels
        on measured.health_date = levels.health_date
            and measured.agent_name = levels.agent_name

)

select * from final
