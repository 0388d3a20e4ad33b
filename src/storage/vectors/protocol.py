"""``VectorStore``: the seam between the service and whatever keeps vectors, with one contract suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from storage.vectors.records import CollectionSpec, StoreMarker, VectorBatch, VectorHits, Vectors


class Collection(Protocol):
    """The vectors of one model. Every method may raise ``VectorStoreUnavailable``; then nothing is known of its effect.

    Methods may be called concurrently. Calls that change the same id take effect one after the other.
    """

    @property
    def spec(self) -> CollectionSpec:
        """Name and dimension."""
        ...

    @property
    def max_allowed_ids(self) -> int:
        """How many ids a search may be narrowed to."""
        ...

    async def upsert(self, batch: VectorBatch) -> frozenset[bytes]:
        """Put vectors in the place of those under the same ids; returns the ids that the store now holds.

        Vectors are brought to unit length. Raises ``DimensionMismatch``, and ``VectorsRefused`` where a row is not
        finite or zero: then nothing of the batch is stored.
        """
        ...

    async def delete(self, ids: Sequence[bytes]) -> None:
        """Remove vectors; ids that are not there are passed over."""
        ...

    async def search(
        self,
        vector: Vectors,
        k: int,
        *,
        repositories: frozenset[str],
        languages: frozenset[str] | None = None,
        allowed_ids: Sequence[bytes] | None = None,
    ) -> VectorHits:
        """The ``k`` nearest vectors that pass every filter, and all that tie with the last of them.

        ``vector`` has shape (dimension,); ``languages`` and ``allowed_ids`` None mean no such filter, empty ones match
        nothing. Raises ``DimensionMismatch``, and ``VectorsRefused`` for a query that is not finite or zero, or for
        more than ``max_allowed_ids``.
        """
        ...

    async def ids(self, after: bytes | None, limit: int) -> list[bytes]:
        """At most ``limit`` ids in ascending order, those past ``after``."""
        ...

    async def count(self) -> int:
        """How many vectors there are."""
        ...

    async def optimize(self) -> None:
        """Bring the collection into the shape that is searched fastest and takes the least room."""
        ...

    async def flush(self) -> None:
        """Make what was acknowledged so far outlast a kill, where that is not so anyway."""
        ...

    async def marker(self) -> StoreMarker | None:
        """What ``set_marker`` wrote last; None if nothing did, or it cannot be read."""
        ...

    async def set_marker(self, marker: StoreMarker) -> None:
        """Replace the marker, durably."""
        ...


class VectorStore(Protocol):
    """Keeps collections of vectors."""

    async def open(self, spec: CollectionSpec) -> Collection:
        """Open the collection, made empty if it is not there. Raises ``DimensionMismatch`` if it has another one."""
        ...

    async def drop(self, name: str) -> None:
        """Remove a collection and all it holds; nothing happens if it is not there. Its handles end."""
        ...

    async def collections(self) -> tuple[str, ...]:
        """Names of all collections, sorted."""
        ...

    async def aclose(self) -> None:
        """Let go of everything; may be called again."""
        ...
