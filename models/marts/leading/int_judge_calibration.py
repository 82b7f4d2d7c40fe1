from agent_kpis.frames import to_pandas
from agent_kpis.statistics.judges import calibrations


def model(dbt, session):
    return calibrations(to_pandas(dbt.ref("int_judge_pairs")))
