"""A catalog with made-up files, an owner's run beside it, and doubles of an encoder and of a store."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from embeddings import EncodeFailed, EncoderSpec, HashingEncoder, TextKind
from indexing.vectorize.records import VectorizeSettings
from indexing.vectorize.vector_cache import VectorCache
from indexing.vectorize.vectorizer import Vectorizer
from storage import (
    Collection,
    CollectionRow,
    CollectionSpec,
    EmbeddingCache,
    FileResult,
    Incarnation,
    MemoryStore,
    Reader,
    StoreMarker,
    VectorBatch,
    VectorHits,
    Vectors,
    VectorStore,
    VectorStoreUnavailable,
    Writer,
    add_collection,
    begin_incarnation,
    collections,
    end_incarnation,
    open_for_writing,
    open_reader,
)
from tests.storage.conftest import FilledCatalog

T = TypeVar("T")

DIMENSION = 32

SMALL_BATCHES = VectorizeSettings(batch_chunks=8, least_chunks=4, settle_seconds=0.0, first_wait_seconds=0.0)


async def until(holds: Callable[[], object]) -> None:
    """Let the other tasks run until something holds."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (the code under test knows no event for it)
            await asyncio.sleep(0)


class SideCatalog(FilledCatalog):
    """Changes made in a thread: the test waits for them, which our code may not do on the event loop."""

    def apply(self, *args: Any, **options: Any) -> FileResult:
        return _aside(partial(super().apply, *args, **options))

    def remove(self, path: str, *, now_ms: int = 20) -> None:
        _aside(partial(super().remove, path, now_ms=now_ms))

    def collect(self, older_than_ms: int = 1 << 60) -> tuple[int, ...]:
        return _aside(partial(super().collect, older_than_ms))

    def copy_to(self, path: Path) -> None:
        """A backup as it is now."""
        self.connection.execute("VACUUM INTO ?", (str(path),))

    def put_back(self, backup: Path) -> None:
        """Let a backup take the catalog's place, and be opened by a newer program."""
        self.close()
        for each in self.path.parent.iterdir():
            each.unlink()
        shutil.copy(backup, self.path)
        self.connection = _aside(partial(open_for_writing, self.path))

    def dump(self) -> list[str]:
        return _aside(super().dump)


def _aside(work: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


class TestEncoder:
    """A hashing encoder that keeps what it was given, and refuses what it is told to."""

    __test__ = False

    def __init__(self, dimension: int = DIMENSION, *, in_flight: int = 1) -> None:
        self._inner = HashingEncoder(dimension)
        inner = self._inner.spec
        self.spec = EncoderSpec(inner.model, inner.fingerprint, inner.dimension, inner.window, in_flight)
        self.texts: list[str] = []
        self.calls = 0
        self.refuses: Callable[[str], bool] = lambda _: False
        self.blank: Callable[[str], bool] = lambda _: False
        self.gate = asyncio.Event()
        self.gate.set()
        self.closed = False

    async def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        self.calls += 1
        await self.gate.wait()
        if any(map(self.refuses, texts)):
            raise EncodeFailed("no memory for it")
        self.texts += texts
        vectors = await self._inner.encode(texts, kind)
        vectors[[self.blank(text) for text in texts]] = np.nan
        return vectors

    async def aclose(self) -> None:
        self.closed = True
        await self._inner.aclose()


class TestCollection:
    """A collection in memory that can be out of reach, and that can take a call in without answering it."""

    __test__ = False

    def __init__(self, inner: Collection) -> None:
        self._inner = inner
        self.spec = inner.spec
        self.max_allowed_ids = inner.max_allowed_ids
        self.down = False
        self.swallows = 0
        """changes that get no answer"""
        self.held: list[Callable[[], Any]] = []
        self.leaves_out: Callable[[bytes], bool] = lambda _: False
        self.changes: list[str] = []
        self.sent: dict[bytes, list[float]] = {}
        """the vectors of all upserts"""

    async def upsert(self, batch: VectorBatch) -> frozenset[bytes]:
        await self._change("upsert", lambda: self._inner.upsert(batch))
        self.sent |= dict(zip(batch.ids, batch.vectors.tolist(), strict=True))
        acknowledged = await self._inner.upsert(batch)
        return frozenset(each for each in acknowledged if not self.leaves_out(each))

    async def delete(self, ids: Sequence[bytes]) -> None:
        await self._change("delete", lambda: self._inner.delete(ids))
        await self._inner.delete(ids)

    async def let_through(self) -> None:
        """Let what was taken in take effect now."""
        held, self.held = self.held, []
        for each in held:
            await each()

    async def search(self, vector: Vectors, k: int, **filters: Any) -> VectorHits:
        self._reach()
        return await self._inner.search(vector, k, **filters)

    async def ids(self, after: bytes | None, limit: int) -> list[bytes]:
        self._reach()
        return await self._inner.ids(after, limit)

    async def count(self) -> int:
        self._reach()
        return await self._inner.count()

    async def flush(self) -> None:
        await self._inner.flush()

    async def optimize(self) -> None:
        await self._inner.optimize()

    async def marker(self) -> StoreMarker | None:
        self._reach()
        return await self._inner.marker()

    async def set_marker(self, marker: StoreMarker) -> None:
        self._reach()
        await self._inner.set_marker(marker)

    async def _change(self, what: str, effect: Callable[[], Any]) -> None:
        self._reach()
        self.changes.append(what)
        if self.swallows:
            self.swallows -= 1
            self.held.append(effect)
            raise VectorStoreUnavailable("no answer in time")

    def _reach(self) -> None:
        if self.down:
            raise VectorStoreUnavailable("connection refused")


@dataclass(slots=True)
class Run:
    """One run of an owner."""

    row: CollectionRow
    collection: TestCollection
    encoder: TestEncoder
    writer: Writer
    reader: Reader
    cache: VectorCache
    incarnation: Incarnation
    vectorizer: Vectorizer

    async def drained(self) -> bool:
        return await self.vectorizer.drained()

    async def held(self) -> list[bytes]:
        """Ids in the store."""
        return await self.collection.ids(None, 1 << 30)


@dataclass(slots=True)
class Bench:
    """What outlives an owner's run: catalog, store and cache."""

    catalog: SideCatalog
    cache_path: Path
    store: VectorStore = field(default_factory=MemoryStore)
    settings: VectorizeSettings = SMALL_BATCHES

    def fill(self, files: int, lines: int = 3) -> None:
        for number in range(files):
            self.catalog.add(f"m{number}.py", "".join(f"def f{line}_{number}\n" for line in range(lines)))

    def states(self) -> dict[str, int]:
        return dict(self.catalog.rows("SELECT state, COUNT(*) FROM points GROUP BY state"))

    def stored_ids(self) -> list[bytes]:
        """External ids of the points that are stored."""
        rows = self.catalog.rows(
            "SELECT external_id FROM points JOIN chunks USING (chunk_id) WHERE points.state = 'stored'"
            " ORDER BY external_id"
        )
        return [row[0] for row in rows]

    async def row(self, writer: Writer, encoder: TestEncoder) -> CollectionRow:
        """The collection of an encoder, made if it is not there."""
        async with open_reader(self.catalog.path) as reader:
            for row in await collections(reader):
                if row.fingerprint == encoder.spec.fingerprint:
                    return row
        return await writer.apply(
            partial(
                add_collection,
                store="test",
                fingerprint=encoder.spec.fingerprint,
                dimension=encoder.spec.dimension,
                model=encoder.spec.model,
                name=f"c_{encoder.spec.fingerprint[:8]}",
            )
        )

    @asynccontextmanager
    async def run(
        self,
        encoder: TestEncoder | None = None,
        *,
        arrange: Callable[[TestCollection], None] | None = None,
        pause: Callable[[float], Any] = asyncio.sleep,
        clean: bool = True,
        **changes: Any,
    ) -> AsyncIterator[Run]:
        """An owner's run; ``arrange`` is given the collection before the vectorizer begins."""
        encoder = encoder or TestEncoder()
        async with Writer(self.catalog.path) as writer, open_reader(self.catalog.path) as reader:
            incarnation = await writer.apply(lambda connection: begin_incarnation(connection, now_ms=1))
            row = await self.row(writer, encoder)
            collection = TestCollection(await self.store.open(CollectionSpec(row.name, row.dimension)))
            if arrange is not None:
                arrange(collection)
            settings = changes.pop("settings", self.settings)
            cache = VectorCache(lambda: EmbeddingCache.open(self.cache_path))
            vectorizer = Vectorizer(
                row,
                collection,
                encoder,
                writer=writer,
                reader=reader,
                cache=cache,
                incarnation=incarnation,
                settings=settings,
                pause=pause,
            )
            async with cache, vectorizer:
                yield Run(row, collection, encoder, writer, reader, cache, incarnation, vectorizer)
            if clean:
                await writer.apply(lambda connection: end_incarnation(connection, incarnation.id, now_ms=2))
            await encoder.aclose()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A catalog, an empty store in memory, and a cache on disk."""
    catalog = SideCatalog(tmp_path / "catalog" / "catalog.db")
    yield Bench(catalog, tmp_path / "embeddings.db")
    catalog.close()
