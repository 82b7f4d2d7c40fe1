{#-
    Completion definitions are macros. `completed_<name>(t)` returns an expression over a row `t` of
    int_interaction_timeline: the time of the first completion that stood, or null. The fact model compares it
    with the deadline. `basis_<name>()` names whose undoing and evidence go with it: resolution (default),
    booking or answer. One file a definition, in this folder; naming it in task_types.csv puts it to use.
-#}

{#- The names of all definitions that have a macro. -#}
{% macro completion_definitions() %}
    {%- set names = [] -%}
    {%- for macro_name in context.keys() if macro_name.startswith('completed_') -%}
        {%- do names.append(macro_name[10:]) -%}
    {%- endfor -%}
    {{ return(names | sort) }}
{% endmacro %}

{#-
    The time at which the row's own definition was met, or null. `horizon`: `maturity` for the outcome; `as_of` for the
    time to resolution, which reads the same macro over the columns <basis>_stood_as_of_at.
-#}
{% macro completion_time(timeline, horizon) %}
    {%- set stood = '_stood_as_of_at' if horizon == 'as_of' else '_stood_at' -%}
    case {{ timeline }}.completion_definition
        {%- for name in completion_definitions() %}
        when '{{ name }}' then {{ context['completed_' ~ name](timeline) | trim | replace('_stood_at', stood) }}
        {%- endfor %}
    end
{%- endmacro %}

{% macro basis_of(name) %}
    {{ return((context['basis_' ~ name]() | trim) if ('basis_' ~ name) in context else 'resolution') }}
{% endmacro %}

{#- The timeline's column `suffix` of the row's own basis: basis_column('t', 'undone') reads t.booking_undone for bookings. -#}
{% macro basis_column(timeline, suffix) %}
    case {{ timeline }}.basis
        {%- for basis in completion_bases() %}
        when '{{ basis }}' then {{ timeline }}.{{ basis }}_{{ suffix }}
        {%- endfor %}
    end
{%- endmacro %}

{% macro completion_bases() %}{{ return(['resolution', 'booking', 'answer']) }}{% endmacro %}

{#- Changes whenever the definition's SQL or its basis does. -#}
{% macro definition_fingerprint(name) %}
    {{ return(local_md5(context['completed_' ~ name]('t') | trim ~ '|' ~ basis_of(name))) }}
{% endmacro %}

{#- Stops the build where a task type names a definition that has no macro. -#}
{% macro check_definitions() %}
    {#- Without a loaded seed (dbt compile on a fresh database) there is nothing to check yet. -#}
    {%- if execute and load_relation(ref('task_types')) -%}
        {%- set known = completion_definitions() -%}
        {%- for row in run_query("select distinct task_type, definition from " ~ ref('task_types') ~ " order by 1, 2").rows
            if row[1] and row[1] not in known -%}
            {{ exceptions.raise_compiler_error(
                "task_types.csv: task type '" ~ row[0] ~ "' names the completion definition '" ~ row[1]
                ~ "', but there is no macro completed_" ~ row[1] ~ ". Add macros/completion/" ~ row[1]
                ~ ".sql, or name one of: " ~ known | join(", ") ~ "."
            ) }}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{% macro definition_fingerprint_cases() %}
    {%- for name in completion_definitions() %} when '{{ name }}' then '{{ definition_fingerprint(name) }}'{% endfor -%}
{% endmacro %}
