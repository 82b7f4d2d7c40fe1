{#- Folder of the landing files: the variable, else the environment, else the story. -#}
{% macro landing_dir() %}{{ return(var('data_dir') or env_var('AGENT_KPIS_DATA', 'data/story')) }}{% endmacro %}

{#-
    The body of stg_files__<entity>: the contract's columns, cast from the landing file. Beside them
    source_row_number (position in the file), unparsable_columns (`,a,b,`, or null) and, for a row in which something
    does not parse, raw_row (the row as it came, JSON).
    An absent optional entity gives no rows. A required column that is absent stops the build.
-#}
{% macro stage_landing(entity) %}
    {%- set columns = contract_columns(entity) -%}
    {%- set landing = read_landing(entity) if execute else none -%}
    {%- if execute and landing is none and is_required_landing(entity) -%}
        {{ exceptions.raise_compiler_error(
            "No landing file for " ~ entity ~ ": neither " ~ entity ~ ".parquet nor " ~ entity ~ ".csv in " ~ landing_dir()
            ~ ". Put it there, or name another folder with --data (AGENT_KPIS_DATA)."
        ) }}
    {%- endif -%}
    {%- set present = landing.columns if landing else {} -%}
    {%- if landing -%}{%- do check_landing_columns(entity, columns, landing) -%}{%- endif -%}
    {#- What it looks like when a column does not parse, for the columns where that can happen. -#}
    {%- set failures = [] -%}
    {%- for column in columns if column.name in present and column.data_type != 'string' -%}
        {%- if cast_may_fail(present[column.name], column.data_type) -%}
            {%- set value = try_cast('source.' ~ column.name, column.data_type, present[column.name]) -%}
            {%- do failures.append((column.name, 'source.' ~ column.name ~ ' is not null and ' ~ value ~ ' is null')) -%}
        {%- endif -%}
    {%- endfor -%}

with source as (

    select
        {%- for column in columns %}
        {{ landing_value(column.name, present[column.name]) if column.name in present else 'null' }} as {{ column.name }},
        {%- endfor %}
        {{ landing.row_number if landing else 'cast(null as bigint)' }} as source_row_number
    from {{ landing.scan if landing else '(select 1) as nothing' }}
    {%- if not landing %}
    where 1 = 0
    {%- endif %}

),

cast_rows as (

    select
        {%- for column in columns %}
        {{ try_cast('source.' ~ column.name, column.data_type, present.get(column.name)) }} as {{ column.name }},
        {%- endfor %}
        source.source_row_number,
        {%- if failures %}
        nullif(
            concat(
                ','
                {%- for column, condition in failures %},
                case when {{ condition }} then '{{ column }},' else '' end
                {%- endfor %}
            ),
            ','
        ) as unparsable_columns,
        case
            when {% for _, condition in failures %}({{ condition }}){{ " or " if not loop.last }}{% endfor %}
                then {{ row_as_json('source', columns | map(attribute='name') | list) }}
        end as raw_row
        {%- else %}
        cast(null as {{ dbt.type_string() }}) as unparsable_columns,
        cast(null as {{ dbt.type_string() }}) as raw_row
        {%- endif %}
    from source

)

select * from cast_rows
{% endmacro %}

{#- Interactions and events must be there, unless another source system has them. -#}
{% macro is_required_landing(entity) %}
    {{ return(entity in ['interactions', 'events'] and entity in var('sources').get('files', [])) }}
{% endmacro %}

{#- Stops on a missing required column; notes the ones nobody reads. -#}
{% macro check_landing_columns(entity, columns, landing) %}
    {%- set known = columns | map(attribute='name') | list -%}
    {%- set missing = [] -%}
    {%- set repeated = landing.repeated | select('in', known) | unique | list -%}
    {%- if repeated -%}
        {{ exceptions.raise_compiler_error(landing.file ~ " has more than one column " ~ repeated | join(", ") ~ ". Keep the one that counts.") }}
    {%- endif -%}
    {%- for column in columns if is_required(column) and column.name not in landing.columns -%}
        {%- do missing.append(column.name) -%}
    {%- endfor -%}
    {%- if missing -%}
        {{ exceptions.raise_compiler_error(
            landing.file ~ " lacks the required column" ~ ("s " if missing | length > 1 else " ") ~ missing | join(", ")
            ~ ". It has: " ~ landing.columns.keys() | reject('equalto', 'file_row_number') | join(", ")
            ~ (" (columns are to be divided by commas)" if landing.columns | length == 1 and landing.file.endswith('.csv'))
            ~ ". Rename or add it; models/input/input_" ~ entity ~ ".yml is the contract."
        ) }}
    {%- endif -%}
    {%- set extra = landing.columns.keys() | reject('in', known + ['file_row_number']) | list -%}
    {%- if extra -%}{%- do log("Note: " ~ landing.file ~ ": not read: " ~ extra | join(", "), info=true) -%}{%- endif -%}
{% endmacro %}
