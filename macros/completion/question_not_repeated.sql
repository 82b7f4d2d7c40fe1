{#- Questions and answers: every question of the first session answered, and none asked again in it. -#}
{% macro completed_question_not_repeated(t) %}{{ t }}.answer_stood_at{% endmacro %}

{% macro basis_question_not_repeated() %}answer{% endmacro %}
