with segments as (

    select * from {{ ref('int_kpi_segments') }}

),

resolution_times as (

    select * from {{ ref('int_resolution_times') }}

),

measured as (

    {{ measured_kpis(
        'segments', 'resolution_times',
        key=['agent_name', 'arm', 'segment_type', 'segment'],
        also=['window_name', 'window_start', 'window_end'],
    ) }}

),

-- A segment answers to the tightest limits among the profiles of its task types.
segment_profiles as (

    {%- for segment_type, column in segment_types() %}
    select distinct
        coalesce(interactions.agent_name, '(none)') as agent_name,
        interactions.arm,
        '{{ segment_type }}' as segment_type,
        {{ "coalesce(interactions." ~ column ~ ", '(none)')" if column else "'all'" }} as segment,
        interactions.threshold_profile
    from {{ ref('int_interactions_configured') }} as interactions
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

limits as (

    {{ threshold_limits('segment_profiles', ['agent_name', 'arm', 'segment_type', 'segment']) }}

),

-- Comparisons are since launch; a trailing window has none.
comparisons as (

    select
        comparisons.*,
        responses.nonresponse_risk
    from {{ ref('holdout_comparison') }} as comparisons
    left join {{ ref('csat_response') }} as responses
        on comparisons.agent_name = responses.agent_name
            and comparisons.kpi = 'csat'
            and responses.population = case comparisons.comparison_type when 'holdout' then 'holdout' else 'baseline' end

),

provisional as (

    select * from {{ ref('int_provisional_values') }}

),

kpis as (

    select * from {{ ref('dim_kpis') }}

),

compared as (

    select
        measured.*,
        kpis.role,
        kpis.is_primary,
        kpis.unit,
        kpis.better,
        comparisons.comparison_type,
        comparisons.is_time_confounded,
        comparisons.baseline_kind,
        comparisons.reference_value,
        comparisons.delta,
        comparisons.delta_lower_bound,
        comparisons.delta_upper_bound,
        comparisons.relative_delta,
        comparisons.relative_lower_bound,
        comparisons.relative_upper_bound,
        comparisons.minimum_detectable_effect,
        comparisons.note as comparison_note,
        coalesce(comparisons.nonresponse_risk, false) as nonresponse_risk,
        provisional.provisional_value,
        provisional.provisional_lower_bound,
        provisional.provisional_upper_bound,
        provisional.provisional_n
    from measured
    inner join kpis on measured.kpi = kpis.kpi
    left join comparisons
        on measured.arm = 'ai'
            and measured.window_name = 'since_launch'
            and measured.agent_name = comparisons.agent_name
            and measured.segment_type = comparisons.segment_type
            and measured.segment = comparisons.segment
            and measured.kpi = comparisons.kpi
    left join provisional
        on measured.agent_name = provisional.agent_name
            and measured.arm = provisional.arm
            and measured.segment_type = provisional.segment_type
            and measured.segment = provisional.segment
            and measured.kpi = provisional.kpi

),

-- What each limit looks at: the level itself, or the distance from the reference in points or per cent.
judged as (

    select
        compared.agent_name,
        compared.segment_type,
        compared.segment,
        compared.kpi,
        limits.direction,
        limits.unit as limit_unit,
        limits.warning,
        limits.critical,
        limits.catastrophic,
        limits.certain_from_warning,
        limits.certain_from_critical,
        limits.certain_from_catastrophic,
        {%- for column, relative in [('value', 'delta'), ('lower_bound', 'lower_bound'), ('upper_bound', 'upper_bound')] %}
        case limits.unit
            when 'absolute' then compared.{{ column }}
            when 'percent' then 100 * compared.relative_{{ relative }}
            else
                case when compared.unit = 'share' then 100 else 1 end
                * compared.{{ 'delta' if relative == 'delta' else 'delta_' ~ relative }}
        end as {{ column }},
        {%- endfor %}
        -- Half of the 90% interval: what the data could not have told apart.
        case limits.unit
            when 'percent' then 100 / nullif(abs(compared.reference_value), 0)
            when 'pp' then case when compared.unit = 'share' then 100 else 1 end
        end * compared.minimum_detectable_effect * 1.6449 / 2.8016 as imprecision
    from compared
    inner join limits
        on compared.agent_name = limits.agent_name
            and compared.arm = limits.arm
            and compared.segment_type = limits.segment_type
            and compared.segment = limits.segment
            and compared.kpi = limits.kpi
    where compared.arm = 'ai'

),

graded as (

    select
        judged.*,
        {{ level_number('judged.value', 'judged.direction', 'judged.warning', 'judged.critical', 'judged.catastrophic') }}
            as point_number,
        coalesce({{ certain_level_number('judged.lower_bound', 'judged.upper_bound', 'judged') }}, 0) as certain_number
    from judged

),

-- The level that both the point and the limits reach; without limits none.
confirmed as (

    select
        *,
        case when certain_number < point_number then certain_number else point_number end as level_number
    from graded

),

ranked as (

    select
        *,
        row_number() over (
            partition by agent_name, segment_type, segment, kpi
            order by level_number desc nulls last, direction asc
        ) as severity,
        {{ any_true_over('point_number >= 2', 'agent_name, segment_type, segment, kpi') }} as is_beyond,
        {{ any_true_over("limit_unit != 'absolute'", 'agent_name, segment_type, segment, kpi') }} as has_distance_limit,
        {{ any_true_over(
            "limit_unit != 'absolute' and (imprecision is null or imprecision > 0.65 * abs(warning))", 'agent_name, segment_type, segment, kpi'
        ) }} as is_imprecise
    from confirmed

),

levels as (

    select * from ranked
    where severity = 1

),

final as (

    select
        cast(compared.agent_name as {{ dbt.type_string() }}) as agent_name,
        cast(compared.arm as {{ dbt.type_string() }}) as arm,
        cast(compared.segment_type as {{ dbt.type_string() }}) as segment_type,
        cast(compared.segment as {{ dbt.type_string() }}) as segment,
        cast(compared.kpi as {{ dbt.type_string() }}) as kpi,
        compared.role,
        compared.is_primary,
        compared.unit,
        cast(compared.value as {{ type_double() }}) as value,
        cast(compared.lower_bound as {{ type_double() }}) as lower_bound,
        cast(compared.upper_bound as {{ type_double() }}) as upper_bound,
        cast(compared.n as bigint) as n,
        cast(compared.numerator as {{ type_double() }}) as numerator,
        cast(compared.denominator as {{ type_double() }}) as denominator,
        cast(compared.n_censored as bigint) as n_censored,
        cast(compared.window_name as {{ dbt.type_string() }}) as window_name,
        cast(compared.window_start as date) as window_start,
        cast(compared.window_end as date) as window_end,
        cast(compared.reference_value as {{ type_double() }}) as reference_value,
        cast(compared.delta as {{ type_double() }}) as delta,
        cast(compared.delta_lower_bound as {{ type_double() }}) as delta_lower_bound,
        cast(compared.delta_upper_bound as {{ type_double() }}) as delta_upper_bound,
        cast(coalesce(compared.comparison_type, 'no_reference') as {{ dbt.type_string() }}) as comparison_type,
        compared.is_time_confounded,
        cast(compared.baseline_kind as {{ dbt.type_string() }}) as baseline_kind,
        cast(compared.minimum_detectable_effect as {{ type_double() }}) as minimum_detectable_effect,
        {%- for column in ['provisional_value', 'provisional_lower_bound', 'provisional_upper_bound'] %}
        cast(compared.{{ column }} as {{ type_double() }}) as {{ column }},
        {%- endfor %}
        cast(compared.provisional_n as bigint) as provisional_n,
        cast(
            case
                when compared.value is null and compared.n = 0 then 'no_data'
                when compared.value is null then 'insufficient_data'
                when compared.arm != 'ai' then 'no_reference'
                when levels.level_number >= 2 then {{ level_name('levels.level_number') }}
                when levels.is_beyond then 'insufficient_data'
                when compared.comparison_type is null then 'no_reference'
                when not coalesce(levels.has_distance_limit, false) then null
                when compared.delta is null or levels.is_imprecise then 'insufficient_data'
                else 'ok'
            end as {{ dbt.type_string() }}
        ) as level,
        cast(case when levels.level_number >= 2 then levels.direction end as {{ dbt.type_string() }}) as level_direction,
        cast(
            case
                when compared.value is not null
                    then rank() over (
                            partition by compared.arm, compared.segment_type, compared.segment, compared.kpi
                            order by case when compared.better = 'high' then -compared.value else compared.value end nulls last
                        )
            end as integer
        ) as rank_among_agents,
        cast(
            coalesce(
                compared.note,
                compared.comparison_note,
                case when compared.nonresponse_risk then 'nonresponse_risk' end
            ) as {{ dbt.type_string() }}
        ) as note
    from compared
    left join levels
        on compared.arm = 'ai'
            and compared.agent_name = levels.agent_name
            and compared.segment_type = levels.segment_type
            and compared.segment = levels.segment
            and compared.kpi = levels.kpi

)

select * from final
