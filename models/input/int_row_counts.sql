with counted as (

    {%- for entity in entities() %}
    select
        '{{ entity }}' as entity,
        count(*) as n_raw,
        {{ count_where('rejection_reason is null and not is_superseded') }} as n_accepted,
        {{ count_where('rejection_reason is not null') }} as n_rejected,
        {{ count_where('is_superseded') }} as n_superseded
    from {{ ref('int_' ~ entity ~ '_screened') }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

final as (

    select
        entity,
        n_raw,
        coalesce(n_accepted, 0) as n_accepted,
        coalesce(n_rejected, 0) as n_rejected,
        coalesce(n_superseded, 0) as n_superseded
    from counted

)

select * from final
