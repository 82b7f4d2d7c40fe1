from agent_kpis.frames import to_pandas
from agent_kpis.statistics.csat import backtests


def model(dbt, session):
    return backtests(
        to_pandas(dbt.ref("int_csat_triangle")), to_pandas(dbt.ref("int_csat_cohorts"))
    )
