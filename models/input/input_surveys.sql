{{ config(materialized='view') }}

{{ accepted('surveys') }}
