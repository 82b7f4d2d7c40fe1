from agent_kpis.frames import to_pandas
from agent_kpis.statistics.judges import deciles


def model(dbt, session):
    return deciles(to_pandas(dbt.ref("int_judge_pairs")))
