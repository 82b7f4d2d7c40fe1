{#- The contract as models/input/input_<entity>.yml states it. -#}
{% macro contract_node(entity) %}
    {{ return(graph.nodes['model.' ~ model.package_name ~ '.input_' ~ entity]) }}
{% endmacro %}

{% macro contract_columns(entity) %}
    {{ return(contract_node(entity).columns.values() | list if execute else []) }}
{% endmacro %}

{% macro contract_key(entity) %}
    {{ return(contract_node(entity).config.meta['key'] if execute else []) }}
{% endmacro %}

{% macro is_required(column) %}{{ return(column.meta.get('required', false)) }}{% endmacro %}

{% macro entities() %}
    {{ return(['interactions', 'events', 'surveys', 'spans', 'evaluations', 'releases', 'costs']) }}
{% endmacro %}

{#- The key of a row as one text; parts that are missing are left empty. -#}
{% macro row_key(entity) -%}
    {%- set key = contract_key(entity) -%}
    {%- if key | length == 1 -%} {{ key[0] }}
    {%- elif key -%} concat({% for column in key %}coalesce({{ column }}, ''){{ ", ' ', " if not loop.last }}{% endfor %})
    {%- else -%} null
    {%- endif -%}
{%- endmacro %}
