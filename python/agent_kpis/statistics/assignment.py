"""Which arm a unit belongs to, decided by a hash: the same in every router and in SQL."""

from __future__ import annotations

import hashlib
from typing import Literal


def assignment_point(unit_id: str, salt: str) -> float:
    """A unit's place in [0, 1), even over units and unrelated between salts.

    The first 8 hexadecimal digits of md5("salt:unit_id") as a number over 16^8. Raises ValueError
    for an empty id.
    """
    if not unit_id:
        raise ValueError("the id to assign by must not be empty")
    digest = hashlib.md5(f"{salt}:{unit_id}".encode(), usedforsecurity=False)
    return int(digest.hexdigest()[:8], 16) / 16**8


def assigned_arm(unit_id: str, salt: str, holdout_share: float) -> Literal["human", "ai"]:
    """The arm of a unit (a conversation or a customer): `human` for the holdout, else `ai`.

    For use in a router. Sticky: the same unit, salt and share give the same arm wherever and
    whenever asked, as does the SQL macro `assigned_arm`; a larger share only adds to the holdout.
    A new salt draws anew. Raises ValueError for an empty id and unless 0 < holdout_share < 1.
    """
    if not 0 < holdout_share < 1:
        raise ValueError(f"the holdout's share must be between 0 and 1: {holdout_share}")
    return "human" if assignment_point(unit_id, salt) < holdout_share else "ai"
