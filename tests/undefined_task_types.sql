{{ config(severity='warn') }}

select
    task_type,
    count(*) as n_interactions
from {{ ref('fct_interactions') }}
where exclusion_reason = 'undefined_task_type'
group by task_type
