select distinct
    task_types.task_type,
    task_types.threshold_profile
from {{ ref('task_types') }} as task_types
left join {{ ref('thresholds') }} as thresholds on task_types.threshold_profile = thresholds.threshold_profile
where thresholds.threshold_profile is null
