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
