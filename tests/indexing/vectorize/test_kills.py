"""A run that ends at any step, with or without warning, costs at most the batch in hand."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import CollectionSpec, InjectedFault, LocalStore
from storage.faults import arm
from tests.indexing.vectorize.child import run_until_killed
from tests.indexing.vectorize.conftest import Bench, TestEncoder

STAGES = ("pending", "encoded", "cached", "upserted", "acknowledged")


@pytest.fixture
def armed(request: pytest.FixtureRequest) -> Iterator[None]:
    arm(request.param)
    yield
    arm(None)


@pytest.mark.parametrize("armed", [f"vectorize.{stage}:2:raise" for stage in STAGES], indirect=True)
async def test_f001_a_run_that_fails_at_a_step_is_taken_up_by_the_next(bench: Bench, armed: None) -> None:
    bench.fill(12)
    first, second = TestEncoder(), TestEncoder()
    async with bench.run(first, clean=False) as run:
        with pytest.raises(InjectedFault):
            await run.drained()
        assert run.vectorizer.progress.state == "failed"
    async with bench.run(second) as run:
        assert await run.drained()
        assert bench.states() == {"stored": 36}
        assert await run.held() == bench.stored_ids()
    assert {*first.texts, *second.texts} == {row[0] for row in _texts(bench)}


def _texts(bench: Bench) -> list[tuple[str]]:
    return bench.catalog.rows("SELECT DISTINCT 'def ' || symbol || char(10) FROM chunks")


@pytest.mark.parametrize("stage", [*STAGES, "deleted"])
async def test_f001_f002_a_killed_run_leaves_what_the_next_one_completes(
    bench: Bench, tmp_path: Path, stage: str
) -> None:
    bench.store = await LocalStore.open_for_writing(tmp_path / "vectors")
    bench.fill(12)
    if stage == "deleted":
        async with bench.run() as run:
            assert await run.drained()
        bench.catalog.remove("m3.py")
        bench.catalog.remove("m5.py")
        bench.catalog.collect()
    await bench.store.aclose()

    status, encoded = await asyncio.to_thread(
        run_until_killed, bench, tmp_path / "vectors", f"vectorize.{stage}:1:kill"
    )
    assert status == -signal.SIGKILL

    bench.store = await LocalStore.open_for_writing(tmp_path / "vectors")
    encoder = TestEncoder()
    async with bench.run(encoder) as run:
        assert await run.drained()
        assert await run.held() == bench.stored_ids()
    await bench.store.aclose()
    assert bench.states() == {"stored": 30 if stage == "deleted" else 36}
    twice = set(encoder.texts) & set(encoded)
    assert len(twice) <= 16  # the batch at the encoder, and the one on its way to the cache
    if stage in {"cached", "upserted", "acknowledged", "deleted"}:
        assert not twice - set(encoded[4:])
    if stage == "deleted":
        assert encoder.texts == []


async def test_f047_when_the_marker_is_written_the_files_hold_all_that_it_vouches_for(
    bench: Bench, tmp_path: Path
) -> None:
    store = bench.store = await LocalStore.open_for_writing(tmp_path / "vectors")
    bench.fill(12)
    async with bench.run() as run:
        assert await run.drained()
    # As after a kill at this point: the store was never closed.
    shutil.copytree(tmp_path / "vectors", tmp_path / "copy")
    await store.aclose()
    copy = await LocalStore.open_for_reading(tmp_path / "copy")
    collection = await copy.open(CollectionSpec(run.row.name, run.row.dimension))
    assert await collection.marker() is not None
    assert await collection.ids(None, 100) == bench.stored_ids()
    await copy.aclose()
