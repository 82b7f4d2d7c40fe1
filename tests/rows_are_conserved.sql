with read_rows as (

    {%- for entity in entities() %}
    select
        '{{ entity }}' as entity,
        count(*) as n_read
    from (
        {{ staged(entity) }}
    ) as staged
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

accepted_rows as (

    {%- for entity in entities() %}
    select
        '{{ entity }}' as entity,
        count(*) as n_accepted
    from {{ ref('input_' ~ entity) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

rejected_rows as (

    select
        entity,
        count(*) as n_rejected
    from {{ ref('rejected_rows') }}
    group by entity

),

superseded_rows as (

    select
        entity,
        n_superseded
    from {{ ref('int_row_counts') }}

)

select
    read_rows.entity,
    read_rows.n_read,
    accepted_rows.n_accepted,
    coalesce(rejected_rows.n_rejected, 0) as n_rejected,
    superseded_rows.n_superseded
from read_rows
inner join accepted_rows on read_rows.entity = accepted_rows.entity
inner join superseded_rows on read_rows.entity = superseded_rows.entity
left join rejected_rows on read_rows.entity = rejected_rows.entity
where
    read_rows.n_read
    != accepted_rows.n_accepted + coalesce(rejected_rows.n_rejected, 0) + superseded_rows.n_superseded
