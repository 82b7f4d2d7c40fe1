with judges as (

    select
        indicator,
        evaluator_name,
        evaluator_version,
        count(*) as n_judged,
        {{ count_where('is_surveyed') }} as n_surveyed,
        {{ count_where('csat is not null') }} as n_pairs
    from {{ ref('int_judged_interactions') }}
    group by indicator, evaluator_name, evaluator_version

),

estimates as (

    select * from {{ ref('int_judge_calibration') }}

),

csat_indicators as (

    select
        indicator,
        direction
    from {{ ref('int_diagnosis_order') }}
    where kpi = 'csat'

),

-- Where high scores are the bad ones, a good judge gives them to the unsatisfied.
oriented as (

    select
        judges.*,
        csat_indicators.indicator is not null as predicts_csat,
        {%- for column, mirror in [('auc', 'auc'), ('auc_lower_bound', 'auc_upper_bound'), ('auc_upper_bound', 'auc_lower_bound')] %}
        case when csat_indicators.direction = 'high' then 1 - estimates.{{ mirror }} else estimates.{{ column }} end as {{ column }},
        {%- endfor %}
        estimates.spearman_rho,
        estimates.spearman_p
    from judges
    left join estimates
        on judges.indicator = estimates.indicator
            and judges.evaluator_name = estimates.evaluator_name
            and judges.evaluator_version = estimates.evaluator_version
    left join csat_indicators on judges.indicator = csat_indicators.indicator

),

graded as (

    select
        *,
        case
            when not predicts_csat then 'not_required'
            when n_pairs < 100 or auc_lower_bound is null then 'insufficient_data'
            when auc_lower_bound > 0.5 then 'calibrated'
            else 'not_calibrated'
        end as status
    from oriented

),

final as (

    select
        cast(indicator as {{ dbt.type_string() }}) as indicator,
        cast(evaluator_name as {{ dbt.type_string() }}) as evaluator_name,
        cast(evaluator_version as {{ dbt.type_string() }}) as evaluator_version,
        cast(n_judged as bigint) as n_judged,
        cast(n_surveyed as bigint) as n_surveyed,
        cast(n_pairs as bigint) as n_pairs,
        cast(n_pairs as {{ type_double() }}) / nullif(n_surveyed, 0) as response_rate,
        {%- for column in ['auc', 'auc_lower_bound', 'auc_upper_bound', 'spearman_rho', 'spearman_p'] %}
        cast({{ column }} as {{ type_double() }}) as {{ column }},
        {%- endfor %}
        cast(status as {{ dbt.type_string() }}) as status,
        status in ('calibrated', 'not_required') as may_alert
    from graded

)

select * from final
