{#-
    A table of a source system with the columns that are read, cast, whatever types it has. `columns`: (column, name here,
    contract type). Beside them is_removed (the loader saw that the row is gone), synced_at, and raw_row (the columns
    read, as JSON). A column of `optional` that is not there is null; another one stops the build.
-#}
{% macro stage_source(source_name, table, columns, optional=[]) %}
    {%- set relation = source(source_name, table) -%}
    {%- set present = {} -%}
    {%- if execute -%}
        {%- if not load_relation(relation) -%}
            {{ exceptions.raise_compiler_error(
                "No table " ~ relation ~ ". The source " ~ source_name ~ " reads it; the schema is `vars: " ~ source_name
                ~ "_schema` of dbt_project.yml."
            ) }}
        {%- endif -%}
        {%- for column in adapter.get_columns_in_relation(relation) -%}
            {%- do present.update({column.name | lower: column}) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- set all_columns = columns + [
        ('_fivetran_deleted', 'is_removed', 'boolean'),
        ('_fivetran_synced', 'synced_at', 'timestamp'),
    ] -%}
    {%- set optional = optional + ['_fivetran_deleted', '_fivetran_synced'] -%}
    {%- set read, missing = [], [] -%}
    {%- for column, name, type in all_columns -%}
        {%- if column | lower in present -%}
            {%- do read.append(present[column | lower].quoted) -%}
        {%- elif column not in optional -%}
            {%- do missing.append(column) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if execute and missing -%}
        {{ exceptions.raise_compiler_error(
            relation ~ " lacks the column" ~ ("s " if missing | length > 1 else " ") ~ missing | join(", ")
            ~ ". It has: " ~ present.keys() | join(", ")
        ) }}
    {%- endif -%}
    select
        {%- for column, name, type in all_columns %}
        {{ source_value(present.get(column | lower), type) }} as {{ name }},
        {%- endfor %}
        {{ row_as_json('raw', read | unique | list) if execute else 'null' }} as raw_row
    from {{ relation }} as raw
{% endmacro %}

{#- A column of `raw` as a contract type; blank text is null, and an id that landed as a decimal number is a whole one. -#}
{% macro source_value(column, type) -%}
    {%- set engine_type = dbt.type_string() if type == 'string' else (dbt.type_timestamp() if type == 'timestamp' else type) -%}
    {%- if not column -%} cast(null as {{ engine_type }})
    {%- else -%}
        {%- set value = 'raw.' ~ column.quoted -%}
        {%- if type != 'string' -%} {{ try_cast(value, type, column.dtype) }}
        {%- elif column.is_string() -%} nullif(trim({{ value }}), '')
        {%- elif column.is_float() or column.is_numeric() or column.dtype.lower().startswith('decimal') -%}
            cast({{ try_cast(value, 'bigint', column.dtype) }} as {{ engine_type }})
        {%- else -%} cast({{ value }} as {{ engine_type }})
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- A value of the configuration as a text constant. -#}
{% macro text_constant(value) -%}
    {{ dbt.string_literal(dbt.escape_single_quotes(value | string)) }}
{%- endmacro %}
