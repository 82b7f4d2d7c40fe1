{#- Support: resolved, and the customer did not reopen it within the window. -#}
{% macro completed_resolved_not_reopened(t) %}{{ t }}.resolution_stood_at{% endmacro %}
