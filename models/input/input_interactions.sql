{{ config(materialized='view') }}

{{ accepted('interactions') }}
