-- Requests that were replayed under a release and under the version before it: the mean of its runs under each.
with runs as (

    select * from {{ ref('int_release_requests') }}
    where side = 'replayed'

),

requests as (

    select
        agent_name,
        release_version,
        task_type,
        customer_id as request,
        period,
        count(*) as n_runs,
        avg(case when is_completed then 1.0 else 0.0 end) as completed,
        avg(case when is_escalated then 1.0 else 0.0 end) as escalated,
        avg(cost_usd) as cost_usd,
        -- Of the runs that have a price, as the cost is.
        avg(case when cost_usd is null then null when is_completed then 1.0 else 0.0 end) as completed_priced,
        sum(score_sum) / nullif(sum(n_surveys_answered), 0) as score
    from runs
    group by agent_name, release_version, task_type, customer_id, period

),

final as (

    select
        after.agent_name,
        after.release_version,
        after.task_type,
        {%- for column in ['n_runs', 'completed', 'escalated', 'cost_usd', 'completed_priced', 'score'] %}
        before.{{ column }} as {{ column }}_before,
        after.{{ column }} as {{ column }}_after,
        {%- endfor %}
        after.request
    from requests as after
    inner join requests as before
        on after.agent_name = before.agent_name
            and after.release_version = before.release_version
            and after.task_type = before.task_type
            and after.request = before.request
    where after.period = 'after' and before.period = 'before'

)

select * from final
