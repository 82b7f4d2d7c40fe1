{{ stage_landing('interactions') }}
