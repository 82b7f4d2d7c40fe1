{{ stage_landing('releases') }}
