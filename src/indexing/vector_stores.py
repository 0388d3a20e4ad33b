"""Where vectors are kept: the store of the settings, and those in which the catalog still names collections."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from indexing.settings import SettingsError
from indexing.vectorize.keeper import StoreInUse
from indexing.vectorize.records import VectorizeSettings
from indexing.weaviate_access import refuse_anonymous_remote
from storage import DataDirectory, LocalStore, VectorsRefused, VectorStoreError, WeaviateOptions

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from indexing.settings import Settings
    from storage import VectorStore, WeaviateStore

log = structlog.get_logger(__name__)

LOCAL_STORE: Final = "local"
"""What the catalog calls the vector store in the data directory."""
WEAVIATE_STORE: Final = "weaviate"
"""What it calls the Weaviate server of the settings."""


async def open_stores(
    settings: Settings, directory: DataDirectory, named: set[str], stack: AsyncExitStack, *, prefix: str
) -> dict[str, StoreInUse]:
    """Open the store of the settings, and the ``named`` ones; they are closed with the stack.

    ``prefix`` begins the names of all collections of this installation.

    Raises the errors of ``LocalStore.open_for_writing`` and of ``weaviate_store``.
    """
    manner = VectorizeSettings(
        batch_chunks=settings.embeddings.batch_chunks,
        parallel_batches=settings.embeddings.max_parallel_batches,
        # A store in this process has answered when its call returns.
        settle_seconds=0.0,
    )
    local = await LocalStore.open_for_writing(directory.vectors)
    stack.push_async_callback(_close, local)
    stores = {LOCAL_STORE: StoreInUse(local, manner)}
    if WEAVIATE_STORE in named | {settings.storage.backend}:
        server = await asyncio.to_thread(weaviate_store, settings)
        stack.push_async_callback(_close, server)
        in_doubt = replace(manner, settle_seconds=float(settings.weaviate.deadline_seconds))

        async def name_serving(collection: str) -> None:
            await server.point_alias(prefix, collection)

        stores[WEAVIATE_STORE] = StoreInUse(server, in_doubt, name_serving)
    return stores


async def open_for_reading(name: str, settings: Settings) -> VectorStore:
    """Open the store that the catalog calls ``name``, to search in it alone. Raises ``VectorStoreError``."""
    if name == WEAVIATE_STORE:
        try:
            return await asyncio.to_thread(weaviate_store, settings, reading=True)
        except SettingsError as error:
            # Words answer all the same.
            raise VectorsRefused(str(error)) from error
    return await LocalStore.open_for_reading(DataDirectory(settings.storage.data_dir).vectors)


def weaviate_store(settings: Settings, *, reading: bool = False) -> WeaviateStore:
    """Return the store in the server of the settings; nothing is asked of it yet.

    Raises ``VectorsRefused`` for an address that is none, ``SettingsError`` for a server on another machine that would
    be used without a key.
    """
    from storage import WeaviateStore  # noqa: PLC0415 - its client takes half a second to load

    refuse_anonymous_remote(settings)
    wanted = settings.weaviate
    return WeaviateStore(
        WeaviateOptions(
            url=wanted.url,
            grpc_port=wanted.grpc_port,
            api_key=wanted.api_key.get_secret_value(),
            insert_mode=wanted.insert_mode,
            pool_size=wanted.pool_size,
            batch_objects=wanted.batch_objects,
            batch_bytes=wanted.batch_bytes,
            deadline_seconds=float(wanted.deadline_seconds),
            search_seconds=float(wanted.search_seconds),
            replication_factor=wanted.replication_factor,
            consistency=wanted.consistency,
            index=wanted.index,
            quantizer=wanted.quantizer,
        ),
        reading=reading,
    )


async def _close(store: VectorStore) -> None:
    try:
        await store.aclose()
    except VectorStoreError as error:
        # What could not be written is missing at the next start, and filled in from the cache.
        log.warning("vectors.not_written", error=str(error))
