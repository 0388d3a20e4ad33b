"""A store that lost, kept or gained vectors that it should not have is brought back without encoding anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from indexing.vectorize.repair import OPEN, Situation, compare_pages, differences, why_compare
from storage import PointPayload, StoreMarker, VectorBatch
from tests.indexing.vectorize.conftest import DIMENSION, SMALL_BATCHES, Bench, Run

CLEAN = Situation(catalog="c", previous_run="r", previous_run_ended=True, sequence=7, listed=3, held=3)
MARK = StoreMarker("c", "r", 7)


def test_a_store_left_by_the_last_run_at_its_clean_end_is_taken_at_its_word() -> None:
    assert why_compare(MARK, CLEAN) == ""


@pytest.mark.parametrize(
    ("marker", "situation"),
    [
        (None, CLEAN),
        (replace(MARK, catalog="another"), CLEAN),
        (replace(MARK, incarnation="the one before"), CLEAN),
        (replace(MARK, high_water=6), CLEAN),
        (replace(MARK, high_water=8), CLEAN),
        (replace(MARK, high_water=OPEN), CLEAN),
        (MARK, replace(CLEAN, previous_run_ended=False)),
        (MARK, replace(CLEAN, previous_run="")),
        (MARK, replace(CLEAN, listed=2)),
        (MARK, replace(CLEAN, held=0)),
    ],
)
def test_anything_else_is_compared(marker: StoreMarker | None, situation: Situation) -> None:
    assert why_compare(marker, situation)


def test_nothing_is_compared_where_there_is_nothing() -> None:
    assert why_compare(None, replace(CLEAN, listed=0, held=0, previous_run_ended=False)) == ""


ids_strategy = st.lists(st.integers(0, 40), unique=True).map(lambda found: [bytes([each]) for each in sorted(found)])


@given(listed=ids_strategy, held=ids_strategy, limit=st.integers(1, 7))
def test_comparing_in_pages_finds_what_comparing_at_once_finds(
    listed: list[bytes], held: list[bytes], limit: int
) -> None:
    lacking: list[bytes] = []
    unlisted: list[bytes] = []
    after: bytes | None = b""
    while after is not None:
        pages = [[each for each in side if each > after][:limit] for side in (listed, held)]
        (missing, strange), after = compare_pages(pages[0], pages[1], limit)
        lacking += missing
        unlisted += strange
    assert lacking == [each for each in listed if each not in held]
    assert unlisted == [each for each in held if each not in listed]


async def empty(run: Run) -> None:
    await run.collection.delete(await run.held())


async def lose_some(run: Run) -> None:
    await run.collection.delete((await run.held())[3:9])


async def gain_some(run: Run) -> None:
    ids = tuple(bytes([number]) * 16 for number in range(0, 250, 25))
    payloads = tuple(PointPayload(run.row.name, "python") for _ in ids)
    await run.collection.upsert(VectorBatch(ids, np.ones((len(ids), DIMENSION), np.float32), payloads))


async def lose_and_gain(run: Run) -> None:
    await lose_some(run)
    await gain_some(run)


@pytest.mark.parametrize("damage", [empty, lose_some, gain_some, lose_and_gain])
@pytest.mark.parametrize("clean", [True, False])
async def test_f036_a_store_that_holds_something_else_is_whole_again_and_nothing_is_encoded(
    bench: Bench, damage: Callable[[Run], object], clean: bool
) -> None:
    bench.fill(10)
    async with bench.run(clean=clean) as run:
        assert await run.drained()
        await run.vectorizer.stop()
        await damage(run)  # type: ignore[misc]
    async with bench.run(settings=replace(SMALL_BATCHES, compared_ids=7)) as run:
        assert await run.drained()
        assert await run.held() == bench.stored_ids()
        assert bench.states() == {"stored": 30}
        assert run.encoder.texts == []


async def test_f104_without_the_cache_a_lost_store_is_encoded_again_and_says_so(bench: Bench) -> None:
    bench.fill(4)
    async with bench.run() as run:
        assert await run.drained()
        await run.vectorizer.stop()
        await lose_some(run)
    for each in bench.cache_path.parent.glob("embeddings.db*"):
        each.unlink()
    with capture_logs() as logs:
        async with bench.run() as run:
            assert await run.drained()
            assert await run.held() == bench.stored_ids()
    assert len(run.encoder.texts) == 6
    assert "vectors.encoded_again" in [each["event"] for each in logs]


async def test_f104_a_lost_cache_alone_costs_nothing(bench: Bench) -> None:
    bench.fill(4)
    async with bench.run() as run:
        assert await run.drained()
    for each in bench.cache_path.parent.glob("embeddings.db*"):
        each.unlink()
    async with bench.run() as run:
        assert await run.drained()
        assert run.encoder.texts == []
    assert bench.states() == {"stored": 12}


async def test_f106_an_older_catalog_beside_a_newer_store(bench: Bench, tmp_path: Path) -> None:
    bench.fill(4)
    async with bench.run() as run:
        assert await run.drained()
    bench.catalog.copy_to(tmp_path / "older.db")
    bench.fill(9)
    async with bench.run() as run:
        assert await run.drained()
    bench.catalog.put_back(tmp_path / "older.db")
    assert bench.states() == {"stored": 12}
    async with bench.run() as run:
        assert await run.drained()
        assert await run.held() == bench.stored_ids()
        assert len(bench.stored_ids()) == 12
    bench.fill(9)
    async with bench.run() as run:
        assert await run.drained()
        assert await run.held() == bench.stored_ids()
        assert run.encoder.texts == []
    assert bench.states() == {"stored": 27}


async def test_nothing_is_compared_after_a_clean_stop(bench: Bench) -> None:
    bench.fill(4)
    async with bench.run() as run:
        assert await run.drained()
    with capture_logs() as logs:
        async with bench.run(arrange=lambda each: setattr(each, "ids", None)) as run:
            assert await run.drained()
    assert logs == []


async def test_differences_are_shown_without_mending_anything(bench: Bench) -> None:
    bench.fill(4)
    async with bench.run() as run:
        assert await run.drained()
        await lose_and_gain(run)
        found = [each async for each in differences(run.collection, run.row, run.reader, page=5)]
        assert sum(len(lacking) for lacking, _ in found) == 6
        assert sum(len(unlisted) for _, unlisted in found) == 10
        assert bench.states() == {"stored": 12}
