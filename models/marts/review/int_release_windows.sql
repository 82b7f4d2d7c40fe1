-- What of a release is looked at, and when: one row per release that has one before it.
{%- set days_before = 28 %}
{#- Where nobody stands beside the agent, its own past has to show how much it moves by itself. -#}
{%- set days_before_alone = 84 %}
{#- Whole weeks have all their weekdays; less than one between two releases tells them not apart. -#}
{%- set fewest_days = 7 %}

with versions as (

    select
        versions.*,
        lag(versions.valid_from) over (partition by versions.agent_name order by versions.valid_from, versions.agent_version) as previous_released_at,
        case
            when versions.decide_by > versions.valid_from then versions.decide_by
            else {{ dbt.dateadd('day', days_before, 'versions.valid_from') }}
        end as planned_to,
        clock.as_of
    from {{ ref('dim_agent_versions') }} as versions
    cross join {{ ref('int_as_of') }} as clock

),

dated as (

    select
        versions.*,
        {{ dbt.dateadd('day', -days_before, 'valid_from') }} as earliest_before,
        {{ dbt.dateadd('day', -days_before_alone, 'valid_from') }} as earliest_alone
    from versions
    where previous_version is not null

),

final as (

    select
        dated.agent_name,
        dated.agent_version,
        dated.previous_version,
        dated.valid_from as released_at,
        dated.change_type,
        dated.summary,
        dated.target_kpi,
        dated.expected_direction,
        dated.min_effect,
        dated.decide_by,
        dated.planned_to,
        greatest(dated.earliest_alone, dated.previous_released_at) as alone_from,
        greatest(dated.earliest_before, dated.previous_released_at) as before_from,
        least(dated.planned_to, coalesce(dated.valid_to, dated.planned_to), dated.as_of) as after_to,
        coalesce(dated.valid_to < dated.planned_to, false)
        or {{ seconds_between('dated.previous_released_at', 'dated.valid_from') }} < 86400 * {{ fewest_days }} as is_overlapping,
        coalesce(balance.has_sample_ratio_mismatch, false) as has_sample_ratio_mismatch,
        dated.as_of
    from dated
    left join {{ ref('holdout_balance') }} as balance on dated.agent_name = balance.agent_name

)

select * from final
