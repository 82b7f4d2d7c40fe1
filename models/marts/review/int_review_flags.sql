{%- set key = ['agent_name', 'week_start', 'kpi'] -%}
{%- set paged = "('warning', 'critical', 'catastrophic')" -%}
{#- From the least to the most that a reader should know of, as flags rank them. -#}
{%- set levels = ['no_data', 'ok', 'no_reference', 'insufficient_data', 'watch', 'warning', 'critical', 'catastrophic'] -%}

with flags as (

    select
        *,
        case level
            {%- for level in levels %}
            when '{{ level }}' then {{ loop.index }}
            {%- endfor %}
        end as level_number,
        -- One standard error of a day: what the window says of itself, for one of its days.
        abs(judged_delta - judged_bound) / 1.6449 * sqrt(window_days) as daily_error,
        count(slope_per_week) over (
            partition by agent_name, kpi, direction
            order by evaluation_date
            rows between 27 preceding and current row
        ) as n_slopes
    from {{ ref('threshold_flags') }}
    where segment_type = 'all'

),

-- A line through 28 days of which each has that error has the error 7 sqrt(12 / (28^3 - 28)) = 0.1638 times it a week. Chance leads it beyond
-- 1.96 of those on one day in forty, and hardly ever on every day of a week; the first weeks after launch cannot tell.
judged as (

    select
        *,
        coalesce(
            n_slopes >= 26
            and case when direction = 'low' then -slope_per_week else slope_per_week end > 1.96 * 0.1638 * daily_error,
            false
        ) as is_steady
    from flags

),

weekly as (

    select
        weeks.agent_name,
        weeks.week_start,
        weeks.last_day,
        judged.evaluation_date,
        judged.kpi,
        judged.direction,
        judged.level,
        judged.level_number,
        judged.note,
        judged.is_steady,
        judged.value,
        judged.reference_value,
        judged.comparison_type,
        judged.is_time_confounded,
        judged.delta,
        judged.judged_delta,
        judged.limit_unit,
        judged.warning,
        judged.slope_per_week,
        judged.cause
    from {{ ref('int_review_weeks') }} as weeks
    inner join judged
        on weeks.agent_name = judged.agent_name
            and judged.evaluation_date between weeks.week_start and weeks.last_day

),

-- Of two sides the worse one speaks for the metric; where they are level, the one that is compared with something.
ranked as (

    select
        *,
        row_number() over (
            partition by {{ key | join(', ') }}
            order by evaluation_date desc, level_number desc, case when delta is null then 1 else 0 end asc, direction asc
        ) as place_at_end,
        row_number() over (
            partition by {{ key | join(', ') }}
            order by level_number desc, evaluation_date desc, case when delta is null then 1 else 0 end asc, direction asc
        ) as severity
    from weekly

),

sides as (

    select
        {{ key | join(', ') }},
        direction,
        {{ any_true("note = 'drift'") }} as is_watched_for_drift,
        min(case when is_steady then 1 else 0 end) = 1 as is_steady,
        max(case when evaluation_date = last_day then slope_per_week end) as slope_per_week
    from weekly
    group by {{ key | join(', ') }}, direction

),

trends as (

    select
        {{ key | join(', ') }},
        {{ any_true('is_watched_for_drift or is_steady') }} as is_trending,
        max(slope_per_week) as slope_per_week
    from sides
    group by {{ key | join(', ') }}

),

-- A watch for drift is within the limits; what is beyond one, or has nothing to be judged by, is not known to be.
weeks_as_a_whole as (

    select
        {{ key | join(', ') }},
        case
            when {{ any_true('level in ' ~ paged) }} then false
            when {{ any_true("level != 'ok' and coalesce(note, '') != 'drift'") }} then null
            else true
        end as is_within_thresholds
    from weekly
    group by {{ key | join(', ') }}

),

final as (

    select
        {%- for column in key %}
        at_end.{{ column }},
        {%- endfor %}
        at_end.direction,
        at_end.level,
        at_end.note,
        worst.level as worst_level,
        worst.cause,
        weeks_as_a_whole.is_within_thresholds,
        trends.is_trending and worst.level not in {{ paged }} as is_drifting,
        trends.slope_per_week,
        at_end.value,
        at_end.reference_value,
        at_end.comparison_type,
        at_end.is_time_confounded,
        at_end.delta,
        at_end.judged_delta,
        at_end.limit_unit,
        at_end.warning
    from ranked as at_end
    inner join ranked as worst
        on {{ keys_agree('at_end', 'worst', key) }}
            and worst.severity = 1
    inner join trends
        on {{ keys_agree('at_end', 'trends', key) }}
    inner join weeks_as_a_whole
        on {{ keys_agree('at_end', 'weeks_as_a_whole', key) }}
    where at_end.place_at_end = 1

)

select * from final
