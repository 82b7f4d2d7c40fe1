{#-
    Which arm a request belongs to, for whoever routes requests in SQL: `human` for the holdout, else `ai`. By hash, so it is
    sticky, needs no table, and is the same on every engine and in Python (agent_kpis.statistics.assignment). A new salt draws anew.

    unit_id   column with the id of the customer (sticky per customer) or of the request
    salt      text constant, one an experiment, such as 'atlas-2026'
    share     the holdout's share, a number or a column
-#}
{% macro assigned_arm(unit_id, salt, share) -%}
    case
        when {{ unit_id }} is null then null
        when {{ assignment_point(unit_id, salt) }} < {{ share }} then 'human'
        else 'ai'
    end
{%- endmacro %}

{#- A number in [0, 1) from the first eight hexadecimal digits of md5('<salt>:<unit_id>'). -#}
{% macro assignment_point(unit_id, salt) -%}
    {%- set digest = dbt.hash(dbt.concat(["'" ~ salt ~ ":'", unit_id])) -%}
    {%- set places = [] -%}
    {%- for place in range(8) -%}
        {%- set digit = dbt.position("substring(" ~ digest ~ ", " ~ (place + 1) ~ ", 1)", "'0123456789abcdef'") -%}
        {%- do places.append("(cast(" ~ digit ~ " as " ~ type_double() ~ ") - 1) * " ~ 16 ** (7 - place)) -%}
    {%- endfor -%}
    (({{ places | join(' + ') }}) / 4294967296)
{%- endmacro %}
