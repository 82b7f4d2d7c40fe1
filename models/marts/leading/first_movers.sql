with movements as (

    select * from {{ ref('int_first_movers') }}

),

final as (

    select
        {%- for column in ['agent_name', 'segment_type', 'segment', 'kpi'] %}
        cast({{ column }} as {{ dbt.type_string() }}) as {{ column }},
        {%- endfor %}
        {%- for column in ['moved_on', 'moved_on_lower', 'moved_on_upper'] %}
        cast({{ column }} as date) as {{ column }},
        {%- endfor %}
        cast(kpi_before as {{ type_double() }}) as kpi_before,
        cast(kpi_after as {{ type_double() }}) as kpi_after,
        cast(direction as {{ dbt.type_string() }}) as direction,
        cast(first_mover as {{ dbt.type_string() }}) as first_mover,
        {%- for column in ['lead_days', 'lead_days_lower', 'lead_days_upper'] %}
        cast({{ column }} as integer) as {{ column }},
        {%- endfor %}
        cast(indicator_before as {{ type_double() }}) as indicator_before,
        cast(indicator_after as {{ type_double() }}) as indicator_after,
        cast(candidates as {{ dbt.type_string() }}) as candidates,
        cast(n_searched as integer) as n_searched,
        cast(p_value as {{ type_double() }}) as p_value
    from movements

)

select * from final
