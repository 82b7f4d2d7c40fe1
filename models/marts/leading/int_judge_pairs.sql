select
    indicator,
    evaluator_name,
    evaluator_version,
    score,
    csat,
    is_satisfied
from {{ ref('int_judged_interactions') }}
where csat is not null
