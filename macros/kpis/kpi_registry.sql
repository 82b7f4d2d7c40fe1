{#-
    Every metric of the project, once. To add one, add an entry; models, thresholds and flags read this list.

    kpi             name, as thresholds and leading indicators use it
    role            primary (exactly one), kpi, context (explains, never a reason for a verdict), health (an early sign: may have limits of its
                    own, is never an outcome), leading (moves before a KPI does)
    label, unit     for people; unit is share, seconds, usd, points, ms or count
    better          which way is good: high, low or between (both sides can be bad)
    method          proportion: numerator / denominator, Wilson interval
                    ratio:      cost / successes, log-delta interval
                    mean:       sum / count, normal interval
                    median:     of time to resolution, order-statistic interval
                    health:     a column of agent_health of the same name (a share: of its column `denominator`)
                    indicator:  computed in int_indicator_days
    numerator, denominator, square_sum   columns of kpi_daily
    alarm_numerator   what is held against its limits on the high side, where not all of the numerator is: escalations for
                    reasons that may page
    arms            arms that it makes sense for; both where it is missing
-#}
{% macro kpi_registry() %}
    {{ return([
        {'kpi': 'task_completion_rate', 'role': 'primary', 'label': 'Task completion', 'unit': 'share', 'better': 'high',
         'method': 'proportion', 'numerator': 'n_completed', 'denominator': 'n_mature'},
        {'kpi': 'escalation_rate', 'role': 'kpi', 'label': 'Escalation', 'unit': 'share', 'better': 'between',
         'method': 'proportion', 'numerator': 'n_escalated', 'denominator': 'n_mature', 'alarm_numerator': 'n_escalated_paging'},
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
        {'kpi': 'error_rate', 'role': 'health', 'label': 'Steps with an error', 'unit': 'share', 'better': 'low', 'method': 'health', 'denominator': 'n_steps'},
        {'kpi': 'tool_success_rate', 'role': 'health', 'label': 'Tool calls without an error', 'unit': 'share', 'better': 'high', 'method': 'health',
         'denominator': 'n_tool_calls'},
        {'kpi': 'tokens_per_interaction', 'role': 'health', 'label': 'Tokens per interaction', 'unit': 'count', 'better': 'low', 'method': 'health'},
        {'kpi': 'tool_call_accuracy', 'role': 'leading', 'label': 'Tool call accuracy', 'unit': 'share', 'better': 'high', 'method': 'indicator'},
        {'kpi': 'context_recall', 'role': 'leading', 'label': 'Context recall', 'unit': 'share', 'better': 'high', 'method': 'indicator'},
        {'kpi': 'scope_coverage', 'role': 'leading', 'label': 'Scope coverage', 'unit': 'share', 'better': 'high', 'method': 'indicator'},
        {'kpi': 'confidence_calibration', 'role': 'leading', 'label': 'Calibration error of confidence', 'unit': 'share', 'better': 'low',
         'method': 'indicator'},
        {'kpi': 'fallback_quality', 'role': 'leading', 'label': 'Fallback quality', 'unit': 'share', 'better': 'high', 'method': 'indicator'},
        {'kpi': 'response_quality', 'role': 'leading', 'label': 'Response quality', 'unit': 'share', 'better': 'high', 'method': 'indicator'},
        {'kpi': 'tone_consistency', 'role': 'leading', 'label': 'Tone consistency', 'unit': 'share', 'better': 'high', 'method': 'indicator'},
        {'kpi': 'resolution_accuracy', 'role': 'leading', 'label': 'Resolution accuracy', 'unit': 'share', 'better': 'high', 'method': 'indicator'},
        {'kpi': 'abstain_rate', 'role': 'leading', 'label': 'Says it cannot', 'unit': 'share', 'better': 'between', 'method': 'indicator'},
        {'kpi': 'silent_failure_rate', 'role': 'leading', 'label': 'Silent failures', 'unit': 'share', 'better': 'low', 'method': 'indicator'},
    ]) }}
{% endmacro %}

{#- The additive columns of kpi_daily: any roll-up is their sum. -#}
{% macro kpi_parts() %}
    {{ return([
        'n_interactions', 'n_excluded', 'n_pending', 'n_mature',
        'n_completed', 'n_resolved', 'n_escalated', 'n_escalated_paging', 'n_reopened', 'n_abandoned', 'n_resolved_late', 'n_deflected',
        'n_completed_verified', 'n_completed_confirmed', 'n_completed_assumed', 'n_unresolved',
        'cost_usd', 'n_priced', 'n_completed_priced', 'cost_priced_usd', 'cost_unallocated_usd',
        'cost_square_sum', 'cost_completed_usd',
        'n_surveys_sent', 'n_surveys_answered', 'score_sum', 'score_square_sum',
        'n_in_conversation_answered', 'in_conversation_score_sum', 'in_conversation_score_square_sum',
    ]) }}
{% endmacro %}

{#-
    Sums of parts over requests, one row each with: outcome, is_mature, is_completed, is_resolved, is_escalated, is_deflected, escalation_reason_class,
    completion_evidence, is_unresolved, is_priced (mature, every part of its cost known), cost_usd, and the sums of its surveys.
-#}
{% macro sum_interaction_parts(parts) %}
    {%- set counted = {
        'n_mature': 'is_mature',
        'n_completed': 'is_completed',
        'n_resolved': 'is_resolved',
        'n_escalated': 'is_escalated',
        'n_escalated_paging': 'is_escalated and ' ~ reason_may_page('escalation_reason_class'),
        'n_reopened': "outcome = 'reopened'",
        'n_abandoned': "outcome = 'abandoned'",
        'n_resolved_late': "outcome = 'resolved_late'",
        'n_deflected': 'is_deflected',
        'n_completed_verified': "completion_evidence = 'verified'",
        'n_completed_confirmed': "completion_evidence = 'confirmed'",
        'n_completed_assumed': "completion_evidence = 'assumed'",
        'n_unresolved': 'is_unresolved',
        'n_priced': 'is_priced',
        'n_completed_priced': 'is_priced and is_completed',
    } -%}
    {%- set cost = 'cast(cost_usd as ' ~ type_double() ~ ')' -%}
    {%- set summed = {
        'cost_priced_usd': 'case when is_priced then cost_usd else 0 end',
        'cost_square_sum': 'case when is_priced then ' ~ cost ~ ' * ' ~ cost ~ ' else 0 end',
        'cost_completed_usd': "case when is_priced and is_completed then cost_usd else 0 end",
    } -%}
    {%- for part in parts %}
        {% if part in counted %}{{ count_where(counted[part]) }}{% else %}coalesce(sum({{ summed.get(part, part) }}), 0){% endif %} as {{ part }}
        {{- "," if not loop.last }}
    {%- endfor %}
{% endmacro %}

{#- Whether an escalation for a reason of this class may raise an alarm: the agent was not able to. -#}
{% macro reason_may_page(reason_class) -%}
    {{ reason_class }} in ('{{ var('paging_reason_classes') | join("', '") }}')
{%- endmacro %}

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

{#-
    The rows of a relation once per segment that they are in; what has no value in a segment's column is in none of that type.
    `types`: names of the segment types wanted; all where it is missing.
-#}
{% macro by_segment(relation, types=none) %}
    {%- for segment_type, column in segment_types() if types is none or segment_type in types %}
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
