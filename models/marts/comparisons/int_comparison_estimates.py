from agent_kpis.frames import to_pandas
from agent_kpis.statistics.comparisons import compare


def model(dbt, session):
    return compare(
        cells=to_pandas(dbt.ref("int_comparison_cells")),
        design_effects=to_pandas(dbt.ref("int_design_effects")),
        times=to_pandas(dbt.ref("int_resolution_time_bins")),
        answers=to_pandas(dbt.ref("int_csat_triangle")),
    )
