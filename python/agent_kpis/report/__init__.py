"""The report: one HTML page that needs nothing else, from the served database."""

from agent_kpis.report.page import write_report

__all__ = ["write_report"]
