{#- The indicators that have columns of their own in the mart leading_indicators: those of the registry, and tool success beside tool accuracy. -#}
{% macro shipped_indicators() %}
    {{ return(['tool_success_rate'] + (kpi_registry() | selectattr('method', 'equalto', 'indicator') | map(attribute='kpi') | list)) }}
{% endmacro %}

{#-
    n and value of indicators by `key`, from rows of int_indicator_days: the sum of a plain mean (bin 0), the sums of the bins without their signs
    (1 to 10: expected calibration error), over n.
-#}
{% macro indicator_values(relation, key) %}
    select
        {{ key | join(', ') }},
        sum(n) as n,
        sum(case when bin = 0 then value_sum else abs(value_sum) end) / nullif(sum(n), 0) as value
    from (
        select
            {{ key | join(', ') }},
            bin,
            sum(n) as n,
            sum(value_sum) as value_sum
        from {{ relation }}
        group by {{ key | join(', ') }}, bin
    ) as bins
    group by {{ key | join(', ') }}
{% endmacro %}
