-- Every agent, arm and segment has a row for each of the five KPIs, also where there is no value.
select
    agent_name,
    arm,
    segment_type,
    segment,
    count(*) as n_kpis
from {{ ref('kpi_scorecard') }}
where role in ('primary', 'kpi')
group by agent_name, arm, segment_type, segment
having count(*) != 5
