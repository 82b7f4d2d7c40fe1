{#-
    dbt writes a seed's compiled SQL to target/<path of the seed>. For a folder outside the project that path is the
    CSV itself, and the configuration would be lost: stop before any seed is loaded.
-#}
{% macro check_config_folder() %}
    {%- set folder = env_var('AGENT_KPIS_CONFIG', 'seeds') -%}
    {%- if folder.startswith('/') or folder.startswith('~') or ':' in folder or '..' in folder -%}
        {{ exceptions.raise_compiler_error(
            "AGENT_KPIS_CONFIG is '" ~ folder ~ "'; dbt may only read a configuration folder inside the project, given relative to it"
            ~ " (it would write over files elsewhere). Use `kpi run --config` for a folder elsewhere: it makes a copy."
        ) }}
    {%- endif -%}
{% endmacro %}
