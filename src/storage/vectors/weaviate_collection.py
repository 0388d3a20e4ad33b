"""One collection in Weaviate: the vectors of one model, each object complete enough to be used without codetrove.

The marker is an object beside the others, under an id that no chunk has: whatever happens to the objects, a wipe or a
restored backup, happens to it.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import numpy as np
from weaviate.classes.config import ConsistencyLevel
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter, MetadataQuery

from storage.errors import VectorsRefused, VectorStoreDamaged, VectorStoreUnavailable
from storage.vectors.names import checked_name
from storage.vectors.records import ID_BYTES, CollectionSpec, StoreMarker, VectorBatch, VectorHits, Vectors
from storage.vectors.scoring import cut_with_ties, unit_query, unit_rows
from storage.vectors.weaviate_errors import answered, translated
from storage.vectors.weaviate_insert import Inserter, Pace
from storage.vectors.weaviate_schema import class_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from storage.vectors.weaviate_client import Clients
    from storage.vectors.weaviate_options import WeaviateOptions

MARKER_ID: Final = b"\xff" * ID_BYTES
MAX_ALLOWED_IDS: Final = 10_000
DELETED_AT_ONCE: Final = 1_000
IDS_A_PAGE: Final = 5_000
MOST_RESULTS: Final = 10_000
"""QUERY_MAXIMUM_RESULTS of the server, by default."""
GONE_LOOKS: Final = 5
GONE_PAUSE_SECONDS: Final = 1.0
"""A server that was killed takes requests a moment before it knows its classes again."""
SILENCE_SECONDS: Final = 1.0
"""A search after one without an answer is refused at once for so long: not every question waits for a dead server."""
_SCORE_DIGITS: Final = 6
_LEVELS: Final = {"one": ConsistencyLevel.ONE, "quorum": ConsistencyLevel.QUORUM, "all": ConsistencyLevel.ALL}


class WeaviateCollection:
    """See ``Collection``."""

    max_allowed_ids = MAX_ALLOWED_IDS

    def __init__(self, spec: CollectionSpec, clients: Clients, options: WeaviateOptions, pace: Pace) -> None:
        """Take a collection that is there; ``WeaviateStore.open`` makes sure of that."""
        self.spec = spec
        self._clients = clients
        self._options = options
        self._inserter = Inserter(options, pace, self._insert_many)
        self._busy: set[bytes] = set()
        self._freed = asyncio.Condition()
        self._ended = False
        self._silent_until = 0.0
        self._silence = ""

    async def upsert(self, batch: VectorBatch) -> frozenset[bytes]:
        """See ``Collection.upsert``."""
        self._check_open()
        rows = await asyncio.to_thread(_unit_rows, batch.vectors, self.spec.dimension)
        for name in {each.repository for each in batch.payloads}:
            checked_name(name)
        # The inserter has a deadline for each of its calls.
        async with self._alone_with(batch.ids), self._known():
            return await self._inserter.insert(batch, rows)

    async def delete(self, ids: Sequence[bytes]) -> None:
        """See ``Collection.delete``; by lists of ids, each until nothing of it is left."""
        self._check_open()
        wanted = list(dict.fromkeys(ids))
        async with self._alone_with(wanted):
            for start in range(0, len(wanted), DELETED_AT_ONCE):
                await self._delete(wanted[start : start + DELETED_AT_ONCE])

    async def search(
        self,
        vector: Vectors,
        k: int,
        *,
        repositories: frozenset[str],
        languages: frozenset[str] | None = None,
        allowed_ids: Sequence[bytes] | None = None,
    ) -> VectorHits:
        """See ``Collection.search``. Below the index's ``flatSearchCutoff`` the server compares exactly."""
        self._check_open()
        query = unit_query(vector, self.spec.dimension).astype(np.float32).tolist()
        if allowed_ids is not None and len(allowed_ids) > self.max_allowed_ids:
            raise VectorsRefused(f"{len(allowed_ids)} allowed ids are more than {self.max_allowed_ids}; widen instead")
        if not repositories or languages == frozenset() or (allowed_ids is not None and not allowed_ids):
            return VectorHits((), exhausted=True)
        where = Filter.by_property("repository").contains_any(sorted(repositories))
        if languages is not None:
            where &= Filter.by_property("language").contains_any(sorted(languages))
        if allowed_ids is not None:
            where &= Filter.by_id().contains_any([UUID(bytes=each) for each in allowed_ids])
        # One more than asked for shows whether the cut goes through a tie.
        limit = min(max(k, 0) + 16, MOST_RESULTS)
        while True:
            found = await self._nearest(query, limit, where)
            exhausted = len(found) < limit
            if exhausted or limit == MOST_RESULTS or k < 1 or found[-1][1] < found[k - 1][1]:
                return cut_with_ties(found, k, len(found) if exhausted else MOST_RESULTS + len(found))
            limit = min(4 * limit, MOST_RESULTS)

    async def ids(self, after: bytes | None, limit: int) -> list[bytes]:
        """See ``Collection.ids``."""
        self._check_open()
        found: list[bytes] = []
        while len(found) < limit:
            wanted = min(limit - len(found) + 1, IDS_A_PAGE)
            page = await self._page(after, wanted)
            found += [each for each in page if each != MARKER_ID]
            if len(page) < wanted:
                break
            after = page[-1]
        return found[: max(limit, 0)]

    async def count(self) -> int:
        """See ``Collection.count``."""
        self._check_open()
        async with self._asking("objects were to be counted"):
            counted = await (await self._class()).aggregate.over_all(total_count=True)
        return max(0, (counted.total_count or 0) - (await self._marker_object() is not None))

    async def optimize(self) -> None:
        """The server does that by itself."""
        self._check_open()

    async def flush(self) -> None:
        """What the server acknowledges is in its log: nothing is left to do."""
        self._check_open()

    async def marker(self) -> StoreMarker | None:
        """See ``Collection.marker``."""
        self._check_open()
        found = await self._marker_object()
        if found is None:
            return None
        try:
            return StoreMarker(**json.loads(found.properties["text"]))
        except (ValueError, TypeError, KeyError):
            return None

    async def set_marker(self, marker: StoreMarker) -> None:
        """See ``Collection.set_marker``."""
        self._check_open()
        made: DataObject[Any, None] = DataObject(
            properties={"repository": "", "kind": "marker", "text": json.dumps(asdict(marker))},
            uuid=UUID(bytes=MARKER_ID),
        )
        async with self._asking("the marker was to be written"):
            answer = await self._insert_many([made])
        if answer.errors:
            raise VectorStoreUnavailable(f"the marker was not written: {answer.errors[0].message}")

    def end(self) -> None:
        """Refuse everything from now on."""
        self._ended = True

    async def _delete(self, ids: list[bytes]) -> None:
        where = Filter.by_id().contains_any([UUID(bytes=each) for each in ids])
        while True:
            async with self._asking(f"{len(ids)} objects were to be deleted"):
                answer = await (await self._class()).data.delete_many(where)
            if answer.failed:
                raise VectorStoreUnavailable(f"{answer.failed} of {answer.matches} objects were not deleted")
            if not answer.matches:
                return

    async def _nearest(self, query: list[float], limit: int, where: Any) -> list[tuple[bytes, float]]:
        if monotonic() < self._silent_until:
            raise VectorStoreUnavailable(self._silence)
        try:
            async with self._asking("neighbours were to be found", self._options.search_seconds):
                found = await (await self._class()).query.near_vector(
                    query,
                    limit=limit,
                    filters=where,
                    return_metadata=MetadataQuery(distance=True),
                    return_properties=[],
                )
        except VectorStoreUnavailable as error:
            self._silent_until, self._silence = monotonic() + SILENCE_SECONDS, str(error)
            raise
        # Sums in another order differ in the last digits; what they agree on is a tie.
        return sorted(
            ((each.uuid.bytes, round(1.0 - each.metadata.distance, _SCORE_DIGITS)) for each in found.objects),
            key=lambda each: (-each[1], each[0]),
        )

    async def _page(self, after: bytes | None, limit: int) -> list[bytes]:
        async with self._asking("ids were to be listed"):
            page = await (await self._class()).query.fetch_objects(
                limit=limit, after=None if after is None else UUID(bytes=after), return_properties=[]
            )
        return [each.uuid.bytes for each in page.objects]

    async def _marker_object(self) -> Any:
        async with self._asking("the marker was to be read"):
            return await (await self._class()).query.fetch_object_by_id(UUID(bytes=MARKER_ID))

    async def _insert_many(self, objects: Sequence[Any]) -> Any:
        self._check_open()
        return await self._of(await self._clients.inserting()).data.insert_many(objects)

    async def _class(self) -> Any:
        self._check_open()
        return self._of(await self._clients.first())

    def _of(self, client: Any) -> Any:
        found = client.collections.use(class_of(self.spec.name))
        if self._options.replication_factor > 1:
            found = found.with_consistency_level(_LEVELS[self._options.consistency])
        return found

    @asynccontextmanager
    async def _alone_with(self, ids: Sequence[bytes]) -> AsyncIterator[None]:
        """Wait until no other call changes one of these ids."""
        mine = set(ids)
        async with self._freed:
            await self._freed.wait_for(lambda: self._busy.isdisjoint(mine))
            self._busy |= mine
        try:
            yield
        finally:
            self._busy -= mine
            async with self._freed:
                self._freed.notify_all()

    @asynccontextmanager
    async def _asking(self, doing: str, seconds: float | None = None) -> AsyncIterator[None]:
        """Translate errors, within the deadline of a call or ``seconds``."""
        async with self._known(), answered(doing, self._options.url, seconds or self._options.deadline_seconds):
            yield

    @asynccontextmanager
    async def _known(self) -> AsyncIterator[None]:
        """A class that a server does not know yet after its restart is not one that is gone."""
        try:
            yield
        except VectorStoreDamaged as error:
            if await self._is_gone():
                raise
            raise VectorStoreUnavailable(f"the server has just come back: {error}") from error

    async def _is_gone(self) -> bool:
        """Whether the class stays away for as long as a server may take to read its schema."""
        for _ in range(GONE_LOOKS):
            with translated("the class was to be looked for", self._options.url):
                if await (await self._clients.first()).collections.exists(class_of(self.spec.name)):
                    return False
            await asyncio.sleep(GONE_PAUSE_SECONDS)
        return True

    def _check_open(self) -> None:
        if self._ended:
            raise VectorStoreUnavailable(f"the collection {self.spec.name!r} was dropped or closed; open it again")


def _unit_rows(vectors: Vectors, dimension: int) -> Vectors:
    return unit_rows(vectors, dimension).astype(np.float32)
