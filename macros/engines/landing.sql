{#- Reading landing files. `read_landing` returns none where the entity has no file, else
    {file, scan (what to select from), row_number (an expression), columns: {lower-case name: engine type},
    repeated: names that stand in the header more than once}. -#}
{% macro read_landing(entity) %}{{ return(adapter.dispatch('read_landing')(entity)) }}{% endmacro %}

{% macro default__read_landing(entity) %}
    {{ exceptions.raise_compiler_error(
        "Landing files are read on DuckDB. On " ~ target.type ~ ", write stg_<source>__" ~ entity
        ~ " over a table and name the source in `vars: sources` of dbt_project.yml."
    ) }}
{% endmacro %}

{% macro duckdb__read_landing(entity) %}
    {%- set files = [] -%}
    {%- for ending in ['parquet', 'csv'] -%}
        {%- set path = landing_dir() ~ '/' ~ entity ~ '.' ~ ending -%}
        {%- for row in run_query("select file from glob(" ~ duckdb__path(path) ~ ")").rows -%}
            {%- do files.append(row[0]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if files | length == 0 -%}{{ return(none) }}{%- endif -%}
    {%- if files | length > 1 -%}
        {{ exceptions.raise_compiler_error(
            "Two landing files for " ~ entity ~ ": " ~ files | join(" and ") ~ ". Keep the one that counts."
        ) }}
    {%- endif -%}
    {%- set path = duckdb__path(files[0]) -%}
    {%- set columns, repeated = {}, [] -%}
    {%- if files[0].endswith('.parquet') -%}
        {%- set scan = "read_parquet(" ~ path ~ ", file_row_number = true, binary_as_string = true)" -%}
        {%- set row_number = "file_row_number + 1" -%}
        {%- for row in run_query("describe select * from " ~ scan).rows -%}
            {%- do columns.update({row[0] | lower: row[1]}) -%}
        {%- endfor -%}
    {%- else -%}
        {%- for name in duckdb__csv_header(files[0]) -%}
            {%- if name in columns -%}{%- do repeated.append(name) -%}{%- endif -%}
            {%- do columns.update({name if name and name not in columns else name ~ '__' ~ loop.index: 'VARCHAR'}) -%}
        {%- endfor -%}
        {%- set types = [] -%}
        {%- for name in columns -%}{%- do types.append("'" ~ name | replace("'", "''") ~ "': 'VARCHAR'") -%}{%- endfor -%}
        {#- Nothing is guessed: a guess takes ids that begin with # for comments, and short first lines for titles. -#}
        {%- set scan = "read_csv(" ~ path ~ ", auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', columns = {"
            ~ types | join(", ") ~ "})" -%}
        {%- set row_number = "row_number() over ()" -%}
    {%- endif -%}
    {{ return({'file': files[0], 'scan': scan, 'row_number': row_number, 'columns': columns, 'repeated': repeated}) }}
{% endmacro %}

{#- A path as a literal: quotes doubled, and nothing in it taken for a pattern. -#}
{% macro duckdb__path(path) -%}
    {{ return("'" ~ modules.re.sub("([\\[*?])", "[\\1]", path) | replace("'", "''") ~ "'") }}
{%- endmacro %}

{#- The lower-case column names in the first line of a CSV file; the line itself where it is not divided by commas. -#}
{% macro duckdb__csv_header(file) %}
    {%- set lines = run_query(
        "select line from read_csv(" ~ duckdb__path(file) ~ ", auto_detect = false, header = false, delim = '\\x01', quote = '', escape = '',"
        ~ " columns = {'line': 'VARCHAR'}, strict_mode = false, ignore_errors = true) limit 1"
    ).rows -%}
    {%- set line = (lines[0][0] or '') if lines | length > 0 else '' -%}
    {%- if not line.strip() -%}
        {{ exceptions.raise_compiler_error(
            file ~ " has no header line" ~ (": it is empty" if lines | length == 0) ~ ". Export it again"
            ~ "; an entity without rows is a file with its header alone, an optional one may be left out."
        ) }}
    {%- endif -%}
    {%- set cell = '\\s*("(?:[^"]|"")*"|[^",]*)\\s*' -%}
    {%- set names = [] -%}
    {%- if modules.re.fullmatch(cell ~ '(?:,' ~ cell ~ ')*', line) -%}
        {%- for name in modules.re.findall('(?:^|,)' ~ cell, line) -%}
            {%- do names.append(name.strip().strip('"').strip() | lower) -%}
        {%- endfor -%}
    {%- else -%}
        {%- do names.append(line) -%}
    {%- endif -%}
    {{ return(names) }}
{% endmacro %}

{#- A landing column before it is cast: blank text and not-a-number are missing. -#}
{% macro landing_value(column, engine_type) %}{{ return(adapter.dispatch('landing_value')(column, engine_type)) }}{% endmacro %}

{% macro duckdb__landing_value(column, engine_type) -%}
    {%- if engine_type == 'VARCHAR' -%} case when trim("{{ column }}", e' \t\r\n') != '' then "{{ column }}" end
    {%- elif engine_type in ['FLOAT', 'DOUBLE'] -%} case when not isnan("{{ column }}") then "{{ column }}" end
    {%- else -%} "{{ column }}"
    {%- endif -%}
{%- endmacro %}

{#- The named columns of a relation's row as one JSON text. -#}
{% macro row_as_json(relation, columns) %}{{ return(adapter.dispatch('row_as_json')(relation, columns)) }}{% endmacro %}

{% macro duckdb__row_as_json(relation, columns) -%}
    cast(to_json(struct_pack({% for column in columns %}{{ column }} := {{ relation }}.{{ column }}{{ ", " if not loop.last }}{% endfor %})) as varchar)
{%- endmacro %}
