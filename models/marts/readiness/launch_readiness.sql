with launches as (

    select * from {{ ref('int_launches') }}

),

served as (

    select * from launches
    where kind != 'undefined_task_type'

),

agents as (

    select
        agent_name,
        min(first_launched_at) as launched_at
    from served
    group by agent_name

),

scopes as (

    select * from {{ ref('dim_agent_scopes') }}

),

definitions as (

    {{ defined_since(ref('dim_task_types'), ['task_type']) }}

),

completion_definitions as (

    select
        launches.agent_name,
        'completion_definition' as item_type,
        launches.task_type as item,
        launches.task_type,
        launches.launched_at,
        definitions.defined_at,
        definitions.owner,
        launches.kind != 'undefined_task_type' as is_always_required,
        {{ dbt.concat(["'task_types.csv, task_type '", 'launches.task_type']) }} as place,
        {{ dbt.concat([
            "'task_types.csv has no row for task_type '",
            'launches.task_type',
            "case when launches.kind = 'undefined_task_type' then ', which is in no scope of the agent' else '' end",
            "': its requests count in no KPI.'",
        ]) }} as lack
    from launches
    left join definitions on launches.task_type = definitions.task_type

),

-- People's requests before launch, as known at launch.
baselines as (

    select
        agent_name,
        segment as task_type,
        n
    from {{ ref('kpi_baselines') }}
    where segment_type = 'task_type' and kpi = 'task_completion_rate'

),

baseline_items as (

    select
        served.agent_name,
        'baseline' as item_type,
        served.task_type as item,
        served.task_type,
        served.launched_at,
        case when baselines.n > 0 then scopes.baseline_defined_at end as defined_at,
        scopes.owner,
        false as is_always_required,
        {{ dbt.concat(["'agent_scopes.csv, agent_name '", 'served.agent_name', "', task_type '", 'served.task_type']) }} as place,
        case
            when scopes.agent_name is null
                then {{ dbt.concat([
                    "'agent_scopes.csv has no row for agent_name '", 'served.agent_name', "', task_type '", 'served.task_type', "'.'",
                ]) }}
            when scopes.baseline_from is null
                then {{ dbt.concat([
                    "'agent_scopes.csv, agent_name '", 'served.agent_name', "', task_type '", 'served.task_type', "': baseline_from is empty.'",
                ]) }}
            when definitions.task_type is null
                then {{ dbt.concat(["'No request of people on '", 'served.task_type', "' counts: task_types.csv does not define it.'"]) }}
            when baselines.n = 0
                then {{ dbt.concat([
                    "'Of people on '", 'served.task_type', "' from '", 'cast(scopes.baseline_from as ' ~ dbt.type_string() ~ ')',
                    "' (baseline_from) there are requests, but none was old enough at launch to have an outcome.'",
                ]) }}
            else {{ dbt.concat([
                "'There are no requests of people on '", 'served.task_type', "' from '", 'cast(scopes.baseline_from as ' ~ dbt.type_string() ~ ')',
                "' (baseline_from) until the launch'",
                "case when scopes.baseline_tier is not null then " ~ dbt.concat(["' in '", 'scopes.baseline_tier', "' (baseline_tier)'"]) ~ " else '' end",
                "'.'",
            ]) }}
        end as lack
    from served
    left join scopes
        on served.agent_name = scopes.agent_name
            and served.task_type = scopes.task_type
    left join definitions on served.task_type = definitions.task_type
    left join baselines
        on served.agent_name = baselines.agent_name
            and served.task_type = baselines.task_type

),

holdouts as (

    {{ defined_since(ref('agent_scopes'), ['agent_name', 'task_type'], 'holdout_share is not null') }}

),

holdout_items as (

    select
        served.agent_name,
        'holdout' as item_type,
        served.task_type as item,
        served.task_type,
        served.launched_at,
        holdouts.defined_at,
        holdouts.owner,
        false as is_always_required,
        {{ dbt.concat(["'agent_scopes.csv, agent_name '", 'served.agent_name', "', task_type '", 'served.task_type']) }} as place,
        case
            when served.kind = 'scope'
                then {{ dbt.concat([
                    "'agent_scopes.csv, agent_name '", 'served.agent_name', "', task_type '", 'served.task_type', "': holdout_share is empty.'",
                ]) }}
            else {{ dbt.concat(["'agent_scopes.csv has no row for agent_name '", 'served.agent_name', "', task_type '", 'served.task_type', "'.'"]) }}
        end as lack
    from served
    left join holdouts
        on served.agent_name = holdouts.agent_name
            and served.task_type = holdouts.task_type

),

-- A limit counts where it is a distance from the reference on the side that is bad.
limits as (

    select
        rows_of_agents.agent_name,
        rows_of_agents.threshold_profile,
        rows_of_agents.kpi,
        min(rows_of_agents.first_effective_from) as defined_at,
        max(case when rows_of_agents.valid_to is null then rows_of_agents.owner end) as owner
    from {{ ref('int_threshold_rows') }} as rows_of_agents
    inner join {{ ref('dim_kpis') }} as kpis
        on rows_of_agents.kpi = kpis.kpi
            and (kpis.better = 'between' or rows_of_agents.direction = case kpis.better when 'high' then 'low' else 'high' end)
    where rows_of_agents.unit in ('pp', 'percent')
    group by rows_of_agents.agent_name, rows_of_agents.threshold_profile, rows_of_agents.kpi

),

threshold_items as (

    select
        profiles.agent_name,
        'thresholds' as item_type,
        {{ dbt.concat(['profiles.threshold_profile', "': '", 'kpis.kpi']) }} as item,
        cast(null as {{ dbt.type_string() }}) as task_type,
        profiles.launched_at,
        limits.defined_at,
        limits.owner,
        true as is_always_required,
        {{ dbt.concat(["'thresholds.csv, threshold_profile '", 'profiles.threshold_profile', "', kpi '", 'kpis.kpi']) }} as place,
        {{ dbt.concat([
            "'thresholds.csv has no row for threshold_profile '", 'profiles.threshold_profile', "', kpi '", 'kpis.kpi',
            "' that limits the distance from the reference (unit pp or percent'",
            "case kpis.better when 'high' then ', direction low' when 'low' then ', direction high' else '' end", "').'",
        ]) }} as lack
    from {{ ref('int_launch_profiles') }} as profiles
    inner join {{ ref('dim_kpis') }} as kpis on kpis.role in ('primary', 'kpi')
    left join limits
        on profiles.agent_name = limits.agent_name
            and profiles.threshold_profile = limits.threshold_profile
            and kpis.kpi = limits.kpi

),

-- A route that starts at watch or at warning is told of what is critical, too.
routes as (

    {{ defined_since(ref('alert_routes'), ['agent_name', 'route'], "minimum_level in ('watch', 'warning', 'critical')") }}

),

ranked_routes as (

    select
        agents.agent_name,
        routes.defined_at,
        routes.owner,
        row_number() over (partition by agents.agent_name order by routes.defined_at asc, routes.owner asc) as seniority
    from agents
    inner join routes on routes.agent_name is null or agents.agent_name = routes.agent_name

),

route_items as (

    select
        agents.agent_name,
        'alert_route' as item_type,
        'critical alerts' as item,
        cast(null as {{ dbt.type_string() }}) as task_type,
        agents.launched_at,
        ranked_routes.defined_at,
        ranked_routes.owner,
        true as is_always_required,
        {{ dbt.concat(["'alert_routes.csv, agent_name '", 'agents.agent_name', "' or empty'"]) }} as place,
        {{ dbt.concat([
            "'alert_routes.csv has no row for agent_name '", 'agents.agent_name',
            "' (or empty: every agent) with minimum_level critical or lower: nobody is told.'",
        ]) }} as lack
    from agents
    left join ranked_routes
        on agents.agent_name = ranked_routes.agent_name
            and ranked_routes.seniority = 1

),

reviews as (

    {{ defined_since(ref('weekly_reviews'), ['agent_name']) }}

),

review_items as (

    select
        agents.agent_name,
        'weekly_review' as item_type,
        'weekly review' as item,
        cast(null as {{ dbt.type_string() }}) as task_type,
        agents.launched_at,
        reviews.defined_at,
        reviews.owner,
        true as is_always_required,
        {{ dbt.concat(["'weekly_reviews.csv, agent_name '", 'agents.agent_name']) }} as place,
        {{ dbt.concat(["'weekly_reviews.csv has no row for agent_name '", 'agents.agent_name', "': nobody holds a weekly review.'"]) }} as lack
    from agents
    left join reviews on agents.agent_name = reviews.agent_name

),

items as (

    {%- for relation in ['completion_definitions', 'baseline_items', 'holdout_items', 'threshold_items', 'route_items', 'review_items'] %}
    select
        *,
        case
            when defined_at is null then 'missing'
            when defined_at <= launched_at then 'before_launch'
            else 'set_after_launch'
        end as status
    from {{ relation }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

-- One reference of the two is enough: an item is not required where the other one stood before launch, or stands at all and this one does not.
required as (

    select
        items.*,
        case
            when items.item_type in ('baseline', 'holdout')
                then not (other.status = 'before_launch' or (other.status = 'set_after_launch' and items.status = 'missing'))
            else items.is_always_required
        end as is_required,
        items.item_type in ('baseline', 'holdout') and items.status = 'missing' and other.status = 'missing' as has_no_reference
    from items
    left join items as other
        on items.agent_name = other.agent_name
            and items.task_type = other.task_type
            and other.item_type = case items.item_type when 'baseline' then 'holdout' when 'holdout' then 'baseline' end

),

final as (

    select
        agent_name,
        cast(item_type as {{ dbt.type_string() }}) as item_type,
        cast(item as {{ dbt.type_string() }}) as item,
        cast(task_type as {{ dbt.type_string() }}) as task_type,
        launched_at,
        defined_at,
        cast(status as {{ dbt.type_string() }}) as status,
        is_required,
        cast(
            case status
                when 'missing'
                    then {{ dbt.concat([
                        'lack',
                        "case when has_no_reference then ' With neither a baseline nor a holdout there is nothing to compare with: one is needed.' else '' end",
                    ]) }}
                when 'set_after_launch'
                    then {{ dbt.concat([
                        'place', "': effective_from is '", 'cast(defined_at as ' ~ dbt.type_string() ~ ')', "', after the launch at '",
                        'cast(launched_at as ' ~ dbt.type_string() ~ ')', "'.'",
                    ]) }}
            end as {{ dbt.type_string() }}
        ) as detail,
        cast(case when status != 'missing' then owner end as {{ dbt.type_string() }}) as owner
    from required

)

select * from final
