select
    decisions.agent_name,
    decisions.week_start,
    decisions.kpi
from {{ ref('review_decisions') }} as decisions
left join {{ ref('dim_kpis') }} as kpis on decisions.kpi = kpis.kpi
where decisions.kpi is not null and (kpis.kpi is null or kpis.role = 'context')
