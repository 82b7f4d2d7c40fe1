{{ stage_landing('costs') }}
