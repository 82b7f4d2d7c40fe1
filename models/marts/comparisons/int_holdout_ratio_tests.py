from agent_kpis.frames import to_pandas
from agent_kpis.statistics.comparisons import sample_ratios


def model(dbt, session):
    return sample_ratios(to_pandas(dbt.ref("int_holdout_splits")))
