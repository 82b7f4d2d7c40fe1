{#-
    What stands in places 1 to `n` of a group as one text, a comma between: one row each with `place` (1, 2, ...) and `step` (text).
    Nothing where place 1 is empty. (Engines disagree on what collects texts in order.)
-#}
{% macro places_as_text(n) -%}
    {%- set found = ['max(case when place = 1 then step end)'] -%}
    {%- for place in range(2, n + 1) -%}
        {%- set further = dbt.concat(["', '", 'step']) -%}
        {%- do found.append('coalesce(max(case when place = ' ~ place ~ ' then ' ~ further ~ " end), '')") -%}
    {%- endfor -%}
    {{ dbt.concat(found) }}
{%- endmacro %}
