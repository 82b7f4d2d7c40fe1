{{ config(materialized='view') }}

{{ accepted('costs') }}
