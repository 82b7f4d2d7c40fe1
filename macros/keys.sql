{#- The condition that two relations agree on every column of a key. -#}
{% macro keys_agree(one, other, key) -%}
    {%- for column in key -%}
        {{ one }}.{{ column }} = {{ other }}.{{ column }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
