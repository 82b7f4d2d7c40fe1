{#- The level of a value against limits of the same unit, compared in decimals: 0.70 - 0.65 is 0.05, not a little less. -#}
{% macro level_of(value, direction, warning, critical, catastrophic) -%}
    {%- set rounded = 'round(cast(' ~ value ~ ' as decimal(28, 12)), 9)' -%}
    case
        when {{ value }} is null or {{ warning }} is null then null
        {%- for level, limit in [('catastrophic', catastrophic), ('critical', critical), ('warning', warning)] %}
        when ({{ direction }} = 'low' and {{ rounded }} <= {{ limit }})
            or ({{ direction }} = 'high' and {{ rounded }} >= {{ limit }})
            then '{{ level }}'
        {%- endfor %}
        else 'ok'
    end
{%- endmacro %}

{#- Levels as numbers, worst highest, for max(). -#}
{% macro level_rank(level) -%}
    case {{ level }} when 'catastrophic' then 4 when 'critical' then 3 when 'warning' then 2 when 'watch' then 1 when 'ok' then 0 end
{%- endmacro %}

{% macro level_name(rank) -%}
    case {{ rank }} when 4 then 'catastrophic' when 3 then 'critical' when 2 then 'warning' when 1 then 'watch' when 0 then 'ok' end
{%- endmacro %}

{#- Whether the whole interval lies beyond the warning limit: a breach that so few observations could not fake. -#}
{% macro interval_is_beyond(lower, upper, direction, warning) -%}
    coalesce(
        ({{ direction }} = 'low' and {{ upper }} <= {{ warning }})
        or ({{ direction }} = 'high' and {{ lower }} >= {{ warning }}),
        false
    )
{%- endmacro %}

{#-
    Absolute limits by threshold profile, the rows in force at `as_of`: threshold_profile, kpi, direction, warning, critical,
    catastrophic. Where a group of profiles is judged together, the tightest limit of each counts: see `tightest`.
-#}
{% macro absolute_thresholds() %}
    select versions.*
    from ({{ effective_versions(ref('thresholds'), ['threshold_profile', 'kpi', 'direction', 'unit']) }}) as versions
    cross join {{ ref('int_as_of') }} as clock
    where versions.unit = 'absolute' and {{ is_effective('versions', 'clock.as_of') }}
{% endmacro %}

{% macro tightest(limit, direction) -%}
    case when min({{ direction }}) = 'low' then max({{ limit }}) else min({{ limit }}) end
{%- endmacro %}
