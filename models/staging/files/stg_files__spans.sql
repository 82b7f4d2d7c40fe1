{{ stage_landing('spans') }}
