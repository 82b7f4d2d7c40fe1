from agent_kpis.frames import to_pandas
from agent_kpis.statistics.csat import means


def model(dbt, session):
    return means(to_pandas(dbt.ref("int_csat_triangle")), to_pandas(dbt.ref("int_csat_responses")))
