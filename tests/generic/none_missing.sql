{#- None of the columns holds a null. One test for all of them: a test costs more to start than to run. -#}
{% test none_missing(model, columns) %}
select *
from {{ model }}
where {% for column in columns %}{{ column }} is null{{ " or " if not loop.last }}{% endfor %}
{% endtest %}
