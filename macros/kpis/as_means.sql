{#-
    Every comparable KPI as the mean of a number per request, for how much requests of a customer are alike: time to resolution as the share
    faster than the median, cost per success as the residual of the ratio. KPI: (when a request has a value, the value).
-#}
{% macro kpis_as_means(leave_out=[]) %}
    {%- set found = {
        'task_completion_rate': ('is_mature', 'case when is_completed then 1.0 else 0.0 end'),
        'escalation_rate': ('is_mature', 'case when is_escalated then 1.0 else 0.0 end'),
        'resolution_rate': ('is_mature', 'case when is_resolved then 1.0 else 0.0 end'),
        'time_to_resolution': ('is_mature', 'case when time_to_resolution_seconds <= median_seconds then 1.0 else 0.0 end'),
        'cost_per_successful_outcome': ('cost_usd is not null', 'cost_usd - case when is_completed then cost_per_success else 0 end'),
        'csat': ('n_surveys_answered > 0', 'score_sum / nullif(n_surveys_answered, 0)'),
    } -%}
    {%- for kpi in leave_out -%}{%- do found.pop(kpi) -%}{%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{#- The requests of a relation with those numbers, a column each; median and ratio by `key`. -#}
{% macro values_as_means(relation, key, metrics) %}
    select
        {%- for column in key %}
        {{ relation }}.{{ column }},
        {%- endfor %}
        {{ relation }}.task_type,
        {%- for metric, (has_value, value) in metrics.items() %}
        case when {{ has_value }} then {{ value }} end as {{ metric }},
        {%- endfor %}
        {{ relation }}.unit_id
    from {{ relation }}
    inner join (
        select
            {{ key | join(', ') }},
            {{ percentile('case when is_mature then coalesce(time_to_resolution_seconds, 1e15) end', 0.5) }} as median_seconds,
            sum(cost_usd) / nullif({{ count_where('is_completed and cost_usd is not null') }}, 0) as cost_per_success
        from {{ relation }}
        group by {{ key | join(', ') }}
    ) as pivots
        on {{ keys_agree(relation, 'pivots', key) }}
{% endmacro %}
