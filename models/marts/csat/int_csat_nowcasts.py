from agent_kpis.frames import to_pandas
from agent_kpis.statistics.csat import nowcasts


def model(dbt, session):
    return nowcasts(to_pandas(dbt.ref("int_csat_triangle")), to_pandas(dbt.ref("int_csat_cohorts")))
