{%- set dimensions = ['agent_name', 'agent_version', 'arm', 'task_type', 'channel', 'tier'] -%}

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
        interactions.*,
        interactions.outcome not in ('excluded', 'pending') as is_mature,
        interactions.outcome not in ('excluded', 'pending') and interactions.is_fully_priced as is_mature_priced,
        cast(interactions.cost_usd as {{ type_double() }}) as cost_as_double
    from interactions

),

interaction_rows as (

    select
        cast(judged.opened_at as date) as cohort_date,
        {%- for dimension in dimensions %}
        coalesce(judged.{{ dimension }}, '(none)') as {{ dimension }},
        {%- endfor %}
        count(*) as n_interactions,
        {{ count_where("judged.outcome = 'excluded'") }} as n_excluded,
        {{ count_where("judged.outcome = 'pending'") }} as n_pending,
        {{ count_where("judged.is_mature") }} as n_mature,
        {{ count_where("judged.outcome = 'completed'") }} as n_completed,
        {{ count_where("judged.is_resolved") }} as n_resolved,
        {{ count_where("judged.outcome = 'escalated'") }} as n_escalated,
        {{ count_where("judged.outcome = 'reopened'") }} as n_reopened,
        {{ count_where("judged.outcome = 'abandoned'") }} as n_abandoned,
        {{ count_where("judged.outcome = 'resolved_late'") }} as n_resolved_late,
        {{ count_where("judged.is_deflected") }} as n_deflected,
        {{ count_where("judged.completion_evidence = 'verified'") }} as n_completed_verified,
        {{ count_where("judged.completion_evidence = 'confirmed'") }} as n_completed_confirmed,
        {{ count_where("judged.completion_evidence = 'assumed'") }} as n_completed_assumed,
        {{ count_where("judged.is_mature and judged.resolved_at is null") }} as n_unresolved,
        sum(judged.known_cost_usd) as cost_usd,
        {{ count_where("judged.is_mature_priced") }} as n_priced,
        {{ count_where("judged.is_mature_priced and judged.is_completed") }} as n_completed_priced,
        sum(case when judged.is_mature_priced then judged.cost_usd else 0 end) as cost_priced_usd,
        0 as cost_unallocated_usd,
        sum(case when judged.is_mature_priced then judged.cost_as_double * judged.cost_as_double else 0 end) as cost_square_sum,
        sum(case when judged.is_mature_priced and judged.is_completed then judged.cost_usd else 0 end) as cost_completed_usd,
        coalesce(sum(surveys.n_surveys_sent), 0) as n_surveys_sent,
        coalesce(sum(surveys.n_surveys_answered), 0) as n_surveys_answered,
        coalesce(sum(surveys.score_sum), 0) as score_sum,
        coalesce(sum(surveys.score_square_sum), 0) as score_square_sum,
        coalesce(sum(surveys.n_in_conversation_answered), 0) as n_in_conversation_answered,
        coalesce(sum(surveys.in_conversation_score_sum), 0) as in_conversation_score_sum,
        coalesce(sum(surveys.in_conversation_score_square_sum), 0) as in_conversation_score_square_sum
    from judged
    left join surveys
        on judged.interaction_id = surveys.interaction_id
            and judged.outcome != 'excluded'
    group by 1, 2, 3, 4, 5, 6, 7

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

    select * from interaction_rows
    union all
    select * from unallocated_rows

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
