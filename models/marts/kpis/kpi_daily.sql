{%- set dimensions = ['agent_name', 'agent_version', 'arm', 'task_type', 'channel', 'tier'] -%}
{%- set survey_sums = [
    'n_surveys_sent', 'n_surveys_answered', 'score_sum', 'score_square_sum',
    'n_in_conversation_answered', 'in_conversation_score_sum', 'in_conversation_score_square_sum',
] -%}
{%- set own_parts = ['n_interactions', 'n_excluded', 'n_pending', 'cost_usd', 'cost_unallocated_usd'] -%}
{%- set interaction_parts = kpi_parts() | reject('in', own_parts) | list -%}

with interactions as (

    select * from {{ ref('fct_interactions') }}

),

surveys as (

    select
        interaction_id,
        {{ count_where("survey_kind = 'post_interaction'") }} as n_surveys_sent,
        {{ count_where("survey_kind = 'post_interaction' and score is not null") }} as n_surveys_answered,
        sum(case when survey_kind = 'post_interaction' then score end) as score_sum,
        sum(case when survey_kind = 'post_interaction' then score * score end) as score_square_sum,
        {{ count_where("survey_kind = 'in_conversation' and score is not null") }} as n_in_conversation_answered,
        sum(case when survey_kind = 'in_conversation' then score end) as in_conversation_score_sum,
        sum(case when survey_kind = 'in_conversation' then score * score end) as in_conversation_score_square_sum
    from {{ ref('fct_surveys') }}
    group by interaction_id

),

judged as (

    select
        cast(interactions.opened_at as date) as cohort_date,
        {%- for dimension in dimensions %}
        coalesce(interactions.{{ dimension }}, '(none)') as {{ dimension }},
        {%- endfor %}
        interactions.outcome,
        interactions.outcome not in ('excluded', 'pending') as is_mature,
        interactions.is_completed,
        interactions.is_resolved,
        interactions.outcome = 'escalated' as is_escalated,
        interactions.is_deflected,
        interactions.escalation_reason_class,
        interactions.completion_evidence,
        interactions.outcome not in ('excluded', 'pending') and interactions.resolved_at is null as is_unresolved,
        interactions.outcome not in ('excluded', 'pending') and interactions.is_fully_priced as is_priced,
        interactions.cost_usd,
        interactions.known_cost_usd,
        {%- for column in survey_sums %}
        surveys.{{ column }},
        {%- endfor %}
        interactions.interaction_id
    from interactions
    left join surveys
        on interactions.interaction_id = surveys.interaction_id
            and interactions.outcome != 'excluded'

),

interaction_rows as (

    select
        cohort_date,
        {%- for dimension in dimensions %}
        {{ dimension }},
        {%- endfor %}
        count(*) as n_interactions,
        {{ count_where("outcome = 'excluded'") }} as n_excluded,
        {{ count_where("outcome = 'pending'") }} as n_pending,
        sum(known_cost_usd) as cost_usd,
        0 as cost_unallocated_usd,
        {{- sum_interaction_parts(interaction_parts) }}
    from judged
    group by cohort_date, {{ dimensions | join(', ') }}

),

-- Costs that belong to no interaction stand in rows of their own, so that totals reconcile.
unallocated_rows as (

    select
        cast(occurred_at as date) as cohort_date,
        coalesce(agent_name, '(none)') as agent_name,
        '(none)' as agent_version,
        case when agent_name is null then 'unallocated' else 'ai' end as arm,
        'unallocated' as task_type,
        'unallocated' as channel,
        'unallocated' as tier,
        {{- only_cost_parts('sum(coalesce(amount_usd, 0))') }}
    from {{ ref('fct_costs') }}
    where interaction_id is null
    group by 1, 2, 3, 4

),

all_rows as (

    {%- for rows in ['interaction_rows', 'unallocated_rows'] %}
    select
        {%- for column in dimensions + kpi_parts() %}
        {{ column }},
        {%- endfor %}
        cohort_date
    from {{ rows }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

final as (

    select
        cohort_date,
        {%- for dimension in dimensions %}
        cast({{ dimension }} as {{ dbt.type_string() }}) as {{ dimension }},
        {%- endfor %}
        {{- typed_kpi_parts() }}
    from all_rows

)

select * from final
