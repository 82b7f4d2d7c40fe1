{%- set key = ['agent_name', 'segment_type', 'segment', 'population'] -%}
{%- set kpis = ['task_completion_rate', 'escalation_rate', 'time_to_resolution', 'cost_per_successful_outcome', 'csat', 'resolution_rate'] -%}

with cells as (

    select * from {{ ref('int_comparison_cells') }}
    where population in ('baseline', 'restated')

),

parts as (

    select
        {{ key | join(', ') }},
        {%- for part in [
            'n_mature', 'n_completed', 'n_resolved', 'n_escalated', 'n_unresolved', 'n_priced', 'n_completed_priced', 'cost_priced_usd',
            'cost_unallocated_usd', 'cost_square_sum', 'cost_completed_usd', 'n_surveys_answered', 'score_sum', 'score_square_sum',
        ] %}
        sum({{ part }}) as {{ part }},
        {%- endfor %}
        min(first_day) as first_day,
        max(last_day) as last_day
    from cells
    group by {{ key | join(', ') }}

),

interactions as (

    select * from {{ ref('int_compared_interactions') }}
    where population in ('baseline', 'restated') and is_mature

),

segmented as (

    {{ by_segment('interactions') }}

),

times as (

    {{ median_times('segmented', key) }}

),

measured as (

    {{ measured_kpis('parts', 'times', key=key, also=['first_day', 'last_day'], kpis=kpis) }}

),

scopes as (

    select
        agent_name,
        task_type,
        baseline_kind,
        launched_at
    from {{ ref('dim_agent_scopes') }}
    where baseline_kind is not null

),

-- A segment's baseline is retroactive where that of any of its task types is.
kinds as (

    select
        cells.agent_name,
        cells.segment_type,
        cells.segment,
        max(scopes.baseline_kind) as baseline_kind,
        max(case when scopes.launched_at < clock.as_of then scopes.launched_at else clock.as_of end) as known_at
    from cells
    cross join {{ ref('int_as_of') }} as clock
    inner join scopes
        on cells.agent_name = scopes.agent_name
            and cells.task_type = scopes.task_type
    group by cells.agent_name, cells.segment_type, cells.segment

),

restated as (

    select * from measured
    where population = 'restated'

),

final as (

    select
        measured.agent_name,
        cast(measured.segment_type as {{ dbt.type_string() }}) as segment_type,
        cast(measured.segment as {{ dbt.type_string() }}) as segment,
        cast(measured.kpi as {{ dbt.type_string() }}) as kpi,
        kpis.unit,
        kinds.baseline_kind,
        cast(measured.first_day as date) as window_start,
        cast(measured.last_day as date) as window_end,
        kinds.known_at,
        cast(measured.value as {{ type_double() }}) as value,
        cast(measured.lower_bound as {{ type_double() }}) as lower_bound,
        cast(measured.upper_bound as {{ type_double() }}) as upper_bound,
        cast(measured.n as bigint) as n,
        cast(measured.numerator as {{ type_double() }}) as numerator,
        cast(measured.denominator as {{ type_double() }}) as denominator,
        cast(measured.n_censored as bigint) as n_censored,
        cast(restated.value as {{ type_double() }}) as restated_value,
        cast(restated.n as bigint) as restated_n,
        cast(measured.note as {{ dbt.type_string() }}) as note
    from measured
    inner join kinds
        on {{ keys_agree('measured', 'kinds', ['agent_name', 'segment_type', 'segment']) }}
    inner join {{ ref('dim_kpis') }} as kpis on measured.kpi = kpis.kpi
    left join restated
        on {{ keys_agree('measured', 'restated', ['agent_name', 'segment_type', 'segment', 'kpi']) }}
    where measured.population = 'baseline'

)

select * from final
