with staged as (

    {{ staged('releases') }}

),

checked as (

    select
        staged.*,
        {{ first_violation(contract_checks('releases')) }}
    from staged

),

{{ keep_last('releases') }}
