{%- set week = ['agent_name', 'week_start'] -%}
{%- set row = week + ['kpi'] -%}

with weeks as (

    select * from {{ ref('int_review_weeks') }}

),

flags as (

    select * from {{ ref('int_review_flags') }}

),

kpis as (

    select * from {{ ref('dim_kpis') }}

),

episodes as (

    select * from {{ ref('alert_episodes') }}

),

-- Question 1: what was open on any day of the week, in any segment.
alerts as (

    select
        weeks.agent_name,
        weeks.week_start,
        episodes.kpi,
        count(*) as n_alerts,
        {{ count_where("episodes.segment_type = 'all'") }} as n_alerts_overall,
        {{ count_where('episodes.opened_on >= weeks.week_start') }} as n_new_alerts
    from weeks
    inner join episodes
        on weeks.agent_name = episodes.agent_name
            and weeks.last_day >= episodes.opened_on
            and (episodes.cleared_on is null or episodes.cleared_on > weeks.week_start)
    group by weeks.agent_name, weeks.week_start, episodes.kpi

),

reviewed as (

    select
        weeks.agent_name,
        weeks.week_start,
        kpis.kpi
    from weeks
    cross join kpis
    where kpis.role in ('primary', 'kpi')
    union
    select
        agent_name,
        week_start,
        kpi
    from flags
    union
    select
        agent_name,
        week_start,
        kpi
    from alerts

),

-- Question 3: the decision in force now; one that came after the following week is not the outcome of the review.
decision_versions as (

    {{ effective_versions(ref('review_decisions'), week, open_start=false) }}

),

decisions as (

    select
        versions.*,
        coalesce(
            versions.effective_from < {{ dbt.dateadd('day', 14, 'versions.week_start') }}
            and versions.kpi is not null
            and versions.direction is not null
            and versions.min_effect is not null
            and versions.decide_by is not null,
            false
        ) as is_testable
    from decision_versions as versions
    inner join {{ ref('int_as_of') }} as clock on {{ is_effective('versions', 'clock.as_of') }}

),

-- The version that was live when the last day of the week ended.
releases as (

    select
        weeks.agent_name,
        weeks.week_start,
        max(
            case
                when versions.valid_to is null or versions.valid_to >= {{ dbt.dateadd('day', 1, 'weeks.last_day') }} then versions.agent_version
            end
        ) as last_release,
        {{ any_true('versions.valid_from >= weeks.week_start') }} as released_in_week
    from weeks
    inner join {{ ref('dim_agent_versions') }} as versions
        on weeks.agent_name = versions.agent_name
            and versions.valid_from < {{ dbt.dateadd('day', 1, 'weeks.last_day') }}
    group by weeks.agent_name, weeks.week_start

),

-- What became of the version that was live, as far as it is known now.
effects as (

    select
        releases.agent_name,
        releases.week_start,
        release_effects.kpi,
        release_effects.effect,
        release_effects.verdict,
        release_effects.is_decided
    from releases
    inner join {{ ref('release_effects') }} as release_effects
        on releases.agent_name = release_effects.agent_name
            and releases.last_release = release_effects.agent_version

),

movements as (

    select
        agent_name,
        {{ week_of('moved_on') }} as week_start,
        kpi,
        moved_on,
        direction,
        first_mover,
        lead_days
    from {{ ref('first_movers') }}
    where segment_type = 'all'

),

-- What to look at, in that order, each with its own level at the end of the week.
diagnosis_steps as (

    select
        flags.agent_name,
        flags.week_start,
        flags.kpi,
        row_number() over (
            partition by flags.agent_name, flags.week_start, flags.kpi
            order by orders.diagnosis_order, orders.indicator
        ) as place,
        {{ dbt.concat(['orders.indicator', "coalesce(" ~ dbt.concat(["' ('", 'indicators.level', "')'"]) ~ ", '')"]) }} as step
    from flags
    inner join {{ ref('int_diagnosis_order') }} as orders on flags.kpi = orders.kpi
    left join flags as indicators
        on {{ keys_agree('flags', 'indicators', week) }}
            and orders.indicator = indicators.kpi
    where flags.worst_level in ('watch', 'warning', 'critical', 'catastrophic')

),

diagnoses as (

    select
        {{ row | join(', ') }},
        {{ places_as_text(9) }} as diagnosis
    from diagnosis_steps
    group by {{ row | join(', ') }}

),

-- The worst is always there, the next two where they lost anything.
task_type_steps as (

    select
        agent_name,
        week_start,
        rank_by_lost_completions as place,
        {{ dbt.concat(['task_type', "coalesce(" ~ dbt.concat([
            "' ('", 'cast(cast(round(lost_completions) as integer) as ' ~ dbt.type_string() ~ ')', "')'"
        ]) ~ ", '')"]) }} as step
    from {{ ref('weekly_task_types') }}
    where rank_by_lost_completions = 1 or (rank_by_lost_completions <= 3 and round(lost_completions) > 0)

),

worst_task_types as (

    select
        {{ week | join(', ') }},
        {{ places_as_text(3) }} as worst_task_types
    from task_type_steps
    group by {{ week | join(', ') }}

),

final as (

    select
        reviewed.week_start,
        weeks.week_end,
        weeks.last_day,
        weeks.is_complete,
        cast(reviewed.agent_name as {{ dbt.type_string() }}) as agent_name,
        kpis.kpi,
        kpis.label,
        kpis.role,
        kpis.unit,
        kpis.display_order,
        flags.value,
        flags.reference_value,
        flags.comparison_type,
        flags.is_time_confounded,
        flags.delta,
        flags.direction,
        flags.judged_delta,
        flags.limit_unit,
        flags.warning,
        flags.level,
        cast(flags.worst_level as {{ dbt.type_string() }}) as worst_level,
        flags.is_within_thresholds,
        flags.note,
        flags.cause,
        cast(coalesce(alerts.n_alerts, 0) as bigint) as n_alerts,
        cast(coalesce(alerts.n_alerts_overall, 0) as bigint) as n_alerts_overall,
        cast(coalesce(alerts.n_new_alerts, 0) as bigint) as n_new_alerts,
        coalesce(flags.is_drifting, false) as is_drifting,
        flags.slope_per_week,
        cast(diagnoses.diagnosis as {{ dbt.type_string() }}) as diagnosis,
        cast(worst_task_types.worst_task_types as {{ dbt.type_string() }}) as worst_task_types,
        movements.moved_on,
        movements.direction as moved_direction,
        movements.first_mover,
        movements.lead_days,
        cast(releases.last_release as {{ dbt.type_string() }}) as last_release,
        coalesce(releases.released_in_week, false) as released_in_week,
        effects.effect as release_effect,
        effects.verdict as release_verdict,
        effects.is_decided as release_is_decided,
        decisions.change_type as next_change_type,
        decisions.summary as next_change_summary,
        decisions.kpi as next_change_kpi,
        decisions.direction as next_change_direction,
        cast(decisions.min_effect as {{ type_double() }}) as next_change_min_effect,
        decisions.decide_by as next_change_decide_by,
        decisions.owner as next_change_owner,
        decisions.effective_from as next_change_decided_at,
        not coalesce(decisions.is_testable, false) as report_only
    from reviewed
    inner join weeks
        on {{ keys_agree('reviewed', 'weeks', week) }}
    inner join kpis on reviewed.kpi = kpis.kpi
    left join flags
        on {{ keys_agree('reviewed', 'flags', row) }}
    left join alerts
        on {{ keys_agree('reviewed', 'alerts', row) }}
    left join diagnoses
        on {{ keys_agree('reviewed', 'diagnoses', row) }}
    left join worst_task_types
        on {{ keys_agree('reviewed', 'worst_task_types', week) }}
    left join movements
        on {{ keys_agree('reviewed', 'movements', row) }}
    left join releases
        on {{ keys_agree('reviewed', 'releases', week) }}
    left join effects
        on {{ keys_agree('reviewed', 'effects', row) }}
    left join decisions
        on {{ keys_agree('reviewed', 'decisions', week) }}

)

select * from final
