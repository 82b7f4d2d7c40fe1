with versions as (

    {{ effective_versions(ref('leading_indicators'), ['indicator', 'kpi']) }}

),

final as (

    select
        versions.kpi,
        versions.indicator,
        versions.diagnosis_order,
        versions.direction,
        versions.owner
    from versions
    inner join {{ ref('int_as_of') }} as clock on {{ is_effective('versions', 'clock.as_of') }}

)

select * from final
