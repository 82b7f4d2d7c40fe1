select count(*) as n_primary
from {{ ref('dim_kpis') }}
where is_primary
having count(*) != 1
