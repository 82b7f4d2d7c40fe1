{{ config(severity='warn') }}

select
    agent_name,
    count(*) as n_interactions,
    min(opened_at) as first_opened_at,
    max(opened_at) as last_opened_at
from {{ ref('fct_interactions') }}
where agent_version = 'unknown_version'
group by agent_name
