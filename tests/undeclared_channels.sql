{{ config(severity='warn') }}

select
    interactions.channel,
    count(*) as n_interactions
from {{ ref('fct_interactions') }} as interactions
left join {{ ref('channels') }} as channels on interactions.channel = channels.channel
where channels.channel is null
group by interactions.channel
