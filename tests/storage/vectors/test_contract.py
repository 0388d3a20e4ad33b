"""What every vector store promises."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from storage.errors import DimensionMismatch, VectorsRefused, VectorStoreUnavailable
from storage.vectors import CollectionSpec, PointPayload, StoreMarker, VectorBatch, VectorStore
from tests.storage.vectors.points import DIMENSION, SPEC, batch_of, point_id, random_rows

ALL = frozenset({"r1", "r2"})
QUERY = random_rows(1, seed=99)[0]


async def test_the_nearest_come_first_with_their_cosine(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    rows = random_rows(40)
    await collection.upsert(batch_of(range(40), rows))
    found = await collection.search(QUERY, 5, repositories=ALL)
    cosines = rows @ QUERY / np.linalg.norm(rows, axis=1) / np.linalg.norm(QUERY)
    assert [hit.id for hit in found.hits] == [point_id(each) for each in np.argsort(-cosines)[:5].tolist()]
    assert [hit.score for hit in found.hits] == pytest.approx(sorted(cosines, reverse=True)[:5], abs=1e-3)
    assert not found.exhausted


async def test_an_upsert_replaces_vector_repository_and_language(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(10)))
    await collection.optimize()
    await collection.upsert(batch_of([3], QUERY[None, :], repository="r2", language="rust"))
    assert await collection.count() == 10
    (hit,) = (await collection.search(QUERY, 1, repositories=ALL)).hits
    assert hit.id == point_id(3)
    assert hit.score == pytest.approx(1, abs=1e-3)
    in_r1 = await collection.search(QUERY, 10, repositories=frozenset({"r1"}))
    assert point_id(3) not in {hit.id for hit in in_r1.hits}
    assert len(in_r1.hits) == 9


async def test_what_was_upserted_is_acknowledged_and_replays_change_nothing(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    batch = batch_of(range(20))
    assert await collection.upsert(batch) == frozenset(batch.ids)
    before = await collection.search(QUERY, 20, repositories=ALL)
    for _ in range(2):
        assert await collection.upsert(batch) == frozenset(batch.ids)
        await collection.delete([point_id(77)])
        await collection.optimize()
    assert await collection.search(QUERY, 20, repositories=ALL) == before
    assert await collection.count() == 20


async def test_the_same_vector_in_another_language_is_a_change(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(20), language="c"))
    await collection.optimize()
    await collection.upsert(batch_of(range(5), language="cpp"))
    await collection.upsert(batch_of(range(3), language="rust"))
    for language, count in (("c", 15), ("cpp", 2), ("rust", 3)):
        found = await collection.search(QUERY, 99, repositories=ALL, languages=frozenset({language}))
        assert len(found.hits) == count


async def test_deleted_vectors_are_gone_before_and_after_optimizing(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(30)))
    await collection.delete([point_id(1)])
    await collection.optimize()
    await collection.delete([point_id(2), point_id(2), point_id(1)])
    for _ in range(2):
        found = await collection.search(QUERY, 99, repositories=ALL)
        assert {hit.id for hit in found.hits} == {point_id(each) for each in (0, *range(3, 30))}
        assert found.exhausted
        assert await collection.ids(None, 99) == [point_id(each) for each in (0, *range(3, 30))]
        assert await collection.count() == 28
        await collection.optimize()


async def test_filters_narrow_before_the_cut(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(30), language="python"))
    await collection.upsert(batch_of(range(30, 34), language="rust"))
    await collection.upsert(batch_of(range(40, 60), repository="r2", language="rust"))
    for _ in range(2):
        rust = await collection.search(QUERY, 10, repositories=frozenset({"r1"}), languages=frozenset({"rust", "c"}))
        assert {hit.id for hit in rust.hits} == {point_id(each) for each in range(30, 34)}
        assert rust.exhausted
        allowed = [point_id(each) for each in (5, 31, 45, 45, 1000)]
        some = await collection.search(QUERY, 10, repositories=ALL, allowed_ids=allowed)
        assert {hit.id for hit in some.hits} == {point_id(each) for each in (5, 31, 45)}
        both = await collection.search(QUERY, 1, repositories=ALL, languages=frozenset({"rust"}), allowed_ids=allowed)
        assert (len(both.hits), both.exhausted) == (1, False)
        await collection.optimize()


@pytest.mark.parametrize(
    "filters",
    [
        {"repositories": frozenset()},
        {"repositories": frozenset({"r3"})},
        {"repositories": ALL, "languages": frozenset()},
        {"repositories": ALL, "languages": frozenset({"cobol"})},
        {"repositories": ALL, "allowed_ids": []},
        {"repositories": ALL, "allowed_ids": [point_id(1000)]},
    ],
)
async def test_a_filter_that_nothing_passes_finds_nothing(store: VectorStore, filters: dict[str, object]) -> None:
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(20)))
    for _ in range(2):
        found = await collection.search(QUERY, 10, **filters)  # type: ignore[arg-type]
        assert (found.hits, found.exhausted) == ((), True)
        await collection.optimize()


async def test_all_that_tie_at_the_cut_are_there_in_the_order_of_their_ids(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    same = np.repeat(random_rows(1, seed=5), 30, axis=0)
    await collection.upsert(batch_of(range(29, -1, -1), same))
    await collection.upsert(batch_of([40], QUERY[None, :]))
    await collection.optimize()
    await collection.upsert(batch_of(range(60, 65), same[:5]))
    found = await collection.search(QUERY, 3, repositories=ALL)
    assert [hit.id for hit in found.hits] == [point_id(each) for each in (40, *range(30), *range(60, 65))]
    assert len({hit.score for hit in found.hits}) == 2


async def test_exhausted_tells_whether_anything_was_left_out(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(12)))
    for k, exhausted in ((0, False), (11, False), (12, True), (13, True)):
        found = await collection.search(QUERY, k, repositories=ALL)
        assert (len(found.hits), found.exhausted) == (min(k, 12), exhausted)


async def test_ids_come_in_ascending_pages(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(0, 40, 2)))
    await collection.optimize()
    await collection.upsert(batch_of(range(1, 40, 2), repository="r2"))
    await collection.upsert(batch_of([256, 512]))
    listed: list[bytes] = []
    while page := await collection.ids(listed[-1] if listed else None, 7):
        assert len(page) <= 7
        listed += page
    assert listed == [point_id(each) for each in (*range(40), 256, 512)]
    assert await collection.ids(None, 0) == []


async def test_f038_another_dimension_is_refused_before_the_first_write(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    with pytest.raises(DimensionMismatch, match="8"):
        await store.open(CollectionSpec(SPEC.name, DIMENSION + 1))
    with pytest.raises(DimensionMismatch):
        await collection.upsert(batch_of(range(2), random_rows(2, dimension=384)))
    with pytest.raises(DimensionMismatch):
        await collection.search(random_rows(1, dimension=384)[0], 1, repositories=ALL)
    with pytest.raises(DimensionMismatch):
        await collection.search(random_rows(1), 1, repositories=ALL)
    assert await collection.count() == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
async def test_rows_that_are_not_finite_or_zero_are_refused_and_nothing_of_their_batch_is_kept(
    store: VectorStore, value: float
) -> None:
    collection = await store.open(SPEC)
    rows = random_rows(3)
    rows[1] = value
    with pytest.raises(VectorsRefused, match="row 1 of 3"):
        await collection.upsert(batch_of(range(3), rows))
    with pytest.raises(VectorsRefused, match="query"):
        await collection.search(rows[1], 1, repositories=ALL)
    assert await collection.count() == 0


async def test_vectors_of_any_length_are_brought_to_unit_length(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(2), np.stack([QUERY * 1e30, QUERY * 1e-30])))
    found = await collection.search(QUERY * 1e-20, 1, repositories=ALL)
    assert [hit.score for hit in found.hits] == pytest.approx([1, 1], abs=1e-3)


def test_f042_an_id_twice_in_a_batch_is_refused() -> None:
    with pytest.raises(VectorsRefused, match="twice"):
        batch_of([1, 2, 1])


@pytest.mark.parametrize("id", [b"", b"short", bytes(17)])
def test_ids_of_another_length_are_refused(id: bytes) -> None:
    with pytest.raises(VectorsRefused, match="16"):
        VectorBatch((id,), random_rows(1), (PointPayload("r1", "python"),))


def test_a_batch_has_as_many_vectors_as_ids() -> None:
    with pytest.raises(VectorsRefused, match="2 vectors"):
        VectorBatch((point_id(1),), random_rows(2), (PointPayload("r1", "python"),))


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 101, "é"])
async def test_names_that_are_no_plain_file_names_are_refused(store: VectorStore, name: str) -> None:
    with pytest.raises(VectorsRefused, match="cannot name"):
        await store.open(CollectionSpec(name, 4))
    collection = await store.open(SPEC)
    with pytest.raises(VectorsRefused, match="cannot name"):
        await collection.upsert(batch_of([1], repository=name))
    assert await collection.count() == 0


async def test_the_marker_is_what_was_written_last(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    assert await collection.marker() is None
    for high_water in (3, 7):
        marker = StoreMarker("catalog", "incarnation", high_water)
        await collection.set_marker(marker)
        assert await collection.marker() == marker


async def test_opening_twice_gives_the_same_collection(store: VectorStore) -> None:
    first, second = await store.open(SPEC), await store.open(SPEC)
    await first.upsert(batch_of([1]))
    assert await second.count() == 1


async def test_f045_a_dropped_collection_ends_its_handles(store: VectorStore) -> None:
    old = await store.open(SPEC)
    other = await store.open(CollectionSpec("c2", 4))
    await old.upsert(batch_of(range(30)))
    await old.optimize()
    assert await store.collections() == ("c1", "c2")
    await store.drop("c1")
    await store.drop("c1")
    assert await store.collections() == ("c2",)
    for call in (old.upsert(batch_of([1])), old.count(), old.delete([]), old.search(QUERY, 1, repositories=ALL)):
        with pytest.raises(VectorStoreUnavailable, match="dropped"):
            await call
    new = await store.open(CollectionSpec("c1", 4))
    assert (await new.count(), await new.marker(), await other.count()) == (0, None, 0)


async def test_a_closed_store_refuses_everything(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    await store.aclose()
    await store.aclose()
    for call in (collection.count(), store.open(SPEC), store.collections(), store.drop("c1"), collection.optimize()):
        with pytest.raises(VectorStoreUnavailable, match="closed"):
            await call


async def test_f045_concurrent_upserts_of_the_same_ids_leave_no_duplicates(store: VectorStore) -> None:
    collection = await store.open(SPEC)
    await asyncio.gather(
        *(collection.upsert(batch_of(range(20), random_rows(20, seed=each), repository="r1")) for each in range(5)),
        *(collection.upsert(batch_of(range(20), random_rows(20, seed=each), repository="r2")) for each in range(5)),
        collection.optimize(),
        collection.optimize(),
    )
    found = await collection.search(QUERY, 50, repositories=ALL)
    assert sorted(hit.id for hit in found.hits) == [point_id(each) for each in range(20)]
    assert await collection.ids(None, 50) == [point_id(each) for each in range(20)]
