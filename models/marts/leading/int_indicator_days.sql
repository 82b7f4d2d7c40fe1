with interactions as (

    select * from {{ ref('fct_interactions') }}
    where arm = 'ai' and outcome != 'excluded'

),

evaluations as (

    select * from {{ ref('fct_evaluations') }}

),

spans as (

    select * from {{ ref('fct_spans') }}

),

known_indicators as (

    select indicator from {{ ref('int_diagnosis_order') }}
    {%- for indicator in shipped_indicators() + ['confidence'] %}
    union
    select '{{ indicator }}' as indicator
    {%- endfor %}

),

-- Scores of people's requests, and of excluded ones, say nothing about the agent; those that name no known request count for their agent.
judged as (

    select
        evaluations.indicator,
        evaluations.value,
        evaluations.evaluated_at,
        coalesce(spans.started_at, interactions.opened_at, evaluations.evaluated_at) as judged_at,
        interactions.interaction_id,
        coalesce(interactions.agent_name, evaluations.agent_name, '(none)') as agent_name,
        coalesce(interactions.agent_version, evaluations.agent_version, '(none)') as agent_version,
        case when evaluations.evaluator_kind = 'llm' then coalesce(evaluations.evaluator_name, '(none)') else '(none)' end as evaluator_name,
        case when evaluations.evaluator_kind = 'llm' then coalesce(evaluations.evaluator_version, '(none)') else '(none)' end
            as evaluator_version,
        case when spans.operation = 'tool' then spans.name end as tool,
        case
            when evaluations.turn_index < 3 then '1-3'
            when evaluations.turn_index < 7 then '4-7'
            when evaluations.turn_index >= 7 then '8+'
        end as turn_bucket
    from evaluations
    inner join known_indicators on evaluations.indicator = known_indicators.indicator
    left join spans on evaluations.span_id = spans.span_id
    left join interactions on evaluations.interaction_id = interactions.interaction_id
    where evaluations.interaction_id is null or interactions.interaction_id is not null

),

agents_with_confidence as (

    select distinct agent_name
    from judged
    where indicator = 'confidence'

),

-- A mean of scores. Of an agent whose confidence is known its calibration is computed, not read.
means as (

    select
        judged.*,
        cast(judged.judged_at as date) as cohort_date,
        cast(judged.evaluated_at as date) as known_on,
        0 as bin
    from judged
    left join agents_with_confidence on judged.agent_name = agents_with_confidence.agent_name
    where
        judged.indicator not in ('confidence', 'tool_success_rate', 'abstain_rate', 'silent_failure_rate')
        and (judged.indicator != 'confidence_calibration' or agents_with_confidence.agent_name is null)

),

-- How far stated confidence is from being right, in ten bins of confidence. Who is right is known when the request is mature.
confidences as (

    select
        judged.*,
        cast(judged.judged_at as date) as cohort_date,
        cast(greatest(judged.evaluated_at, interactions.matures_at) as date) as known_on,
        1 + cast(least(floor(judged.value * 10 + 0.000000001), 9) as integer) as bin,
        judged.value - case when interactions.is_completed then 1 else 0 end as distance
    from judged
    inner join interactions on judged.interaction_id = interactions.interaction_id
    where judged.indicator = 'confidence' and interactions.is_completed is not null and judged.value between 0 and 1

),

tool_calls as (

    select
        cast(spans.started_at as date) as cohort_date,
        coalesce(interactions.agent_name, spans.agent_name, '(none)') as agent_name,
        coalesce(interactions.agent_version, spans.agent_version, '(none)') as agent_version,
        interactions.task_type,
        interactions.channel,
        interactions.tier,
        spans.name as tool,
        spans.is_error
    from spans
    left join interactions on spans.interaction_id = interactions.interaction_id
    where spans.operation = 'tool' and (spans.interaction_id is null or interactions.interaction_id is not null)

),

own_hand_overs as (

    select distinct interaction_id
    from {{ ref('int_interaction_events') }}
    where event_type = 'handed_off' and actor_kind = 'ai' and is_by_maturity

),

-- Said that it cannot, or left the customer with nothing.
fallbacks as (

    select
        interactions.*,
        cast(interactions.opened_at as date) as cohort_date,
        cast(interactions.matures_at as date) as known_on,
        interactions.escalation_reason_class = 'capability_gap' and own_hand_overs.interaction_id is not null as has_abstained,
        interactions.outcome = 'abandoned' as has_failed_silently
    from interactions
    left join own_hand_overs on interactions.interaction_id = own_hand_overs.interaction_id
    where interactions.outcome != 'pending'

),

scores as (

    {%- for relation, indicator, value in [
        ('means', 'means.indicator', 'means.value'),
        ('confidences', "'confidence_calibration'", 'confidences.distance'),
    ] %}
    select
        {{ relation }}.cohort_date,
        {{ relation }}.known_on,
        {{ relation }}.agent_name,
        {{ relation }}.agent_version,
        coalesce(interactions.task_type, '(none)') as task_type,
        coalesce(interactions.channel, '(none)') as channel,
        coalesce(interactions.tier, '(none)') as tier,
        coalesce({{ relation }}.tool, '(none)') as tool,
        coalesce({{ relation }}.turn_bucket, '(none)') as turn_bucket,
        {{ indicator }} as indicator,
        {{ relation }}.evaluator_name,
        {{ relation }}.evaluator_version,
        {{ relation }}.bin,
        {{ value }} as value
    from {{ relation }}
    left join interactions on {{ relation }}.interaction_id = interactions.interaction_id
    union all
    {%- endfor %}
    select
        cohort_date,
        cohort_date as known_on,
        agent_name,
        agent_version,
        coalesce(task_type, '(none)') as task_type,
        coalesce(channel, '(none)') as channel,
        coalesce(tier, '(none)') as tier,
        coalesce(tool, '(none)') as tool,
        '(none)' as turn_bucket,
        'tool_success_rate' as indicator,
        '(none)' as evaluator_name,
        '(none)' as evaluator_version,
        0 as bin,
        case when is_error then 0 else 1 end as value
    from tool_calls
    {%- for indicator, condition in [('abstain_rate', 'has_abstained'), ('silent_failure_rate', 'has_failed_silently')] %}
    union all
    select
        cohort_date,
        known_on,
        coalesce(agent_name, '(none)') as agent_name,
        coalesce(agent_version, '(none)') as agent_version,
        task_type,
        channel,
        coalesce(tier, '(none)') as tier,
        '(none)' as tool,
        '(none)' as turn_bucket,
        '{{ indicator }}' as indicator,
        '(none)' as evaluator_name,
        '(none)' as evaluator_version,
        0 as bin,
        case when {{ condition }} then 1 else 0 end as value
    from fallbacks
    {%- endfor %}

),

segmented as (

    {{ by_segment('scores') }}
    {%- for column in ['tool', 'turn_bucket'] %}
    union all
    select
        '{{ column }}' as segment_type,
        {{ column }} as segment,
        scores.*
    from scores
    where {{ column }} != '(none)'
    {%- endfor %}

),

final as (

    select
        cohort_date,
        known_on,
        cast(agent_name as {{ dbt.type_string() }}) as agent_name,
        cast(segment_type as {{ dbt.type_string() }}) as segment_type,
        cast(segment as {{ dbt.type_string() }}) as segment,
        cast(indicator as {{ dbt.type_string() }}) as indicator,
        cast(evaluator_name as {{ dbt.type_string() }}) as evaluator_name,
        cast(evaluator_version as {{ dbt.type_string() }}) as evaluator_version,
        cast(bin as integer) as bin,
        cast(count(*) as bigint) as n,
        cast(sum(value) as {{ type_double() }}) as value_sum,
        cast(sum(value * value) as {{ type_double() }}) as value_square_sum
    from segmented
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9

)

select * from final
