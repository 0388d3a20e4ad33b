"""What a search refuses, and what it cannot do."""

from __future__ import annotations


class BadRequest(ValueError):
    """The request itself is at fault; the message says what to change."""


class VectorSearchUnavailable(Exception):
    """Only vectors could answer, and there are none, no model, or no store; the message says what to do."""


class NoVectorsMade(VectorSearchUnavailable):
    """Only vectors could answer, and this index has none: no model was wanted, or none was found."""
