{{ config(materialized='view') }}

{{ accepted('events') }}
