from agent_kpis.frames import to_pandas
from agent_kpis.statistics.releases import release_effects


def model(dbt, session):
    return release_effects(
        windows=to_pandas(dbt.ref("int_release_windows")),
        kpis=to_pandas(dbt.ref("dim_kpis")),
        cells=to_pandas(dbt.ref("int_release_cells")),
        design_effects=to_pandas(dbt.ref("int_release_design_effects")),
        times=to_pandas(dbt.ref("int_release_resolution_time_bins")),
        answers=to_pandas(dbt.ref("int_release_csat_triangle")),
        replays=to_pandas(dbt.ref("int_release_replays")),
    )
