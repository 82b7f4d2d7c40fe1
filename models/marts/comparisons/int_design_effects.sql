-- How much less a request tells where customers were drawn at random, not requests: variance between customers over that of as many
-- independent requests, by segment and population. Rows only where the unit is the customer.
{%- set metrics = kpis_as_means() %}
{%- set key = ['agent_name', 'segment_type', 'segment', 'population'] %}

with interactions as (

    select * from {{ ref('int_compared_interactions') }}
    where holdout_unit = 'customer' and population not in ('other', 'restated')

),

segmented as (

    {{ by_segment('interactions') }}

),

valued as (

    {{ values_as_means('segmented', key, metrics) }}

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
