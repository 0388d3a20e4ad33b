"""``MemoryStore``: the reference. Exact, in this process alone, gone with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storage.errors import DimensionMismatch, VectorsRefused, VectorStoreUnavailable
from storage.vectors.names import checked_name
from storage.vectors.records import (
    CollectionSpec,
    StoreMarker,
    VectorBatch,
    VectorHits,
    Vectors,
)
from storage.vectors.scoring import Rows, cut_with_ties, exact_scores, unit_query, unit_rows

MAX_ALLOWED_IDS = 65_536


@dataclass(frozen=True, slots=True)
class _Point:
    row: Rows
    repository: str
    language: str


class MemoryCollection:
    """All vectors in one dict."""

    max_allowed_ids = MAX_ALLOWED_IDS

    def __init__(self, spec: CollectionSpec) -> None:
        self.spec = spec
        self._points: dict[bytes, _Point] = {}
        self._marker: StoreMarker | None = None
        self._ended = False

    async def upsert(self, batch: VectorBatch) -> frozenset[bytes]:
        """See ``Collection.upsert``."""
        self._check_open()
        rows = unit_rows(batch.vectors, self.spec.dimension)
        for name in {each.repository for each in batch.payloads}:
            checked_name(name)
        for id, row, payload in zip(batch.ids, rows, batch.payloads, strict=True):
            self._points[id] = _Point(row, payload.repository, payload.language)
        return frozenset(batch.ids)

    async def delete(self, ids: Sequence[bytes]) -> None:
        """See ``Collection.delete``."""
        self._check_open()
        for each in ids:
            self._points.pop(each, None)

    async def search(
        self,
        vector: Vectors,
        k: int,
        *,
        repositories: frozenset[str],
        languages: frozenset[str] | None = None,
        allowed_ids: Sequence[bytes] | None = None,
    ) -> VectorHits:
        """See ``Collection.search``."""
        self._check_open()
        query = unit_query(vector, self.spec.dimension)
        if allowed_ids is not None and len(allowed_ids) > self.max_allowed_ids:
            raise VectorsRefused(f"{len(allowed_ids)} allowed ids are more than {self.max_allowed_ids}; widen instead")
        among = self._points if allowed_ids is None else set(allowed_ids) & self._points.keys()
        matching = [
            each
            for each in among
            if self._points[each].repository in repositories
            and (languages is None or self._points[each].language in languages)
        ]
        if not matching:
            return VectorHits((), exhausted=True)
        scores = exact_scores(np.stack([self._points[each].row for each in matching]), query)
        return cut_with_ties(zip(matching, scores.tolist(), strict=True), k, len(matching))

    async def ids(self, after: bytes | None, limit: int) -> list[bytes]:
        """See ``Collection.ids``."""
        self._check_open()
        return sorted(each for each in self._points if after is None or each > after)[: max(limit, 0)]

    async def count(self) -> int:
        """See ``Collection.count``."""
        self._check_open()
        return len(self._points)

    async def optimize(self) -> None:
        """There is nothing to do."""
        self._check_open()

    async def flush(self) -> None:
        """See ``Collection.flush``: nothing here outlasts the process."""
        self._check_open()

    async def marker(self) -> StoreMarker | None:
        """See ``Collection.marker``."""
        self._check_open()
        return self._marker

    async def set_marker(self, marker: StoreMarker) -> None:
        """See ``Collection.set_marker``."""
        self._check_open()
        self._marker = marker

    def end(self) -> None:
        """Refuse everything from now on."""
        self._ended = True

    def _check_open(self) -> None:
        if self._ended:
            raise VectorStoreUnavailable(f"the collection {self.spec.name!r} was dropped or closed; open it again")


class MemoryStore:
    """Collections in one dict."""

    def __init__(self) -> None:
        self._collections: dict[str, MemoryCollection] = {}
        self._closed = False

    async def open(self, spec: CollectionSpec) -> MemoryCollection:
        """See ``VectorStore.open``."""
        self._check_open()
        there = self._collections.setdefault(checked_name(spec.name), MemoryCollection(spec))
        if there.spec != spec:
            raise DimensionMismatch(
                f"the collection {spec.name!r} has {there.spec.dimension} dimensions, not {spec.dimension}",
            )
        return there

    async def drop(self, name: str) -> None:
        """See ``VectorStore.drop``."""
        self._check_open()
        there = self._collections.pop(name, None)
        if there is not None:
            there.end()

    async def collections(self) -> tuple[str, ...]:
        """See ``VectorStore.collections``."""
        self._check_open()
        return tuple(sorted(self._collections))

    async def aclose(self) -> None:
        """See ``VectorStore.aclose``."""
        self._closed = True
        for each in self._collections.values():
            each.end()

    def _check_open(self) -> None:
        if self._closed:
            raise VectorStoreUnavailable("the vector store is closed")
