-- Counts and sums by segment, population and task type: what comparisons and baselines are made of.
{%- set parts = [
    'n_interactions', 'n_mature', 'n_completed', 'n_resolved', 'n_escalated', 'n_unresolved', 'n_priced', 'n_completed_priced',
    'cost_priced_usd', 'cost_square_sum', 'cost_completed_usd', 'n_surveys_sent', 'n_surveys_answered', 'score_sum', 'score_square_sum',
] %}

with interactions as (

    select * from {{ ref('int_compared_interactions') }}

),

measured as (

    select
        interactions.*,
        is_mature and cost_usd is not null as is_priced,
        is_mature and time_to_resolution_seconds is null as is_unresolved
    from interactions

),

segmented as (

    {{ by_segment('measured') }}

),

cells as (

    select
        agent_name,
        segment_type,
        segment,
        population,
        task_type,
        min(cohort_date) as first_day,
        max(cohort_date) as last_day,
        count(*) as n_interactions,
        {{- sum_interaction_parts(parts | reject('equalto', 'n_interactions') | list) }}
    from segmented
    group by agent_name, segment_type, segment, population, task_type

),

launches as (

    select
        agent_name,
        min(cast(launched_at as date)) as launched_on
    from {{ ref('dim_agent_scopes') }}
    group by agent_name

),

-- Costs of an agent that belong to no interaction: part of the cost of its successes, as a whole.
shared_costs as (

    select
        costs.agent_name,
        min(cast(costs.occurred_at as date)) as first_day,
        max(cast(costs.occurred_at as date)) as last_day,
        sum(coalesce(costs.amount_usd, 0)) as cost_usd
    from {{ ref('fct_costs') }} as costs
    inner join launches
        on costs.agent_name = launches.agent_name
            and cast(costs.occurred_at as date) >= launches.launched_on
    where costs.interaction_id is null
    group by costs.agent_name

),

final as (

    select
        agent_name,
        segment_type,
        segment,
        population,
        task_type,
        first_day,
        last_day,
        {%- for part in parts %}
        {{ part }},
        {%- endfor %}
        cast(0 as {{ type_double() }}) as cost_unallocated_usd
    from cells
    union all
    select
        agent_name,
        'all' as segment_type,
        'all' as segment,
        'unallocated' as population,
        'unallocated' as task_type,
        first_day,
        last_day,
        {%- for part in parts %}
        0 as {{ part }},
        {%- endfor %}
        cast(cost_usd as {{ type_double() }}) as cost_unallocated_usd
    from shared_costs

)

select * from final
