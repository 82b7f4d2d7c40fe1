{{ config(severity='warn') }}

-- The first version of an agent is judged against people, so it needs none of this.
with releases as (

    select
        versions.agent_name,
        versions.agent_version,
        versions.target_kpi,
        versions.expected_direction,
        versions.min_effect,
        versions.decide_by,
        versions.valid_from as released_at,
        kpis.kpi,
        kpis.unit
    from {{ ref('dim_agent_versions') }} as versions
    left join {{ ref('dim_kpis') }} as kpis
        on versions.target_kpi = kpis.kpi
            and kpis.role in ('primary', 'kpi')
    where versions.previous_version is not null

),

final as (

    select
        agent_name,
        agent_version,
        case
            when target_kpi is null then 'no target_kpi'
            when kpi is null then 'target_kpi ' || target_kpi || ' is not one of the five KPIs'
            when min_effect is null then 'no min_effect'
            when min_effect <= 0 then 'min_effect is not positive'
            when unit = 'share' and min_effect >= 1 then 'min_effect of a share is in points; five points are 0.05'
            when decide_by <= released_at then 'decide_by is not after released_at'
        end as fault
    from releases

)

select * from final
where fault is not null
