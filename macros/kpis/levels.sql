{#-
    How bad a value is against limits of the same unit: 0 ok, 2 warning, 3 critical, 4 catastrophic (1, watch, is no limit), null without
    value or limit. Compared in decimals: 0.70 - 0.65 is 0.05, not a little less.
-#}
{% macro level_number(value, direction, warning, critical, catastrophic) -%}
    {%- set rounded = 'round(cast(' ~ value ~ ' as decimal(28, 12)), 9)' -%}
    case
        when {{ value }} is null or {{ warning }} is null then null
        {%- for number, limit in [(4, catastrophic), (3, critical), (2, warning)] %}
        when ({{ direction }} = 'low' and {{ rounded }} <= {{ limit }})
            or ({{ direction }} = 'high' and {{ rounded }} >= {{ limit }})
            then {{ number }}
        {%- endfor %}
        else 0
    end
{%- endmacro %}

{% macro level_name(number) -%}
    case {{ number }} when 4 then 'catastrophic' when 3 then 'critical' when 2 then 'warning' when 1 then 'watch' when 0 then 'ok' end
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
    Absolute limits in force at `as_of` for groups of threshold profiles: one row per `key` of the relation `profiles` (key and
    threshold_profile), kpi and direction. Where a group has several profiles, the tightest limit of each counts.
-#}
{% macro absolute_limits(profiles, key) %}
    select
        {%- for column in key %}
        profiles.{{ column }},
        {%- endfor %}
        thresholds.kpi,
        thresholds.direction,
        {%- for limit in ['warning', 'critical', 'catastrophic'] %}
        case when thresholds.direction = 'low' then max(thresholds.{{ limit }}) else min(thresholds.{{ limit }}) end
            as {{ limit }}{{ "," if not loop.last }}
        {%- endfor %}
    from {{ profiles }} as profiles
    inner join ({{ effective_versions(ref('thresholds'), ['threshold_profile', 'kpi', 'direction', 'unit']) }}) as thresholds
        on profiles.threshold_profile = thresholds.threshold_profile
    inner join {{ ref('int_as_of') }} as clock on {{ is_effective('thresholds', 'clock.as_of') }}
    where thresholds.unit = 'absolute'
    group by {% for column in key %}profiles.{{ column }}, {% endfor %}thresholds.kpi, thresholds.direction
{% endmacro %}
