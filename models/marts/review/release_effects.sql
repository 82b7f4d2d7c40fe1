{%- set values = [
    'covered_share', 'design_effect', 'ai_before', 'ai_after', 'reference_before', 'reference_after', 'effect', 'lower_bound', 'upper_bound',
    'minimum_detectable_effect', 'time_confounded_effect', 'time_confounded_lower_bound', 'time_confounded_upper_bound',
] -%}

with effects as (

    select * from {{ ref('int_release_effects') }}

),

windows as (

    select * from {{ ref('int_release_windows') }}

),

final as (

    select
        windows.agent_name,
        windows.agent_version,
        windows.previous_version,
        windows.released_at,
        windows.change_type,
        windows.summary,
        cast(effects.kpi as {{ dbt.type_string() }}) as kpi,
        kpis.unit,
        effects.is_target,
        cast(effects.expected_direction as {{ dbt.type_string() }}) as expected_direction,
        cast(effects.min_effect as {{ type_double() }}) as min_effect,
        windows.decide_by,
        windows.planned_to <= windows.as_of and effects.n_pending = 0 as is_decided,
        cast(effects.comparison_type as {{ dbt.type_string() }}) as comparison_type,
        effects.comparison_type = 'pre_release' as is_time_confounded,
        case effects.comparison_type when 'holdout' then windows.before_from when 'pre_release' then windows.alone_from end as before_from,
        case when effects.comparison_type != 'paired' then windows.released_at end as before_to,
        case when effects.comparison_type != 'paired' then windows.released_at end as after_from,
        case when effects.comparison_type != 'paired' then windows.after_to end as after_to,
        {%- for column in ['n_ai_before', 'n_ai_after', 'n_holdout_before', 'n_holdout_after', 'n_pairs', 'n_pending'] %}
        cast(effects.{{ column }} as bigint) as {{ column }},
        {%- endfor %}
        {%- for column in values %}
        cast(effects.{{ column }} as {{ type_double() }}) as {{ column }},
        {%- endfor %}
        cast(effects.verdict as {{ dbt.type_string() }}) as verdict,
        cast(effects.note as {{ dbt.type_string() }}) as note
    from effects
    inner join windows
        on effects.agent_name = windows.agent_name
            and effects.agent_version = windows.agent_version
    inner join {{ ref('dim_kpis') }} as kpis on effects.kpi = kpis.kpi

)

select * from final
