with registry as (

    {%- for entry in kpi_registry() %}
    select
        '{{ entry.kpi }}' as kpi,
        '{{ entry.role }}' as role,
        {{ 'true' if entry.role == 'primary' else 'false' }} as is_primary,
        '{{ entry.label }}' as label,
        '{{ entry.unit }}' as unit,
        '{{ entry.better }}' as better,
        '{{ entry.method }}' as method,
        {%- for part in ['numerator', 'denominator', 'square_sum', 'alarm_numerator'] %}
        {{ "'" ~ entry[part] ~ "'" if entry[part] else 'null' }} as {{ part }},
        {%- endfor %}
        {{ loop.index }} as display_order
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

final as (

    select
        {%- for column in ['kpi', 'role', 'label', 'unit', 'better', 'method', 'numerator', 'denominator', 'square_sum', 'alarm_numerator'] %}
        cast({{ column }} as {{ dbt.type_string() }}) as {{ column }},
        {%- endfor %}
        is_primary,
        cast(display_order as integer) as display_order
    from registry

)

select * from final
