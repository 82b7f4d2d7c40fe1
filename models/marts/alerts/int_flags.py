from agent_kpis.frames import to_pandas
from agent_kpis.statistics.flags import evaluate


def model(dbt, session):
    return evaluate(
        parts=to_pandas(dbt.ref("int_flag_days")),
        times=to_pandas(dbt.ref("int_flag_times")),
        answers=to_pandas(dbt.ref("int_csat_triangle")),
        indicators=to_pandas(dbt.ref("int_flag_indicators")),
        health=to_pandas(dbt.ref("agent_health")),
        limits=to_pandas(dbt.ref("int_flag_limits")),
        metrics=to_pandas(dbt.ref("dim_kpis")),
        clock=to_pandas(dbt.ref("int_as_of")),
    )
