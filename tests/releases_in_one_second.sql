{{ config(severity='warn') }}

select
    agent_name,
    agent_version,
    valid_from as released_at
from {{ ref('dim_agent_versions') }}
where valid_from = valid_to
