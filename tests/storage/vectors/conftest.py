"""Stores to test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from storage.vectors import LocalOptions, LocalStore, MemoryStore, VectorStore, WeaviateOptions, WeaviateStore
from tests.weaviate.fixtures import one_grpc_thread, weaviate_server  # noqa: F401  (fixtures)

OpenLocal: TypeAlias = Callable[..., Awaitable[LocalStore]]
OpenWeaviate: TypeAlias = Callable[..., Awaitable[WeaviateStore]]


@pytest.fixture
async def open_local(tmp_path: Path) -> AsyncIterator[OpenLocal]:
    """Opens stores in ``tmp_path`` that are closed after the test."""
    opened: list[LocalStore] = []

    async def make(name: str = "vectors", *, reading: bool = False, **options: int) -> LocalStore:
        opener = LocalStore.open_for_reading if reading else LocalStore.open_for_writing
        opened.append(await opener(tmp_path / name, LocalOptions(**options)))
        return opened[-1]

    yield make
    for each in opened:
        await each.aclose()


@pytest.fixture(params=["memory", "local", "local with a graph", "weaviate"])
async def store(request: pytest.FixtureRequest, open_local: OpenLocal) -> AsyncIterator[VectorStore]:
    """Each implementation in turn."""
    if request.param == "memory":
        memory = MemoryStore()
        yield memory
        await memory.aclose()
    elif request.param == "local":
        yield await open_local()
    elif request.param == "local with a graph":
        yield await open_local(graph_from=8, least_delta=16)
    else:
        # Asked for here and not by name: the other stores need no server.
        async with opener_of(request.getfixturevalue("weaviate_server")) as open_weaviate:
            yield await open_weaviate()


@asynccontextmanager
async def opener_of(server: WeaviateOptions) -> AsyncIterator[OpenWeaviate]:
    """Opens stores on the server; what they made is dropped at the end."""
    opened: list[WeaviateStore] = []

    async def make(**options: object) -> WeaviateStore:
        opened.append(WeaviateStore(replace(server, **options)))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    sweeper = WeaviateStore(server)
    for name in await sweeper.collections():
        await sweeper.drop(name)
    for each in (*opened, sweeper):
        await each.aclose()


@pytest.fixture
async def open_weaviate(weaviate_server: WeaviateOptions) -> AsyncIterator[OpenWeaviate]:  # noqa: F811
    async with opener_of(weaviate_server) as opener:
        yield opener
