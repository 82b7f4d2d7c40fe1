{{ config(materialized='view') }}

{{ accepted('spans') }}
