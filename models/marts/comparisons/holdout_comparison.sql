{%- set key = ['agent_name', 'segment_type', 'segment', 'kpi'] -%}
{%- set deltas = [
    'delta', 'delta_lower_bound', 'delta_upper_bound', 'fixed_lower_bound', 'fixed_upper_bound',
    'relative_delta', 'relative_lower_bound', 'relative_upper_bound',
    'restricted_mean_delta', 'restricted_mean_lower_bound', 'restricted_mean_upper_bound', 'p_value', 'adjusted_p_value',
] -%}

with estimates as (

    select * from {{ ref('int_comparison_estimates') }}

),

-- The holdout where there is one, else the baseline.
ranked as (

    select
        estimates.*,
        row_number() over (
            partition by {{ key | join(', ') }}
            order by case comparison_type when 'holdout' then 1 else 2 end
        ) as preference
    from estimates
    where comparison_type in ('holdout', 'pre_launch')

),

chosen as (

    select
        ranked.*,
        ranked.comparison_type = 'holdout' and coalesce(balance.has_sample_ratio_mismatch, false) as is_withheld
    from ranked
    left join {{ ref('holdout_balance') }} as balance on ranked.agent_name = balance.agent_name
    where ranked.preference = 1

),

pre_launch as (

    select * from estimates
    where comparison_type = 'pre_launch'

),

crude as (

    select * from estimates
    where comparison_type = 'crude'

),

baseline_kinds as (

    select distinct
        agent_name,
        segment_type,
        segment,
        baseline_kind
    from {{ ref('kpi_baselines') }}

),

final as (

    select
        {%- for column in key %}
        cast(chosen.{{ column }} as {{ dbt.type_string() }}) as {{ column }},
        {%- endfor %}
        kpis.unit,
        cast(chosen.comparison_type as {{ dbt.type_string() }}) as comparison_type,
        chosen.comparison_type = 'pre_launch' as is_time_confounded,
        case when chosen.comparison_type = 'pre_launch' then baseline_kinds.baseline_kind end as baseline_kind,
        cast(chosen.ai_value as {{ type_double() }}) as ai_value,
        cast(chosen.reference_value as {{ type_double() }}) as reference_value,
        {%- for column in deltas %}
        cast(case when not chosen.is_withheld then chosen.{{ column }} end as {{ type_double() }}) as {{ column }},
        {%- endfor %}
        cast(chosen.minimum_detectable_effect as {{ type_double() }}) as minimum_detectable_effect,
        cast(chosen.n_ai as bigint) as n_ai,
        cast(chosen.n_reference as bigint) as n_reference,
        cast(chosen.covered_share as {{ type_double() }}) as covered_share,
        cast(chosen.design_effect as {{ type_double() }}) as design_effect,
        cast(pre_launch.delta as {{ type_double() }}) as time_confounded_delta,
        cast(pre_launch.fixed_lower_bound as {{ type_double() }}) as time_confounded_lower_bound,
        cast(pre_launch.fixed_upper_bound as {{ type_double() }}) as time_confounded_upper_bound,
        cast(crude.delta as {{ type_double() }}) as mix_confounded_delta,
        chosen.is_withheld,
        cast(case when chosen.is_withheld then 'sample_ratio_mismatch' else chosen.note end as {{ dbt.type_string() }}) as note
    from chosen
    inner join {{ ref('dim_kpis') }} as kpis on chosen.kpi = kpis.kpi
    {%- for other in ['pre_launch', 'crude'] %}
    left join {{ other }}
        on {{ keys_agree('chosen', other, key) }}
    {%- endfor %}
    left join baseline_kinds
        on {{ keys_agree('chosen', 'baseline_kinds', ['agent_name', 'segment_type', 'segment']) }}

)

select * from final
