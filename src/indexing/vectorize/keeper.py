"""One collection from its opening to its end: the handle, its encoder, and the vectorizer that fills it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from embeddings import EmbeddingsError, ModelRefused
from indexing.vectorize.deliver import Interrupted, Patience
from indexing.vectorize.records import VectorProgress
from indexing.vectorize.vectorizer import Vectorizer
from indexing.vectorize.warmth import Warmth
from indexing.vectorize.work_meter import VectorWork
from storage import CollectionSpec, VectorStoreDamaged, VectorStoreError, VectorStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from embeddings import Encoder
    from indexing.vectorize.records import VectorizeSettings
    from indexing.vectorize.vector_cache import VectorCache
    from storage import Collection, CollectionRow, Incarnation, Reader, VectorStore, Writer

log = structlog.get_logger(__name__)

MOST_REFILLS = 3
"""A store that damages a collection more often than this in one run is left alone."""


@dataclass(frozen=True, slots=True)
class StoreInUse:
    """A vector store, and how it is filled."""

    store: VectorStore
    settings: VectorizeSettings
    name_serving: Callable[[str], Awaitable[None]] | None = None
    """Gives the collection that serves the name by which others find it, where the store knows such names."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the collections of one owner have in common."""

    stores: Mapping[str, StoreInUse]
    """by the name that the catalog has for each"""
    cache: VectorCache
    writer: Writer
    reader: Reader
    incarnation: Incarnation
    open_encoder: Callable[[CollectionRow], Awaitable[Encoder]]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


class Keeper:
    """Keeps one collection filled; its task is the only one that opens, fills and drops it."""

    def __init__(self, row: CollectionRow, around: Surroundings) -> None:
        """Prepare to keep the collection of ``row``."""
        self.row = row
        self.collection: Collection | None = None
        self.encoder: Encoder | None = None
        self.warmth: Warmth | None = None
        """Of the encoder."""
        self.work = VectorWork()
        self.problem = ""
        """Why there are no vectors to search, or no new ones; empty while all is well."""
        self.looked = asyncio.Event()
        """Set after the first attempt to open the collection."""
        self._around = around
        in_use = around.stores[row.store]
        self._store, self._settings = in_use.store, in_use.settings
        self._vectorizer: Vectorizer | None = None
        self._failure: Exception | None = None
        self._started = asyncio.Event()
        self._stopping = False
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self._patience = Patience(self._settings, pause=around.pause, tell=self._tell, meter=self.work)

    @property
    def progress(self) -> VectorProgress | None:
        """How far the vectors are; None where nothing fills the collection."""
        return None if self._vectorizer is None else self._vectorizer.progress

    async def run(self) -> None:
        """Open the collection and fill it until `stop_soon`. A damaged one is dropped and filled anew."""
        try:
            for _ in range(MOST_REFILLS):
                if not await self._open() or not await self._fill():
                    return
        except Interrupted:
            return
        except (EmbeddingsError, VectorStoreError) as error:
            self.problem = str(error)
            log.warning("vectors.not_kept", collection=self.row.name, error=self.problem)
        except Exception as error:
            self.problem, self._failure = str(error) or repr(error), error
            log.exception("vectors.not_kept", collection=self.row.name)
        finally:
            self.looked.set()
            self._started.set()

    def nudge(self) -> None:
        """Look at the catalog again."""
        if self._vectorizer is not None:
            self._vectorizer.nudge()

    async def drained(self) -> bool:
        """Wait until no point is pending; False where that will not be. Raises what made the vectorizer fail."""
        await self._started.wait()
        if self._failure is not None:
            raise self._failure
        return self._vectorizer is not None and await self._vectorizer.drained()

    async def swept(self) -> None:
        """Wait until no vector waits to be removed, or nothing is kept any more."""
        await self._started.wait()
        if self._vectorizer is not None:
            await self._vectorizer.swept()

    def stop_soon(self) -> None:
        """Let `run` end after the batch in hand."""
        self._stopping = True
        self._patience.stop()
        if self._vectorizer is not None:
            self._vectorizer.stop_soon()

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """Keep the collection from being dropped, and the encoder from being closed, for the length of a search."""
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                self._unused.set()

    async def unused(self) -> None:
        """Wait until nobody searches the collection."""
        await self._unused.wait()

    async def close_encoder(self) -> None:
        """Free the model."""
        warmth, self.warmth = self.warmth, None
        if warmth is not None:
            await warmth.aclose()
        encoder, self.encoder = self.encoder, None
        if encoder is not None:
            await encoder.aclose()

    def _tell(self, reason: str) -> None:
        self.problem = reason

    async def _open(self) -> bool:
        """Open collection and encoder; False if the work is to end."""
        spec = CollectionSpec(self.row.name, self.row.dimension)
        while not self._stopping:
            try:
                self.collection = await self._open_or_make_anew(spec)
            except VectorStoreUnavailable as error:
                self.looked.set()
                await self._patience.wait(str(error), in_doubt=False)
                continue
            self._patience.answered()
            if self.encoder is None:
                self.encoder = await self._open_encoder()
                self.warmth = Warmth(self.encoder)
            self.problem = ""
            self.looked.set()
            return not self._stopping
        return False

    async def _open_encoder(self) -> Encoder:
        """Raises ``ModelRefused`` for an encoder of other vectors than the collection's, before any is written."""
        encoder = await self._around.open_encoder(self.row)
        spec = encoder.spec
        if (spec.fingerprint, spec.dimension) != (self.row.fingerprint, self.row.dimension):
            await encoder.aclose()
            raise ModelRefused(
                f"the model {spec.model!r} is not the one that the vectors are of any more: fingerprint "
                f"{spec.fingerprint!r} and {spec.dimension} dimensions instead of {self.row.fingerprint!r} and "
                f"{self.row.dimension}; put the former model back, or switch with 'codetrove model switch'"
            )
        return encoder

    async def _open_or_make_anew(self, spec: CollectionSpec) -> Collection:
        try:
            return await self._store.open(spec)
        except VectorStoreDamaged as error:
            log.warning("vectors.dropped_damaged", collection=spec.name, error=str(error))
            await self._store.drop(spec.name)
            return await self._store.open(spec)

    async def _fill(self) -> bool:
        """Run a vectorizer to its end; True if the collection turned out to be damaged and is to be filled again."""
        around = self._around
        assert self.collection is not None  # noqa: S101  (`_open` made them)
        assert self.encoder is not None  # noqa: S101
        vectorizer = Vectorizer(
            self.row,
            self.collection,
            self.encoder,
            writer=around.writer,
            reader=around.reader,
            cache=around.cache,
            incarnation=around.incarnation,
            settings=self._settings,
            work=self.work,
            pause=around.pause,
        )
        async with vectorizer:
            self._vectorizer = vectorizer
            self._started.set()
            if self._stopping:
                vectorizer.stop_soon()
            await vectorizer.ended()
        failure = vectorizer.failure
        if failure is None:
            return False
        self.problem = str(failure) or repr(failure)
        if not isinstance(failure, VectorStoreDamaged) or self._stopping:
            return False
        self.collection = None
        await self.unused()
        log.warning("vectors.dropped_damaged", collection=self.row.name, error=self.problem)
        await self._store.drop(self.row.name)
        return True
