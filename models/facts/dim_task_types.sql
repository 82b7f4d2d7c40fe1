{{ check_definitions() }}

with versions as (

    {{ effective_versions(ref('task_types'), ['task_type']) }}

),

final as (

    select
        task_type,
        cast(version_number as integer) as version_number,
        definition as completion_definition,
        case definition
            {%- for name in completion_definitions() %}
            when '{{ name }}' then '{{ basis_of(name) }}'
            {%- endfor %}
        end as basis,
        resolve_within_hours,
        reopen_window_hours,
        reopen_rule,
        threshold_profile,
        {{ dbt.hash(dbt.concat([
            'definition',
            "'|'",
            'case definition' ~ definition_fingerprint_cases() ~ ' end',
            "'|'",
            'cast(resolve_within_hours as ' ~ dbt.type_string() ~ ')',
            "'|'",
            'cast(reopen_window_hours as ' ~ dbt.type_string() ~ ')',
            "'|'",
            'reopen_rule',
        ])) }} as definition_hash,
        owner,
        effective_from,
        valid_from,
        valid_to
    from versions

)

select * from final
