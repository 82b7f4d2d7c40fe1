{{ config(severity='warn') }}

with unpriced as (

    select
        'model ' || coalesce(input.model, '(none)') as priced_by,
        count(*) as n_entries
    from {{ ref('fct_spans') }} as spans
    inner join {{ ref('input_spans') }} as input on spans.span_id = input.span_id
    where spans.cost_usd is null
    group by 1
    union all
    select
        'tier ' || coalesce(interactions.tier, '(none)') as priced_by,
        count(*) as n_entries
    from {{ ref('int_labour_costs') }} as labour
    inner join {{ ref('fct_interactions') }} as interactions on labour.interaction_id = interactions.interaction_id
    where labour.cost_usd is null and labour.superseded_at is null
    group by 1

)

select * from unpriced
