{{ stage_landing('events') }}
