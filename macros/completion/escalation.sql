{#- Handed to a human or a higher tier; in the AI arm any act of a human counts. Over a row of int_interaction_timeline. -#}
{% macro is_escalated(t) -%}
    ({{ t }}.handed_off_at is not null or ({{ t }}.arm = 'ai' and {{ t }}.human_touched_at is not null))
{%- endmacro %}
