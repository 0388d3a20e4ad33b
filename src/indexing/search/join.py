"""The join of what indexes found with the catalog: nothing that is dead or foreign comes through."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from storage import hits

if TYPE_CHECKING:
    import sqlite3

    from indexing.search.legs import Filters
    from storage import FoundChunk, PlaceShown


@dataclass(frozen=True, slots=True)
class Rows:
    """What the catalog says of some chunks and of where cuts are shown."""

    chunks: dict[int, FoundChunk] = field(default_factory=dict)
    places: dict[int, tuple[PlaceShown, ...]] = field(default_factory=dict)
    """by cut id; the cuts that are shown nowhere are absent"""

    def merged(self, other: Rows) -> Rows:
        """Both together."""
        return Rows(self.chunks | other.chunks, self.places | other.places)

    def shown(self) -> Shown:
        """What is shown of the chunks.

        The catalog's word for a chunk's cut counts; a chunk that an index puts into another is not shown.
        """
        places = self.places
        return Shown({chunk_id: chunk for chunk_id, chunk in self.chunks.items() if chunk.cut_id in places}, places)


@dataclass(frozen=True, slots=True)
class Shown:
    """The chunks among those found that are shown, and where."""

    chunks: Mapping[int, FoundChunk]
    places: Mapping[int, tuple[PlaceShown, ...]]
    """by cut id"""

    def only(self, scores: Mapping[int, float]) -> dict[int, float]:
        """The scores of those chunks that are shown."""
        chunks = self.chunks
        return {chunk_id: score for chunk_id, score in scores.items() if chunk_id in chunks}


def rows_of(connection: sqlite3.Connection, found: Mapping[int, int], filters: Filters) -> Rows:
    """The rows of chunks: ``{chunk id: cut id}``, as whoever found them says it."""
    return Rows(hits.chunks_by_id(connection, found), _places(connection, set(found.values()), filters))


def with_places(connection: sqlite3.Connection, chunks: Iterable[FoundChunk], filters: Filters) -> Rows:
    """Rows that were read already, with the places where they are shown."""
    by_id = {chunk.chunk_id: chunk for chunk in chunks}
    return Rows(by_id, _places(connection, {chunk.cut_id for chunk in by_id.values()}, filters))


def _places(
    connection: sqlite3.Connection, cut_ids: Collection[int], filters: Filters
) -> dict[int, tuple[PlaceShown, ...]]:
    accepts = None if filters.paths is None else filters.paths.accepts
    return hits.places_of(connection, cut_ids, filters.repositories, accepts)
