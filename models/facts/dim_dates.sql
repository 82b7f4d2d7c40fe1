
with spine as (

    {% set source = ref('int_interactions_configured') -%}
    {% set first = "(select coalesce(cast(min(opened_at) as date), cast('2000-01-01' as date)) from " ~ source ~ ")" -%}
    {% set after_last = "(select coalesce(cast(max(as_of) as date), cast('2000-01-01' as date)) + 1 from " ~ source ~ ")" -%}
    {{ dbt.date_spine('day', first, after_last) if execute else 'select cast(null as date) as date_day' }}

),

final as (

    select
        cast(date_day as date) as date_day,
        {{ week_of('cast(date_day as date)') }} as week_start,
        cast({{ dbt.date_trunc('month', 'cast(date_day as date)') }} as date) as month_start
    from spine

)

select * from final
