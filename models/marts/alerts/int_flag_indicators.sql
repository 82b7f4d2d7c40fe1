-- Early signals by the day from which they are known, without those of judges that do not track what customers say.
with indicators as (

    select * from {{ ref('int_indicator_days') }}
    where segment_type != 'agent_version'

),

judges as (

    select * from {{ ref('judge_calibration') }}

),

clock as (

    select cast(as_of as date) as as_of_day from {{ ref('int_as_of') }}

),

final as (

    select
        indicators.agent_name,
        indicators.segment_type,
        indicators.segment,
        indicators.indicator,
        indicators.known_on,
        indicators.bin,
        sum(indicators.n) as n,
        sum(indicators.value_sum) as value_sum,
        sum(indicators.value_square_sum) as value_square_sum
    from indicators
    cross join clock
    left join judges
        on {{ keys_agree('indicators', 'judges', ['indicator', 'evaluator_name', 'evaluator_version']) }}
    where indicators.known_on < clock.as_of_day and coalesce(judges.may_alert, true)
    group by 1, 2, 3, 4, 5, 6

)

select * from final
