{{ stage_landing('evaluations') }}
