{{ config(alias="escalation_reasons") }}

with interactions as (

    select
        {{ week_of('opened_at') }} as week_start,
        coalesce(agent_name, '(none)') as agent_name,
        arm,
        is_escalated,
        escalation_reason_class
    from {{ ref('fct_interactions') }}
    where outcome not in ('excluded', 'pending')

),

totals as (

    select
        week_start,
        agent_name,
        arm,
        count(*) as n_mature,
        {{ count_where('is_escalated') }} as n_escalated_total
    from interactions
    group by week_start, agent_name, arm

),

classes as (

    select
        week_start,
        agent_name,
        arm,
        escalation_reason_class,
        count(*) as n_escalated
    from interactions
    where is_escalated
    group by week_start, agent_name, arm, escalation_reason_class

),

final as (

    select
        classes.week_start,
        classes.agent_name,
        classes.arm,
        classes.escalation_reason_class as reason_class,
        cast(classes.n_escalated as bigint) as n_escalated,
        cast(totals.n_escalated_total as bigint) as n_escalated_total,
        cast(totals.n_mature as bigint) as n_mature,
        cast(classes.n_escalated as {{ type_double() }}) / totals.n_escalated_total as share_of_escalations,
        cast(classes.n_escalated as {{ type_double() }}) / totals.n_mature as escalation_rate
    from classes
    inner join totals
        on classes.week_start = totals.week_start
            and classes.agent_name = totals.agent_name
            and classes.arm = totals.arm

)

select * from final
