"""The clients of one Weaviate server, made when they are first needed: a server that is down is no reason not to start.

A client belongs to one event loop. Its own check for a newer version, which asks the network, is left out.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from itertools import cycle
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import grpc

from storage.errors import VectorsRefused, VectorStoreUnavailable

with warnings.catch_warnings():
    # A library of its own library is deprecated there; nothing here can change that.
    warnings.simplefilter("ignore")
    import weaviate
    from weaviate.classes.init import AdditionalConfig, Auth, GrpcConfig, Timeout

from storage.vectors.weaviate_errors import translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weaviate import WeaviateAsyncClient

    from storage.vectors.weaviate_options import WeaviateOptions

CONNECT_SECONDS: Final = 10.0
RECONNECT: Final = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
"""A server that is back is noticed within two seconds; gRPC's own pauses grow to two minutes."""

# On a failure it writes whole objects with their texts and vectors.
logging.getLogger("weaviate-client").setLevel(logging.CRITICAL)


class Clients:
    """One client that reads and changes schemas, and those that insert."""

    def __init__(self, options: WeaviateOptions) -> None:
        """Prepare; nothing is connected yet. Raises ``VectorsRefused`` for an address that is none."""
        self._options = options
        self._host, self._port, self._secure = _parts(options.url)
        self._clients: list[WeaviateAsyncClient] = []
        self._turns: Iterator[WeaviateAsyncClient] = iter(())
        self._connecting = asyncio.Lock()
        self._closed = False

    async def first(self) -> WeaviateAsyncClient:
        """Return the one for everything but insertion. Raises ``VectorStoreUnavailable``."""
        return (await self._connected())[0]

    async def inserting(self) -> WeaviateAsyncClient:
        """Return the one whose turn it is to insert. Raises ``VectorStoreUnavailable``."""
        await self._connected()
        return next(self._turns)

    async def aclose(self) -> None:
        """Close all of them; may be called again."""
        self._closed = True
        async with self._connecting:
            clients, self._clients = self._clients, []
            for client in clients:
                await client.close()
            if clients:
                await asyncio.to_thread(grpc.aio.shutdown_grpc_aio)

    async def _connected(self) -> list[WeaviateAsyncClient]:
        async with self._connecting:
            if self._closed:
                raise VectorStoreUnavailable("the vector store is closed")
            if not self._clients:
                # Else the end of the last channel, whenever it is collected, ends gRPC's thread and waits for it.
                grpc.aio.init_grpc_aio()
                wanted = self._options.pool_size if self._options.insert_mode == "pool" else 1
                made: list[WeaviateAsyncClient] = []
                try:
                    for _ in range(wanted):
                        made.append(self._made())
                        with translated("a connection was to be made", self._options.url):
                            await made[-1].connect()
                except BaseException:
                    for client in made:
                        await client.close()
                    await asyncio.to_thread(grpc.aio.shutdown_grpc_aio)
                    raise
                self._clients, self._turns = made, cycle(made)
            return self._clients

    def _made(self) -> WeaviateAsyncClient:
        options = self._options
        deadline = options.deadline_seconds
        return weaviate.use_async_with_custom(
            http_host=self._host,
            http_port=self._port,
            http_secure=self._secure,
            grpc_host=self._host,
            grpc_port=options.grpc_port,
            grpc_secure=self._secure,
            auth_credentials=Auth.api_key(options.api_key) if options.api_key else None,
            additional_config=AdditionalConfig(
                timeout=Timeout(init=CONNECT_SECONDS, query=deadline, insert=deadline),
                grpc_config=GrpcConfig(channel_options=list(RECONNECT)),
            ),
            skip_init_checks=True,
        )


def _parts(url: str) -> tuple[str, int, bool]:
    """Return host, port, and whether the connection is encrypted."""
    message = f"{url!r} is no address of a Weaviate server; give one like http://127.0.0.1:8080"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise VectorsRefused(message) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise VectorsRefused(message)
    secure = parts.scheme == "https"
    return parts.hostname, port or (443 if secure else 80), secure
