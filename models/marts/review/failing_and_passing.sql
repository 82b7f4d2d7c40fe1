{%- set cell = ['agent_name', 'week_start', 'task_type'] -%}
{%- set sides = ['passing', 'failing'] -%}
{%- set weeks_before = 12 -%}
{#- (trait, unit, expression over a request's trace). -#}
{%- set of_the_trace = [
    ('tool_calls', 'count', "sum(case when operation = 'tool' then n_steps else 0 end)"),
    ('tool_errors', 'count', "sum(case when operation = 'tool' then n_errors else 0 end)"),
    ('retrievals', 'count', "sum(case when operation = 'retrieval' then n_steps else 0 end)"),
    ('model_calls', 'count', "sum(case when operation = 'inference' then n_own_steps else 0 end)"),
    ('errors', 'count', "sum(n_errors)"),
    ('tokens', 'count', "sum(tokens)"),
    ('model_cost', 'usd', "case when sum(n_unpriced) = 0 then sum(cost_usd) end"),
] -%}

with weeks as (

    select * from {{ ref('int_review_weeks') }}

),

requests as (

    select
        weeks.agent_name,
        weeks.week_start,
        weeks.last_day,
        interactions.task_type,
        interactions.interaction_id,
        interactions.is_completed as is_passing,
        interactions.agent_version,
        interactions.is_escalated,
        interactions.escalation_reason_class
    from {{ ref('int_compared_interactions') }} as interactions
    inner join weeks
        on interactions.agent_name = weeks.agent_name
            and cast(interactions.matures_at as date) between weeks.week_start and weeks.last_day
    where interactions.is_mature and interactions.population in ('ai_randomised', 'ai_routed')

),

steps as (

    select * from {{ ref('int_request_steps') }}

),

traces as (

    select
        interaction_id,
        {%- for trait, unit, expression in of_the_trace %}
        {{ expression }} as {{ trait }},
        {%- endfor %}
        count(*) as n_rows
    from steps
    group by interaction_id

),

-- Where no message is recorded at all, nobody knows how many there were.
turns as (

    select
        interaction_id,
        {{ count_where("actor_kind = 'ai'") }} as agent_messages
    from {{ ref('int_interaction_events') }}
    where event_type = 'message' and is_by_maturity
    group by interaction_id

),

tool_calls as (

    select
        span_id,
        name
    from {{ ref('fct_spans') }}
    where operation = 'tool'

),

-- Scores by the end of the week, without those of judges that do not track what customers say.
scores as (

    select
        requests.interaction_id,
        evaluations.indicator,
        tool_calls.name as tool,
        evaluations.value
    from {{ ref('fct_evaluations') }} as evaluations
    inner join requests
        on evaluations.interaction_id = requests.interaction_id
            and evaluations.evaluated_at < {{ dbt.dateadd('day', 1, 'requests.last_day') }}
    left join {{ ref('judge_calibration') }} as judges
        on evaluations.evaluator_kind = 'llm'
            and evaluations.indicator = judges.indicator
            and coalesce(evaluations.evaluator_name, '(none)') = judges.evaluator_name
            and coalesce(evaluations.evaluator_version, '(none)') = judges.evaluator_version
    left join tool_calls on evaluations.span_id = tool_calls.span_id
    where coalesce(judges.may_alert, true)

),

-- What is known of each request, one row a trait. A tool that was not called, a version that did not answer, a reason that was not given leave
-- no row: those traits count over all requests (with a trace), the others over their rows.
known as (

    {%- for trait, unit, expression in of_the_trace %}
    select
        interaction_id,
        'request' as trait_group,
        '{{ trait }}' as trait,
        '{{ unit }}' as unit,
        cast({{ trait }} as {{ type_double() }}) as value
    from traces
    where {{ trait }} is not null
    union all
    {%- endfor %}
    select
        interaction_id,
        'request' as trait_group,
        'agent_messages' as trait,
        'count' as unit,
        cast(agent_messages as {{ type_double() }}) as value
    from turns
    union all
    select
        interaction_id,
        'score' as trait_group,
        indicator as trait,
        'score' as unit,
        avg(value) as value
    from scores
    group by interaction_id, indicator
    union all
    select
        interaction_id,
        'tool_accuracy' as trait_group,
        tool as trait,
        'score' as unit,
        avg(value) as value
    from scores
    where indicator = 'tool_call_accuracy' and tool is not null
    group by interaction_id, tool
    union all
    select
        interaction_id,
        'tool_error' as trait_group,
        name as trait,
        'share' as unit,
        case when n_errors > 0 then 1 else 0 end as value
    from steps
    where operation = 'tool'
    union all
    select
        interaction_id,
        'tool_use' as trait_group,
        name as trait,
        'share' as unit,
        1 as value
    from steps
    where operation = 'tool'
    union all
    select
        interaction_id,
        'agent_version' as trait_group,
        agent_version as trait,
        'share' as unit,
        1 as value
    from requests
    union all
    select
        interaction_id,
        'hand_off' as trait_group,
        coalesce(escalation_reason_class, 'unknown') as trait,
        'share' as unit,
        1 as value
    from requests
    where is_escalated

),

-- Requests, and those that left a trace.
totals as (

    select
        {%- for column in cell %}
        requests.{{ column }},
        {%- endfor %}
        {%- for side, condition in [('passing', 'requests.is_passing'), ('failing', 'not requests.is_passing')] %}
        {{ count_where(condition) }} as n_{{ side }},
        {{ count_where(condition ~ ' and traces.interaction_id is not null') }} as n_traced_{{ side }},
        {%- endfor %}
        count(*) as n_requests
    from requests
    left join traces on requests.interaction_id = traces.interaction_id
    group by 1, 2, 3

),

sums as (

    select
        {%- for column in cell %}
        requests.{{ column }},
        {%- endfor %}
        known.trait_group,
        known.trait,
        known.unit,
        {%- for side, condition in [('passing', 'requests.is_passing'), ('failing', 'not requests.is_passing')] %}
        {{ count_where(condition) }} as n_rows_{{ side }},
        sum(case when {{ condition }} then known.value else 0 end) as sum_{{ side }},
        sum(case when {{ condition }} then known.value * known.value else 0 end) as square_sum_{{ side }},
        {%- endfor %}
        count(*) as n_rows
    from known
    inner join requests on known.interaction_id = requests.interaction_id
    group by 1, 2, 3, 4, 5, 6

),

worst as (

    select * from {{ ref('weekly_task_types') }}
    where rank_by_lost_completions <= 3

),

-- The week, and the weeks before it.
traits_of_weeks as (

    select
        {%- for column in cell %}
        worst.{{ column }},
        {%- endfor %}
        sums.trait_group,
        sums.trait,
        sums.unit,
        {%- for part in ['n_rows', 'sum', 'square_sum'] %}
        {%- for side in sides %}
        sum(case when sums.week_start = worst.week_start then sums.{{ part }}_{{ side }} else 0 end) as {{ part }}_{{ side }},
        {%- endfor %}
        sum(
            case when sums.week_start < worst.week_start then sums.{{ part }}_passing + sums.{{ part }}_failing else 0 end
        ) as {{ part }}_before,
        {%- endfor %}
        count(*) as n_weeks
    from worst
    inner join sums
        on {{ keys_agree('worst', 'sums', ['agent_name', 'task_type']) }}
            and sums.week_start <= worst.week_start
            and sums.week_start >= {{ dbt.dateadd('day', -7 * weeks_before, 'worst.week_start') }}
    group by 1, 2, 3, 4, 5, 6

),

totals_of_weeks as (

    select
        {%- for column in cell %}
        worst.{{ column }},
        {%- endfor %}
        min(worst.rank_by_lost_completions) as task_type_rank,
        {{ any_true('worst.is_complete') }} as is_complete,
        {%- for part in ['n', 'n_traced'] %}
        {%- for side in sides %}
        sum(case when totals.week_start = worst.week_start then totals.{{ part }}_{{ side }} else 0 end) as {{ part }}_{{ side }},
        {%- endfor %}
        sum(
            case when totals.week_start < worst.week_start then totals.{{ part }}_passing + totals.{{ part }}_failing else 0 end
        ) as {{ part }}_before,
        {%- endfor %}
        count(*) as n_weeks
    from worst
    inner join totals
        on {{ keys_agree('worst', 'totals', ['agent_name', 'task_type']) }}
            and totals.week_start <= worst.week_start
            and totals.week_start >= {{ dbt.dateadd('day', -7 * weeks_before, 'worst.week_start') }}
    group by 1, 2, 3

),

counted as (

    select
        {%- for column in cell %}
        traits.{{ column }},
        {%- endfor %}
        totals.task_type_rank,
        totals.is_complete,
        traits.trait_group,
        traits.trait,
        traits.unit,
        totals.n_passing,
        totals.n_failing,
        {%- for side in sides + ['before'] %}
        cast(traits.sum_{{ side }} as {{ type_double() }}) as sum_{{ side }},
        cast(traits.square_sum_{{ side }} as {{ type_double() }}) as square_sum_{{ side }},
        case
            when traits.trait_group = 'tool_use' then totals.n_traced_{{ side }}
            when traits.trait_group in ('agent_version', 'hand_off') then totals.n_{{ side }}
            else traits.n_rows_{{ side }}
        end as n_known_{{ side }},
        {%- endfor %}
        traits.n_weeks
    from traits_of_weeks as traits
    inner join totals_of_weeks as totals
        on {{ keys_agree('traits', 'totals', cell) }}

),

summed as (

    select
        *,
        n_known_passing + n_known_failing as n_known,
        sum_passing + sum_failing as sum_now,
        n_known_passing + n_known_failing + n_known_before as n_known_ever,
        sum_passing + sum_failing + sum_before as sum_ever,
        square_sum_passing + square_sum_failing as square_sum_now,
        square_sum_passing + square_sum_failing + square_sum_before as square_sum_ever
    from counted

),

-- Deviations are those of all requests: a trait that parts the two sides wholly has none within either.
measured as (

    select
        *,
        sum_passing / nullif(n_known_passing, 0) as mean_passing,
        sum_failing / nullif(n_known_failing, 0) as mean_failing,
        sum_now / nullif(n_known, 0) as mean_now,
        sum_before / nullif(n_known_before, 0) as mean_before,
        {%- for span, n in [('now', 'n_known'), ('ever', 'n_known_ever')] %}
        sqrt(
            greatest(0, square_sum_{{ span }} - sum_{{ span }} * sum_{{ span }} / nullif({{ n }}, 0)) / nullif({{ n }} - 1, 0)
        ) as deviation_{{ span }},
        {%- endfor %}
        sqrt(n_known_passing * n_known_failing / nullif(cast(n_known as {{ type_double() }}), 0)) as weight_of_difference,
        sqrt(n_known * n_known_before / nullif(cast(n_known_ever as {{ type_double() }}), 0)) as weight_of_change
    from summed

),

compared as (

    select
        *,
        (mean_failing - mean_passing) / nullif(deviation_now, 0) as standardised_difference,
        (mean_now - mean_before) / nullif(deviation_ever, 0) as standardised_change
    from measured

),

-- Nobody who was handed over passes, and a new version answers more than before: that explains nothing. Rounded, because the last digits of
-- sums differ from run to run.
ranked as (

    select
        *,
        row_number() over (
            partition by {{ cell | join(', ') }}
            order by
                case when trait_group != 'hand_off' then round(abs(standardised_difference) * weight_of_difference, 6) end desc nulls last,
                trait_group asc,
                trait asc
        ) as place_by_difference,
        row_number() over (
            partition by {{ cell | join(', ') }}
            order by
                case when trait_group != 'agent_version' then round(abs(standardised_change) * weight_of_change, 6) end desc nulls last,
                trait_group asc,
                trait asc
        ) as place_by_change
    from compared

),

final as (

    select
        week_start,
        is_complete,
        cast(agent_name as {{ dbt.type_string() }}) as agent_name,
        cast(task_type as {{ dbt.type_string() }}) as task_type,
        cast(task_type_rank as integer) as task_type_rank,
        cast(trait_group as {{ dbt.type_string() }}) as trait_group,
        cast(trait as {{ dbt.type_string() }}) as trait,
        cast(unit as {{ dbt.type_string() }}) as unit,
        {%- for column in ['n_passing', 'n_failing', 'n_known_passing', 'n_known_failing'] %}
        cast({{ column }} as bigint) as {{ column }},
        {%- endfor %}
        mean_passing as passing,
        mean_failing as failing,
        mean_failing - mean_passing as difference,
        standardised_difference,
        cast(
            case when trait_group != 'hand_off' and standardised_difference is not null then place_by_difference end as integer
        ) as rank_by_difference,
        cast(n_known as bigint) as n_known,
        mean_now as value,
        cast(n_known_before as bigint) as n_known_before,
        mean_before as value_before,
        mean_now - mean_before as change,
        standardised_change,
        cast(case when trait_group != 'agent_version' and standardised_change is not null then place_by_change end as integer) as rank_by_change
    from ranked

)

select * from final
