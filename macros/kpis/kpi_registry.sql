{#-
    Every metric of the project, once. To add one, add an entry; models, thresholds and flags read this list.

    kpi             name, as thresholds and leading indicators use it
    role            primary (exactly one), kpi, context (explains, never a reason for a verdict), health (an early sign: may have limits of its
                    own, is never an outcome)
    label, unit     for people; unit is share, seconds, usd, points, ms or count
    better          which way is good: high, low or between (both sides can be bad)
    method          proportion: numerator / denominator, Wilson interval
                    ratio:      cost / successes, log-delta interval
                    mean:       sum / count, normal interval
                    median:     of time to resolution, order-statistic interval
                    health:     computed in agent_health
    numerator, denominator, square_sum   columns of kpi_daily
    arms            arms that it makes sense for; both where it is missing
-#}
{% macro kpi_registry() %}
    {{ return([
        {'kpi': 'task_completion_rate', 'role': 'primary', 'label': 'Task completion', 'unit': 'share', 'better': 'high',
         'method': 'proportion', 'numerator': 'n_completed', 'denominator': 'n_mature'},
        {'kpi': 'escalation_rate', 'role': 'kpi', 'label': 'Escalation', 'unit': 'share', 'better': 'between',
         'method': 'proportion', 'numerator': 'n_escalated', 'denominator': 'n_mature'},
        {'kpi': 'time_to_resolution', 'role': 'kpi', 'label': 'Time to resolution', 'unit': 'seconds', 'better': 'low',
         'method': 'median', 'numerator': none, 'denominator': 'n_mature'},
        {'kpi': 'cost_per_successful_outcome', 'role': 'kpi', 'label': 'Cost per success', 'unit': 'usd', 'better': 'low',
         'method': 'ratio', 'numerator': 'cost_priced_usd', 'denominator': 'n_completed_priced'},
        {'kpi': 'csat', 'role': 'kpi', 'label': 'CSAT', 'unit': 'points', 'better': 'high',
         'method': 'mean', 'numerator': 'score_sum', 'denominator': 'n_surveys_answered', 'square_sum': 'score_square_sum'},
        {'kpi': 'deflection_rate', 'role': 'context', 'label': 'Deflection', 'unit': 'share', 'better': 'high',
         'method': 'proportion', 'numerator': 'n_deflected', 'denominator': 'n_mature', 'arms': ['ai']},
        {'kpi': 'resolution_rate', 'role': 'context', 'label': 'Resolution rate', 'unit': 'share', 'better': 'high',
         'method': 'proportion', 'numerator': 'n_resolved', 'denominator': 'n_mature'},
        {'kpi': 'cost_per_interaction', 'role': 'context', 'label': 'Cost per interaction', 'unit': 'usd', 'better': 'low',
         'method': 'mean', 'numerator': 'cost_priced_usd', 'denominator': 'n_priced', 'square_sum': 'cost_square_sum'},
        {'kpi': 'survey_response_rate', 'role': 'context', 'label': 'Survey response', 'unit': 'share', 'better': 'high',
         'method': 'proportion', 'numerator': 'n_surveys_answered', 'denominator': 'n_surveys_sent'},
        {'kpi': 'in_conversation_score', 'role': 'health', 'label': 'In-conversation signal', 'unit': 'points', 'better': 'high',
         'method': 'mean', 'numerator': 'in_conversation_score_sum', 'denominator': 'n_in_conversation_answered',
         'square_sum': 'in_conversation_score_square_sum'},
        {'kpi': 'p95_latency_ms', 'role': 'health', 'label': 'Latency (95th percentile)', 'unit': 'ms', 'better': 'low', 'method': 'health'},
        {'kpi': 'error_rate', 'role': 'health', 'label': 'Steps with an error', 'unit': 'share', 'better': 'low', 'method': 'health'},
        {'kpi': 'tool_success_rate', 'role': 'health', 'label': 'Tool calls without an error', 'unit': 'share', 'better': 'high', 'method': 'health'},
        {'kpi': 'tokens_per_interaction', 'role': 'health', 'label': 'Tokens per interaction', 'unit': 'count', 'better': 'low', 'method': 'health'},
    ]) }}
{% endmacro %}

{#- The additive columns of kpi_daily: any roll-up is their sum. -#}
{% macro kpi_parts() %}
    {{ return([
        'n_interactions', 'n_excluded', 'n_pending', 'n_mature',
        'n_completed', 'n_resolved', 'n_escalated', 'n_reopened', 'n_abandoned', 'n_resolved_late', 'n_deflected',
        'n_completed_verified', 'n_completed_confirmed', 'n_completed_assumed', 'n_unresolved',
        'cost_usd', 'n_priced', 'n_completed_priced', 'cost_priced_usd', 'cost_unallocated_usd',
        'cost_square_sum', 'cost_completed_usd',
        'n_surveys_sent', 'n_surveys_answered', 'score_sum', 'score_square_sum',
        'n_in_conversation_answered', 'in_conversation_score_sum', 'in_conversation_score_square_sum',
    ]) }}
{% endmacro %}

{#- The parts of a row that holds nothing but a shared cost. -#}
{% macro only_cost_parts(amount) %}
    {%- for part in kpi_parts() %}
        {{ amount if part in ['cost_usd', 'cost_priced_usd', 'cost_unallocated_usd'] else 0 }} as {{ part }}{{ "," if not loop.last }}
    {%- endfor %}
{% endmacro %}

{% macro typed_kpi_parts() %}
    {%- for part in kpi_parts() %}
        {%- if part.startswith('n_') -%}
            {%- set type = 'bigint' -%}
        {%- elif part.endswith('_usd') -%}
            {%- set type = type_money() -%}
        {%- else -%}
            {%- set type = type_double() -%}
        {%- endif %}
        cast({{ part }} as {{ type }}) as {{ part }}{{ "," if not loop.last }}
    {%- endfor %}
{% endmacro %}

{% macro sum_kpi_parts(relation=none) %}
    {%- for part in kpi_parts() %}
        sum({{ relation ~ '.' if relation }}{{ part }}) as {{ part }}{{ "," if not loop.last }}
    {%- endfor %}
{% endmacro %}

{#- What a scorecard is cut by: (segment_type, column of kpi_daily). -#}
{% macro segment_types() %}
    {{ return([('all', none), ('task_type', 'task_type'), ('channel', 'channel'), ('tier', 'tier'), ('agent_version', 'agent_version')]) }}
{% endmacro %}

{#- The rows of a relation once per segment that they are in; what has no value in a segment's column is in none of that type. -#}
{% macro by_segment(relation) %}
    {%- for segment_type, column in segment_types() %}
    select
        '{{ segment_type }}' as segment_type,
        {{ column if column else "'all'" }} as segment,
        {{ relation }}.*
    from {{ relation }}
    {%- if column %}
    where {{ column }} != '(none)'
    {%- endif %}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
{% endmacro %}
