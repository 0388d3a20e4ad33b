"""One collection serves; another model's is built beside it, and takes over when it is complete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from embeddings import ModelUnavailable
from indexing.vectorize.keeper import StoreInUse, Surroundings
from indexing.vectorize.switch import ModelChoice, VectorService
from indexing.vectorize.vector_cache import VectorCache
from storage import (
    CollectionRow,
    EmbeddingCache,
    LocalStore,
    VectorStore,
    VectorStoreUnavailable,
    Writer,
    begin_incarnation,
    end_incarnation,
    open_reader,
)
from tests.indexing.vectorize.conftest import SMALL_BATCHES, Bench, TestEncoder, until

PREFIX = "here_"


@dataclass(slots=True)
class Models:
    """Encoders by the name in the catalog: their dimension."""

    opened: list[TestEncoder] = field(default_factory=list)
    closed_gate: bool = False
    missing: set[str] = field(default_factory=set)

    async def open(self, row: CollectionRow) -> TestEncoder:
        if row.model in self.missing:
            raise ModelUnavailable(f"the model {row.model!r} is not here; fetch it")
        encoder = TestEncoder(int(row.model))
        if self.closed_gate:
            encoder.gate.clear()
        self.opened.append(encoder)
        return encoder

    def choice(self, dimension: int) -> ModelChoice:
        return ModelChoice(TestEncoder(dimension).spec.fingerprint, dimension, str(dimension))


@asynccontextmanager
async def service(bench: Bench, models: Models) -> AsyncIterator[VectorService]:
    async with Writer(bench.catalog.path) as writer, open_reader(bench.catalog.path) as reader:
        incarnation = await writer.apply(lambda connection: begin_incarnation(connection, now_ms=1))
        async with VectorCache(lambda: EmbeddingCache.open(bench.cache_path)) as cache:
            stores = {"test": StoreInUse(bench.store, SMALL_BATCHES)}
            around = Surroundings(stores, cache, writer, reader, incarnation, models.open)
            async with VectorService(around, store_name="test", prefix=PREFIX) as vectors:
                yield vectors
        await writer.apply(lambda connection: end_incarnation(connection, incarnation.id, now_ms=2))


@pytest.fixture(params=["memory", "local"])
async def store(request: pytest.FixtureRequest, bench: Bench, tmp_path: Path) -> AsyncIterator[VectorStore]:
    """The store of the bench: in memory, or on this machine."""
    if request.param == "local":
        bench.store = await LocalStore.open_for_writing(tmp_path / "vectors")
    yield bench.store
    await bench.store.aclose()


def named(bench: Bench) -> list[tuple[str, int]]:
    """(state, dimension) of the collections in the catalog."""
    return bench.catalog.rows("SELECT state, dimension FROM collections ORDER BY id")


async def test_the_first_model_serves_at_once(bench: Bench, store: VectorStore) -> None:
    bench.fill(4)
    async with service(bench, Models()) as vectors:
        assert vectors.degraded == "no model is chosen"
        async with vectors.searching() as nothing:
            assert nothing is None
        row = await vectors.ensure(Models().choice(16))
        assert row.state == "serving"
        assert vectors.degraded == ""
        async with vectors.searching() as serving:
            assert serving is not None
            assert serving.encoder.spec.dimension == 16
        assert await vectors.drained()
        assert (await vectors.ensure(Models().choice(16))).id == row.id
    assert named(bench) == [("serving", 16)]
    assert bench.states() == {"stored": 12}


async def test_f041_searches_during_a_switch_see_one_model_each_and_the_old_one_goes(
    bench: Bench, store: VectorStore
) -> None:
    bench.fill(10)
    models = Models()
    async with service(bench, models) as vectors:
        await vectors.ensure(models.choice(16))
        assert await vectors.drained()
        (old_name,) = await store.collections()

        seen: list[int] = []
        ended = asyncio.Event()

        async def search() -> None:
            mine: list[int] = []
            while not ended.is_set():
                async with vectors.searching() as serving:
                    assert serving is not None
                    assert serving.collection.spec.dimension == serving.encoder.spec.dimension == serving.row.dimension
                    query = (await serving.encoder.encode(["def f1_7\n"], "query"))[0]
                    await asyncio.sleep(0)
                    found = await serving.collection.search(
                        query, 1, repositories=frozenset([bench.catalog.repository.uuid])
                    )
                    assert found.hits[0].score == pytest.approx(1.0, abs=1e-2)
                    seen.append(serving.row.dimension)
                    mine.append(serving.row.dimension)
            # Of several at once, one that began before the change may end after one that began behind it.
            assert sorted(mine) == mine  # never back

        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(search())
            row = await vectors.ensure(models.choice(24))
            assert row.state == "building"
            assert await vectors.drained()
            count = len(seen)
            await until(lambda: len(seen) >= count + 6)
            ended.set()
        assert seen[0] == 16
        assert seen[-1] == 24
        assert await store.collections() != (old_name,)
        assert len(await store.collections()) == 1
        assert [encoder.closed for encoder in models.opened] == [True, False]
    assert named(bench) == [("serving", 24)]
    assert bench.states() == {"stored": 30}


async def test_the_old_collection_waits_for_the_last_search_in_it(bench: Bench) -> None:
    bench.fill(4)
    models = Models()
    async with service(bench, models) as vectors:
        await vectors.ensure(models.choice(16))
        assert await vectors.drained()
        async with vectors.searching() as serving:
            assert serving is not None
            await vectors.ensure(models.choice(24))
            while True:
                async with vectors.searching() as newer:
                    assert newer is not None
                    if newer.row.dimension == 24:
                        break
                await asyncio.sleep(0)
            await until(lambda: not any(task.get_name() == f"keep-{serving.row.name}" for task in asyncio.all_tasks()))
            for _ in range(20):
                await asyncio.sleep(0)
            everywhere = frozenset([bench.catalog.repository.uuid])
            found = await serving.collection.search(np.ones(16, np.float32), 50, repositories=everywhere)
            assert len(found.hits) == 12
        assert await vectors.drained()
        assert len(await bench.store.collections()) == 1


async def test_a_switch_goes_on_after_a_restart(bench: Bench) -> None:
    bench.fill(10)
    models = Models()
    async with service(bench, models) as vectors:
        await vectors.ensure(models.choice(16))
        assert await vectors.drained()
        models.closed_gate = True
        await vectors.ensure(models.choice(24))
        await until(lambda: len(models.opened) > 1 and models.opened[1].calls)
        models.opened[1].gate.set()
    assert named(bench) == [("serving", 16), ("building", 24)]
    models.closed_gate = False
    async with service(bench, models) as vectors:
        async with vectors.searching() as serving:
            assert serving is not None
            assert serving.row.dimension == 16
        assert await vectors.drained()
        async with vectors.searching() as serving:
            assert serving is not None
            assert serving.row.dimension == 24
    assert named(bench) == [("serving", 24)]


async def test_a_switch_is_given_up_by_choosing_the_serving_model_again(bench: Bench) -> None:
    bench.fill(10)
    models = Models()
    async with service(bench, models) as vectors:
        await vectors.ensure(models.choice(16))
        assert await vectors.drained()
        models.closed_gate = True
        await vectors.ensure(models.choice(24))
        await until(lambda: models.opened[1].calls)
        giving_up = asyncio.ensure_future(vectors.ensure(models.choice(16)))
        await asyncio.sleep(0)
        models.opened[1].gate.set()
        assert (await giving_up).dimension == 16
        assert await vectors.drained()
        assert len(await bench.store.collections()) == 1
    assert named(bench) == [("serving", 16)]
    assert bench.states() == {"stored": 30}


async def test_switching_back_encodes_nothing_twice(bench: Bench) -> None:
    bench.fill(4)
    models = Models()
    async with service(bench, models) as vectors:
        for dimension in (16, 24, 16):
            await vectors.ensure(models.choice(dimension))
            assert await vectors.drained()
    assert [len(encoder.texts) for encoder in models.opened] == [12, 12, 0]


async def test_a_collection_retired_before_a_kill_is_dropped_at_the_next_start(
    bench: Bench, store: VectorStore
) -> None:
    bench.fill(4)
    models = Models()
    async with service(bench, models) as vectors:
        await vectors.ensure(models.choice(16))
        assert await vectors.drained()
    bench.catalog.change("UPDATE collections SET state = 'retired'")
    async with service(bench, models) as vectors:
        row = await vectors.ensure(models.choice(16))
        assert await vectors.drained()
        assert await store.collections() == (row.name,)
    assert named(bench) == [("serving", 16)]
    assert bench.states() == {"stored": 12}


async def test_collections_that_a_lost_catalog_made_are_dropped_and_those_of_others_are_not(bench: Bench) -> None:
    from storage import CollectionSpec

    await bench.store.open(CollectionSpec(f"{PREFIX}left", 8))
    await bench.store.open(CollectionSpec("elsewhere_kept", 8))
    async with service(bench, Models()) as vectors:
        await vectors.drained()
        assert await bench.store.collections() == ("elsewhere_kept",)


async def test_without_its_model_a_collection_is_degraded_and_kept(bench: Bench) -> None:
    bench.fill(4)
    models = Models()
    async with service(bench, models) as vectors:
        await vectors.ensure(models.choice(16))
        assert await vectors.drained()
    models.missing.add("16")
    async with service(bench, models) as vectors:
        assert "fetch it" in vectors.degraded
        async with vectors.searching() as serving:
            assert serving is None
        assert not await vectors.drained()
    assert named(bench) == [("serving", 16)]
    assert bench.states() == {"stored": 12}


async def test_a_switch_to_a_model_that_is_not_here_leaves_the_serving_one_in_place(bench: Bench) -> None:
    bench.fill(4)
    models = Models(missing={"24"})
    async with service(bench, models) as vectors:
        await vectors.ensure(models.choice(16))
        assert await vectors.drained()
        await vectors.ensure(models.choice(24))
        assert not await vectors.drained()
        assert "fetch it" in vectors.problems["24"]
        assert vectors.degraded == ""
    assert named(bench) == [("serving", 16), ("building", 24)]


async def test_f038_an_encoder_of_other_vectors_than_the_collection_has_writes_nothing(bench: Bench) -> None:
    bench.fill(4)
    models = Models()
    async with service(bench, models) as vectors:
        await vectors.ensure(models.choice(16))
        assert await vectors.drained()
    bench.catalog.add("more.py", "def more\n")
    bench.catalog.change("UPDATE collections SET model = '24'")
    async with service(bench, models) as vectors:
        assert "model switch" in vectors.degraded
        assert not await vectors.drained()
        assert models.opened[-1].texts == []
        assert models.opened[-1].closed
    assert bench.states() == {"stored": 12, "pending": 1}


async def test_a_store_that_is_away_at_the_start_is_waited_for_beside_everything_else(bench: Bench) -> None:
    bench.fill(4)
    models = Models()
    async with service(bench, models) as vectors:
        await vectors.ensure(models.choice(16))
        assert await vectors.drained()
    working = bench.store.open
    attempts = 0

    async def away_twice(spec: object) -> object:
        nonlocal attempts
        attempts += 1
        if attempts <= 2:
            raise VectorStoreUnavailable("connection refused")
        return await working(spec)  # type: ignore[arg-type]

    bench.store.open = away_twice  # type: ignore[method-assign, assignment]
    async with service(bench, models) as vectors:
        assert vectors.degraded == "connection refused"
        assert await vectors.drained()
        assert vectors.degraded == ""
        assert attempts == 3


async def test_damaged_files_of_the_store_are_filled_again_without_encoding(bench: Bench, tmp_path: Path) -> None:
    bench.fill(10)
    models = Models()
    for number, damaged in enumerate(["*.rows", "*.flat", "*.json", ""]):
        bench.store = await LocalStore.open_for_writing(tmp_path / "vectors")
        async with service(bench, models) as vectors:
            if number == 0:
                await vectors.ensure(models.choice(16))
            assert await vectors.drained()
            assert bench.states() == {"stored": 30}
            async with vectors.searching() as serving:
                assert serving is not None
                assert await serving.collection.ids(None, 100) == bench.stored_ids()
        await bench.store.aclose()
        files = list((tmp_path / "vectors").rglob(damaged)) if damaged else []
        assert bool(files) == bool(damaged)
        for file in files:
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 0x55
            file.write_bytes(content)
    assert [len(encoder.texts) for encoder in models.opened] == [30, 0, 0, 0]
