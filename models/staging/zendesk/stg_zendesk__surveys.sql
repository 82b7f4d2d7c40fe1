{{ config(enabled='surveys' in var('sources').get('zendesk', [])) }}

with tickets as (

    {{ zendesk_tickets() }}

),

history as (

    {{ zendesk_field_history() }}

),

ticket_rows as (

    select
        ticket_id,
        coalesce(is_removed, false) as is_removed,
        row_number() over (
            partition by ticket_id
            order by updated_at desc nulls last, synced_at desc nulls last, raw_row desc
        ) as position
    from tickets

),

scores as (

    select
        history.ticket_id,
        history.changed_at,
        history.value in ('good', 'bad') as is_verdict,
        case history.value when 'good' then 1.0 when 'bad' then 0.0 end as score,
        -- The last verdict comes first; of two in one second, the bad one.
        row_number() over (
            partition by history.ticket_id
            order by
                case when history.value in ('good', 'bad') then 0 else 1 end asc,
                history.changed_at desc nulls last,
                history.synced_at desc nulls last,
                history.value asc
        ) as position
    from history
    left join ticket_rows on history.ticket_id = ticket_rows.ticket_id and ticket_rows.position = 1
    where
        history.field_name = 'satisfaction_score'
        and history.value in ('offered', 'good', 'bad')
        and not coalesce(history.is_removed, false)
        and not coalesce(ticket_rows.is_removed, false)

),

surveyed as (

    select
        ticket_id,
        min(changed_at) as sent_at,
        max(case when position = 1 and is_verdict then changed_at end) as responded_at,
        cast(max(case when position = 1 and is_verdict then score end) as {{ type_double() }}) as score
    from scores
    group by ticket_id

),

final as (

    select
        {{ dbt.concat(['ticket_id', "'-satisfaction'"]) }} as survey_id,
        ticket_id as interaction_id,
        'post_interaction' as survey_kind,
        'zendesk_satisfaction' as survey_source,
        sent_at,
        responded_at,
        score,
        cast(null as {{ dbt.type_string() }}) as unparsable_columns,
        {{ row_as_json('surveyed', ['ticket_id', 'sent_at', 'responded_at', 'score']) }} as raw_row,
        row_number() over (order by coalesce(responded_at, sent_at) asc nulls first, ticket_id asc nulls first)
            as source_row_number
    from surveyed

)

select * from final
