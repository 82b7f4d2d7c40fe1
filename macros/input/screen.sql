{#- The rows of an entity from every source system that has it (`vars: sources`); a later source supersedes an earlier one. -#}
{% macro staged(entity) %}
    {%- set sources = [] -%}
    {%- for source, names in var('sources').items() if entity in names -%}
        {%- do sources.append(source) -%}
    {%- endfor -%}
    {%- for source in sources %}
    select
        {%- for column in contract_columns(entity) %}
        {{ column.name }},
        {%- endfor %}
        unparsable_columns,
        raw_row,
        cast({{ loop.index0 }} as bigint) * 1000000000000 + source_row_number as source_row_number
    from {{ ref('stg_' ~ source ~ '__' ~ entity) }}
    {{ 'union all' if not loop.last }}
    {%- else %}
    select
        {%- for column in contract_columns(entity) %}
        cast(null as {{ api.Column.translate_type(column.data_type) }}) as {{ column.name }},
        {%- endfor %}
        cast(null as {{ dbt.type_string() }}) as unparsable_columns,
        cast(null as {{ dbt.type_string() }}) as raw_row,
        cast(null as bigint) as source_row_number
    where 1 = 0
    {%- endfor %}
{% endmacro %}

{#-
    What the contract alone says about a row, as a list of (reason, column, condition), in the order in which
    a reason is chosen. DECISIONS.md, "Order of rejection".
-#}
{% macro contract_checks(entity) %}
    {%- set missing, unparsable, unknown, negative, future = [], [], [], [], [] -%}
    {%- for column in contract_columns(entity) -%}
        {%- set name = 'staged.' ~ column.name -%}
        {%- set is_unparsable = "staged.unparsable_columns like '%," ~ column.name ~ ",%'" -%}
        {%- if is_required(column) -%}
            {%- do missing.append(('missing_required_value', column.name, name ~ " is null and not coalesce(" ~ is_unparsable ~ ", false)")) -%}
        {%- endif -%}
        {%- if column.data_type != 'string' -%}
            {%- do unparsable.append(('unparsable_value', column.name, is_unparsable)) -%}
        {%- endif -%}
        {%- if 'accepted' in column.meta -%}
            {%- do unknown.append(('unknown_value', column.name, name ~ " not in ('" ~ column.meta['accepted'] | join("', '") ~ "')")) -%}
        {%- endif -%}
        {%- if 'minimum' in column.meta -%}
            {%- do negative.append(('negative_value', column.name, name ~ " < " ~ column.meta['minimum'])) -%}
        {%- endif -%}
        {%- if column.data_type == 'timestamp' and not column.meta.get('may_be_future') -%}
            {%- do future.append(('future_time', column.name, name ~ " > " ~ dbt.dateadd('day', 1, run_clock()))) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(missing + unparsable + unknown + negative + future) }}
{% endmacro %}

{#- The first check that a row fails, as `reason column`, or null. One expression, for it is the costly part of screening. -#}
{% macro first_violation(checks) %}
        case
            {%- for reason, column, condition in checks %}
            when {{ condition }} then '{{ reason }} {{ column }}'
            {%- endfor %}
        end as violation
{% endmacro %}

{#-
    The end of every int_<entity>_screened: of the rows of `checked` that fit, the last per key is accepted and
    the others are superseded.
-#}
{% macro keep_last(entity) %}
    {%- set key = contract_key(entity) -%}
corrected as (

    select
        {%- for column in key %}
        {{ column }},
        {%- endfor %}
        max(source_row_number) as last_row_number
    from checked
    where violation is null
    group by {% for column in key %}{{ column }}{{ ", " if not loop.last }}{% endfor %}
    having count(*) > 1

),

final as (

    select
        {%- for column in contract_columns(entity) %}
        checked.{{ column.name }},
        {%- endfor %}
        checked.source_row_number,
        {{ dbt.split_part('checked.violation', "' '", 1) }} as rejection_reason,
        {{ dbt.split_part('checked.violation', "' '", 2) }} as rejection_column,
        checked.raw_row,
        coalesce(checked.violation is null and checked.source_row_number < corrected.last_row_number, false)
            as is_superseded
    from checked
    left join corrected
        on {% for column in key %}checked.{{ column }} = corrected.{{ column }}{{ " and " if not loop.last }}{% endfor %}

)

select * from final
{% endmacro %}

{#- The body of input_<entity>: what was accepted, with the contract's columns. -#}
{% macro accepted(entity) %}
with screened as (

    select * from {{ ref('int_' ~ entity ~ '_screened') }}

),

final as (

    select
        {%- for column in contract_columns(entity) %}
        cast({{ column.name }} as {{ api.Column.translate_type(column.data_type) }}) as {{ column.name }}{{ "," if not loop.last }}
        {%- endfor %}
    from screened
    where rejection_reason is null and not is_superseded

)

select * from final
{% endmacro %}
