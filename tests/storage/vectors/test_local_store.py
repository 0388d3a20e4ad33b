"""What the local store adds to the contract: files, one writer, readers beside it, graphs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import faults
from storage.errors import DimensionMismatch, VectorsRefused, VectorStoreDamaged, VectorStoreUnavailable
from storage.vectors import CollectionSpec, LocalStore, PointPayload, StoreMarker, VectorBatch, Vectors
from storage.vectors.local_child import Abort, BuildAborted
from storage.vectors.local_collection import LocalCollection
from storage.vectors.scoring import exact_scores, unit_query, unit_rows
from tests.storage.vectors.conftest import OpenLocal
from tests.storage.vectors.points import SPEC, batch_of, clustered_rows, point_id, random_rows

ALL = frozenset({"r1", "r2"})
QUERY = random_rows(1, seed=99)[0]
WIDE = CollectionSpec("wide", 64)


def files_of(path: Path) -> list[str]:
    """Kinds of the files of the repository r1's base."""
    return sorted(each.suffix for each in (path / "vectors" / SPEC.name / "r1").iterdir())


async def fill(collection: LocalCollection, count: int, *, rare: int = 10) -> Vectors:
    """Clustered vectors 0 to count, the last ``rare`` of them in a language of their own."""
    rows = clustered_rows(count)
    payloads = [PointPayload("r1", "rare" if number >= count - rare else "python") for number in range(count)]
    for start in range(0, count, 512):
        lot = slice(start, min(start + 512, count))
        ids = tuple(map(point_id, range(lot.start, lot.stop)))
        await collection.upsert(VectorBatch(ids, rows[lot], tuple(payloads[lot])))
    return rows


def nearest(rows: Vectors, among: np.ndarray, query: Vectors, k: int) -> set[bytes]:
    scores = exact_scores(unit_rows(rows[among], rows.shape[1]), unit_query(query, rows.shape[1]))
    return {point_id(int(each)) for each in among[np.argsort(-scores)[:k]]}


async def test_what_was_flushed_outlasts_a_kill(tmp_path: Path, open_local: OpenLocal) -> None:
    collection = await (await open_local()).open(SPEC)
    await collection.upsert(batch_of(range(20)))
    await collection.flush()
    await collection.delete([point_id(3)])
    await collection.upsert(batch_of(range(20, 25)))
    await collection.flush()
    # Another process sees the files as they are now, as the next owner would after a kill.
    reader = await LocalStore.open_for_reading(tmp_path / "vectors")
    try:
        seen = await (await reader.open(SPEC)).ids(None, 100)
    finally:
        await reader.aclose()
    assert set(seen) == {point_id(number) for number in range(25) if number != 3}


async def test_closing_writes_what_memory_holds(tmp_path: Path, open_local: OpenLocal) -> None:
    store = await open_local()
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(20)))
    before = await collection.search(QUERY, 5, repositories=ALL)
    await store.aclose()
    assert files_of(tmp_path) == [".flat", ".json", ".rows"]
    collection = await (await open_local()).open(SPEC)
    assert await collection.search(QUERY, 5, repositories=ALL) == before
    assert collection.problems == []


async def test_f047_the_same_probes_find_the_same_before_and_after_optimizing_and_restarting(
    open_local: OpenLocal,
) -> None:
    store = await open_local(graph_from=1_000)
    collection = await store.open(WIDE)
    await fill(collection, 3_000)
    probes = clustered_rows(30, seed=7)

    async def answers(opened: LocalCollection) -> list[object]:
        return [await opened.search(probe, 10, repositories=ALL) for probe in probes]

    before = await answers(collection)
    await collection.optimize()
    optimized = await answers(collection)
    await store.aclose()
    store = await open_local(graph_from=1_000)
    collection = await store.open(WIDE)
    assert await answers(collection) == optimized == before
    await collection.optimize()
    assert await answers(collection) == before


async def test_a_graph_finds_what_exact_search_finds_with_and_without_filters(
    tmp_path: Path, open_local: OpenLocal
) -> None:
    store = await open_local(graph_from=1_000)
    collection = await store.open(WIDE)
    rows = await fill(collection, 3_000)
    await collection.optimize()
    rows = np.concatenate([rows, more := clustered_rows(2_000, seed=2)])
    payload = PointPayload("r1", "rust")
    await collection.upsert(VectorBatch(tuple(map(point_id, range(3_000, 5_000))), more, (payload,) * 2_000))
    await collection.optimize()
    await collection.delete([point_id(number) for number in range(0, 5_000, 10)])
    alive = np.array([number for number in range(5_000) if number % 10])
    assert ".graph" in {each.suffix for each in (tmp_path / "vectors" / "wide" / "r1").iterdir()}
    probes = clustered_rows(60, seed=3)
    rust = alive[alive >= 3_000]
    allowed = alive[:700]
    for among, filters in (
        (alive, {}),
        (rust, {"languages": frozenset({"rust"})}),
        (allowed, {"allowed_ids": [point_id(int(each)) for each in allowed]}),
    ):
        found = 0
        for probe in probes:
            hits = (await collection.search(probe, 10, repositories=ALL, **filters)).hits
            found += len({hit.id for hit in hits} & nearest(rows, among, probe, 10))
        assert found / (10 * len(probes)) >= 0.98


async def test_a_filter_that_leaves_ten_finds_all_ten(open_local: OpenLocal) -> None:
    store = await open_local(graph_from=1_000)
    collection = await store.open(WIDE)
    await fill(collection, 4_000, rare=10)
    await collection.optimize()
    rare = {point_id(number) for number in range(3_990, 4_000)}
    for probe in clustered_rows(5, seed=3):
        by_language = await collection.search(probe, 10, repositories=ALL, languages=frozenset({"rare"}))
        by_id = await collection.search(probe, 50, repositories=ALL, allowed_ids=sorted(rare))
        assert {hit.id for hit in by_language.hits} == {hit.id for hit in by_id.hits} == rare
        assert by_language.exhausted
        assert by_id.exhausted


async def test_a_thousand_equal_vectors_in_a_graph_all_tie(open_local: OpenLocal) -> None:
    store = await open_local(graph_from=1_000)
    collection = await store.open(WIDE)
    rows = await fill(collection, 3_000)
    same = np.repeat(rows[:1], 1_000, axis=0)
    payload = PointPayload("r1", "python")
    await collection.upsert(VectorBatch(tuple(map(point_id, range(5_000, 6_000))), same, (payload,) * 1_000))
    await collection.optimize()
    found = await collection.search(rows[0], 10, repositories=ALL)
    assert {hit.id for hit in found.hits} == {point_id(0), *map(point_id, range(5_000, 6_000))}


async def test_a_large_delta_is_merged_by_itself(tmp_path: Path, open_local: OpenLocal) -> None:
    store = await open_local(least_delta=100)
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(50)))
    assert not (tmp_path / "vectors" / SPEC.name / "r1").exists()
    await collection.upsert(batch_of(range(50, 200)))
    assert collection._merging is not None
    await collection._merging
    assert files_of(tmp_path) == [".flat", ".json", ".rows"]
    assert await collection.count() == 200


async def test_searches_and_changes_go_on_while_a_graph_is_built(
    open_local: OpenLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from storage.vectors import local_build
    from storage.vectors.local_child import build_graph

    began, may_go_on = threading.Event(), threading.Event()
    build = build_graph

    def slow_build(*arguments: Any, **keywords: Any) -> None:
        began.set()
        assert may_go_on.wait(20)
        build(*arguments, **keywords)

    monkeypatch.setattr(local_build, "build_graph", slow_build)
    store = await open_local(graph_from=100)
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(300)))
    optimizing = asyncio.create_task(collection.optimize())
    try:
        await asyncio.to_thread(began.wait, 20)
        await collection.delete([point_id(0)])
        await collection.upsert(batch_of([1], QUERY[None, :]))
        await collection.upsert(batch_of([500]))
        await collection.delete([point_id(2)])
        await collection.upsert(batch_of([2]))
        during = await collection.search(QUERY, 400, repositories=ALL)
        assert not optimizing.done()
    finally:
        may_go_on.set()
    await optimizing
    assert await collection.search(QUERY, 400, repositories=ALL) == during
    assert {hit.id for hit in during.hits} == {point_id(number) for number in (*range(1, 300), 500)}
    assert during.hits[0].id == point_id(1)


async def test_closing_does_not_wait_for_a_graph(tmp_path: Path, open_local: OpenLocal) -> None:
    store = await open_local(graph_from=1_000)
    collection = await store.open(WIDE)
    await fill(collection, 6_000)
    optimizing = asyncio.create_task(collection.optimize())
    await asyncio.sleep(0)
    await store.aclose()
    with pytest.raises(VectorStoreUnavailable, match="closed while"):
        await optimizing
    assert not list((tmp_path / "vectors" / "wide" / "r1").glob("*.graph"))
    collection = await (await open_local()).open(WIDE)
    assert await collection.count() == 6_000


async def test_a_merge_that_fails_changes_nothing_and_is_said(open_local: OpenLocal) -> None:
    store = await open_local(least_delta=50)
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(40)))
    before = await collection.search(QUERY, 5, repositories=ALL)
    faults.arm("vectors.manifest:1:raise")
    try:
        with pytest.raises(VectorStoreDamaged, match="InjectedFault"):
            await collection.optimize()
        assert await collection.search(QUERY, 5, repositories=ALL) == before
        faults.arm("vectors.manifest:1:raise")
        await collection.upsert(batch_of(range(100, 160)))
        assert collection._merging is not None
        await asyncio.wait([collection._merging])
        assert "InjectedFault" in collection.problems[0]
        await collection.upsert(batch_of([200]))
        again: object = collection._merging
        assert again is None  # not at every batch
    finally:
        faults.arm(None)
    await collection.optimize()
    assert await collection.count() == 101


async def test_f045_a_second_writer_is_refused_here_and_in_another_process(
    tmp_path: Path, open_local: OpenLocal
) -> None:
    store = await open_local()
    with pytest.raises(VectorStoreUnavailable, match="open for writing already"):
        await open_local()
    program = (
        "import asyncio, sys, pathlib\n"
        "from storage.vectors import LocalStore\n"
        "asyncio.run(LocalStore.open_for_writing(pathlib.Path(sys.argv[1])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "vectors")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert "open for writing already" in done.stderr
    await store.aclose()
    await open_local()


async def test_a_reader_sees_bases_only_and_newer_ones_when_it_opens_again(
    tmp_path: Path, open_local: OpenLocal
) -> None:
    store = await open_local()
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(10)))
    await collection.optimize()
    await collection.set_marker(StoreMarker("c", "i", 4))
    await collection.upsert(batch_of(range(10, 15)))
    reader = await open_local(reading=True)
    seen = await reader.open(SPEC)
    assert (await seen.count(), await seen.marker()) == (10, StoreMarker("c", "i", 4))
    await collection.optimize()
    assert len((await seen.search(QUERY, 99, repositories=ALL)).hits) == 10
    assert await (await reader.open(SPEC)).count() == 15
    for call in (
        seen.upsert(batch_of([1])),
        seen.delete([]),
        seen.optimize(),
        seen.set_marker(StoreMarker("c", "i", 5)),
        reader.drop(SPEC.name),
    ):
        with pytest.raises(VectorStoreUnavailable, match="reading only"):
            await call
    with pytest.raises(VectorStoreUnavailable, match="no collection"):
        await reader.open(CollectionSpec("other", 8))
    with pytest.raises(DimensionMismatch):
        await reader.open(CollectionSpec(SPEC.name, 9))
    assert sorted(each.name for each in (tmp_path / "vectors").iterdir()) == [".lock", SPEC.name]


async def test_a_reader_of_what_is_not_there_finds_no_collections(open_local: OpenLocal) -> None:
    reader = await open_local(reading=True)
    assert await reader.collections() == ()


async def test_f046_churn_leaves_no_files_and_no_rows_behind(tmp_path: Path, open_local: OpenLocal) -> None:
    store = await open_local(graph_from=200)
    collection = await store.open(SPEC)
    sizes = []
    for turn in range(8):
        await collection.upsert(batch_of(range(300), random_rows(300, seed=turn)))
        await collection.optimize()
        sizes.append(sum(each.stat().st_size for each in (tmp_path / "vectors").rglob("*") if each.is_file()))
    assert max(sizes) < 1.5 * sizes[0]
    assert len(files_of(tmp_path)) == 3
    await collection.delete([point_id(number) for number in range(300)])
    await store.aclose()
    collection = await (await open_local()).open(SPEC)
    assert await collection.count() == 0
    assert not (tmp_path / "vectors" / SPEC.name / "r1").exists()


async def test_a_replay_after_a_restart_writes_nothing(tmp_path: Path, open_local: OpenLocal) -> None:
    store = await open_local()
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(20)))
    await collection.optimize()
    before = sorted((tmp_path / "vectors" / SPEC.name / "r1").iterdir())
    await collection.upsert(batch_of(range(20)))
    await collection.optimize()
    assert sorted((tmp_path / "vectors" / SPEC.name / "r1").iterdir()) == before


async def test_more_allowed_ids_than_the_store_takes_are_refused(open_local: OpenLocal) -> None:
    collection = await (await open_local(max_allowed_ids=3)).open(SPEC)
    with pytest.raises(VectorsRefused, match="more than 3"):
        await collection.search(QUERY, 1, repositories=ALL, allowed_ids=[point_id(each) for each in range(4)])


async def test_a_cancelled_caller_does_not_stop_the_merge(tmp_path: Path, open_local: OpenLocal) -> None:
    store = await open_local()
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(50)))
    caller = asyncio.create_task(collection.optimize())
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    running = collection._merging
    assert running is not None
    await running
    assert files_of(tmp_path) == [".flat", ".json", ".rows"]


async def test_a_child_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, open_local: OpenLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage.vectors import local_graph

    broken = tmp_path / "broken.py"
    broken.write_text("import sys\nsys.exit('no such luck')\n")
    store = await open_local(graph_from=1_000)
    collection = await store.open(WIDE)
    await fill(collection, 3_000)
    with monkeypatch.context() as patched:
        patched.setattr(local_graph, "__file__", str(broken))
        with pytest.raises(VectorStoreUnavailable, match="no such luck"):
            await collection.optimize()
    assert await collection.count() == 3_000
    await collection.optimize()
    assert len(list((tmp_path / "vectors" / "wide" / "r1").glob("*.graph"))) == 1


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    from storage.vectors import local_graph

    rows = tmp_path / "rows"
    np.ones((200_000, 64), np.float16).tofile(rows)
    assert local_graph.__file__ is not None
    with subprocess.Popen(
        [sys.executable, "-P", local_graph.__file__, "64", str(rows), "", str(tmp_path / "graph")],
        stdin=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(20) == 1
    assert not (tmp_path / "graph").exists()


async def test_a_child_that_runs_is_ended_when_nobody_wants_the_graph(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = f"open({str(pipe)!r}, 'w').close(); import threading; threading.Event().wait()"
    abort = Abort()
    running = asyncio.create_task(asyncio.to_thread(abort.run, [sys.executable, "-c", program], tmp_path))
    await asyncio.to_thread(pipe.read_bytes)  # returns once the child has come so far
    abort.set()
    with pytest.raises(BuildAborted):
        await running
    with pytest.raises(BuildAborted):
        await asyncio.to_thread(abort.run, [sys.executable, "-c", program], tmp_path)
