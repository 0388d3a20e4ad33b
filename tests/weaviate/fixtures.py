"""Fixtures for tests that need a real server; a conftest imports those it wants."""

from __future__ import annotations

import asyncio
import gc
import os
import warnings
from collections.abc import Iterator

import pytest

from storage.vectors import WeaviateOptions
from tests.weaviate.server import NO_SERVER, Node, can_start


@pytest.fixture(scope="session")
def weaviate_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeaviateOptions]:
    """How to reach a real server; skips where there is none."""
    url = os.environ.get("WEAVIATE_URL")
    if url:
        yield WeaviateOptions(url, int(os.environ.get("WEAVIATE_GRPC_PORT", "50051")))
        return
    if not can_start():
        pytest.skip(NO_SERVER)
    node = Node(tmp_path_factory.mktemp("weaviate"))
    node.start()
    try:
        node.wait_ready()
        yield WeaviateOptions(node.url, node.grpc)
    finally:
        node.kill()


@pytest.fixture(scope="session", autouse=True)
def one_grpc_thread() -> Iterator[None]:
    """The thread of gRPC is made once for all tests: it leaves a pair of sockets to the collector each time it ends."""
    if os.environ.get("WEAVIATE_URL") is None and not can_start():
        yield
        return
    import grpc

    async def begin() -> None:
        grpc.aio.init_grpc_aio()

    asyncio.run(begin())
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        grpc.aio.shutdown_grpc_aio()
        gc.collect()
