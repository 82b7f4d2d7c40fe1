{#- Types whose names differ between engines. Text, timestamps and booleans: dbt's own type_* macros. -#}

{% macro type_double() %}{{ return(adapter.dispatch('type_double')()) }}{% endmacro %}
{% macro default__type_double() %}double precision{% endmacro %}
{% macro duckdb__type_double() %}double{% endmacro %}

{#- Money: ten decimals hold the price of one token. -#}
{% macro type_money() %}decimal(28, 10){% endmacro %}

{#-
    The value as `type`, or null where it does not say one: text without an offset is a UTC time, and what an engine would
    kindly read as something else (12.5 as a whole number, 0x1F, epoch) does not parse. `from_type`: the engine's type of the expression.
-#}
{% macro try_cast(expression, type, from_type) %}{{ return(adapter.dispatch('try_cast')(expression, type, from_type)) }}{% endmacro %}

{#- Whether a cast could fail: where it cannot, nobody needs to look. -#}
{% macro cast_may_fail(from_type, type) %}{{ return(adapter.dispatch('cast_may_fail')(from_type, type)) }}{% endmacro %}

{% macro duckdb__cast_may_fail(from_type, type) %}
    {%- set safe = {
        'timestamp': ['TIMESTAMP', 'TIMESTAMP_S', 'TIMESTAMP_MS', 'DATE'],
        'bigint': ['BIGINT', 'INTEGER', 'SMALLINT', 'TINYINT', 'UINTEGER', 'USMALLINT', 'UTINYINT'],
        'integer': ['INTEGER', 'SMALLINT', 'TINYINT', 'USMALLINT', 'UTINYINT'],
        'boolean': ['BOOLEAN'],
    } -%}
    {{ return(from_type not in safe.get(type, [])) }}
{% endmacro %}

{% macro duckdb__try_cast(expression, type, from_type) -%}
    {%- set patterns = {
        'timestamp': '\\s*[0-9]{4}-.*',
        'bigint': '\\s*[-+]?[0-9]+([.]0*)?\\s*',
        'integer': '\\s*[-+]?[0-9]+([.]0*)?\\s*',
        'double': '\\s*[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?\\s*',
    } -%}
    {%- set pattern = patterns.get(type, patterns['double'] if type.startswith('decimal') else none) -%}
    {%- if type == 'timestamp' -%}
        {%- set value = "try_cast(" ~ expression ~ " as timestamptz)" -%}
        {%- set is_sound = "isfinite(" ~ value ~ ")" -%}
        {%- set value = value ~ " at time zone 'UTC'" -%}
    {%- else -%}
        {%- set value = "try_cast(" ~ expression ~ " as " ~ type ~ ")" -%}
        {%- set is_sound = "isfinite(" ~ value ~ ")" if type == 'double' else none -%}
    {%- endif -%}
    {%- if from_type == 'VARCHAR' and pattern -%}
        case when regexp_full_match({{ expression }}, '{{ pattern }}'){{ ' and ' ~ is_sound if is_sound }} then {{ value }} end
    {%- elif from_type in ['FLOAT', 'DOUBLE'] and type in ['bigint', 'integer'] -%}
        case when {{ expression }} = trunc({{ expression }}) then {{ value }} end
    {%- elif is_sound -%}
        case when {{ is_sound }} then {{ value }} end
    {%- else -%}
        {{ value }}
    {%- endif -%}
{%- endmacro %}
