{#- Types whose names differ between engines. Text, timestamps and booleans: dbt's own type_* macros. -#}

{% macro type_double() %}{{ return(adapter.dispatch('type_double')()) }}{% endmacro %}
{% macro default__type_double() %}double precision{% endmacro %}
{% macro duckdb__type_double() %}double{% endmacro %}

{#- Money: ten decimals hold the price of one token. -#}
{% macro type_money() %}decimal(28, 10){% endmacro %}

{#- The value as `type`, or null where it does not parse. Text without an offset is a UTC time. -#}
{% macro try_cast(expression, type) %}{{ return(adapter.dispatch('try_cast')(expression, type)) }}{% endmacro %}

{% macro default__try_cast(expression, type) %}try_cast({{ expression }} as {{ type }}){% endmacro %}

{% macro duckdb__try_cast(expression, type) -%}
    {%- if type == 'timestamp' -%}
        case
            when isfinite(try_cast({{ expression }} as timestamptz))
                then try_cast({{ expression }} as timestamptz) at time zone 'UTC'
        end
    {%- elif type == 'double' -%}
        case when isfinite(try_cast({{ expression }} as double)) then try_cast({{ expression }} as double) end
    {%- else -%}
        try_cast({{ expression }} as {{ type }})
    {%- endif -%}
{%- endmacro %}
