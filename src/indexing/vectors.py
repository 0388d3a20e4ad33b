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
from indexing.vectorize.embedded_text import TEMPLATE
from indexing.vectorize.keeper import Surroundings
from indexing.vectorize.records import VectorizeSettings
from indexing.vectorize.switch import ModelChoice, VectorService
from indexing.vectorize.vector_cache import VectorCache
from storage import EmbeddingCache, LocalStore, VectorStoreError, collections, kept_collections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from embeddings import Encoder, ResolvedModel
    from indexing.settings import Settings
    from indexing.vectorize.records import VectorProgress
    from storage import CollectionRow, DataDirectory, Incarnation, Reader, Writer

log = structlog.get_logger(__name__)

LOCAL_STORE: Final = "local"
"""What the catalog calls the vector store in the data directory."""


class OwnedVectors:
    """What an owner does about vectors; the model is chosen, and perhaps fetched, beside the other work."""

    def __init__(self, settings: Settings, reader: Reader, service: VectorService) -> None:
        """Begin to choose the model."""
        self.service = service
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
    """Open the local vector store and keep it filled until the context ends. Raises the errors of ``storage``."""
    async with AsyncExitStack() as stack:
        cache = await stack.enter_async_context(VectorCache(lambda: EmbeddingCache.open(directory.embeddings)))
        store = await LocalStore.open_for_writing(directory.vectors)
        stack.push_async_callback(_close, store)
        around = Surroundings(
            store,
            cache,
            writer,
            reader,
            incarnation,
            open_encoder=partial(encoder_of, settings=settings, directory=directory.path),
            # A store in this process has answered when its call returns.
            settings=VectorizeSettings(
                batch_chunks=settings.embeddings.batch_chunks,
                parallel_batches=settings.embeddings.max_parallel_batches,
                settle_seconds=0.0,
            ),
        )
        prefix = f"codetrove_{installation.replace('-', '')[:8]}_"
        service = await stack.enter_async_context(VectorService(around, store_name=LOCAL_STORE, prefix=prefix))
        in_use = {row.fingerprint for row in await collections(reader)}
        await cache.evict(settings.embeddings.cache_max_bytes, in_use)
        vectors = OwnedVectors(settings, reader, service)
        stack.push_async_callback(vectors.aclose)
        yield vectors


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


async def _close(store: LocalStore) -> None:
    try:
        await store.aclose()
    except VectorStoreError as error:
        # What could not be written is missing at the next start, and filled in from the cache.
        log.warning("vectors.not_written", error=str(error))
