-- Every row of thresholds.csv for every agent that it applies to, and whether it was there at the launch.
with profiles as (

    select * from {{ ref('int_launch_profiles') }}

),

versions as (

    {{ effective_versions(ref('thresholds'), ['threshold_profile', 'kpi', 'direction', 'unit']) }}

),

firsts as (

    select
        *,
        min(effective_from) over (partition by threshold_profile, kpi, direction, unit) as first_effective_from
    from versions

),

final as (

    select
        profiles.agent_name,
        firsts.threshold_profile,
        firsts.kpi,
        firsts.direction,
        firsts.unit,
        firsts.warning,
        firsts.critical,
        firsts.catastrophic,
        firsts.owner,
        firsts.effective_from,
        firsts.valid_from,
        firsts.valid_to,
        firsts.first_effective_from,
        profiles.launched_at,
        firsts.first_effective_from > profiles.launched_at as is_set_after_launch,
        firsts.first_effective_from <= profiles.launched_at and firsts.effective_from > profiles.launched_at as is_changed_after_launch
    from profiles
    inner join firsts on profiles.threshold_profile = firsts.threshold_profile

)

select * from final
