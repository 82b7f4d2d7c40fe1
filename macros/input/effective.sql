{#-
    Configuration rows with the time they apply to: from their effective_from until the next row of the same key.
    `open_start`: the first row of a key also covers the time before it (opinions do, prices do not; DECISIONS.md).
-#}
{% macro effective_versions(relation, key, open_start=true) %}
    select
        versions.*,
        {% if open_start -%}
        case when version_number > 1 then effective_from end
        {%- else -%}
        effective_from
        {%- endif %} as valid_from,
        lead(effective_from) over (partition by {{ key | join(', ') }} order by effective_from) as valid_to
    from (
        select
            *,
            row_number() over (partition by {{ key | join(', ') }} order by effective_from) as version_number
        from {{ relation }}
    ) as versions
{% endmacro %}

{#- Whether a row of effective_versions applies at a moment. -#}
{% macro is_effective(versions, moment) -%}
    ({{ versions }}.valid_from is null or {{ moment }} >= {{ versions }}.valid_from)
        and ({{ versions }}.valid_to is null or {{ moment }} < {{ versions }}.valid_to)
{%- endmacro %}

{#-
    Since when a key is defined without a gap: the earliest `effective_from` from which on every row satisfies `condition`, and the latest
    row's owner. A key whose latest row does not satisfy it is not there.
-#}
{% macro defined_since(relation, key, condition='true') %}
    select
        {{ key | join(', ') }},
        min(effective_from) as defined_at,
        max(case when from_latest = 1 then owner end) as owner
    from (
        select
            *,
            max(case when not ({{ condition }}) then effective_from end) over (partition by {{ key | join(', ') }}) as last_gap_at,
            row_number() over (partition by {{ key | join(', ') }} order by effective_from desc) as from_latest
        from {{ relation }}
    ) as versions
    where last_gap_at is null or effective_from > last_gap_at
    group by {{ key | join(', ') }}
{% endmacro %}
