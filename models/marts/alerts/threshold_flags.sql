{%- set key = ['agent_name', 'segment_type', 'segment'] -%}
{%- set paged = ['warning', 'critical', 'catastrophic'] -%}
{%- set is_paged = "level in ('" ~ paged | join("', '") ~ "')" -%}

with dated as (

    select
        *,
        cast(evaluation_date as date) as evaluated_for,
        cast(evaluated_on as date) as window_end
    from {{ ref('int_flags') }}

),

flags as (

    select
        *,
        cast({{ dbt.dateadd('day', '1 - cast(window_days as integer)', 'window_end') }} as date) as window_start
    from dated

),

kpis as (

    select * from {{ ref('dim_kpis') }}

),

baseline_kinds as (

    select distinct
        agent_name,
        segment_type,
        segment,
        baseline_kind
    from {{ ref('kpi_baselines') }}

),

-- Why the agent handed over, where that is what is flagged.
escalations as (

    select
        agent_name,
        task_type,
        channel,
        tier,
        cast(matures_at as date) as known_on,
        escalation_reason_class as reason_class,
        {{ reason_may_page('escalation_reason_class') }} as may_page
    from {{ ref('int_compared_interactions') }}
    where population in ('ai_randomised', 'ai_routed') and is_escalated

),

segmented as (

    {{ by_segment('escalations', ['all', 'task_type', 'channel', 'tier']) }}

),

escalations_a_day as (

    select
        {{ key | join(', ') }},
        known_on,
        reason_class,
        task_type,
        count(*) as n,
        {{ count_where('may_page') }} as n_paging
    from segmented
    group by {{ key | join(', ') }}, known_on, reason_class, task_type

),

escalation_flags as (

    select
        {{ key | join(', ') }},
        evaluated_for,
        window_start,
        window_end
    from flags
    where kpi = 'escalation_rate' and direction = 'high' and {{ is_paged }}

),

behind as (

    select
        escalation_flags.agent_name,
        escalation_flags.segment_type,
        escalation_flags.segment,
        escalation_flags.evaluated_for,
        escalations_a_day.reason_class,
        escalations_a_day.task_type,
        sum(escalations_a_day.n) as n,
        sum(escalations_a_day.n_paging) as n_paging
    from escalation_flags
    inner join escalations_a_day
        on {{ keys_agree('escalation_flags', 'escalations_a_day', key) }}
            and escalations_a_day.known_on <= escalation_flags.window_end
            and escalations_a_day.known_on >= escalation_flags.window_start
    group by 1, 2, 3, 4, 5, 6

),

{%- for what, count in [('reason_class', 'n'), ('task_type', 'n_paging')] %}

ranked_{{ what }} as (

    select
        *,
        {{ dbt.concat(["name", "' ('", "cast(n as " ~ dbt.type_string() ~ ")", "')'"]) }} as step,
        row_number() over (partition by {{ key | join(', ') }}, evaluated_for order by n desc, name asc) as place
    from (
        select
            {{ key | join(', ') }},
            evaluated_for,
            {{ what }} as name,
            sum({{ count }}) as n
        from behind
        group by {{ key | join(', ') }}, evaluated_for, {{ what }}
    ) as counted
    where n > 0

),

top_{{ what }} as (

    select
        {{ key | join(', ') }},
        evaluated_for,
        {{ places_as_text(3) }} as top
    from ranked_{{ what }}
    group by {{ key | join(', ') }}, evaluated_for

),
{%- endfor %}

final as (

    select
        flags.evaluated_for as evaluation_date,
        flags.window_end as evaluated_on,
        {%- for column in key + ['kpi', 'direction'] %}
        cast(flags.{{ column }} as {{ dbt.type_string() }}) as {{ column }},
        {%- endfor %}
        kpis.role,
        kpis.unit,
        cast(flags.window_days as integer) as window_days,
        flags.window_start,
        flags.window_end,
        cast(flags.n as bigint) as n,
        cast(flags.value as {{ type_double() }}) as value,
        cast(flags.reference_value as {{ type_double() }}) as reference_value,
        cast(flags.comparison_type as {{ dbt.type_string() }}) as comparison_type,
        case when flags.comparison_type is not null then flags.comparison_type = 'pre_launch' end as is_time_confounded,
        case when flags.comparison_type = 'pre_launch' then baseline_kinds.baseline_kind end as baseline_kind,
        cast(flags.delta as {{ type_double() }}) as delta,
        cast(flags.judged_delta as {{ type_double() }}) as judged_delta,
        cast(flags.judged_bound as {{ type_double() }}) as judged_bound,
        cast(flags.minimum_detectable_effect as {{ type_double() }}) as minimum_detectable_effect,
        cast(flags.limit_unit as {{ dbt.type_string() }}) as limit_unit,
        {%- for limit in paged %}
        cast(flags.{{ limit }} as {{ type_double() }}) as {{ limit }},
        {%- endfor %}
        cast(flags.point_level as {{ dbt.type_string() }}) as point_level,
        cast(flags.level as {{ dbt.type_string() }}) as level,
        cast(flags.cause as {{ dbt.type_string() }}) as cause,
        cast(flags.holdout_delta as {{ type_double() }}) as holdout_delta,
        cast(flags.slope_per_week as {{ type_double() }}) as slope_per_week,
        flags.is_set_after_launch,
        cast(
            case flags.level
                when 'warning' then 'investigate'
                when 'critical' then 'act now'
                when 'catastrophic' then 'consider taking the agent offline'
            end as {{ dbt.type_string() }}
        ) as action,
        {%- for what, name in [('reason_class', 'top_reasons'), ('task_type', 'top_task_types')] %}
        cast(top_{{ what }}.top as {{ dbt.type_string() }}) as {{ name }},
        {%- endfor %}
        cast(
            case
                when flags.kpi = 'escalation_rate' and flags.direction = 'low' and flags.{{ is_paged }}
                    then 'possible_under_escalation'
                when flags.level = 'watch' and flags.point_level = 'ok' then 'drift'
                when flags.level = 'watch' then 'beyond_a_limit_not_confirmed'
            end as {{ dbt.type_string() }}
        ) as note
    from flags
    inner join kpis on flags.kpi = kpis.kpi
    left join baseline_kinds
        on {{ keys_agree('flags', 'baseline_kinds', key) }}
    {%- for what in ['reason_class', 'task_type'] %}
    left join top_{{ what }}
        on flags.kpi = 'escalation_rate'
            and flags.direction = 'high'
            and {{ keys_agree('flags', 'top_' ~ what, key) }}
            and flags.evaluated_for = top_{{ what }}.evaluated_for
    {%- endfor %}

)

select * from final
