"""A store that does not answer: nothing is lost, nothing is marked that is not known, and it goes on by itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from indexing.vectorize.deliver import Interrupted, Patience, present
from indexing.vectorize.records import VectorizeSettings
from indexing.vectorize.repair import OPEN
from storage import CollectionSpec, MemoryStore, PointPayload, VectorBatch
from tests.indexing.vectorize.conftest import SMALL_BATCHES, Bench, TestCollection, TestEncoder, until


class Pauses:
    """Instead of waiting: notes for how long, then does what is asked."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.reached.set()
        await self.go.wait()
        self.go.clear()


def down(collection: TestCollection) -> None:
    collection.down = True


async def test_an_unavailable_store_leaves_the_catalog_as_it_is_and_is_filled_when_it_is_back(bench: Bench) -> None:
    bench.fill(6)
    pauses = Pauses()
    async with bench.run() as run:
        assert await run.drained()
    bench.fill(12)
    async with bench.run(arrange=down, pause=pauses) as run:
        before = bench.catalog.dump(), bench.states()
        await pauses.reached.wait()
        waiting = run.vectorizer.progress
        assert (waiting.state, waiting.detail) == ("waiting", "connection refused")
        assert (bench.catalog.dump(), bench.states()) == before
        run.collection.down = False
        pauses.go.set()
        assert await run.drained()
        assert bench.states() == {"stored": 36}
        assert await run.held() == bench.stored_ids()
        assert run.vectorizer.progress.state == "idle"


async def test_a_store_that_goes_away_in_between_stops_no_encoded_text_from_counting(bench: Bench) -> None:
    bench.fill(12)
    pauses = Pauses()
    encoder = TestEncoder()
    async with bench.run(encoder, pause=pauses) as run:
        run.collection.down = False
        await until(lambda: run.collection.changes)
        run.collection.down = True
        await pauses.reached.wait()
        for attempt in range(3):
            pauses.reached.clear()
            pauses.go.set()
            await pauses.reached.wait()
            assert run.vectorizer.progress.state == "waiting", attempt
        run.collection.down = False
        pauses.go.set()
        assert await run.drained()
        assert await run.held() == bench.stored_ids()
    assert bench.states() == {"stored": 36}
    assert len(encoder.texts) == len(set(encoder.texts))


async def test_a_stop_does_not_wait_for_a_store_that_is_away(bench: Bench) -> None:
    bench.fill(6)
    pauses = Pauses()
    async with bench.run(arrange=down, pause=pauses) as run:
        await pauses.reached.wait()
        await run.vectorizer.stop()
        assert not await run.drained()
    assert bench.states() == {"pending": 18}


async def test_f109_an_upsert_applied_late_is_found_before_anything_is_marked(bench: Bench) -> None:
    bench.fill(1)
    pauses = Pauses()

    def swallow(collection: TestCollection) -> None:
        collection.swallows = 1

    settings = replace(SMALL_BATCHES, settle_seconds=30.0)
    async with bench.run(arrange=swallow, pause=pauses, settings=settings) as run:
        await pauses.reached.wait()
        assert pauses.seconds == [30.0]
        assert bench.states() == {"pending": 3}
        # What has been asked for may still happen while the chunk ceases to be wanted.
        bench.catalog.remove("m0.py")
        bench.catalog.collect()
        assert bench.states() == {"deleting": 3}
        await run.collection.let_through()
        pauses.go.set()
        assert await run.drained()
        assert bench.states() == {}
        assert await run.held() == []
        assert run.collection.changes == ["upsert", "delete"]


async def test_f109_an_upsert_that_never_happened_is_sent_again(bench: Bench) -> None:
    bench.fill(2)
    pauses = Pauses()

    def swallow(collection: TestCollection) -> None:
        collection.swallows = 2

    async with bench.run(arrange=swallow, pause=pauses) as run:
        for _ in range(2):
            await pauses.reached.wait()
            pauses.reached.clear()
            assert bench.stored_ids() == []
            pauses.go.set()
        assert await run.drained()
        assert await run.held() == bench.stored_ids()
        assert bench.states() == {"stored": 6}


async def test_f109_a_delete_applied_late_takes_no_revived_chunk_with_it(bench: Bench) -> None:
    bench.fill(1)
    pauses = Pauses()
    async with bench.run(pause=pauses) as run:
        assert await run.drained()
        bench.catalog.remove("m0.py")
        bench.catalog.collect()
        run.collection.swallows = 1
        run.vectorizer.nudge()
        await pauses.reached.wait()
        bench.fill(1)
        assert bench.states() == {"pending": 3}
        run.vectorizer.nudge()
        await run.collection.let_through()
        pauses.go.set()
        assert await run.drained()
        assert bench.states() == {"stored": 3}
        assert await run.held() == bench.stored_ids()


async def test_f109_a_stop_in_doubt_leaves_a_mark_that_no_start_trusts(bench: Bench) -> None:
    bench.fill(20)
    pauses = Pauses()

    def swallow(collection: TestCollection) -> None:
        collection.swallows = 1

    async with bench.run(arrange=swallow, pause=pauses) as run:
        await pauses.reached.wait()
        await until(lambda: not run.vectorizer._pipeline._ready.empty())
        await run.vectorizer.stop()
        assert run.collection.changes == ["upsert", "upsert"]  # and the second one was answered
        mark = await run.collection.marker()
        assert mark is not None
        assert mark.high_water == OPEN
        await run.collection.let_through()
    async with bench.run() as run:
        assert await run.drained()
        assert bench.states() == {"stored": 60}
        assert await run.held() == bench.stored_ids()
        assert run.vectorizer.progress.encoded + 8 <= 60


async def test_waits_are_doubled_up_to_the_longest_and_begin_anew_after_an_answer() -> None:
    seconds: list[float] = []
    told: list[str] = []

    async def pause(wait: float) -> None:
        seconds.append(wait)

    settings = VectorizeSettings(first_wait_seconds=1.0, longest_wait_seconds=5.0, settle_seconds=3.0)
    patience = Patience(settings, pause=pause, tell=told.append)
    for _ in range(4):
        await patience.wait("away", in_doubt=False)
    patience.answered()
    patience.answered()
    await patience.wait("away", in_doubt=True)
    assert seconds == [1.0, 2.0, 4.0, 5.0, 3.0]
    assert told == ["away"] * 4 + ["", "away"]
    patience.stop()
    with pytest.raises(Interrupted):
        await patience.wait("away", in_doubt=False)


@pytest.mark.parametrize("page", [2, 10_000])
async def test_ids_in_doubt_are_looked_up_one_by_one_or_page_by_page(page: int) -> None:
    store = MemoryStore()
    collection = await store.open(CollectionSpec("c", 2))
    ids = [bytes([number]) + bytes(15) for number in range(0, 60, 2)]
    payloads = tuple(PointPayload("r", "python") for _ in ids)
    await collection.upsert(VectorBatch(tuple(ids), np.ones((30, 2), np.float32), payloads))
    asked = [bytes(16), ids[3], bytes([7]) + bytes(15), ids[-1], bytes([255]) * 16]
    assert await present(collection, asked, page=page) == {bytes(16), ids[3], ids[-1]}
    assert await present(collection, [], page=page) == frozenset()
