"""The vectors of an owner: of which model they are, where they lie, how far they are."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from embeddings import AUTO, EmbeddingsError, ModelRefused, open_encoder, resolve, resolved_from_json
from indexing.memory import read_memory
from indexing.search import NoVectors, VectorSearch, encoded_again, usable
from indexing.vector_stores import open_stores
from indexing.vectorize.batches import text_hash
from indexing.vectorize.embedded_text import TEMPLATE, embedded_text
from indexing.vectorize.keeper import Surroundings
from indexing.vectorize.switch import ModelChoice, VectorService
from indexing.vectorize.vector_cache import VectorCache
from storage import EmbeddingCache, VectorStoreError, collections, kept_collections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from embeddings import Encoder, ResolvedModel
    from indexing.search import VectorOf, VectorSource
    from indexing.settings import Settings
    from indexing.vectorize.records import VectorProgress
    from indexing.vectorize.switch import Serving
    from storage import CollectionRow, DataDirectory, FoundChunk, Incarnation, Reader, Vectors, Writer

log = structlog.get_logger(__name__)

WARM_AT_ONCE_SECONDS: Final = 0.02
"""How long a search waits for a model that is not loaded: enough for one without weights, too little to be noticed."""


class OwnedVectors:
    """What an owner does about vectors; the model is chosen, and perhaps fetched, beside the other work."""

    def __init__(self, settings: Settings, reader: Reader, service: VectorService, cache: VectorCache) -> None:
        """Begin to choose the model."""
        self.service = service
        self._cache = cache
        self.problem = ""
        """Why there is no model; empty while there is one, or it is being chosen."""
        self.fetching: tuple[int, int] | None = None
        """(bytes fetched, bytes in all) of a model on its way here"""
        self._failure = ""
        self._settings = settings
        self._reader = reader
        self._choosing = asyncio.create_task(self._choose(), name="choose-model")

    @property
    def progress(self) -> VectorProgress | None:
        """How far the vectors are: those that are being built, else those that serve."""
        found = list(self.service.progress.values())
        return found[-1] if found else None

    @property
    def model(self) -> str:
        """Name of the model whose vectors are made; empty while there is none."""
        found = list(self.service.progress)
        return resolved_from_json(found[-1]).spec.name if found else ""

    @property
    def missing_because(self) -> str:
        """Why there are no vectors, or not all; empty where nothing keeps them from coming."""
        return self.problem or self._failure or "; ".join(self.service.problems.values()) or self.service.degraded

    async def drained(self) -> bool:
        """Wait until every chunk has its vector, or a reason why not; False where that will not be.

        A model or a store that fails is such a case, and then `missing_because` says why; other errors are raised.
        """
        await asyncio.shield(self._choosing)
        self._failure = ""
        try:
            return not self.problem and await self.service.drained()
        except (EmbeddingsError, VectorStoreError) as error:
            self._failure = str(error)
            return False

    @asynccontextmanager
    async def source(
        self, *, patience: float = WARM_AT_ONCE_SECONDS, encodes_query: bool = True
    ) -> AsyncIterator[VectorSource | None]:
        """What to search with as it is now, kept until the context ends; None where no vectors were ever made.

        A model that is not loaded begins to be, and is waited for at most ``patience`` seconds: a search that does not
        encode its query, as one for similar code, needs none.
        """
        async with self.service.searching() as serving:
            if serving is None:
                yield self._nothing_to_search()
            elif encodes_query and not await serving.warmth.ready(patience):
                name = serving.encoder.spec.model
                failed = serving.warmth.problem
                yield NoVectors(f"no model: {failed}" if failed else f"the model {name} is being loaded", cold=True)
            else:
                yield self._search_with(serving)

    async def warm(self) -> None:
        """Begin to load the model that encodes queries, if there is one; returns at once."""
        async with self.service.searching() as serving:
            if serving is not None:
                serving.warmth.begin()

    def _nothing_to_search(self) -> NoVectors | None:
        if self.fetching is not None:
            return NoVectors("the model is being fetched")
        return None if self.service.is_empty else NoVectors(self.missing_because or "they are being made")

    def _search_with(self, serving: Serving) -> VectorSearch:
        progress = serving.progress
        waiting = 0 if progress is None else progress.pending
        return VectorSearch(
            serving.collection,
            serving.encoder,
            vector_of=_cached_or_encoded(self._cache, serving.row.fingerprint, serving.encoder),
            waiting=waiting,
            chunks=waiting if progress is None else waiting + progress.stored,
        )

    async def switch(self, resolved: ResolvedModel) -> None:
        """Fill a collection of another model beside the serving one; it serves when it is complete."""
        await asyncio.shield(self._choosing)
        await self.service.ensure(_choice(resolved))
        self.problem = ""

    async def aclose(self) -> None:
        """Give up choosing."""
        self._choosing.cancel()
        await asyncio.wait([self._choosing])

    async def _choose(self) -> None:
        """Decide which model the vectors are of: what the settings name, else what is stored, else what is here."""
        rows = await kept_collections(self._reader)
        settings = self._settings.embeddings
        wanted = await asyncio.to_thread(_wanted, rows, settings.model)
        if wanted is None:
            await self._move(rows)
            return
        try:
            resolved = await asyncio.to_thread(
                partial(
                    resolve,
                    wanted,
                    allow_download=settings.download,
                    text_template=TEMPLATE,
                    on_progress=self._count_fetched,
                )
            )
        except EmbeddingsError as error:
            self.problem = str(error)
            # Whoever owns the vectors says it to the user: as a warning it would be there twice.
            log.info("model.none", reason=str(error))
            return
        finally:
            self.fetching = None
        await self.service.ensure(_choice(resolved))

    async def _move(self, rows: list[CollectionRow]) -> None:
        """Fill a collection in the store of the settings, from the cache, if the vectors are in another one."""
        if all(row.store != self._settings.storage.backend for row in rows):
            latest = resolved_from_json(rows[-1].model)
            log.info("vectors.moving", store=self._settings.storage.backend)
            await self.service.ensure(_choice(latest))

    def _count_fetched(self, done: int, total: int) -> None:
        self.fetching = done, total


@asynccontextmanager
async def own_vectors(
    settings: Settings,
    directory: DataDirectory,
    *,
    writer: Writer,
    reader: Reader,
    incarnation: Incarnation,
    installation: str,
) -> AsyncIterator[OwnedVectors]:
    """Open the vector stores and keep the vectors complete until the context ends. Raises the errors of ``storage``.

    Two are open while the vectors move from one to the other.
    """
    async with AsyncExitStack() as stack:
        cache = await stack.enter_async_context(VectorCache(lambda: EmbeddingCache.open(directory.embeddings)))
        rows = await collections(reader)
        prefix = f"codetrove_{installation.replace('-', '')[:8]}_"
        stores = await open_stores(settings, directory, {row.store for row in rows}, stack, prefix=prefix)
        around = Surroundings(
            stores,
            cache,
            writer,
            reader,
            incarnation,
            open_encoder=partial(encoder_of, settings=settings, directory=directory.path),
        )
        service = await stack.enter_async_context(
            VectorService(around, store_name=settings.storage.backend, prefix=prefix)
        )
        in_use = {row.fingerprint for row in rows}
        await cache.evict(settings.embeddings.cache_max_bytes, in_use)
        vectors = OwnedVectors(settings, reader, service, cache)
        stack.push_async_callback(vectors.aclose)
        yield vectors


def _cached_or_encoded(cache: VectorCache, fingerprint: str, encoder: Encoder) -> VectorOf:
    """A ``vector_of`` that takes from the cache what was encoded before."""
    again = encoded_again(encoder)

    async def vector_of(chunk: FoundChunk, piece: bytes) -> Vectors | None:
        text = embedded_text(scope=chunk.scope, symbol=chunk.symbol, piece=piece.decode("utf-8", "replace"))
        digest = text_hash(text)
        known = (await cache.get(fingerprint, [digest])).get(digest)
        return await again(chunk, piece) if known is None else usable(known)

    return vector_of


async def encoder_of(row: CollectionRow, *, settings: Settings, directory: Path) -> Encoder:
    """Return the encoder of a collection; torch and the weights are loaded when it first encodes.

    Raises ``ReplicasRefused`` where the memory there is now does not hold the replicas that are wanted.
    """
    return await asyncio.to_thread(_open_encoder, row, settings, directory)


def _open_encoder(row: CollectionRow, settings: Settings, directory: Path) -> Encoder:
    wanted = settings.embeddings
    return open_encoder(
        resolved_from_json(row.model),
        threads=encoder_threads(settings),
        replicas=wanted.replicas,
        devices=wanted.devices,
        deadline_seconds=wanted.deadline_seconds,
        memory_available=read_memory().available_bytes if wanted.replicas else None,
        directory=directory,
    )


def encoder_threads(settings: Settings) -> int:
    """Return how many CPU threads the encoder gets."""
    return settings.embeddings.threads or len(_cores())


def _cores() -> set[int]:
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return affinity(0) if affinity is not None else set(range(os.cpu_count() or 1))


def _wanted(rows: list[CollectionRow], configured: str) -> str | None:
    """Return which model to resolve; None where the one that is stored is right."""
    stored: list[ResolvedModel] = []
    for row in rows:
        try:
            stored.append(resolved_from_json(row.model))
        except ModelRefused as error:
            log.warning("model.unreadable", collection=row.name, error=str(error))
    if not stored:
        return configured
    names = [resolved.spec.name for resolved in stored]
    current = any(resolved.text_template == TEMPLATE for resolved in stored if configured in (AUTO, resolved.spec.name))
    if current:
        return None
    # Chosen once, the model stays what it is, also where a better one has come.
    return names[0] if configured == AUTO else configured


def _choice(resolved: ResolvedModel) -> ModelChoice:
    return ModelChoice(resolved.fingerprint, resolved.spec.dimension, resolved.to_json())
