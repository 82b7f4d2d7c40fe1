with entries as (

    select cost_usd as amount_usd from {{ ref('fct_spans') }}
    union all
    select cost_usd as amount_usd
    from {{ ref('int_labour_costs') }}
    where superseded_at is null
    union all
    select input.amount_usd
    from {{ ref('input_costs') }} as input
    inner join {{ ref('int_as_of') }} as clock on input.occurred_at <= clock.as_of

),

totals as (

    select
        (select coalesce(sum(amount_usd), 0) from entries) as entries_usd,
        (select coalesce(sum(amount_usd), 0) from {{ ref('fct_costs') }}) as ledger_usd,
        (select coalesce(sum(cost_usd), 0) from {{ ref('kpi_daily') }}) as daily_usd

)

select * from totals
where entries_usd != ledger_usd or ledger_usd != daily_usd
