"""The copy of rows in a byte a number says what a score can be, and no result changes by it."""

from __future__ import annotations

import asyncio
import threading
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.vectors import VectorBatch, VectorHits, local_scan
from storage.vectors.local_coarse import coarse_bytes, coarse_query, coarse_rows, coarse_scan
from storage.vectors.local_collection import LocalCollection
from storage.vectors.local_copying import SEARCHES_BEFORE
from storage.vectors.local_scan import best, query_of, scan
from storage.vectors.local_shard import Shard
from storage.vectors.local_threads import in_thread
from storage.vectors.scoring import exact_scores
from tests.storage.vectors.conftest import OpenLocal
from tests.storage.vectors.points import SPEC, batch_of, clustered_rows, point_id, random_rows
from tests.storage.vectors.test_local_scan import made

R1 = frozenset({"r1"})


@pytest.mark.parametrize("sparse", [True, False])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), dimension=st.sampled_from([3, 16, 384, 1024, 3072]))
def test_every_exact_score_lies_between_its_bounds(seed: int, dimension: int, *, sparse: bool) -> None:
    rows, unit = made(seed, 64, dimension, sparse=sparse)
    scanned = coarse_scan(rows, coarse_rows(rows), np.ones(len(rows), np.bool_), coarse_query(query_of(unit)))
    exact = exact_scores(rows, unit)
    assert (np.abs(scanned.scores - exact) <= scanned.margin).all()
    assert scanned.margin < 0.1


def test_bounds_hold_where_all_numbers_are_rounded_by_half_a_step() -> None:
    rows = np.full((2, 256), 0.5 / 127, np.float16)
    rows[:, 0] = 1.0
    unit = np.zeros(256)
    unit[1:] = 1.0
    unit /= np.linalg.norm(unit)
    scanned = coarse_scan(rows, coarse_rows(rows), np.ones(2, np.bool_), coarse_query(query_of(unit)))
    exact = exact_scores(rows, unit)
    assert (np.abs(scanned.scores - exact) <= scanned.margin).all()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(0, 120),
    share=st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    parts=st.integers(2, 4),
    many=st.sampled_from([0, 1024]),
)
def test_no_row_among_the_best_of_copied_and_other_matrices_is_lost(
    seed: int, k: int, share: float, parts: int, many: int
) -> None:
    rows, unit = made(seed, 100, 48, sparse=False)
    query = query_of(unit)
    wanted = np.random.default_rng(seed + 1).random(len(rows)) < share
    lots = np.array_split(np.arange(len(rows)), parts)
    others = [scan(rows[lots[0]], wanted[lots[0]], query)]
    coarse = [coarse_scan(rows[lot], coarse_rows(rows[lot]), wanted[lot], coarse_query(query)) for lot in lots[1:]]
    with patch.object(local_scan, "_MANY", many):
        found = best([*others, *coarse], k, query)
    kept = np.concatenate([lot[places] for lot, (places, _) in zip(lots, found, strict=True)])
    exact = exact_scores(rows, unit)
    assert wanted[kept].all()
    assert (np.concatenate([scores for _, scores in found]) == exact[kept]).all()
    ordered = np.sort(exact[wanted])[::-1]
    least = ordered[min(k, len(ordered)) - 1] if k and len(ordered) else np.inf
    assert set(np.flatnonzero(wanted & (exact >= least))) <= set(kept.tolist())


async def collection_with_a_base(
    open_local: OpenLocal, rows: int = 600, name: str = "vectors", **options: int
) -> LocalCollection:
    collection = await (await open_local(name, coarse_from=100, **options)).open(SPEC)
    assert isinstance(collection, LocalCollection)
    made_up = clustered_rows(rows, dimension=SPEC.dimension)
    await collection.upsert(batch_of(range(rows), made_up))
    await collection.flush()
    return collection


async def search_often(collection: LocalCollection) -> VectorHits:
    found = [await collection.search(random_rows(1, seed=7)[0], 20, repositories=R1) for _ in range(SEARCHES_BEFORE)]
    await collection._copying.made()
    return found[-1]


async def turns(collection: LocalCollection) -> None:
    """Let whatever can go on in the thread of the vectors do so."""
    for _ in range(10):
        await in_thread(collection._threads.vectors, lambda: None)


def shard_of(collection: LocalCollection) -> Shard:
    return collection._shards["r1"]


async def test_a_collection_that_is_searched_often_gets_copies_and_finds_the_same(open_local: OpenLocal) -> None:
    collection = await collection_with_a_base(open_local)
    before = await search_often(collection)
    assert shard_of(collection).coarse is not None
    assert await collection.search(random_rows(1, seed=7)[0], 20, repositories=R1) == before


async def test_what_dies_or_comes_after_the_copy_was_made_counts(open_local: OpenLocal) -> None:
    collection = await collection_with_a_base(open_local)
    query = random_rows(1, seed=7)[0]
    first, second = (await search_often(collection)).hits[:2]
    await collection.delete([first.id])
    await collection.upsert(VectorBatch((point_id(9_999),), query[None, :], batch_of([1]).payloads))
    found = await collection.search(query, 2, repositories=R1)
    assert [hit.id for hit in found.hits] == [point_id(9_999), second.id]
    nothing = await collection.search(query, 2, repositories=R1, languages=frozenset({"cobol"}))
    assert nothing.hits == ()


async def test_a_new_base_is_not_searched_with_the_copy_of_the_old_one(open_local: OpenLocal) -> None:
    collection = await collection_with_a_base(open_local)
    await search_often(collection)
    shard = shard_of(collection)
    old_base, old_copy = shard.base, shard.coarse
    assert old_base is not None
    assert old_copy is not None
    await collection.upsert(batch_of(range(700, 720)))
    await collection.flush()
    assert shard.coarse is None
    shard.take_coarse(old_base, old_copy)
    assert shard.coarse is None


async def test_copies_are_made_only_where_there_is_room_and_enough_rows(open_local: OpenLocal) -> None:
    full = await collection_with_a_base(open_local, name="full", coarse_bytes=coarse_bytes(599, SPEC.dimension))
    await search_often(full)
    assert shard_of(full).coarse is None
    small = await collection_with_a_base(open_local, rows=99, name="small")
    await search_often(small)
    assert shard_of(small).coarse is None


async def test_closing_waits_for_the_copy_that_is_being_made(open_local: OpenLocal) -> None:
    store = await open_local(coarse_from=100)
    collection = await store.open(SPEC)
    assert isinstance(collection, LocalCollection)
    await collection.upsert(batch_of(range(300), clustered_rows(300, dimension=SPEC.dimension)))
    await collection.flush()
    go_on = threading.Event()
    held = collection._threads.builds.submit(go_on.wait)
    for _ in range(SEARCHES_BEFORE):
        await collection.search(random_rows(1)[0], 5, repositories=R1)
    await turns(collection)
    closing = asyncio.create_task(store.aclose())
    await turns(collection)
    still_open = bool(collection._shards)
    go_on.set()
    await closing
    assert held.result()
    assert still_open
    assert asyncio.all_tasks() == {asyncio.current_task()}
