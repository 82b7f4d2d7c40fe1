-- Working time of people, priced. Reported before computed: a human row in `costs` supersedes it from its day on, recorded time the default.
with human_events as (

    select
        interaction_id,
        occurred_at,
        handle_seconds
    from {{ ref('int_interaction_events') }}
    -- Opening a request for a customer is not taking part, but time recorded for it is time.
    where actor_kind = 'human' and (event_type != 'opened' or handle_seconds is not null)

),

interactions as (

    select
        interaction_id,
        tier
    from {{ ref('int_interactions_configured') }}

),

reported as (

    select
        roots.root_interaction_id as interaction_id,
        min(input.occurred_at) as reported_at
    from {{ ref('input_costs') }} as input
    inner join {{ ref('int_as_of') }} as clock on input.occurred_at <= clock.as_of
    inner join {{ ref('int_interaction_roots') }} as roots on input.interaction_id = roots.interaction_id
    where input.component = 'human'
    group by roots.root_interaction_id

),

rates as (

    {{ effective_versions(ref('labour_rates'), ['tier'], open_start=false) }}

),

interactions_with_people as (

    select
        human_events.interaction_id,
        min(human_events.occurred_at) as first_occurred_at,
        min(case when human_events.handle_seconds is not null then human_events.occurred_at end) as first_recorded_at,
        min(reported.reported_at) as reported_at
    from human_events
    left join reported on human_events.interaction_id = reported.interaction_id
    group by human_events.interaction_id

),

worked as (

    select
        human_events.interaction_id,
        human_events.occurred_at,
        human_events.handle_seconds,
        interactions_with_people.reported_at as superseded_at,
        false as is_default
    from human_events
    inner join interactions_with_people on human_events.interaction_id = interactions_with_people.interaction_id
    where human_events.handle_seconds is not null
    union all
    select
        interaction_id,
        first_occurred_at as occurred_at,
        cast(null as {{ type_double() }}) as handle_seconds,
        case when reported_at <= first_recorded_at then reported_at else coalesce(first_recorded_at, reported_at) end as superseded_at,
        true as is_default
    from interactions_with_people
    where first_recorded_at is null or first_recorded_at > first_occurred_at

),

final as (

    select
        worked.interaction_id,
        worked.occurred_at,
        worked.superseded_at,
        worked.is_default,
        cast(
            round(
                cast(case when worked.is_default then rates.default_handle_minutes * 60 else worked.handle_seconds end as {{ type_double() }})
                * cast(rates.usd_per_hour as {{ type_double() }}) / 3600,
                10
            ) as {{ type_money() }}
        ) as cost_usd
    from worked
    inner join interactions on worked.interaction_id = interactions.interaction_id
    left join rates
        on interactions.tier = rates.tier
            and {{ is_effective('rates', 'worked.occurred_at') }}

)

select * from final
