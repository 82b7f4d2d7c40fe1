-- How to roll up: a week's completion is sum over sum. The mean of daily rates is another number.
select
    {{ week_of('cohort_date') }} as week_start,
    agent_name,
    cast(sum(n_completed) as {{ type_double() }}) / nullif(sum(n_mature), 0) as task_completion_rate,
    avg(cast(n_completed as {{ type_double() }}) / nullif(n_mature, 0)) as mean_of_cells_do_not_use
from {{ ref('kpi_daily') }}
where arm = 'ai'
group by 1, 2
order by 1, 2
