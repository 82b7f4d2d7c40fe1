{#- The continuous percentile of a group, nulls ignored. -#}
{% macro percentile(expression, fraction) %}{{ return(adapter.dispatch('percentile')(expression, fraction)) }}{% endmacro %}
{% macro default__percentile(expression, fraction) %}percentile_cont({{ fraction }}) within group (order by {{ expression }}){% endmacro %}
{% macro duckdb__percentile(expression, fraction) %}quantile_cont({{ expression }}, {{ fraction }}){% endmacro %}

{#- True where any row of the group is true; false, never null, where none is. -#}
{% macro any_true(condition) %}(max(case when {{ condition }} then 1 else 0 end) = 1){% endmacro %}

{#- How many rows of the group satisfy the condition. -#}
{% macro count_where(condition) %}sum(case when {{ condition }} then 1 else 0 end){% endmacro %}

{#- The same over a window. -#}
{% macro any_true_over(condition, partition) %}(max(case when {{ condition }} then 1 else 0 end) over (partition by {{ partition }}) = 1){% endmacro %}
