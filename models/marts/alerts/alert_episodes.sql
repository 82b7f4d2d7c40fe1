{%- set series = ['agent_name', 'segment_type', 'segment', 'kpi', 'direction'] -%}

with flags as (

    select
        *,
        level in ('warning', 'critical', 'catastrophic') as is_flagged,
        case level when 'warning' then 2 when 'critical' then 3 when 'catastrophic' then 4 else 0 end as level_number
    from {{ ref('threshold_flags') }}

),

-- A run of flagged days keeps the distance between its days and their number among flagged ones.
neighbours as (

    select
        *,
        lag(is_flagged) over (partition by {{ series | join(', ') }} order by evaluation_date) as was_flagged
    from flags

),

numbered as (

    select
        *,
        sum(case when is_flagged and not coalesce(was_flagged, false) then 1 else 0 end)
            over (partition by {{ series | join(', ') }} order by evaluation_date rows between unbounded preceding and current row) as episode
    from neighbours

),

ranked as (

    select
        *,
        row_number() over (
            partition by {{ series | join(', ') }}, episode
            order by level_number desc, abs(judged_delta) desc nulls last, evaluation_date asc
        ) as severity,
        row_number() over (partition by {{ series | join(', ') }}, episode order by evaluation_date asc) as first_place,
        row_number() over (partition by {{ series | join(', ') }}, episode order by evaluation_date desc) as last_place
    from numbered
    where is_flagged

),

episodes as (

    select
        {{ series | join(', ') }},
        episode,
        min(evaluation_date) as opened_on,
        max(evaluation_date) as last_flagged_on,
        count(*) as n_days,
        max(case when first_place = 1 then level end) as opened_level,
        max(case when last_place = 1 then level end) as last_level
    from ranked
    group by {{ series | join(', ') }}, episode

),

-- The first day after it.
endings as (

    select
        {{ series | join(', ') }},
        episode,
        min(evaluation_date) as cleared_on
    from numbered
    where not is_flagged and episode > 0
    group by {{ series | join(', ') }}, episode

),

final as (

    select
        cast({{ dbt.hash(dbt.concat([
            'episodes.agent_name', "'|'", 'episodes.segment_type', "'|'", 'episodes.segment', "'|'", 'episodes.kpi', "'|'",
            'episodes.direction', "'|'", 'cast(episodes.opened_on as ' ~ dbt.type_string() ~ ')',
        ])) }} as {{ dbt.type_string() }}) as episode_id,
        {%- for column in series %}
        episodes.{{ column }},
        {%- endfor %}
        worst.role,
        worst.unit,
        episodes.opened_on,
        endings.cleared_on,
        endings.cleared_on is null as is_open,
        cast(episodes.n_days as bigint) as n_days,
        cast(episodes.opened_level as {{ dbt.type_string() }}) as opened_level,
        worst.level as worst_level,
        worst.evaluation_date as worst_on,
        cast(episodes.last_level as {{ dbt.type_string() }}) as last_level,
        cast(closing.level as {{ dbt.type_string() }}) as cleared_as,
        worst.value as worst_value,
        worst.reference_value,
        worst.comparison_type,
        worst.is_time_confounded,
        worst.judged_delta as worst_judged_delta,
        worst.limit_unit,
        worst.cause,
        worst.is_set_after_launch,
        worst.action,
        worst.top_reasons,
        worst.top_task_types,
        worst.note
    from episodes
    inner join ranked as worst
        on {{ keys_agree('episodes', 'worst', series + ['episode']) }}
            and worst.severity = 1
    left join endings
        on {{ keys_agree('episodes', 'endings', series + ['episode']) }}
    left join numbered as closing
        on {{ keys_agree('episodes', 'closing', series + ['episode']) }}
            and endings.cleared_on = closing.evaluation_date

)

select * from final
