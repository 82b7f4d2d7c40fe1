{#- Every row satisfies every condition; one that is null is satisfied. The failing rows carry the condition they break. -#}
{% test rows_satisfy(model, conditions) %}
{%- for condition in conditions %}
select '{{ condition | replace("'", "''") }}' as broken_condition, rows_in_question.*
from {{ model }} as rows_in_question
where not ({{ condition }})
{{ 'union all' if not loop.last }}
{%- endfor %}
{% endtest %}
