with versions as (

    {{ effective_versions(ref('agent_scopes'), ['agent_name', 'task_type']) }}

),

-- When the baseline's terms were first written down.
baseline_terms as (

    select
        agent_name,
        task_type,
        launched_at,
        baseline_from,
        coalesce(baseline_tier, '') as baseline_tier,
        min(effective_from) as defined_at
    from versions
    where baseline_from is not null
    group by agent_name, task_type, launched_at, baseline_from, coalesce(baseline_tier, '')

),

final as (

    select
        versions.agent_name,
        versions.task_type,
        versions.launched_at,
        versions.baseline_from,
        versions.baseline_tier,
        baseline_terms.defined_at as baseline_defined_at,
        cast(
            case
                when baseline_terms.defined_at > versions.launched_at then 'retroactive'
                when baseline_terms.defined_at is not null then 'before_launch'
            end as {{ dbt.type_string() }}
        ) as baseline_kind,
        versions.holdout_share,
        versions.holdout_unit,
        versions.owner
    from versions
    left join baseline_terms
        on versions.agent_name = baseline_terms.agent_name
            and versions.task_type = baseline_terms.task_type
            and versions.launched_at = baseline_terms.launched_at
            and versions.baseline_from = baseline_terms.baseline_from
            and coalesce(versions.baseline_tier, '') = baseline_terms.baseline_tier
    where versions.valid_to is null

)

select * from final
