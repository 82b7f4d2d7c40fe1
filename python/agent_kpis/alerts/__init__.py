"""Alerts that arrive: an episode's changes to the routes of a team, each told once."""

from agent_kpis.alerts.sending import Delivery, clear_data_alert, send_alerts, send_data_alert

__all__ = ["Delivery", "clear_data_alert", "send_alerts", "send_data_alert"]
