{{ config(severity='warn') }}

select
    agent_name,
    item_type,
    item
from {{ ref('launch_readiness') }}
where status = 'missing' and is_required
