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

{#- The level that the interval reaches with its better end, against `certain_from_*` of a row of threshold_limits. -#}
{% macro certain_level_number(lower, upper, limits) -%}
    {{ level_number(
        'case when ' ~ limits ~ ".direction = 'low' then " ~ upper ~ ' else ' ~ lower ~ ' end',
        limits ~ '.direction',
        limits ~ '.certain_from_warning',
        limits ~ '.certain_from_critical',
        limits ~ '.certain_from_catastrophic',
    ) }}
{%- endmacro %}

{#-
    Limits for groups of threshold profiles: one row per `key` of the relation `profiles` (key and threshold_profile), kpi, direction and
    unit. Where a group has several profiles, the tightest limit of each counts. Limits on a distance from the reference (pp, percent)
    carry its sign: -5 for five points lower.

    Those in force at `as_of`; with `every_change` those of every moment at which any of them changed (`applies_from`).

    `certain_from_*`: how far the limit of the interval has to reach for the level to count: beyond the level below (a distance: beyond 0
    for a warning), or beyond the warning itself (absolute). A breach that so few observations could fake is none.
-#}
{% macro threshold_limits(profiles, key, every_change=false) %}
    {%- set grouped = key + ['applies_from', 'kpi', 'direction', 'unit'] %}
    select
        {{ grouped | join(', ') }},
        warning,
        critical,
        catastrophic,
        sustained_periods,
        defined_at,
        case when unit = 'absolute' then warning else 0 end as certain_from_warning,
        warning as certain_from_critical,
        case when unit = 'absolute' then warning else critical end as certain_from_catastrophic
    from (
        select
            {%- for column in key %}
            profiles.{{ column }},
            {%- endfor %}
            moments.applies_from,
            thresholds.kpi,
            thresholds.direction,
            thresholds.unit,
            {%- for limit in ['warning', 'critical', 'catastrophic'] %}
            case
                when thresholds.unit = 'absolute' and thresholds.direction = 'low' then max(thresholds.{{ limit }})
                when thresholds.direction = 'low' then -min(thresholds.{{ limit }})
                else min(thresholds.{{ limit }})
            end as {{ limit }},
            {%- endfor %}
            min(thresholds.sustained_periods) as sustained_periods,
            max(thresholds.effective_from) as defined_at
        from {{ profiles }} as profiles
        cross join (
            {%- if every_change %}
            select distinct effective_from as applies_from from {{ ref('thresholds') }}
            {%- else %}
            select as_of as applies_from from {{ ref('int_as_of') }}
            {%- endif %}
        ) as moments
        inner join ({{ effective_versions(ref('thresholds'), ['threshold_profile', 'kpi', 'direction', 'unit']) }}) as thresholds
            on profiles.threshold_profile = thresholds.threshold_profile
                and {{ is_effective('thresholds', 'moments.applies_from') }}
        group by {% for column in key %}profiles.{{ column }}, {% endfor %}moments.applies_from, thresholds.kpi, thresholds.direction, thresholds.unit
    ) as limits
{% endmacro %}
