"""The join of what indexes found with the catalog: nothing that is dead or foreign comes through."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage import hits

if TYPE_CHECKING:
    from indexing.search.legs import Filters
    from storage import FoundChunk, PlaceShown, Reader


@dataclass(frozen=True, slots=True)
class Shown:
    """The chunks among those found that are shown, and where."""

    chunks: Mapping[int, FoundChunk]
    places: Mapping[int, tuple[PlaceShown, ...]]
    """by cut id"""

    def only(self, scores: Mapping[int, float]) -> dict[int, float]:
        """The scores of those chunks that are shown."""
        return {chunk_id: score for chunk_id, score in scores.items() if chunk_id in self.chunks}


async def shown_of(catalog: Reader, found: Mapping[int, int], filters: Filters) -> Shown:
    """What is shown of the chunks found: ``{chunk id: cut id}``, as whoever found them says it.

    The catalog's word for a chunk's cut counts; a chunk that an index puts into another is not shown.
    """
    accepts = None if filters.paths is None else filters.paths.accepts
    chunks, places = await asyncio.gather(
        hits.chunks_by_id(catalog, found),
        hits.places_of(catalog, set(found.values()), filters.repositories, accepts),
    )
    return Shown({chunk_id: chunk for chunk_id, chunk in chunks.items() if chunk.cut_id in places}, places)
