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

    {{ absolute_limits('segment_profiles', ['agent_name', 'arm', 'segment_type', 'segment']) }}

),

breaches as (

    select
        measured.agent_name,
        measured.arm,
        measured.segment_type,
        measured.segment,
        measured.kpi,
        limits.direction,
        {{ level_number('measured.value', 'limits.direction', 'limits.warning', 'limits.critical', 'limits.catastrophic') }}
            as level_number,
        {{ interval_is_beyond('measured.lower_bound', 'measured.upper_bound', 'limits.direction', 'limits.warning') }}
            as is_certain
    from measured
    inner join limits
        on measured.agent_name = limits.agent_name
            and measured.arm = limits.arm
            and measured.segment_type = limits.segment_type
            and measured.segment = limits.segment
            and measured.kpi = limits.kpi

),

worst_breaches as (

    select
        breaches.*,
        row_number() over (
            partition by agent_name, arm, segment_type, segment, kpi
            order by level_number desc nulls last, direction asc
        ) as severity
    from breaches

),

kpis as (

    select * from {{ ref('dim_kpis') }}

),

final as (

    select
        cast(measured.agent_name as {{ dbt.type_string() }}) as agent_name,
        cast(measured.arm as {{ dbt.type_string() }}) as arm,
        cast(measured.segment_type as {{ dbt.type_string() }}) as segment_type,
        cast(measured.segment as {{ dbt.type_string() }}) as segment,
        cast(measured.kpi as {{ dbt.type_string() }}) as kpi,
        kpis.role,
        kpis.is_primary,
        kpis.unit,
        cast(measured.value as {{ type_double() }}) as value,
        cast(measured.lower_bound as {{ type_double() }}) as lower_bound,
        cast(measured.upper_bound as {{ type_double() }}) as upper_bound,
        cast(measured.n as bigint) as n,
        cast(measured.numerator as {{ type_double() }}) as numerator,
        cast(measured.denominator as {{ type_double() }}) as denominator,
        cast(measured.n_censored as bigint) as n_censored,
        cast(measured.window_name as {{ dbt.type_string() }}) as window_name,
        cast(measured.window_start as date) as window_start,
        cast(measured.window_end as date) as window_end,
        cast(null as {{ type_double() }}) as reference_value,
        cast(null as {{ type_double() }}) as delta,
        cast(null as {{ type_double() }}) as delta_lower_bound,
        cast(null as {{ type_double() }}) as delta_upper_bound,
        cast('no_reference' as {{ dbt.type_string() }}) as comparison_type,
        cast(null as boolean) as is_time_confounded,
        cast(null as {{ type_double() }}) as minimum_detectable_effect,
        cast(null as {{ type_double() }}) as provisional_value,
        cast(
            case
                when measured.value is null and measured.n = 0 then 'no_data'
                when measured.value is null then 'insufficient_data'
                when measured.arm = 'ai' and worst_breaches.level_number >= 2 and not worst_breaches.is_certain
                    then 'insufficient_data'
                when measured.arm = 'ai' and worst_breaches.level_number >= 2 then {{ level_name('worst_breaches.level_number') }}
                else 'no_reference'
            end as {{ dbt.type_string() }}
        ) as level,
        cast(
            case
                when measured.arm = 'ai' and worst_breaches.level_number >= 2 and worst_breaches.is_certain
                    then worst_breaches.direction
            end
            as {{ dbt.type_string() }}
        ) as level_direction,
        cast(
            case
                when measured.value is not null
                    then rank() over (
                            partition by measured.arm, measured.segment_type, measured.segment, measured.kpi
                            order by case when kpis.better = 'high' then -measured.value else measured.value end nulls last
                        )
            end as integer
        ) as rank_among_agents,
        cast(measured.note as {{ dbt.type_string() }}) as note
    from measured
    inner join kpis on measured.kpi = kpis.kpi
    left join worst_breaches
        on measured.agent_name = worst_breaches.agent_name
            and measured.arm = worst_breaches.arm
            and measured.segment_type = worst_breaches.segment_type
            and measured.segment = worst_breaches.segment
            and measured.kpi = worst_breaches.kpi
            and worst_breaches.severity = 1

)

select * from final
