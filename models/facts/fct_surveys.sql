with surveys as (

    select
        input.*,
        clock.as_of
    from {{ ref('input_surveys') }} as input
    inner join {{ ref('int_as_of') }} as clock on input.sent_at <= clock.as_of

),

roots as (

    select * from {{ ref('int_interaction_roots') }}

),

interactions as (

    select
        interaction_id,
        opened_at
    from {{ ref('int_interactions_configured') }}

),

scales as (

    {{ effective_versions(ref('survey_scales'), ['survey_source']) }}

),

known as (

    select
        surveys.survey_id,
        interactions.interaction_id,
        surveys.survey_kind,
        surveys.survey_source,
        surveys.sent_at,
        interactions.opened_at,
        case when surveys.responded_at <= surveys.as_of then surveys.responded_at end as responded_at,
        case when surveys.responded_at <= surveys.as_of then surveys.score end as score,
        scales.scale_min,
        scales.scale_max
    from surveys
    inner join roots on surveys.interaction_id = roots.interaction_id
    inner join interactions on roots.root_interaction_id = interactions.interaction_id
    left join scales
        on surveys.survey_source = scales.survey_source
            and {{ is_effective('scales', 'surveys.sent_at') }}

),

final as (

    select
        survey_id,
        interaction_id,
        survey_kind,
        survey_source,
        sent_at,
        responded_at,
        cast(floor({{ seconds_between('opened_at', 'responded_at') }} / 86400) as integer) as lag_days,
        cast(100 * (score - scale_min) / nullif(scale_max - scale_min, 0) as {{ type_double() }}) as score
    from known

)

select * from final
