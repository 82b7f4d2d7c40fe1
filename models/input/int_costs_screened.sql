with staged as (

    {{ staged('costs') }}

),

checked as (

    select
        staged.*,
        {{ first_violation(contract_checks('costs')) }}
    from staged

),

{{ keep_last('costs') }}
