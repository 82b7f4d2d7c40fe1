from agent_kpis.frames import to_pandas
from agent_kpis.statistics.movers import first_movers


def model(dbt, session):
    return first_movers(
        kpis=to_pandas(dbt.ref("int_kpi_series")),
        indicators=to_pandas(dbt.ref("int_indicator_series")),
        order=to_pandas(dbt.ref("int_diagnosis_order")),
    )
