-- How much less a request tells where customers were drawn at random, not requests, of the change from before a release to after it. A customer
-- who came before and after counts with the difference. Rows only where the unit is the customer.
{%- set metrics = {
    'task_completion_rate': ('is_mature', 'case when is_completed then 1.0 else 0.0 end'),
    'escalation_rate': ('is_mature', 'case when is_escalated then 1.0 else 0.0 end'),
    'time_to_resolution': ('is_mature', 'case when time_to_resolution_seconds <= median_seconds then 1.0 else 0.0 end'),
    'cost_per_successful_outcome': ('cost_usd is not null', 'cost_usd - case when is_completed then cost_per_success else 0 end'),
    'csat': ('n_surveys_answered > 0', 'score_sum / nullif(n_surveys_answered, 0)'),
} %}
{%- set key = ['agent_name', 'release_version', 'side', 'population', 'period'] %}

with requests as (

    select * from {{ ref('int_release_requests') }}
    where holdout_unit = 'customer' and side != 'replayed' and period != 'earlier'

),

-- Time to resolution as the share faster than the median, cost per success as the residual of the ratio: both are means then.
pivots as (

    select
        {{ key | join(', ') }},
        {{ percentile('case when is_mature then coalesce(time_to_resolution_seconds, 1e15) end', 0.5) }} as median_seconds,
        sum(cost_usd) / nullif({{ count_where('is_completed and cost_usd is not null') }}, 0) as cost_per_success
    from requests
    group by {{ key | join(', ') }}

),

valued as (

    select
        {%- for column in key %}
        requests.{{ column }},
        {%- endfor %}
        requests.task_type,
        {%- for metric, (has_value, value) in metrics.items() %}
        case when {{ has_value }} then {{ value }} end as {{ metric }},
        {%- endfor %}
        requests.unit_id
    from requests
    inner join pivots
        on {{ keys_agree('requests', 'pivots', key) }}

),

-- Each request's part in the mean of its period, centred within its task type.
parts as (

    select
        {{ key | join(', ') }},
        {%- for metric in metrics %}
        case when period = 'after' then 1 else -1 end * (
            {{ metric }} - avg({{ metric }}) over (partition by {{ key | join(', ') }}, task_type)
        ) / count({{ metric }}) over (partition by {{ key | join(', ') }}) as {{ metric }},
        {%- endfor %}
        unit_id
    from valued

),

units as (

    select
        agent_name,
        release_version,
        side,
        population,
        {%- for metric in metrics %}
        sum({{ metric }}) as sum_{{ metric }},
        sum({{ metric }} * {{ metric }}) as square_sum_{{ metric }},
        {%- endfor %}
        unit_id
    from parts
    group by agent_name, release_version, side, population, unit_id

),

final as (

    {%- for metric in metrics %}
    select
        agent_name,
        release_version,
        side,
        population,
        '{{ metric }}' as kpi,
        count(sum_{{ metric }}) as n_units,
        coalesce(sum(sum_{{ metric }} * sum_{{ metric }}), 0) as cluster_square_sum,
        coalesce(sum(square_sum_{{ metric }}), 0) as residual_square_sum
    from units
    group by agent_name, release_version, side, population
    {{ 'union all' if not loop.last }}
    {%- endfor %}

)

select * from final
