{{ config(schema='marts') }}

with rejected as (

    {%- for entity in entities() %}
    select
        '{{ entity }}' as entity,
        {{ row_key(entity) }} as key,
        rejection_reason,
        rejection_column,
        source_row_number,
        coalesce(raw_row, {{ row_as_json('screened', contract_columns(entity) | map(attribute='name') | list) }}) as raw_row
    from {{ ref('int_' ~ entity ~ '_screened') }} as screened
    where rejection_reason is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

final as (

    select
        cast(entity as {{ dbt.type_string() }}) as entity,
        cast(key as {{ dbt.type_string() }}) as key,
        cast(rejection_reason as {{ dbt.type_string() }}) as reason,
        cast(rejection_column as {{ dbt.type_string() }}) as column_name,
        cast(source_row_number as bigint) as source_row_number,
        cast(raw_row as {{ dbt.type_string() }}) as raw_row
    from rejected

)

select * from final
