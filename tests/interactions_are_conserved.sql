with accepted as (

    select count(*) as n_accepted
    from {{ ref('input_interactions') }} as input
    inner join {{ ref('int_as_of') }} as clock on input.opened_at <= clock.as_of

),

follow_ups as (

    select count(*) as n_follow_ups
    from {{ ref('int_interaction_roots') }}
    where is_follow_up

),

facts as (

    select count(*) as n_facts from {{ ref('fct_interactions') }}

),

daily as (

    select coalesce(sum(n_interactions), 0) as n_daily from {{ ref('kpi_daily') }}

)

select
    accepted.n_accepted,
    follow_ups.n_follow_ups,
    facts.n_facts,
    daily.n_daily
from accepted
cross join follow_ups
cross join facts
cross join daily
where accepted.n_accepted != follow_ups.n_follow_ups + facts.n_facts or facts.n_facts != daily.n_daily
