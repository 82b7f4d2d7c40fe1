{{ config(severity='warn') }}

with escalations as (

    select
        arm,
        count(*) as n_escalated,
        {{ count_where("escalation_reason_class = 'unknown'") }} as n_unknown
    from {{ ref('fct_interactions') }}
    where is_escalated
    group by arm

)

select
    arm,
    n_unknown,
    n_escalated
from escalations
where n_unknown > 0.05 * n_escalated
