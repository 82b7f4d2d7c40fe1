-- How much less a request tells where customers were drawn at random, not requests, of the change from before a release to after it. A customer
-- who came before and after counts with the difference. Rows only where the unit is the customer.
{%- set metrics = kpis_as_means(leave_out=['resolution_rate']) %}
{%- set key = ['agent_name', 'release_version', 'side', 'population', 'period'] %}

with requests as (

    select * from {{ ref('int_release_requests') }}
    where holdout_unit = 'customer' and side != 'replayed' and period != 'earlier'

),

valued as (

    {{ values_as_means('requests', key, metrics) }}

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
