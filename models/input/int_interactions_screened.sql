with staged as (

    {{ staged('interactions') }}

),

checked as (

    select
        staged.*,
        {{ first_violation(contract_checks('interactions')) }}
    from staged

),

{{ keep_last('interactions') }}
