{{ config(enabled='events' in var('sources').get('zendesk', [])) }}

with tickets as (

    {{ zendesk_tickets() }}

),

history as (

    {{ zendesk_field_history() }}

),

comments as (

    {{ zendesk_comments() }}

),

tags as (

    {{ zendesk_tags() }}

),

first_assignees as (

    {{ zendesk_first_assignees('history') }}

),

ticket_rows as (

    select
        ticket_id,
        created_at,
        requester_id,
        assignee_id,
        coalesce(is_removed, false) as is_removed,
        row_number() over (
            partition by ticket_id
            order by updated_at desc nulls last, synced_at desc nulls last, raw_row desc
        ) as position
    from tickets

),

held_out as (

    select distinct ticket_id
    from tags
    where {{ is_zendesk_holdout('tag') }} and not coalesce(is_removed, false)

),

known_tickets as (

    select
        ticket_rows.ticket_id,
        ticket_rows.created_at,
        ticket_rows.requester_id,
        ticket_rows.is_removed,
        held_out.ticket_id is null
        and {{ is_zendesk_ai('coalesce(first_assignees.assignee_id, ticket_rows.assignee_id)') }} as is_for_ai
    from ticket_rows
    left join first_assignees on ticket_rows.ticket_id = first_assignees.ticket_id
    left join held_out on ticket_rows.ticket_id = held_out.ticket_id
    where ticket_rows.position = 1

),

-- A change that was synced twice is one change.
change_rows as (

    select
        *,
        row_number() over (
            partition by ticket_id, field_name, changed_at, value
            order by synced_at desc nulls last, user_id asc nulls last, raw_row asc
        ) as position
    from history
    where field_name in ('status', 'assignee_id', 'requester_id') and not coalesce(is_removed, false)

),

changes as (

    select * from change_rows
    where position = 1

),

status_changes as (

    select
        *,
        changed_at = min(changed_at) over (partition by ticket_id) as is_in_first_second
    from changes
    where field_name = 'status' and value in ('new', 'open', 'pending', 'hold', 'on-hold', 'solved', 'closed')

),

statuses as (

    select
        *,
        -- Several in one second: as they were synced. Else a ticket begins unsolved, and then doubt is the safer
        -- reading: it was solved before it was open.
        lag(value) over (
            partition by ticket_id
            order by
                changed_at asc nulls last,
                synced_at asc nulls last,
                case
                    when value = 'solved' then 1
                    when value = 'closed' then 3
                    when value = 'new' or is_in_first_second then 0
                    else 2
                end asc,
                value asc
        ) as previous_value
    from status_changes

),

assignments as (

    select
        *,
        lag(value) over (
            partition by ticket_id
            order by {{ zendesk_assignment_order() }}
        ) as previous_value
    from changes
    where field_name = 'assignee_id'

),

-- Who the requester was at the time: before the first known change, whoever that change names.
requesters as (

    select
        ticket_id,
        value as requester_id,
        changed_at as valid_from,
        row_number() over (partition by ticket_id order by changed_at asc nulls last, synced_at asc nulls last, value asc) = 1
            as is_first,
        lead(changed_at) over (partition by ticket_id order by changed_at asc nulls last, synced_at asc nulls last, value asc)
            as valid_to
    from changes
    where field_name = 'requester_id' and value is not null

),

-- The oldest comment of a ticket, where it is as old as the ticket, is the request itself.
comment_ages as (

    select
        *,
        rank() over (
            partition by ticket_id
            order by created_at asc nulls last, length(comment_id) asc nulls last, comment_id asc nulls last
        ) as age_rank
    from comments
    where not coalesce(is_removed, false)

),

happened as (

    select
        ticket_id,
        {{ dbt.concat(['ticket_id', "'-status-'", 'cast(changed_at as ' ~ dbt.type_string() ~ ')', "'-'", 'value']) }} as event_id,
        changed_at as occurred_at,
        case
            when value = 'solved' and (previous_value is null or previous_value != 'solved') then 'resolved'
            when value = 'closed' and (previous_value is null or previous_value != 'closed') then 'closed'
            when value not in ('solved', 'closed') and previous_value in ('solved', 'closed') then 'reopened'
        end as event_type,
        user_id,
        synced_at,
        raw_row
    from statuses
    union all
    select
        assignments.ticket_id,
        {{ dbt.concat([
            'assignments.ticket_id',
            "'-assignee_id-'",
            'cast(assignments.changed_at as ' ~ dbt.type_string() ~ ')',
            "'-'",
            "coalesce(assignments.value, 'nobody')",
        ]) }} as event_id,
        assignments.changed_at as occurred_at,
        case
            when
                known_tickets.is_for_ai
                and {{ is_zendesk_ai('assignments.previous_value') }}
                and not {{ is_zendesk_ai('assignments.value') }}
                then 'handed_off'
        end as event_type,
        assignments.user_id,
        assignments.synced_at,
        assignments.raw_row
    from assignments
    inner join known_tickets on assignments.ticket_id = known_tickets.ticket_id
    union all
    select
        comment_ages.ticket_id,
        {{ dbt.concat(["'comment-'", 'comment_ages.comment_id']) }} as event_id,
        comment_ages.created_at as occurred_at,
        case
            when comment_ages.age_rank = 1 and comment_ages.created_at = known_tickets.created_at then 'opened'
            else 'message'
        end as event_type,
        comment_ages.user_id,
        comment_ages.synced_at,
        comment_ages.raw_row
    from comment_ages
    left join known_tickets on comment_ages.ticket_id = known_tickets.ticket_id
    where coalesce(comment_ages.is_public, true)

),

final as (

    select
        happened.event_id,
        happened.ticket_id as interaction_id,
        happened.occurred_at,
        happened.event_type,
        case
            when {{ is_zendesk_ai('happened.user_id') }} then 'ai'
            when happened.user_id is null or happened.user_id like '-%' then 'system'
            when happened.user_id = coalesce(requesters.requester_id, known_tickets.requester_id) then 'customer'
            else 'human'
        end as actor_kind,
        happened.user_id as actor_id,
        cast(null as {{ dbt.type_string() }}) as reason,
        cast(null as {{ dbt.type_string() }}) as question_key,
        cast(null as {{ dbt.type_string() }}) as evidence,
        cast(null as {{ type_double() }}) as handle_seconds,
        cast(null as {{ dbt.type_string() }}) as unparsable_columns,
        happened.raw_row,
        row_number() over (
            order by happened.synced_at asc nulls first, happened.occurred_at asc nulls first, happened.event_id asc nulls first, happened.raw_row asc
        ) as source_row_number
    from happened
    left join known_tickets on happened.ticket_id = known_tickets.ticket_id
    left join requesters
        on happened.ticket_id = requesters.ticket_id
            and (requesters.is_first or happened.occurred_at >= requesters.valid_from)
            and (requesters.valid_to is null or happened.occurred_at < requesters.valid_to)
    where happened.event_type is not null and not coalesce(known_tickets.is_removed, false)

)

select * from final
