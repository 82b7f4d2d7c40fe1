{#-
    The value of metrics with 95% limits, n and the reason where there is none: one row per row of `parts` and metric.

    parts   relation with the columns of kpi_daily that the metrics name, summed by `key`
    times   relation made by median_times with the same key
    key     columns that identify a row; `also` are carried along
    kpis    names; all that rest on kpi_daily where it is missing
-#}
{% macro measured_kpis(parts, times, key, also=[], kpis=none) %}
    {%- for entry in kpi_registry() if entry.method not in ['health', 'indicator'] and (kpis is none or entry.kpi in kpis) %}
    select
        {%- for column in key + also %}
        {{ parts }}.{{ column }},
        {%- endfor %}
        '{{ entry.kpi }}' as kpi,
        {%- if entry.method == 'median' %}
        {{ times }}.median_seconds as value,
        {{ times }}.lower_seconds as lower_bound,
        {{ times }}.upper_seconds as upper_bound,
        {{ parts }}.n_mature as n,
        cast(null as {{ type_double() }}) as numerator,
        {{ parts }}.n_mature as denominator,
        {{ parts }}.n_unresolved as n_censored,
        case
            when {{ parts }}.n_mature = 0 then 'no_mature_interactions'
            when {{ times }}.median_seconds is null then 'more_than_half_unresolved'
        end as note
        {%- else %}
        {%- set value = 'cast(' ~ parts ~ '.' ~ entry.numerator ~ ' as ' ~ type_double() ~ ') / nullif(' ~ parts ~ '.' ~ entry.denominator ~ ', 0)' %}
        {{ value }} as value,
        {%- for side, sign in [('lower', '-'), ('upper', '+')] %}
        {% if entry.method == 'proportion' -%}
        {{ wilson(parts ~ '.' ~ entry.numerator, parts ~ '.' ~ entry.denominator, side) }}
        {%- elif entry.method == 'mean' -%}
        {{ value }} {{ sign }} {{ z95() }} * {{ standard_error(
            parts ~ '.' ~ entry.numerator, parts ~ '.' ~ entry.square_sum, parts ~ '.' ~ entry.denominator
        ) }}
        {%- elif entry.method == 'ratio' -%}
        {{ value }} * exp({{ sign }}{{ z95() }} * {{ log_ratio_standard_error(
            parts ~ '.n_priced', parts ~ '.cost_priced_usd', parts ~ '.cost_unallocated_usd', parts ~ '.cost_square_sum',
            parts ~ '.n_completed_priced', parts ~ '.cost_completed_usd',
        ) }})
        {%- endif %} as {{ side }}_bound,
        {%- endfor %}
        {{ parts }}.{{ 'n_priced' if entry.method == 'ratio' else entry.denominator }} as n,
        cast({{ parts }}.{{ entry.numerator }} as {{ type_double() }}) as numerator,
        {{ parts }}.{{ entry.denominator }} as denominator,
        0 as n_censored,
        {% if entry.method == 'ratio' -%}
        case
            when {{ parts }}.n_mature = 0 then 'no_mature_interactions'
            when {{ parts }}.n_priced = 0 then 'no_priced_interactions'
            when {{ parts }}.n_completed_priced = 0 then 'no_successes'
            when {{ parts }}.n_priced < 0.95 * {{ parts }}.n_mature then 'partly_priced'
        end
        {%- elif entry.denominator == 'n_mature' -%}
        case when {{ parts }}.n_mature = 0 then 'no_mature_interactions' end
        {%- elif entry.denominator == 'n_priced' -%}
        case when {{ parts }}.n_priced = 0 then 'no_priced_interactions' end
        {%- elif entry.denominator == 'n_surveys_sent' -%}
        case when {{ parts }}.n_surveys_sent = 0 then 'no_surveys' end
        {%- else -%}
        case when {{ parts }}.{{ entry.denominator }} = 0 then 'no_answers' end
        {%- endif %} as note
        {%- endif %}
    from {{ parts }}
    {%- if entry.method == 'median' %}
    left join {{ times }}
        on {% for column in key %}{{ parts }}.{{ column }} = {{ times }}.{{ column }}{{ ' and ' if not loop.last }}{% endfor %}
    {%- endif %}
    {%- if entry.arms and 'arm' in key %}
    where {{ parts }}.arm in ('{{ entry.arms | join("', '") }}')
    {%- endif %}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
{% endmacro %}

{#- Medians of time_to_resolution_seconds by key, the unresolved counted as longer than any, with order-statistic limits. -#}
{% macro median_times(relation, key) %}
    select
        {{ key | join(', ') }},
        max(n) as n,
        {{ count_where('time_to_resolution_seconds is null') }} as n_unresolved,
        max(case when position = ceil(n / 2.0) then time_to_resolution_seconds end) as median_seconds,
        max(case when position = floor((n - {{ z95() }} * sqrt(n)) / 2) then time_to_resolution_seconds end) as lower_seconds,
        max(case when position = ceil(1 + (n + {{ z95() }} * sqrt(n)) / 2) then time_to_resolution_seconds end) as upper_seconds
    from (
        select
            {{ key | join(', ') }},
            time_to_resolution_seconds,
            row_number() over (partition by {{ key | join(', ') }} order by time_to_resolution_seconds nulls last) as position,
            count(*) over (partition by {{ key | join(', ') }}) as n
        from {{ relation }}
    ) as ranked
    group by {{ key | join(', ') }}
{% endmacro %}
