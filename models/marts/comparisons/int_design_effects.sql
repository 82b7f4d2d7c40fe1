-- How much less a request tells where customers were drawn at random, not requests: variance between customers over that of as many
-- independent requests, by segment and population. Rows only where the unit is the customer.
{%- set metrics = {
    'task_completion_rate': ('is_mature', 'case when is_completed then 1.0 else 0.0 end'),
    'escalation_rate': ('is_mature', 'case when is_escalated then 1.0 else 0.0 end'),
    'resolution_rate': ('is_mature', 'case when is_resolved then 1.0 else 0.0 end'),
    'time_to_resolution': ('is_mature', 'case when time_to_resolution_seconds <= median_seconds then 1.0 else 0.0 end'),
    'cost_per_successful_outcome': ('cost_usd is not null', 'cost_usd - case when is_completed then cost_per_success else 0 end'),
    'csat': ('score is not null', 'score'),
} %}

with interactions as (

    select * from {{ ref('int_compared_interactions') }}
    where holdout_unit = 'customer' and population not in ('other', 'restated')

),

scored as (

    select
        interactions.*,
        score_sum / nullif(n_surveys_answered, 0) as score
    from interactions

),

segmented as (

    {{ by_segment('scored') }}

),

{%- set key = ['agent_name', 'segment_type', 'segment', 'population'] %}

-- Time to resolution as the share faster than the median, cost per success as the residual of the ratio: both are means then.
pivots as (

    select
        {{ key | join(', ') }},
        {{ percentile('case when is_mature then coalesce(time_to_resolution_seconds, 1e15) end', 0.5) }} as median_seconds,
        sum(cost_usd) / nullif({{ count_where('is_completed and cost_usd is not null') }}, 0) as cost_per_success
    from segmented
    group by {{ key | join(', ') }}

),

valued as (

    select
        segmented.agent_name,
        segmented.segment_type,
        segmented.segment,
        segmented.population,
        segmented.task_type,
        {%- for metric, (has_value, value) in metrics.items() %}
        case when {{ has_value }} then {{ value }} end as {{ metric }},
        {%- endfor %}
        segmented.unit_id
    from segmented
    inner join pivots
        on {{ keys_agree('segmented', 'pivots', key) }}

),

cells as (

    select
        {{ key | join(', ') }},
        {%- for metric in metrics %}
        avg({{ metric }}) as mean_{{ metric }},
        {%- endfor %}
        task_type
    from valued
    group by {{ key | join(', ') }}, task_type

),

residuals as (

    select
        valued.agent_name,
        valued.segment_type,
        valued.segment,
        valued.population,
        {%- for metric in metrics %}
        valued.{{ metric }} - cells.mean_{{ metric }} as {{ metric }},
        {%- endfor %}
        valued.unit_id
    from valued
    inner join cells
        on {{ keys_agree('valued', 'cells', key + ['task_type']) }}

),

units as (

    select
        {{ key | join(', ') }},
        {%- for metric in metrics %}
        sum({{ metric }}) as sum_{{ metric }},
        sum({{ metric }} * {{ metric }}) as square_sum_{{ metric }},
        {%- endfor %}
        unit_id
    from residuals
    group by {{ key | join(', ') }}, unit_id

),

final as (

    {%- for metric in metrics %}
    select
        {{ key | join(', ') }},
        '{{ metric }}' as kpi,
        count(sum_{{ metric }}) as n_units,
        coalesce(sum(sum_{{ metric }} * sum_{{ metric }}), 0) as cluster_square_sum,
        coalesce(sum(square_sum_{{ metric }}), 0) as residual_square_sum
    from units
    group by {{ key | join(', ') }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

)

select * from final
