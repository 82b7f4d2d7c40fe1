select
    thresholds.threshold_profile,
    thresholds.kpi,
    case when kpis.kpi is null then 'no such metric in the registry' else 'a context metric is never a reason for a verdict' end
        as fault
from {{ ref('thresholds') }} as thresholds
left join {{ ref('dim_kpis') }} as kpis on thresholds.kpi = kpis.kpi
where kpis.kpi is null or kpis.role = 'context'
