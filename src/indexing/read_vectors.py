"""Vectors for whoever reads a data directory for long: the model stays loaded, the store is looked at each time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from embeddings import EmbeddingsError, open_encoder, resolved_from_json
from indexing.reading import serving_collection
from indexing.search import NoVectors, VectorSearch
from indexing.search.vector_leg import encoded_again
from indexing.vectorize.warmth import Warmth
from indexing.vectors import encoder_threads
from storage import CollectionSpec, DataDirectory, LocalStore, VectorStoreError, point_counts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from embeddings import Encoder
    from indexing.search import VectorSource
    from indexing.settings import Settings
    from storage import CollectionRow, Reader


class ReadVectors:
    """The serving vectors of a data directory that another process may own."""

    def __init__(self, settings: Settings, reader: Reader) -> None:
        """Prepare; nothing is opened before the first question."""
        self._settings = settings
        self._reader = reader
        self._stack = AsyncExitStack()
        self._store: LocalStore | None = None
        self._encoders: dict[str, tuple[Encoder, Warmth]] = {}
        self._opening = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the store and free the models."""
        await self._stack.aclose()

    @asynccontextmanager
    async def source(self, *, patience: float, encodes_query: bool) -> AsyncIterator[VectorSource | None]:
        """What to search with as it is now; None where no vectors were ever made.

        A model that is not loaded begins to be, and is waited for at most ``patience`` seconds.
        """
        row = await serving_collection(self._settings, self._reader)
        yield None if row is None else await self._source(row, patience, encodes_query=encodes_query)

    async def _source(self, row: CollectionRow, patience: float, *, encodes_query: bool) -> VectorSource:
        try:
            encoder, warmth = await self._encoder(row)
        except EmbeddingsError as error:
            return NoVectors(f"no model: {error}")
        if encodes_query and not await warmth.ready(patience):
            name, failed = encoder.spec.model, warmth.problem
            return NoVectors(f"no model: {failed}" if failed else f"the model {name} is being loaded", cold=True)
        counts = await point_counts(self._reader, row.id)
        try:
            store = await self._opened_store()
            # Opened again, it looks for what its owner has written since.
            collection = await store.open(CollectionSpec(row.name, row.dimension))
            held = await collection.count()
        except VectorStoreError as error:
            return NoVectors(f"store unavailable: {error}")
        chunks = sum(counts.get(state, 0) for state in ("stored", "pending"))
        again = encoded_again(encoder)
        # An owner that runs has some in its memory, where a reader does not see them yet.
        return VectorSearch(collection, encoder, vector_of=again, waiting=max(0, chunks - held), chunks=chunks)

    async def _encoder(self, row: CollectionRow) -> tuple[Encoder, Warmth]:
        async with self._opening:
            if row.name not in self._encoders:
                model, settings = resolved_from_json(row.model), self._settings
                encoder = await asyncio.to_thread(
                    lambda: open_encoder(model, threads=encoder_threads(settings), devices=settings.embeddings.devices)
                )
                self._stack.push_async_callback(encoder.aclose)
                warmth = Warmth(encoder)
                self._stack.push_async_callback(warmth.aclose)
                self._encoders[row.name] = encoder, warmth
            return self._encoders[row.name]

    async def _opened_store(self) -> LocalStore:
        async with self._opening:
            if self._store is None:
                directory = DataDirectory(self._settings.storage.data_dir)
                self._store = await LocalStore.open_for_reading(directory.vectors)
                self._stack.push_async_callback(self._store.aclose)
            return self._store
