with staged as (

    {{ staged('spans') }}

),

checked as (

    select
        staged.*,
        {{ first_violation(contract_checks('spans')) }}
    from staged

),

{{ keep_last('spans') }}
