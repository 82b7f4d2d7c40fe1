{{ stage_landing('surveys') }}
