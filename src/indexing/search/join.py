"""The join of what indexes found with the catalog: nothing that is dead or foreign comes through."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage import hits, visible

if TYPE_CHECKING:
    import sqlite3

    from indexing.search.legs import Filters
    from storage import FoundChunk, PlaceShown


@dataclass(frozen=True, slots=True)
class Shown:
    """The chunks among those found whose cuts are shown, and where."""

    cuts: Mapping[int, int]
    """``{chunk id: cut id}``, as whoever found the chunks says it"""
    places: Mapping[int, tuple[PlaceShown, ...]]
    """by cut id"""

    def only(self, scores: Mapping[int, float]) -> dict[int, float]:
        """The scores of those chunks that are shown."""
        cuts = self.cuts
        return {chunk_id: score for chunk_id, score in scores.items() if chunk_id in cuts}

    def place(self, chunk_id: int) -> PlaceShown:
        """The first place at which a chunk is shown."""
        return self.places[self.cuts[chunk_id]][0]

    def without(self, chunk_ids: Collection[int]) -> Shown:
        """The same but for some chunks."""
        return Shown(
            {chunk_id: cut_id for chunk_id, cut_id in self.cuts.items() if chunk_id not in chunk_ids}, self.places
        )


def known_of(connection: sqlite3.Connection, near: Mapping[bytes, float]) -> tuple[dict[int, float], dict[int, int]]:
    """Scores by external id as ``{chunk id: score}`` and ``{chunk id: cut id}``, of those that the catalog knows."""
    known = hits.chunks_under(connection, list(near)) if near else {}
    scores = {known[external_id][0]: score for external_id, score in near.items() if external_id in known}
    return scores, dict(known.values())


def places_of(
    connection: sqlite3.Connection, cut_ids: Collection[int], filters: Filters
) -> dict[int, tuple[PlaceShown, ...]]:
    """Where each cut is shown; nothing for those that are shown nowhere."""
    accepts = None if filters.paths is None else filters.paths.accepts
    return dict.fromkeys(cut_ids, ()) | visible.places_of(connection, cut_ids, filters.repositories, accepts)


def shown_of(
    connection: sqlite3.Connection,
    found: Mapping[int, int],
    filters: Filters,
    known: Mapping[int, tuple[PlaceShown, ...]] = {},
) -> Shown:
    """Which chunks are shown, of ``{chunk id: cut id}``; ``known`` are places of cuts that were looked up already."""
    places = {**known, **places_of(connection, set(found.values()) - known.keys(), filters)}
    return Shown({chunk_id: cut_id for chunk_id, cut_id in found.items() if places[cut_id]}, places)


def rows_of(
    connection: sqlite3.Connection, shown: Shown, chunk_ids: Collection[int]
) -> tuple[dict[int, FoundChunk], frozenset[int]]:
    """The rows of shown chunks, and those ids of them that must not be shown.

    The catalog's word for a chunk's cut counts: a chunk that it does not know, or knows in another cut than the index
    that found it, is not the chunk that was found.
    """
    cuts = shown.cuts
    known = hits.chunks_by_id(connection, chunk_ids)
    rows = {chunk_id: chunk for chunk_id, chunk in known.items() if chunk.cut_id == cuts[chunk_id]}
    return rows, frozenset(chunk_ids) - rows.keys()
