{%- set segment_types_of_flags = ['all', 'task_type', 'channel', 'tier'] -%}
{%- set survey_sums = [
    'n_surveys_sent', 'n_surveys_answered', 'score_sum', 'score_square_sum',
    'n_in_conversation_answered', 'in_conversation_score_sum', 'in_conversation_score_square_sum',
] -%}
{%- set parts = [
    'n_mature', 'n_completed', 'n_resolved', 'n_escalated', 'n_escalated_paging', 'n_reopened', 'n_abandoned', 'n_resolved_late', 'n_deflected',
    'n_priced', 'n_completed_priced', 'cost_priced_usd', 'cost_square_sum', 'cost_completed_usd',
] + survey_sums %}

-- Counts and sums by the day from which they are known: a request counts on the day it matures, as it stood then.
-- The last day is the last complete one. The baseline is as known at launch.
with interactions as (

    select
        *,
        case when population in ('ai_randomised', 'ai_routed') then 'ai' else population end as flag_population,
        cast(matures_at as date) as known_on,
        case when population = 'baseline' then cost_usd end as baseline_cost_usd
    from {{ ref('int_compared_interactions') }}
    where is_mature and population in ('ai_randomised', 'ai_routed', 'holdout', 'baseline')

),

clock as (

    select cast(as_of as date) as as_of_day from {{ ref('int_as_of') }}

),

-- Answers that were in by then: a reading at a fixed age. (CSAT waits for the late ones in a way of its own.)
answers as (

    select
        interactions.interaction_id,
        interactions.population,
        interactions.agent_name,
        {{ count_where("surveys.survey_kind = 'post_interaction'") }} as n_surveys_sent,
        {%- for kind, prefix, n in [
            ('post_interaction', '', 'n_surveys_answered'),
            ('in_conversation', 'in_conversation_', 'n_in_conversation_answered'),
        ] %}
        {%- set is_in = "surveys.survey_kind = '" ~ kind ~ "' and surveys.responded_at <= interactions.matures_at and surveys.score is not null" %}
        {{ count_where(is_in) }} as {{ n }},
        sum(case when {{ is_in }} then surveys.score end) as {{ prefix }}score_sum,
        sum(case when {{ is_in }} then surveys.score * surveys.score end) as {{ prefix }}score_square_sum,
        {%- endfor %}
        count(*) as n_rows
    from interactions
    inner join {{ ref('fct_surveys') }} as surveys
        on interactions.interaction_id = surveys.interaction_id
            and interactions.matures_at >= surveys.sent_at
    group by interactions.interaction_id, interactions.population, interactions.agent_name

),

-- What the request had cost by then; the baseline as known at launch.
costs as (

    select
        interactions.interaction_id,
        interactions.population,
        interactions.agent_name,
        case when sum(entries.n_unpriced) = 0 then sum(entries.amount_usd) end as cost_usd
    from interactions
    inner join {{ ref('int_cost_entries') }} as entries
        on interactions.interaction_id = entries.interaction_id
            and interactions.matures_at >= entries.occurred_at
            and (entries.superseded_at is null or interactions.matures_at < entries.superseded_at)
    where interactions.population != 'baseline'
    group by interactions.interaction_id, interactions.population, interactions.agent_name

),

known as (

    select
        interactions.agent_name,
        interactions.flag_population as population,
        interactions.known_on,
        interactions.task_type,
        interactions.channel,
        interactions.tier,
        interactions.is_mature,
        interactions.is_completed,
        interactions.outcome,
        interactions.is_resolved,
        interactions.is_escalated,
        interactions.escalation_reason_class,
        interactions.is_deflected,
        coalesce(cast(costs.cost_usd as {{ type_double() }}), interactions.baseline_cost_usd) as cost_usd,
        coalesce(cast(costs.cost_usd as {{ type_double() }}), interactions.baseline_cost_usd) is not null as is_priced,
        {%- for column in survey_sums %}
        answers.{{ column }},
        {%- endfor %}
        interactions.interaction_id
    from interactions
    cross join clock
    left join answers
        on interactions.interaction_id = answers.interaction_id
            and interactions.population = answers.population
            and interactions.agent_name = answers.agent_name
    left join costs
        on interactions.interaction_id = costs.interaction_id
            and interactions.population = costs.population
            and interactions.agent_name = costs.agent_name
    where interactions.known_on < clock.as_of_day or interactions.population = 'baseline'

),

segmented as (

    {{ by_segment('known', segment_types_of_flags) }}

),

requests as (

    select
        agent_name,
        segment_type,
        segment,
        population,
        task_type,
        known_on,
        {{- sum_interaction_parts(parts) }}
    from segmented
    group by agent_name, segment_type, segment, population, task_type, known_on

),

-- What belongs to no request is part of the cost of all of the agent's.
shared_costs as (

    select
        costs.agent_name,
        cast(costs.occurred_at as date) as known_on,
        cast(sum(coalesce(costs.amount_usd, 0)) as {{ type_double() }}) as cost_priced_usd
    from {{ ref('fct_costs') }} as costs
    cross join clock
    where costs.interaction_id is null and costs.agent_name is not null and cast(costs.occurred_at as date) < clock.as_of_day
    group by costs.agent_name, cast(costs.occurred_at as date)

),

final as (

    select
        agent_name,
        segment_type,
        segment,
        population,
        task_type,
        {%- for part in parts %}
        {{ part }},
        {%- endfor %}
        known_on
    from requests
    union all
    select
        agent_name,
        'all' as segment_type,
        'all' as segment,
        'unallocated' as population,
        'unallocated' as task_type,
        {%- for part in parts %}
        {{ 'cost_priced_usd' if part == 'cost_priced_usd' else 0 }} as {{ part }},
        {%- endfor %}
        known_on
    from shared_costs

)

select * from final
