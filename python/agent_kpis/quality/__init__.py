"""Gates around the dbt build: landing files before it, marts after it.

Great Expectations judges what DuckDB measured; the limits are `quality_checks.csv`.
"""

from __future__ import annotations

from agent_kpis.quality.judging import judge
from agent_kpis.quality.landing import check_landing
from agent_kpis.quality.limits import CHECKS, read_limits
from agent_kpis.quality.marts import check_marts
from agent_kpis.quality.profile import (
    Profile,
    accept_profiles,
    offer_profile,
    read_profile,
    write_profile,
)
from agent_kpis.quality.report import CheckResult, Report, in_order, show, write_report

__all__ = [
    "CHECKS",
    "CheckResult",
    "Profile",
    "Report",
    "accept_profiles",
    "check_landing",
    "check_marts",
    "in_order",
    "judge",
    "offer_profile",
    "read_limits",
    "read_profile",
    "show",
    "write_profile",
    "write_report",
]
