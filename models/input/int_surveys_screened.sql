with staged as (

    {{ staged('surveys') }}

),

interactions as (

    select
        interaction_id,
        opened_at
    from {{ ref('input_interactions') }}

),

scales as (

    {{ effective_versions(ref('survey_scales'), ['survey_source']) }}

),

checked as (

    select
        staged.*,
        {{ first_violation(contract_checks('surveys') + [
            ('responded_before_sent', 'responded_at', 'staged.responded_at < staged.sent_at'),
            ('undeclared_survey_source', 'survey_source', 'staged.score is not null and scales.survey_source is null'),
            ('score_outside_scale', 'score', 'staged.score < scales.scale_min or staged.score > scales.scale_max'),
            ('orphan', 'interaction_id', 'interactions.interaction_id is null'),
            ('before_interaction_opened', 'sent_at', 'staged.sent_at < interactions.opened_at'),
        ]) }}
    from staged
    left join interactions on staged.interaction_id = interactions.interaction_id
    left join scales
        on staged.survey_source = scales.survey_source
            and {{ is_effective('scales', 'staged.sent_at') }}

),

{{ keep_last('surveys') }}
