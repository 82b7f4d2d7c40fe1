select
    indicators.indicator,
    indicators.kpi
from {{ ref('leading_indicators') }} as indicators
left join {{ ref('dim_kpis') }} as kpis on indicators.kpi = kpis.kpi
where kpis.kpi is null or kpis.role not in ('primary', 'kpi')
