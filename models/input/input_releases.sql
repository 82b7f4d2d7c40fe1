{{ config(materialized='view') }}

{{ accepted('releases') }}
