"""What a search refuses."""

from __future__ import annotations


class BadRequest(ValueError):
    """The request itself is at fault; the message says what to change."""
