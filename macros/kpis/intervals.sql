{#- Intervals that have a closed form. 1.959964 is the 97.5% point of the normal distribution. -#}
{% macro z95() %}1.959963984540054{% endmacro %}

{#- Wilson's limits of a proportion (Wilson 1927); `side` is lower or upper. -#}
{% macro wilson(successes, n, side) -%}
    {%- set k = 'cast(' ~ successes ~ ' as ' ~ type_double() ~ ')' -%}
    {%- set m = 'nullif(cast(' ~ n ~ ' as ' ~ type_double() ~ '), 0)' -%}
    {%- set z2 = '(' ~ z95() ~ ' * ' ~ z95() ~ ')' -%}
    {#- At the ends the limit is exact; computed, rounding may carry it past the value. -#}
    case
        when {{ m }} is not null and {{ k }} {{ '<= 0' if side == 'lower' else '>= ' ~ m }} then {{ 0 if side == 'lower' else 1 }}
        else (
            {{ k }} + {{ z2 }} / 2 {{ '-' if side == 'lower' else '+' }} {{ z95() }}
            * sqrt({{ k }} * ({{ m }} - {{ k }}) / {{ m }} + {{ z2 }} / 4)
        ) / ({{ m }} + {{ z2 }})
    end
{%- endmacro %}

{#- Standard error of a mean from its sum and sum of squares; null below two observations. -#}
{% macro standard_error(total, square_sum, n) -%}
    {%- set m = 'cast(' ~ n ~ ' as ' ~ type_double() ~ ')' -%}
    case when {{ n }} >= 2 then sqrt(
        greatest(({{ square_sum }} - cast({{ total }} as {{ type_double() }}) * cast({{ total }} as {{ type_double() }}) / {{ m }}) / ({{ m }} - 1), 0)
        / {{ m }}
    ) end
{%- endmacro %}

{#-
    Standard error of ln(sum c / sum y) by the delta method, y being 0 or 1:
    sqrt((s2c / cbar^2 + s2y / ybar^2 - 2 scy / (cbar ybar)) / n). Shared costs are a constant in cbar.
-#}
{% macro log_ratio_standard_error(n, cost, shared_cost, cost_square_sum, successes, cost_of_successes) -%}
    {%- set d = type_double() -%}
    {%- set m = 'cast(' ~ n ~ ' as ' ~ d ~ ')' -%}
    {%- set c = '(cast(' ~ cost ~ ' as ' ~ d ~ ') - cast(' ~ shared_cost ~ ' as ' ~ d ~ '))' -%}
    {%- set y = 'cast(' ~ successes ~ ' as ' ~ d ~ ')' -%}
    {%- set cbar = 'nullif(cast(' ~ cost ~ ' as ' ~ d ~ ') / ' ~ m ~ ', 0)' -%}
    {%- set ybar = 'nullif(' ~ y ~ ' / ' ~ m ~ ', 0)' -%}
    case when {{ n }} >= 2 then sqrt(greatest(
        (
            ({{ cost_square_sum }} - {{ c }} * {{ c }} / {{ m }}) / ({{ m }} - 1) / ({{ cbar }} * {{ cbar }})
            + ({{ y }} - {{ y }} * {{ y }} / {{ m }}) / ({{ m }} - 1) / ({{ ybar }} * {{ ybar }})
            - 2 * ({{ cost_of_successes }} - {{ c }} * {{ y }} / {{ m }}) / ({{ m }} - 1) / ({{ cbar }} * {{ ybar }})
        ) / {{ m }}, 0
    )) end
{%- endmacro %}
