with cohorts as (

    select * from {{ ref('int_csat_cohorts') }}

),

nowcasts as (

    select * from {{ ref('int_csat_nowcasts') }}

),

reliability as (

    select distinct
        agent_name,
        arm,
        is_unreliable
    from {{ ref('csat_nowcast_backtest') }}

),

completed as (

    select
        cohorts.*,
        cast(cohorts.score_sum as {{ type_double() }}) / nullif(cohorts.n_answered, 0) as observed_mean,
        nowcasts.task_type is null and cohorts.cohort_date <= cohorts.last_day as is_past_nowcasting,
        nowcasts.maturity,
        nowcasts.n_expected,
        nowcasts.completed_mean,
        nowcasts.completed_lower_bound,
        nowcasts.completed_upper_bound
    from cohorts
    left join nowcasts
        on cohorts.cohort_date = cast(nowcasts.cohort_date as date)
            and cohorts.agent_name = nowcasts.agent_name
            and cohorts.arm = nowcasts.arm
            and cohorts.task_type = nowcasts.task_type

),

-- Days too old to be nowcast have all their answers; the day of as_of itself is not over, and has no nowcast yet.
final as (

    select
        completed.cohort_date,
        completed.agent_name,
        completed.arm,
        completed.task_type,
        cast(completed.n_interactions as bigint) as n_interactions,
        cast(completed.n_sent as bigint) as n_sent,
        cast(completed.n_answered as bigint) as n_answered,
        cast(completed.n_answered as {{ type_double() }}) / nullif(completed.n_sent, 0) as response_rate,
        cast(completed.score_sum as {{ type_double() }}) as score_sum,
        cast(completed.score_square_sum as {{ type_double() }}) as score_square_sum,
        completed.observed_mean,
        {%- for column, complete in [
            ('maturity', '1'),
            ('n_expected', 'completed.n_answered'),
            ('completed_mean', 'completed.observed_mean'),
            ('completed_lower_bound', 'completed.observed_mean'),
            ('completed_upper_bound', 'completed.observed_mean'),
        ] %}
        cast(case when completed.is_past_nowcasting then {{ complete }} else completed.{{ column }} end as {{ type_double() }}) as {{ column }},
        {%- endfor %}
        cast(
            case
                when completed.n_sent = 0 then 'no_data'
                when completed.is_past_nowcasting or completed.maturity >= {{ var('csat_final_from') }} then 'final'
                else 'provisional'
            end as {{ dbt.type_string() }}
        ) as status,
        coalesce(reliability.is_unreliable, false) as is_unreliable
    from completed
    left join reliability
        on completed.agent_name = reliability.agent_name
            and completed.arm = reliability.arm

)

select * from final
