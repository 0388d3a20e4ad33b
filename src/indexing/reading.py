"""Opens what answering needs: catalog, indexes and model for reading only, beside an owner or without one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from indexing.settings import NO_MODEL
from storage import CollectionSpec, DataDirectory, TextIndex, VectorStoreError, collections, open_reader, point_counts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from indexing.search import VectorSource
    from indexing.settings import Settings
    from storage import CollectionRow, Reader


@asynccontextmanager
async def open_for_search(settings: Settings) -> AsyncIterator[tuple[Reader, TextIndex]]:
    """Open catalog and text index; no lock, no migration. Raises the errors of ``storage``."""
    directory = DataDirectory(settings.storage.data_dir)
    if await asyncio.to_thread(directory.path.exists):
        await asyncio.to_thread(directory.check_readable)
    async with open_reader(directory.catalog) as reader:
        index = await asyncio.to_thread(TextIndex.open_for_reading, directory.text)
        try:
            yield reader, index
        finally:
            await asyncio.to_thread(index.close)


@asynccontextmanager
async def open_vectors(settings: Settings, reader: Reader, *, load_model: bool) -> AsyncIterator[VectorSource | None]:
    """Open the serving vectors and their model for one search; None where there are none, or none are wanted.

    Without ``load_model`` a model with weights is not opened, as loading them takes seconds.
    """
    row = await serving_collection(settings, reader)
    if row is None:
        yield None
        return
    async with AsyncExitStack() as stack:
        yield await _vectors_of(row, settings, reader, stack, load_model=load_model)


async def serving_collection(settings: Settings, reader: Reader) -> CollectionRow | None:
    """Return the collection to search; None where there is none, or none is wanted."""
    if settings.embeddings.model == NO_MODEL:
        return None
    return next((each for each in await collections(reader) if each.state == "serving"), None)


async def _vectors_of(
    row: CollectionRow, settings: Settings, reader: Reader, stack: AsyncExitStack, *, load_model: bool
) -> VectorSource:
    from embeddings import EmbeddingsError, open_encoder, resolved_from_json  # noqa: PLC0415 - only with vectors
    from indexing.search import NoVectors, VectorSearch, encoded_again  # noqa: PLC0415 - the same

    try:
        model = resolved_from_json(row.model)
    except EmbeddingsError as error:
        return NoVectors(f"no model: {error}")
    if model.path is not None and not load_model:
        return NoVectors(f"the model {model.spec.name} is not loaded", cold=True)
    # usearch and numpy are for those who search vectors.
    from indexing.vector_stores import open_for_reading  # noqa: PLC0415
    from indexing.vectors import encoder_threads  # noqa: PLC0415

    counts = await point_counts(reader, row.id)
    try:
        store = await open_for_reading(row.store, settings)
        stack.push_async_callback(store.aclose)
        collection = await store.open(CollectionSpec(row.name, row.dimension))
        held = await collection.count()
    except VectorStoreError as error:
        return NoVectors(f"store unavailable: {error}")
    try:
        encoder = await asyncio.to_thread(
            lambda: open_encoder(model, threads=encoder_threads(settings), devices=settings.embeddings.devices)
        )
    except EmbeddingsError as error:
        return NoVectors(f"no model: {error}")
    stack.push_async_callback(encoder.aclose)
    chunks = sum(counts.get(state, 0) for state in ("stored", "pending"))
    return VectorSearch(
        collection,
        encoder,
        vector_of=encoded_again(encoder),
        # An owner that runs has some in its memory, where a reader does not see them yet.
        waiting=max(0, chunks - held),
        chunks=chunks,
    )
