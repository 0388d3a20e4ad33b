"""Pending points become stored vectors, each exactly once, beside whatever else happens."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from embeddings import EncodeFailed, HashingEncoder
from indexing.vectorize.encode import NOT_FINITE
from indexing.vectorize.settle import LEFT_OUT
from storage import DimensionMismatch
from tests.indexing.vectorize.conftest import DIMENSION, SMALL_BATCHES, Bench, TestCollection, TestEncoder, until


async def test_every_chunk_is_stored_once_with_the_vector_of_its_text(bench: Bench) -> None:
    bench.fill(10)
    async with bench.run() as run:
        assert await run.drained()
        assert await run.held() == bench.stored_ids()
        assert bench.states() == {"stored": 30}
        query = (await HashingEncoder(DIMENSION).encode(["def f1_7\n"], "query"))[0]
        best = (await run.collection.search(query, 1, repositories=frozenset([bench.catalog.repository.uuid]))).hits[0]
        assert bench.catalog.one("SELECT symbol FROM chunks WHERE external_id = ?", best.id) == "f1_7"
        assert best.score == pytest.approx(1.0, abs=1e-3)


async def test_what_is_committed_while_it_works_follows_after_a_nudge(bench: Bench) -> None:
    bench.fill(2)
    async with bench.run() as run:
        assert await run.drained()
        bench.catalog.add("new.py", "def one\n")
        assert await run.drained()
        assert await run.held() == bench.stored_ids()
        assert run.vectorizer.progress.state == "idle"
        assert run.vectorizer.progress.stored == 7


async def test_the_newest_come_first_and_the_urgent_before_them(bench: Bench) -> None:
    bench.fill(4, lines=1)
    encoder = TestEncoder()
    async with bench.run(encoder, settings=replace(SMALL_BATCHES, batch_chunks=1, least_chunks=1)) as run:
        assert await run.drained()
    assert encoder.texts == ["def f0_3\n", "def f0_2\n", "def f0_1\n", "def f0_0\n"]


async def test_f042_equal_texts_are_encoded_once_and_each_point_has_its_vector(bench: Bench) -> None:
    for number in range(9):
        bench.catalog.add(f"same{number}.py", f"def same\ndef own{number}\n")
    encoder = TestEncoder(in_flight=3)
    async with bench.run(encoder) as run:
        assert await run.drained()
        assert await run.held() == bench.stored_ids()
    assert sorted(encoder.texts) == sorted(["def same\n", *(f"def own{number}\n" for number in range(9))])


async def test_equal_texts_of_batches_that_are_encoded_at_the_same_time_are_encoded_once(bench: Bench) -> None:
    for number in range(24):
        bench.catalog.add(f"same{number}.py", "def same\n" + f"def own{number}\n")
    encoder = TestEncoder(in_flight=3)
    encoder.gate.clear()
    async with bench.run(encoder, settings=replace(SMALL_BATCHES, batch_chunks=4, parallel_batches=3)) as run:
        await until(lambda: encoder.calls >= 3)
        encoder.gate.set()
        assert await run.drained()
        assert await run.held() == bench.stored_ids()
        assert run.vectorizer.progress.encoded == 25
        assert run.vectorizer.progress.from_cache == 23
    assert encoder.texts.count("def same\n") == 1


async def test_the_next_batch_is_prepared_while_one_is_encoded(bench: Bench) -> None:
    bench.fill(8)
    encoder = TestEncoder()
    encoder.gate.clear()
    async with bench.run(encoder) as run:
        await until(lambda: encoder.calls)
        fetched = run.vectorizer._pipeline._prepared
        await until(lambda: not fetched.empty())
        assert encoder.calls == 1
        encoder.gate.set()
        assert await run.drained()


async def test_the_backlog_that_is_shown_grows_while_a_slow_model_encodes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexing.vectorize.pipeline.COUNTED_EVERY_SECONDS", 0.001)
    monkeypatch.setattr("indexing.vectorize.meter.COUNTED_EVERY_SECONDS", 0.001)
    bench.fill(8)
    encoder = TestEncoder()
    encoder.gate.clear()
    async with bench.run(encoder) as run:
        await until(lambda: len(run.vectorizer._pipeline._busy) == 3 * SMALL_BATCHES.least_chunks)
        bench.catalog.add("later.py", "def later\ndef even_later\n")
        await until(lambda: run.vectorizer.progress.pending == 26)
        assert encoder.calls == 1
        encoder.gate.set()
        assert await run.drained()


async def test_f039_a_text_without_a_usable_vector_fails_alone(bench: Bench) -> None:
    bench.fill(4)
    encoder = TestEncoder()
    encoder.blank = lambda text: text == "def f1_2\n"
    async with bench.run(encoder) as run:
        assert await run.drained()
        assert bench.states() == {"stored": 11, "failed": 1}
        assert await run.held() == bench.stored_ids()
        assert bench.catalog.one("SELECT reason FROM points WHERE state = 'failed'") == NOT_FINITE
        assert run.vectorizer.progress.failed == 1


async def test_f038_an_encoder_that_gives_other_dimensions_than_it_says_writes_nothing(bench: Bench) -> None:
    bench.fill(4)
    encoder = TestEncoder()
    encoder._inner = HashingEncoder(DIMENSION // 2)
    async with bench.run(encoder) as run:
        with pytest.raises(DimensionMismatch):
            await run.drained()
        assert await run.held() == []
        assert await run.cache.get(run.row.fingerprint, [bytes(16)]) == {}
    assert bench.states() == {"pending": 12}


async def test_a_text_that_the_encoder_cannot_take_is_found_by_halving(bench: Bench) -> None:
    bench.fill(4)
    encoder = TestEncoder()
    encoder.refuses = lambda text: text in {"def f1_2\n", "def f0_0\n"}
    async with bench.run(encoder) as run:
        assert await run.drained()
    assert bench.states() == {"stored": 10, "failed": 2}
    assert bench.catalog.rows("SELECT DISTINCT reason FROM points WHERE state = 'failed'") == [("no memory for it",)]
    assert len(encoder.texts) == 12  # and a probe for each refusal
    assert len(set(encoder.texts)) == 11


async def test_an_encoder_that_refuses_every_text_makes_no_point_fail(bench: Bench) -> None:
    bench.fill(20)
    encoder = TestEncoder()
    encoder.refuses = lambda _: True
    async with bench.run(encoder) as run:
        with pytest.raises(EncodeFailed):
            await run.drained()
        assert run.vectorizer.progress.state == "failed"
        assert run.vectorizer.progress.detail == "no memory for it"
    assert bench.states() == {"pending": 60}


async def test_a_point_that_the_store_leaves_out_of_its_answers_fails_at_last(bench: Bench) -> None:
    bench.fill(3)
    left_out = bench.catalog.one("SELECT external_id FROM chunks WHERE symbol = 'f1_1'")

    def arrange(collection: TestCollection) -> None:
        collection.leaves_out = lambda each: each == left_out

    async with bench.run(arrange=arrange) as run:
        assert await run.drained()
    assert bench.states() == {"stored": 8, "failed": 1}
    assert bench.catalog.one("SELECT reason FROM points WHERE state = 'failed'") == LEFT_OUT


async def test_deleted_chunks_leave_the_store_and_revived_ones_come_back(bench: Bench) -> None:
    bench.fill(3)
    async with bench.run() as run:
        assert await run.drained()
        bench.catalog.remove("m1.py")
        assert bench.catalog.collect() == ()
        assert bench.states() == {"stored": 6, "deleting": 3}
        assert await run.drained()
        assert bench.states() == {"stored": 6}
        assert len(bench.catalog.collect()) == 3
        assert await run.held() == bench.stored_ids()

        bench.catalog.remove("m2.py")
        bench.catalog.collect()
        bench.catalog.add("again.py", "def f0_2\ndef f1_2\ndef f2_2\n")
        assert await run.drained()
        assert bench.states() == {"stored": 6}
        assert await run.held() == bench.stored_ids()


async def test_a_chunk_deleted_while_its_vector_is_on_the_way_leaves_nothing_behind(bench: Bench) -> None:
    bench.fill(1)
    encoder = TestEncoder()
    encoder.gate.clear()
    async with bench.run(encoder) as run:
        await until(lambda: encoder.calls)
        bench.catalog.remove("m0.py")
        bench.catalog.collect()
        run.vectorizer.nudge()
        encoder.gate.set()
        assert await run.drained()
        assert bench.states() == {}
        assert await run.held() == []
        assert run.collection.changes == ["upsert", "delete"]


async def test_stopping_finishes_the_batch_in_hand_and_begins_no_other(bench: Bench) -> None:
    bench.fill(20)
    encoder = TestEncoder()
    encoder.gate.clear()
    async with bench.run(encoder) as run:
        await until(lambda: encoder.calls)
        run.vectorizer.stop_soon()
        encoder.gate.set()
        assert not await run.drained()
        assert bench.states() == {"pending": 56, "stored": 4}
        assert len(encoder.texts) == 4
        assert await run.held() == bench.stored_ids()
    again = TestEncoder()
    async with bench.run(again) as run:
        assert await run.drained()
        assert bench.states() == {"stored": 60}
    assert len(again.texts) == len({*again.texts, *encoder.texts}) - 4 == 56


async def test_a_cancelled_stop_ends_at_once_and_loses_nothing(bench: Bench) -> None:
    bench.fill(5)
    encoder = TestEncoder()
    encoder.gate.clear()
    async with bench.run(encoder) as run:
        await until(lambda: encoder.calls)
        stopping = asyncio.ensure_future(run.vectorizer.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert bench.states() == {"pending": 15}
        assert not await run.drained()
        encoder.gate.set()
    async with bench.run() as run:
        assert await run.drained()
        assert bench.states() == {"stored": 15}


async def test_a_vector_from_the_cache_is_the_one_that_came_from_the_encoder(bench: Bench) -> None:
    bench.fill(4)
    async with bench.run() as run:
        assert await run.drained()
        fresh = run.collection.sent
        await run.collection.delete(await run.held())
    async with bench.run() as run:
        assert await run.drained()
        assert run.vectorizer.progress.encoded == 0
        assert run.vectorizer.progress.from_cache == 12
        assert run.collection.sent == fresh
