"""Alerts that arrive: an episode's changes to the routes of a team, each told once."""

from agent_kpis.alerts.sending import Delivery, Sender

__all__ = ["Delivery", "Sender"]
