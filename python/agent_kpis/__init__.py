"""Business KPIs for AI support agents: the Python side of the agent-kpis dbt project."""
