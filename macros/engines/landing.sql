{#- Reading landing files. `read_landing` returns none where the entity has no file, else
    {file, scan (what to select from), row_number (an expression), columns: {lower-case name: engine type}}. -#}
{% macro read_landing(entity) %}{{ return(adapter.dispatch('read_landing')(entity)) }}{% endmacro %}

{% macro default__read_landing(entity) %}
    {{ exceptions.raise_compiler_error(
        "Landing files are read on DuckDB. On " ~ target.type ~ ", write stg_<source>__" ~ entity
        ~ " over a table and name the source in `vars: sources` of dbt_project.yml."
    ) }}
{% endmacro %}

{% macro duckdb__read_landing(entity) %}
    {%- set folder = landing_dir() | replace("'", "''") -%}
    {%- set files = [] -%}
    {%- for ending in ['parquet', 'csv'] -%}
        {%- for row in run_query("select file from glob('" ~ folder ~ "/" ~ entity ~ "." ~ ending ~ "')").rows -%}
            {%- do files.append(row[0]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if files | length == 0 -%}{{ return(none) }}{%- endif -%}
    {%- if files | length > 1 -%}
        {{ exceptions.raise_compiler_error(
            "Two landing files for " ~ entity ~ ": " ~ files | join(" and ") ~ ". Keep the one that counts."
        ) }}
    {%- endif -%}
    {%- set path = files[0] | replace("'", "''") -%}
    {%- if path.endswith('.parquet') -%}
        {%- set scan = "read_parquet('" ~ path ~ "', file_row_number = true)" -%}
        {%- set row_number = "file_row_number + 1" -%}
    {%- else -%}
        {%- set scan = "read_csv('" ~ path ~ "', header = true, all_varchar = true, delim = ',', quote = '\"', escape = '\"')" -%}
        {%- set row_number = "row_number() over ()" -%}
    {%- endif -%}
    {%- set columns = {} -%}
    {%- for row in run_query("describe select * from " ~ scan).rows -%}
        {%- do columns.update({row[0] | lower: row[1]}) -%}
    {%- endfor -%}
    {{ return({'file': files[0], 'scan': scan, 'row_number': row_number, 'columns': columns}) }}
{% endmacro %}

{#- A landing column before it is cast: empty text and not-a-number are missing. -#}
{% macro landing_value(column, engine_type) %}{{ return(adapter.dispatch('landing_value')(column, engine_type)) }}{% endmacro %}

{% macro duckdb__landing_value(column, engine_type) -%}
    {%- if engine_type == 'VARCHAR' -%} nullif("{{ column }}", '')
    {%- elif engine_type in ['FLOAT', 'DOUBLE'] -%} case when not isnan("{{ column }}") then "{{ column }}" end
    {%- else -%} "{{ column }}"
    {%- endif -%}
{%- endmacro %}

{#- The named columns of a relation's row as one JSON text. -#}
{% macro row_as_json(relation, columns) %}{{ return(adapter.dispatch('row_as_json')(relation, columns)) }}{% endmacro %}

{% macro duckdb__row_as_json(relation, columns) -%}
    cast(to_json(struct_pack({% for column in columns %}{{ column }} := {{ relation }}.{{ column }}{{ ", " if not loop.last }}{% endfor %})) as varchar)
{%- endmacro %}
