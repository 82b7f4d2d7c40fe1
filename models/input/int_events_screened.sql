with staged as (

    {{ staged('events') }}

),

interactions as (

    select
        interaction_id,
        opened_at
    from {{ ref('input_interactions') }}

),

checked as (

    select
        staged.*,
        {{ first_violation(contract_checks('events') + [
            ('orphan', 'interaction_id', 'interactions.interaction_id is null'),
            ('before_interaction_opened', 'occurred_at', 'staged.occurred_at < interactions.opened_at'),
        ]) }}
    from staged
    left join interactions on staged.interaction_id = interactions.interaction_id

),

{{ keep_last('events') }}
