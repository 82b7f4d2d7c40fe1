{#- Time arithmetic. Every timestamp in the project is UTC without a zone, so elapsed time is plain subtraction. -#}

{#- Seconds from one timestamp to another, fractions kept. -#}
{% macro seconds_between(start, end) %}{{ return(adapter.dispatch('seconds_between')(start, end)) }}{% endmacro %}
{% macro default__seconds_between(start, end) %}(extract(epoch from {{ end }}) - extract(epoch from {{ start }})){% endmacro %}
{% macro duckdb__seconds_between(start, end) %}(cast(epoch_us({{ end }}) - epoch_us({{ start }}) as double) / 1000000){% endmacro %}

{#- The timestamp `hours` later; hours may be a decimal column. -#}
{% macro add_hours(moment, hours) -%}
    {{ dbt.dateadd('second', 'cast(round(' ~ hours ~ ' * 3600) as bigint)', moment) }}
{%- endmacro %}

{#- The Monday of the week. -#}
{% macro week_of(date) %}cast({{ dbt.date_trunc('week', date) }} as date){% endmacro %}

{#- The run's own clock, UTC. Only `future_time` reads it. -#}
{% macro run_clock() %}{{ return(adapter.dispatch('run_clock')()) }}{% endmacro %}
{% macro default__run_clock() %}cast(current_timestamp at time zone 'UTC' as timestamp){% endmacro %}

{#- A timestamp constant from text such as 2026-03-09 or 2026-03-09T12:00:00+01:00. -#}
{% macro timestamp_constant(text) %}{{ return(adapter.dispatch('timestamp_constant')(text)) }}{% endmacro %}
{% macro default__timestamp_constant(text) %}cast(cast('{{ text }}' as timestamptz) at time zone 'UTC' as timestamp){% endmacro %}
