{#- The tables of Zendesk that are read, and what their staging models share. docs/zendesk.md. -#}

{% macro zendesk_tickets() %}
    {{ stage_source('zendesk', 'ticket', [
        ('id', 'ticket_id', 'string'),
        ('created_at', 'created_at', 'timestamp'),
        ('updated_at', 'updated_at', 'timestamp'),
        ('status', 'status', 'string'),
        ('assignee_id', 'assignee_id', 'string'),
        ('requester_id', 'requester_id', 'string'),
        ('via_channel', 'channel', 'string'),
        (var('zendesk_task_type_column'), 'task_type', 'string'),
        ('via_followup_source_id', 'follows_ticket_id', 'string'),
    ], optional=['updated_at', 'via_followup_source_id']) }}
{% endmacro %}

{% macro zendesk_field_history() %}
    {{ stage_source('zendesk', 'ticket_field_history', [
        ('ticket_id', 'ticket_id', 'string'),
        ('field_name', 'field_name', 'string'),
        ('updated', 'changed_at', 'timestamp'),
        ('value', 'value', 'string'),
        ('user_id', 'user_id', 'string'),
    ]) }}
{% endmacro %}

{% macro zendesk_comments() %}
    {{ stage_source('zendesk', 'ticket_comment', [
        ('id', 'comment_id', 'string'),
        ('ticket_id', 'ticket_id', 'string'),
        ('created', 'created_at', 'timestamp'),
        ('public', 'is_public', 'boolean'),
        ('user_id', 'user_id', 'string'),
    ]) }}
{% endmacro %}

{% macro zendesk_tags() %}
    {{ stage_source('zendesk', 'ticket_tag', [
        ('ticket_id', 'ticket_id', 'string'),
        ('tag', 'tag', 'string'),
    ]) }}
{% endmacro %}

{#- True where the user is one of `zendesk_ai_users`; never null. -#}
{% macro is_zendesk_ai(user_id) -%}
    {%- set users = [] -%}
    {%- for user in var('zendesk_ai_users') or [] -%}{%- do users.append(text_constant(user)) -%}{%- endfor -%}
    {%- if users -%} coalesce({{ user_id }} in ({{ users | join(", ") }}), false) {%- else -%} false {%- endif -%}
{%- endmacro %}

{#- True where the tag says that the holdout gave the ticket to people. -#}
{% macro is_zendesk_holdout(tag) -%}
    {%- set holdout_tag = var('zendesk_holdout_tag') -%}
    {%- if holdout_tag -%} lower({{ tag }}) = {{ text_constant(holdout_tag | lower) }} {%- else -%} false {%- endif -%}
{%- endmacro %}

{#- The order of assignments. In one second: as they were synced, then the AI before a person. -#}
{% macro zendesk_assignment_order() -%}
    changed_at asc nulls last, synced_at asc nulls last,
                case when value is null then 0 when {{ is_zendesk_ai('value') }} then 1 else 2 end asc, value asc nulls last
{%- endmacro %}

{#- The first user a ticket was ever assigned to, of the rows of `history`. -#}
{% macro zendesk_first_assignees(history) %}
    select
        ticket_id,
        value as assignee_id
    from (
        select
            ticket_id,
            value,
            row_number() over (
                partition by ticket_id
                order by {{ zendesk_assignment_order() }}
            ) as position
        from {{ history }}
        where field_name = 'assignee_id' and value is not null and not coalesce(is_removed, false)
    ) as assignments
    where position = 1
{% endmacro %}
