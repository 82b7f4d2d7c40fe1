{{ config(materialized='view') }}

{{ accepted('evaluations') }}
