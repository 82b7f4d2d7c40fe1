-- Agents ranked by what an interaction costs and by what a success costs. The cheapest per call is often not the cheapest per success.
select
    per_success.agent_name,
    per_interaction.value as cost_per_interaction,
    per_interaction.rank_among_agents as rank_by_cost_per_call,
    per_success.value as cost_per_successful_outcome,
    per_success.rank_among_agents as rank_by_cost_per_success
from {{ ref('kpi_scorecard') }} as per_success
inner join {{ ref('kpi_scorecard') }} as per_interaction
    on per_success.agent_name = per_interaction.agent_name
        and per_success.arm = per_interaction.arm
        and per_success.segment_type = per_interaction.segment_type
where
    per_success.kpi = 'cost_per_successful_outcome'
    and per_interaction.kpi = 'cost_per_interaction'
    and per_success.arm = 'ai'
    and per_success.segment_type = 'all'
order by per_success.rank_among_agents
