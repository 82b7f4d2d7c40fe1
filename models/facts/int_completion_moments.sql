with events as (

    select * from {{ ref('int_interaction_events') }}

),

-- Resolution: only interactions that were ever reopened need to look ahead.
reopened_interactions as (

    select distinct interaction_id
    from events
    where event_type = 'reopened'

),

resolution_events as (

    select
        events.interaction_id,
        events.occurred_at,
        events.event_type,
        events.evidence_rank,
        reopened_interactions.interaction_id is not null as has_reopening
    from events
    left join reopened_interactions on events.interaction_id = reopened_interactions.interaction_id
    where
        (events.event_type = 'resolved' and events.actor_kind != 'system')
        or events.event_type = 'reopened'

),

looking_ahead as (

    select
        *,
        -- A range frame holds the events of the same second: a reopening at the very time of a resolution undoes it.
        min(case when event_type = 'reopened' then occurred_at end) over (
            partition by interaction_id
            order by occurred_at
            range between current row and unbounded following
        ) as next_undo_at
    from resolution_events
    where has_reopening

),

resolutions as (

    select
        interaction_id,
        occurred_at,
        next_undo_at,
        evidence_rank
    from looking_ahead
    where event_type = 'resolved'
    union all
    select
        interaction_id,
        occurred_at,
        null as next_undo_at,
        evidence_rank
    from resolution_events
    where not has_reopening

),

-- Booking: replayed in order, so that a payment reversed before the booking was confirmed does not count.
booking_events as (

    select
        interaction_id,
        occurred_at,
        event_type,
        -- Of several in the same second, the best evidence counts.
        max(case when event_type in ('booking_confirmed', 'payment_processed') then evidence_rank end)
            over (partition by interaction_id, occurred_at) as evidence_rank,
        row_number() over (
            partition by interaction_id
            order by
                occurred_at,
                case when event_type in ('booking_cancelled', 'payment_reversed') then 1 else 0 end,
                event_id
        ) as position
    from events
    where event_type in ('booking_confirmed', 'booking_cancelled', 'payment_processed', 'payment_reversed')

),

booking_states as (

    select
        {%- for state, gained, lost in [
            ('is_confirmed', 'booking_confirmed', 'booking_cancelled'),
            ('is_paid', 'payment_processed', 'payment_reversed'),
        ] %}
        max(case when event_type = '{{ gained }}' then position else 0 end) over (
            partition by interaction_id order by position rows between unbounded preceding and current row
        ) > max(case when event_type = '{{ lost }}' then position else 0 end) over (
            partition by interaction_id order by position rows between unbounded preceding and current row
        ) as {{ state }},
        {%- endfor %}
        booking_events.*
    from booking_events

),

booking_changes as (

    select
        *,
        is_confirmed and is_paid as holds,
        coalesce(lag(is_confirmed and is_paid) over (partition by interaction_id order by position), false) as held_before
    from booking_states

),

booking_outlook as (

    select
        *,
        min(case when held_before and not holds then occurred_at end) over (
            partition by interaction_id order by position rows between current row and unbounded following
        ) as next_undo_at
    from booking_changes

),

-- Answer: asks, in sessions.
asking_interactions as (

    select distinct interaction_id
    from events
    where event_type = 'question_asked'

),

points_in_time as (

    select
        events.interaction_id,
        events.occurred_at,
        max(case when events.event_type = 'question_asked' then 1 else 0 end) as is_ask,
        max(case when events.event_type = 'closed' then 1 else 0 end) as is_close
    from events
    inner join asking_interactions on events.interaction_id = asking_interactions.interaction_id
    group by events.interaction_id, events.occurred_at

),

silences as (

    select
        *,
        lag(occurred_at) over (partition by interaction_id order by occurred_at) as previous_at,
        sum(is_close) over (partition by interaction_id order by occurred_at rows between unbounded preceding and current row)
        - is_close as n_closed_before
    from points_in_time

),

ask_points as (

    select
        interaction_id,
        occurred_at,
        coalesce({{ seconds_between('previous_at', 'occurred_at') }} > {{ var('session_gap_minutes') }} * 60, false)
        or n_closed_before > lag(n_closed_before) over (partition by interaction_id order by occurred_at)
            as starts_session,
        lag(occurred_at) over (partition by interaction_id order by occurred_at) as previous_ask_at
    from silences
    where is_ask = 1

),

second_sessions as (

    select
        interaction_id,
        min(occurred_at) as started_at
    from ask_points
    where previous_ask_at is not null and starts_session
    group by interaction_id

),

questions as (

    select
        events.interaction_id,
        events.occurred_at,
        events.question_key,
        -- An ask without a key is a question of its own.
        coalesce({{ dbt.concat(["'key '", 'events.question_key']) }}, {{ dbt.concat(["'event '", 'events.event_id']) }})
            as question,
        second_sessions.started_at is null or events.occurred_at < second_sessions.started_at as is_first_session
    from events
    left join second_sessions on events.interaction_id = second_sessions.interaction_id
    where events.event_type = 'question_asked'

),

answers as (

    select
        interaction_id,
        occurred_at,
        question_key,
        evidence_rank
    from events
    where event_type = 'question_answered'

),

asks_with_answers as (

    select
        questions.interaction_id,
        questions.question,
        questions.occurred_at as asked_at,
        answers.occurred_at as answered_at,
        answers.evidence_rank,
        min(answers.occurred_at) over (
            partition by questions.interaction_id, questions.question, questions.occurred_at
        ) as first_answered_at
    from questions
    left join answers
        on questions.interaction_id = answers.interaction_id
            and questions.occurred_at <= answers.occurred_at
            and (
                questions.question_key is null
                or answers.question_key is null
                or questions.question_key = answers.question_key
            )
    where questions.is_first_session

),

-- Asks before the same answer are one ask.
answered_questions as (

    select
        interaction_id,
        question,
        min(asked_at) as asked_at,
        answered_at,
        max(evidence_rank) as evidence_rank
    from asks_with_answers
    where first_answered_at is null or answered_at = first_answered_at
    group by interaction_id, question, answered_at

),

answer_moments as (

    select
        answered.interaction_id,
        answered.question,
        answered.asked_at,
        answered.answered_at,
        answered.evidence_rank,
        min(case when later.is_first_session and answered.answered_at < later.occurred_at then later.occurred_at end)
            as next_undo_at,
        min(case when not later.is_first_session then later.occurred_at end) as repeat_contact_at
    from answered_questions as answered
    left join questions as later
        on answered.interaction_id = later.interaction_id
            and answered.question = later.question
            and answered.asked_at < later.occurred_at
    group by
        answered.interaction_id,
        answered.question,
        answered.asked_at,
        answered.answered_at,
        answered.evidence_rank

),

final as (

    select
        interaction_id,
        'resolution' as basis,
        'request' as question,
        cast(null as timestamp) as asked_at,
        occurred_at as completed_at,
        next_undo_at,
        cast(null as timestamp) as repeat_contact_at,
        evidence_rank
    from resolutions
    union all
    select
        interaction_id,
        'booking' as basis,
        'request' as question,
        cast(null as timestamp) as asked_at,
        occurred_at as completed_at,
        next_undo_at,
        cast(null as timestamp) as repeat_contact_at,
        evidence_rank
    from booking_outlook
    where holds and not held_before
    union all
    select
        interaction_id,
        'answer' as basis,
        question,
        asked_at,
        answered_at as completed_at,
        next_undo_at,
        repeat_contact_at,
        evidence_rank
    from answer_moments

)

select * from final
