{{ config(severity='warn') }}

select
    roots.interaction_id,
    input.parent_interaction_id,
    case when roots.is_in_circle then 'its chain of parents never ends' else 'no such interaction opened before it' end as fault
from {{ ref('int_interaction_roots') }} as roots
inner join {{ ref('input_interactions') }} as input on roots.interaction_id = input.interaction_id
where roots.is_parent_unknown or roots.is_in_circle
