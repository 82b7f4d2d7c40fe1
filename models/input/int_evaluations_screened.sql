with staged as (

    {{ staged('evaluations') }}

),

checked as (

    select
        staged.*,
        {{ first_violation(contract_checks('evaluations')) }}
    from staged

),

{{ keep_last('evaluations') }}
