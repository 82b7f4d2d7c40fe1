with deciles as (

    select * from {{ ref('int_judge_deciles') }}

),

final as (

    select
        cast(indicator as {{ dbt.type_string() }}) as indicator,
        cast(evaluator_name as {{ dbt.type_string() }}) as evaluator_name,
        cast(evaluator_version as {{ dbt.type_string() }}) as evaluator_version,
        cast(decile as integer) as decile,
        cast(n as bigint) as n,
        {%- for column in ['lowest_score', 'highest_score', 'mean_score', 'mean_csat'] %}
        cast({{ column }} as {{ type_double() }}) as {{ column }},
        {%- endfor %}
        cast(expected_csat as {{ type_double() }}) as expected_csat
    from deciles

)

select * from final
