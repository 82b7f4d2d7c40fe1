-- Each request once under what it can be compared as, and the baseline's twice: as known at launch, and as known now.
with interactions as (

    select * from {{ ref('fct_interactions') }}
    where outcome != 'excluded'

),

scopes as (

    select * from {{ ref('dim_agent_scopes') }}

),

clock as (

    select as_of from {{ ref('int_as_of') }}

),

since_launch as (

    select
        interactions.*,
        case
            when scopes.agent_name is null or interactions.opened_at < scopes.launched_at then 'other'
            when interactions.arm = 'ai' and interactions.assignment_kind = 'randomised' then 'ai_randomised'
            when interactions.arm = 'ai' then 'ai_routed'
            when interactions.assignment_kind = 'randomised' then 'holdout'
            else 'human_routed'
        end as population,
        interactions.agent_name as compared_agent_name,
        scopes.holdout_unit,
        coalesce(interactions.agent_version, versions.agent_version) as live_version,
        clock.as_of as known_at
    from interactions
    cross join clock
    left join scopes
        on interactions.agent_name = scopes.agent_name
            and interactions.task_type = scopes.task_type
    -- People have no version: theirs is the one that they were the alternative to.
    left join {{ ref('dim_agent_versions') }} as versions
        on interactions.arm = 'human'
            and interactions.agent_name = versions.agent_name
            and interactions.opened_at >= scopes.launched_at
            and {{ is_effective('versions', 'interactions.opened_at') }}

),

before_launch as (

    select
        interactions.*,
        scopes.agent_name as compared_agent_name,
        scopes.holdout_unit,
        cast(null as {{ dbt.type_string() }}) as live_version,
        scopes.launched_at,
        case when scopes.launched_at < clock.as_of then scopes.launched_at else clock.as_of end as known_at,
        clock.as_of
    from interactions
    cross join clock
    inner join scopes
        on interactions.task_type = scopes.task_type
            and interactions.opened_at >= scopes.baseline_from
            and interactions.opened_at < scopes.launched_at
            and (scopes.baseline_tier is null or interactions.tier = scopes.baseline_tier)
    where interactions.arm = 'human'

),

{%- set columns = [
    'interaction_id', 'compared_agent_name', 'population', 'arm', 'task_type', 'channel', 'tier', 'live_version', 'customer_id', 'holdout_unit',
    'opened_at', 'known_at', 'matures_at', 'outcome', 'is_completed', 'is_resolved', 'is_escalated', 'is_deflected',
    'escalation_reason_class', 'resolved_at', 'reopen_window_hours',
    'time_to_resolution_seconds',
] %}

costs_at_launch as (

    select
        before_launch.compared_agent_name,
        before_launch.interaction_id,
        case when sum(costs.n_unpriced) = 0 then sum(costs.amount_usd) end as cost_usd
    from before_launch
    inner join {{ ref('int_cost_entries') }} as costs
        on before_launch.interaction_id = costs.interaction_id
            and before_launch.launched_at > costs.occurred_at
            and (costs.superseded_at is null or before_launch.launched_at <= costs.superseded_at)
    group by before_launch.compared_agent_name, before_launch.interaction_id

),

compared as (

    select
        {{ columns | join(',\n        ') }},
        cost_usd
    from since_launch
    union all
    select
        {{ columns | join(',\n        ') | replace('population', "'restated' as population") | replace('known_at', 'as_of as known_at') }},
        cost_usd
    from before_launch
    union all
    select
        {% for column in columns -%}
        {{ {'population': "'baseline' as population"}.get(column, 'before_launch.' ~ column) }},
        {% endfor -%}
        costs_at_launch.cost_usd
    from before_launch
    left join costs_at_launch
        on before_launch.compared_agent_name = costs_at_launch.compared_agent_name
            and before_launch.interaction_id = costs_at_launch.interaction_id

),

judged as (

    select
        *,
        coalesce(compared_agent_name, '(none)') as agent_name,
        matures_at <= known_at as is_mature,
        {{ seconds_between('opened_at', 'known_at') }} - 3600 * reopen_window_hours as followed_seconds,
        resolved_at is not null and {{ add_hours('resolved_at', 'reopen_window_hours') }} <= known_at as is_resolution_known
    from compared

),

surveys as (

    select
        judged.agent_name,
        judged.population,
        judged.interaction_id,
        count(*) as n_surveys_sent,
        {{ count_where('surveys.responded_at <= judged.known_at and surveys.score is not null') }} as n_surveys_answered,
        sum(case when surveys.responded_at <= judged.known_at then surveys.score end) as score_sum,
        sum(case when surveys.responded_at <= judged.known_at then surveys.score * surveys.score end) as score_square_sum
    from judged
    inner join {{ ref('fct_surveys') }} as surveys
        on judged.interaction_id = surveys.interaction_id
            and judged.known_at >= surveys.sent_at
    where surveys.survey_kind = 'post_interaction'
    group by judged.agent_name, judged.population, judged.interaction_id

),

final as (

    select
        judged.interaction_id,
        cast(judged.agent_name as {{ dbt.type_string() }}) as agent_name,
        cast(judged.population as {{ dbt.type_string() }}) as population,
        judged.arm,
        judged.task_type,
        judged.channel,
        coalesce(judged.tier, '(none)') as tier,
        coalesce(judged.live_version, '(none)') as agent_version,
        cast(
            case when judged.holdout_unit = 'customer' and judged.customer_id is not null then judged.customer_id else judged.interaction_id end
            as {{ dbt.type_string() }}
        ) as unit_id,
        judged.holdout_unit,
        cast(judged.opened_at as date) as cohort_date,
        judged.known_at,
        judged.matures_at,
        judged.is_mature,
        case when judged.is_mature then judged.outcome end as outcome,
        case when judged.is_mature then judged.is_completed end as is_completed,
        case when judged.is_mature then judged.is_resolved end as is_resolved,
        case when judged.is_mature then judged.is_escalated end as is_escalated,
        case when judged.is_mature then judged.is_deflected end as is_deflected,
        case when judged.is_mature then judged.escalation_reason_class end as escalation_reason_class,
        cast(case when judged.is_mature then judged.cost_usd end as {{ type_double() }}) as cost_usd,
        case when judged.is_mature and judged.is_resolution_known then judged.time_to_resolution_seconds end as time_to_resolution_seconds,
        -- Unresolved: longer than the time over which a resolution would have been known.
        cast(
            case when judged.is_mature and not judged.is_resolution_known then judged.followed_seconds end as {{ type_double() }}
        ) as censored_at_seconds,
        coalesce(surveys.n_surveys_sent, 0) as n_surveys_sent,
        coalesce(surveys.n_surveys_answered, 0) as n_surveys_answered,
        coalesce(surveys.score_sum, 0) as score_sum,
        coalesce(surveys.score_square_sum, 0) as score_square_sum
    from judged
    left join surveys
        on judged.interaction_id = surveys.interaction_id
            and judged.population = surveys.population
            and judged.agent_name = surveys.agent_name

)

select * from final
