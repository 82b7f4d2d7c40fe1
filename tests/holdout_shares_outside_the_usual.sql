{{ config(severity='warn') }}

select
    agent_name,
    task_type,
    holdout_share
from {{ ref('dim_agent_scopes') }}
where holdout_share < 0.10 or holdout_share > 0.20
