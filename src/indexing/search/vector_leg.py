"""The vector leg: what lies near the query in the space of a model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from indexing.search.errors import NoVectorsMade, VectorSearchUnavailable
from indexing.vectorize.embedded_text import embedded_text
from storage import FoundChunk, VectorStoreError, hits

if TYPE_CHECKING:
    from embeddings import Encoder
    from indexing.search.legs import Filters
    from storage import Collection, Reader, Vectors

VectorOf: TypeAlias = "Callable[[FoundChunk, bytes], Awaitable[Vectors | None]]"
"""Gives the vector of a chunk from its row and the bytes of its text; None where there is no way to have it."""

FIRST_NEIGHBOURS: Final = 40
LAST_NEIGHBOURS: Final = 6_400
"""Neighbours that the leg gives at most; a search that needed more says ``complete: false``."""

_COSINE_DIGITS = 6
"""Exact and approximate search add up in different orders; what they agree on is a tie."""


@dataclass(frozen=True, slots=True)
class VectorSearch:
    """Collection and encoder that belong together, resolved once for a search: scores of two models never mix."""

    collection: Collection
    encoder: Encoder | None
    """None: it is not loaded, or there is none"""
    no_encoder: str = "no model"
    """why ``encoder`` is None, for people"""
    vector_of: VectorOf | None = None
    """gives the vectors of chunks, for ``search_similar``"""
    waiting: int = 0
    """chunks that have no vector yet, of ``chunks``"""
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class NoVectors:
    """There should be vectors, but they cannot be searched."""

    reason: str
    """for people, such as ``store unavailable: …``"""
    cold: bool = False
    """only because the model is not loaded, and loading it takes longer than this search may"""


VectorSource: TypeAlias = VectorSearch | NoVectors


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What the vector leg found."""

    scores: Mapping[bytes, float] = field(default_factory=dict)
    """cosine similarity by external id, best first; the catalog need not know all of them"""
    exhausted: bool = True
    """nothing else passes the filters"""


class VectorLeg:
    """The vector leg of one search: encodes the query once and widens as often as it is asked.

    Unless it is ``alone``, its failure is a reason for a degraded answer, and it finds nothing from then on. Neighbours
    without any similarity (a cosine that is not positive) are then left to the other legs.
    """

    def __init__(
        self, vectors: VectorSource | None, query: str, *, catalog: Reader, filters: Filters, alone: bool = False
    ) -> None:
        """``vectors`` None: there are none in the index, which is nothing to speak of unless the leg is alone."""
        self.degraded: list[str] = []
        self._query = query
        self._catalog = catalog
        self._filters = filters
        self._alone = alone
        self._ready: VectorSearch | None = None
        self._vector: Vectors | None = None
        self._allowed: list[bytes] | None = None
        if isinstance(vectors, VectorSearch) and vectors.encoder is not None:
            self._ready = vectors
            if vectors.waiting:
                self._note(f"{vectors.waiting:,} of {vectors.chunks:,} chunks have none yet")
        elif isinstance(vectors, VectorSearch):
            self._fail(vectors.no_encoder)
        elif vectors is not None:
            self._fail(vectors.reason)
        elif alone:
            raise NoVectorsMade(
                "vectors: there are none in this index; 'codetrove index PATH --until vectors' makes them; "
                "or search with mode 'text' or 'hybrid'"
            )

    async def nearest(self, limit: int) -> Neighbours:
        """The nearest ``limit`` chunks and all that tie with the last.

        Raises ``VectorSearchUnavailable`` if the leg is alone and cannot answer.
        """
        from embeddings import EmbeddingsError  # noqa: PLC0415  (numpy comes with it; words alone need none)

        if self._ready is None:
            return Neighbours()
        try:
            return await self._nearest(self._ready, limit)
        except VectorStoreError as error:
            self._fail(f"store unavailable: {error}", error)
        except EmbeddingsError as error:
            self._fail(f"the query cannot be encoded: {error}", error)
        return Neighbours()

    async def _nearest(self, vectors: VectorSearch, limit: int) -> Neighbours:
        cut_ids = self._filters.cut_ids
        if self._vector is None and cut_ids is None:
            self._vector = await self._encoded(vectors)
        elif self._vector is None and cut_ids is not None:
            encoding, listing = self._encoded(vectors), self._allowed_ids(vectors, cut_ids)
            (self._vector, self._allowed) = await asyncio.gather(encoding, listing)
        if self._vector is None:
            self._fail("the model gives no usable vector for this query")
            return Neighbours()
        return await neighbours_of(
            vectors.collection,
            self._vector,
            limit,
            self._filters,
            allowed_ids=self._allowed,
            only_similar=not self._alone,
        )

    async def _encoded(self, vectors: VectorSearch) -> Vectors | None:
        if vectors.encoder is None:
            return None
        return usable((await vectors.encoder.encode([self._query], "query"))[0])

    async def _allowed_ids(self, vectors: VectorSearch, cut_ids: Sequence[int]) -> list[bytes] | None:
        """The chunks that a path filter allows; None where it allows too many to be listed."""
        limit = vectors.collection.max_allowed_ids
        return await self._catalog.read(lambda connection: hits.external_ids_of(connection, cut_ids, limit))

    def _note(self, reason: str) -> None:
        self.degraded.append(f"vectors: {reason}")

    def _fail(self, reason: str, cause: Exception | None = None) -> None:
        self._ready = None
        if self._alone:
            raise VectorSearchUnavailable(f"vectors: {reason}; or search with mode 'text' or 'hybrid'") from cause
        self._note(reason)


async def neighbours_of(
    collection: Collection,
    vector: Vectors,
    limit: int,
    filters: Filters,
    *,
    allowed_ids: Sequence[bytes] | None = None,
    only_similar: bool = False,
) -> Neighbours:
    """The nearest chunks; ``only_similar`` ones have a positive cosine."""
    found = await collection.search(
        vector, limit, repositories=filters.repositories, languages=filters.languages, allowed_ids=allowed_ids
    )
    near = [hit for hit in found.hits if hit.score > 0] if only_similar else found.hits
    return Neighbours(
        {hit.id: round(float(hit.score), _COSINE_DIGITS) for hit in near},
        exhausted=found.exhausted or len(near) < len(found.hits),
    )


def usable(vector: Vectors) -> Vectors | None:
    """The vector, unless the model gave none (a row of NaN)."""
    return vector if math.isfinite(float(vector @ vector)) else None


def encoded_again(encoder: Encoder) -> VectorOf:
    """A ``vector_of`` that encodes once more what was embedded of a chunk."""

    async def vector_of(chunk: FoundChunk, piece: bytes) -> Vectors | None:
        text = embedded_text(scope=chunk.scope, symbol=chunk.symbol, piece=piece.decode("utf-8", "replace"))
        return usable((await encoder.encode([text], "document"))[0])

    return vector_of
