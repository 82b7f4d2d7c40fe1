{{ config(enabled='interactions' in var('sources').get('zendesk', [])) }}

with tickets as (

    {{ zendesk_tickets() }}

),

history as (

    {{ zendesk_field_history() }}

),

tags as (

    {{ zendesk_tags() }}

),

first_assignees as (

    {{ zendesk_first_assignees('history') }}

),

tagged as (

    select
        ticket_id,
        {{ any_true("lower(tag) = 'spam'") }} as is_spam,
        {{ any_true(is_zendesk_holdout('tag')) }} as is_held_out
    from tags
    where not coalesce(is_removed, false)
    group by ticket_id

),

assigned as (

    select
        tickets.*,
        case when tagged.is_spam then true end as is_spam,
        coalesce(tagged.is_held_out, false) as is_held_out,
        {{ is_zendesk_ai('coalesce(first_assignees.assignee_id, tickets.assignee_id)') }} as is_first_assigned_to_ai
    from tickets
    left join first_assignees on tickets.ticket_id = first_assignees.ticket_id
    left join tagged on tickets.ticket_id = tagged.ticket_id
    where not coalesce(tickets.is_removed, false)

),

final as (

    select
        ticket_id as interaction_id,
        created_at as opened_at,
        case when is_first_assigned_to_ai and not is_held_out then 'ai' else 'human' end as assigned_arm,
        coalesce(task_type, 'unspecified') as task_type,
        channel,
        {%- if var('zendesk_holdout_tag') %}
        case when is_held_out or is_first_assigned_to_ai then 'randomised' else 'routed' end as assignment_kind,
        {%- else %}
        'routed' as assignment_kind,
        {%- endif %}
        requester_id as customer_id,
        cast(null as {{ dbt.type_string() }}) as tier,
        follows_ticket_id as parent_interaction_id,
        {%- if var('zendesk_agent_name') %}
        case when is_held_out or is_first_assigned_to_ai then {{ text_constant(var('zendesk_agent_name')) }} end as agent_name,
        {%- else %}
        cast(null as {{ dbt.type_string() }}) as agent_name,
        {%- endif %}
        cast(null as {{ dbt.type_string() }}) as agent_version,
        is_spam,
        case when status = 'deleted' then true end as is_test,
        'zendesk' as source_system,
        cast(null as {{ dbt.type_string() }}) as unparsable_columns,
        raw_row,
        row_number() over (
            order by updated_at asc nulls first, synced_at asc nulls first, ticket_id asc nulls first, raw_row asc
        ) as source_row_number
    from assigned

)

select * from final
