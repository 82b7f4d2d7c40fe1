with bounds as (

    select
        cast(min(opened_at) as date) as first_day,
        cast(max(as_of) as date) as last_day
    from {{ ref('int_interactions_configured') }}

),

digits as (

    {%- for digit in range(10) %}
    select {{ digit }} as digit
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

-- Ten thousand days: 27 years.
numbers as (

    select ones.digit + 10 * tens.digit + 100 * hundreds.digit + 1000 * thousands.digit as number
    from digits as ones
    cross join digits as tens
    cross join digits as hundreds
    cross join digits as thousands

),

days as (

    select cast({{ dbt.dateadd('day', 'numbers.number', 'bounds.first_day') }} as date) as date_day
    from bounds
    cross join numbers
    where cast({{ dbt.dateadd('day', 'numbers.number', 'bounds.first_day') }} as date) <= bounds.last_day

),

final as (

    select
        date_day,
        {{ week_of('date_day') }} as week_start,
        cast({{ dbt.date_trunc('month', 'date_day') }} as date) as month_start
    from days

)

select * from final
