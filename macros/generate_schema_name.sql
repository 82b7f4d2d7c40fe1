{#-
    Schemas are named as the layers are: input, facts, marts, not main_input. Models that only the project itself
    reads (int_*) stand apart in `intermediate`, so that a BI tool shows what is meant to be queried.
-#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if node.name.startswith('int_') -%} intermediate
    {%- else -%} {{ custom_schema_name | trim if custom_schema_name else target.schema }}
    {%- endif -%}
{%- endmacro %}
