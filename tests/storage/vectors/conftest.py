"""Stores to test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from storage.vectors import LocalOptions, LocalStore, MemoryStore, VectorStore

OpenLocal: TypeAlias = Callable[..., Awaitable[LocalStore]]


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


@pytest.fixture(params=["memory", "local", "local with a graph"])
async def store(request: pytest.FixtureRequest, open_local: OpenLocal) -> AsyncIterator[VectorStore]:
    """Each implementation in turn."""
    if request.param == "memory":
        memory = MemoryStore()
        yield memory
        await memory.aclose()
    elif request.param == "local":
        yield await open_local()
    else:
        yield await open_local(graph_from=8, least_delta=16)
