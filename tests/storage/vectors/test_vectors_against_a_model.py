"""Whatever is done in whatever order, the local store answers as the reference does, to the last digit."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.vectors import Collection, CollectionSpec, LocalOptions, LocalStore, MemoryStore, PointPayload, VectorBatch
from tests.storage.vectors.points import point_id, random_rows

SPEC = CollectionSpec("c", 6)
ROWS = random_rows(9, dimension=SPEC.dimension)
"""So few that many vectors are equal, and many scores tie."""
OPTIONS = LocalOptions(graph_from=6, least_delta=5, most_delta=9, full_delta=20)


@dataclass(frozen=True, slots=True)
class Upsert:
    points: tuple[tuple[int, int, str, str], ...]
    """number, row, repository, language; the numbers are unique"""


@dataclass(frozen=True, slots=True)
class Delete:
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Search:
    row: int
    k: int
    repositories: frozenset[str]
    languages: frozenset[str] | None
    allowed: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Optimize:
    beside: tuple[Upsert | Delete, ...]
    """what happens while it runs"""


@dataclass(frozen=True, slots=True)
class Reopen:
    pass


Step: TypeAlias = Upsert | Delete | Search | Optimize | Reopen

numbers = st.integers(0, 24)
repositories = st.sampled_from(["r1", "r2"])
languages = st.sampled_from(["python", "rust", "c"])
upserts = st.builds(
    Upsert,
    st.lists(
        st.tuples(numbers, st.integers(0, len(ROWS) - 1), repositories, languages),
        max_size=12,
        unique_by=lambda point: point[0],
    ).map(tuple),
)
deletes = st.builds(Delete, st.lists(numbers, max_size=6).map(tuple))
searches = st.builds(
    Search,
    st.integers(0, len(ROWS) - 1),
    st.integers(1, 30),
    st.frozensets(repositories),
    st.none() | st.frozensets(languages),
    st.none() | st.lists(numbers, max_size=9).map(tuple),
)
optimizes = st.builds(Optimize, st.lists(upserts | deletes, max_size=3).map(tuple))
steps = st.lists(upserts | upserts | deletes | searches | optimizes | st.just(Reopen()), max_size=14)


@given(steps=steps)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_local_store_answers_as_the_reference(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(compare(Path(directory), steps))


async def compare(path: Path, steps: Sequence[Step]) -> None:
    reference = await MemoryStore().open(SPEC)
    store = await LocalStore.open_for_writing(path, OPTIONS)
    try:
        local: Collection = await store.open(SPEC)
        for step in steps:
            if isinstance(step, Reopen):
                await store.aclose()
                store = await LocalStore.open_for_writing(path, OPTIONS)
                opened = await store.open(SPEC)
                assert opened.problems == []
                local = opened
            elif isinstance(step, Search):
                assert await search(local, step) == await search(reference, step)
            elif isinstance(step, Optimize):
                running = asyncio.create_task(local.optimize())
                for change in step.beside:
                    await apply(change, reference, local)
                await running
            else:
                await apply(step, reference, local)
            assert await local.count() == await reference.count()
            assert await local.ids(point_id(3), 10) == await reference.ids(point_id(3), 10)
        everything = Search(0, 99, frozenset({"r1", "r2"}), None, None)
        for _ in range(2):
            assert await search(local, everything) == await search(reference, everything)
            assert await local.ids(None, 99) == await reference.ids(None, 99)
            await local.optimize()
    finally:
        await store.aclose()


async def apply(step: Upsert | Delete, *collections: Collection) -> None:
    for each in collections:
        if isinstance(step, Delete):
            await each.delete([point_id(number) for number in step.numbers])
        else:
            rows = np.array([ROWS[row] for _, row, _, _ in step.points], np.float32).reshape(-1, SPEC.dimension)
            payloads = tuple(PointPayload(repository, language) for _, _, repository, language in step.points)
            ids = tuple(point_id(number) for number, _, _, _ in step.points)
            assert await each.upsert(VectorBatch(ids, rows, payloads)) == frozenset(ids)


async def search(collection: Collection, step: Search) -> object:
    return await collection.search(
        ROWS[step.row],
        step.k,
        repositories=step.repositories,
        languages=step.languages,
        allowed_ids=None if step.allowed is None else [point_id(number) for number in step.allowed],
    )
