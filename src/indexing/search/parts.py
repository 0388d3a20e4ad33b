"""Parts of identifiers, remembered: the same names come back in query after query."""

from __future__ import annotations

from functools import lru_cache

from indexing.cutting import identifiers

REMEMBERED = 65_536


@lru_cache(maxsize=REMEMBERED)
def identifier_parts(identifier: str) -> tuple[str, ...]:
    """The parts of an identifier, as the cutter splits it."""
    return identifiers.identifier_parts(identifier)


@lru_cache(maxsize=REMEMBERED)
def identifier_words(identifier: str) -> tuple[str, ...]:
    """Its parts that are no numbers."""
    return tuple(part for part in identifier_parts(identifier) if not part.isdigit())
