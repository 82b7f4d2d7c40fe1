from agent_kpis.frames import to_pandas
from agent_kpis.statistics.provisional import readings


def model(dbt, session):
    return readings(
        transitions=to_pandas(dbt.ref("int_completion_transitions")),
        answers=to_pandas(dbt.ref("int_csat_triangle")),
    )
