"""What goes wrong in a way that the user can mend."""

from __future__ import annotations


class CannotRunError(Exception):
    """The work could not start or finish; the message names what to mend. Exit code 2."""
