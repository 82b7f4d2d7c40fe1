{#- Handed to a human or a higher tier; in the AI arm any act of a human counts. Over a row of int_interaction_timeline. -#}
{% macro is_escalated(t) -%}
    ({{ t }}.handed_off_at is not null or ({{ t }}.arm = 'ai' and {{ t }}.human_touched_at is not null))
{%- endmacro %}

{#- When that first happened, or null. -#}
{% macro escalated_at(t) -%}
    case
        when {{ t }}.arm = 'ai' and {{ t }}.human_touched_at is not null
            and ({{ t }}.handed_off_at is null or {{ t }}.human_touched_at < {{ t }}.handed_off_at)
            then {{ t }}.human_touched_at
        else {{ t }}.handed_off_at
    end
{%- endmacro %}
