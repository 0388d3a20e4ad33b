"""What a real Weaviate server adds to the contract: schemas, other people's classes, a connection that breaks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from weaviate.classes.config import Configure, DataType, Property

from storage.errors import DimensionMismatch, VectorsRefused, VectorStoreDamaged, VectorStoreUnavailable
from storage.vectors import (
    CollectionSpec,
    MemoryStore,
    StoreMarker,
    VectorStore,
    WeaviateOptions,
    WeaviateStore,
)
from storage.vectors import weaviate as weaviate_module
from storage.vectors.weaviate_schema import class_of
from tests.storage.vectors.points import DIMENSION, SPEC, batch_of, clustered_rows, point_id, random_rows
from tests.weaviate.proxy import Proxy
from tests.weaviate.server import Node, can_start

if TYPE_CHECKING:
    from tests.storage.vectors.conftest import OpenLocal, OpenWeaviate

ALL = frozenset({"r1", "r2"})
MARKER = StoreMarker("catalog", "incarnation", 7)


async def client_of(store: WeaviateStore) -> Any:
    return await store._clients.first()


async def test_f107_classes_of_others_are_neither_seen_nor_touched(open_weaviate: OpenWeaviate) -> None:
    store = await open_weaviate()
    client = await client_of(store)
    await client.collections.create("TheirClass", vector_config=Configure.Vectors.self_provided())
    try:
        await (await store.open(SPEC)).upsert(batch_of(range(3)))
        assert await store.collections() == (SPEC.name,)
        await store.drop("TheirClass")
        assert await client.collections.exists("TheirClass")
    finally:
        await client.collections.delete("TheirClass")


async def test_f037_a_class_whose_schema_was_changed_is_refused_with_the_differences(
    open_weaviate: OpenWeaviate,
) -> None:
    store = await open_weaviate()
    client = await client_of(store)
    await client.collections.create(
        class_of(SPEC.name),
        description='{"codetrove": {"dimension": 8}}',
        vector_config=Configure.Vectors.self_provided(),
        properties=[Property(name="repository", data_type=DataType.INT)],
    )
    with pytest.raises(VectorsRefused) as refused:
        await store.open(SPEC)
    for part in ("property repository is ('int'", "property path is 'missing'", "Nothing is written to it"):
        assert part in str(refused.value)
    assert "index is" not in str(refused.value)


async def test_f037_other_options_than_the_class_was_made_with_are_refused(open_weaviate: OpenWeaviate) -> None:
    await (await open_weaviate()).open(SPEC)
    for options, part in (({"index": "flat"}, "index is 'hnsw'"), ({"quantizer": "sq"}, "quantizer is 'none'")):
        with pytest.raises(VectorsRefused, match=part):
            await (await open_weaviate(**options)).open(SPEC)


@pytest.mark.parametrize("options", [{"index": "flat"}, {"quantizer": "rq"}, {"quantizer": "bq", "index": "flat"}])
async def test_an_index_of_another_kind_is_made_and_opened_again(
    open_weaviate: OpenWeaviate, options: dict[str, object]
) -> None:
    store = await open_weaviate(**options)
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(20)))
    again = await (await open_weaviate(**options)).open(SPEC)
    assert await again.count() == 20
    assert len((await again.search(random_rows(1)[0], 5, repositories=ALL)).hits) >= 5


async def test_f038_another_dimension_is_refused_before_anything_is_written(open_weaviate: OpenWeaviate) -> None:
    store = await open_weaviate()
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(3)))
    with pytest.raises(DimensionMismatch, match=f"{DIMENSION} dimensions, not 384"):
        await store.open(CollectionSpec(SPEC.name, 384))
    assert await collection.count() == 3


@pytest.mark.parametrize("hostile", ['r1" or true', "r1'}) {", "r1\\", "*", "%", "${r1}", "r1,r2"])
async def test_f084_what_is_searched_for_is_a_value_and_never_a_language(
    open_weaviate: OpenWeaviate, hostile: str
) -> None:
    collection = await (await open_weaviate()).open(SPEC)
    await collection.upsert(batch_of(range(5)))
    query = random_rows(1)[0]
    assert (await collection.search(query, 5, repositories=frozenset({hostile}))).hits == ()
    assert (await collection.search(query, 5, repositories=ALL, languages=frozenset({hostile}))).hits == ()
    batch = batch_of([9])
    payload = replace(batch.payloads[0], path=hostile, symbol=hostile, text=hostile, language=hostile)
    await collection.upsert(replace(batch, payloads=(payload,)))
    (hit,) = (await collection.search(query, 5, repositories=ALL, languages=frozenset({hostile}))).hits
    assert hit.id == point_id(9)


def test_f084_no_query_is_written_as_text() -> None:
    source = Path(weaviate_module.__file__).parent
    used = [path.name for path in source.glob("weaviate*.py") if "graphql" in path.read_text(encoding="utf-8").lower()]
    assert used == []


async def test_f035_a_class_that_a_server_does_not_know_for_a_moment_is_not_gone(
    open_weaviate: OpenWeaviate, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_weaviate()
    collection = await store.open(SPEC)
    client = await client_of(store)
    await client.collections.delete(class_of(SPEC.name))
    looks = 0

    async def come_back(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            await (await open_weaviate()).open(SPEC)

    monkeypatch.setattr("storage.vectors.weaviate_collection.asyncio.sleep", come_back)
    with pytest.raises(VectorStoreUnavailable, match="the server has just come back"):
        await collection.search(random_rows(1)[0], 1, repositories=ALL)
    assert looks == 2


async def test_f036_a_class_that_is_gone_is_noticed_and_its_marker_with_it(
    open_weaviate: OpenWeaviate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.vectors.weaviate_collection.GONE_PAUSE_SECONDS", 0.01)
    store = await open_weaviate()
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(3)))
    await collection.set_marker(MARKER)
    await (await client_of(store)).collections.delete(class_of(SPEC.name))
    with pytest.raises(VectorStoreDamaged):
        await collection.upsert(batch_of(range(3)))
    with pytest.raises(VectorStoreDamaged):
        await collection.search(random_rows(1)[0], 1, repositories=ALL)
    again = await store.open(SPEC)
    assert (await again.count(), await again.marker()) == (0, None)


async def test_the_marker_is_no_point(open_weaviate: OpenWeaviate) -> None:
    collection = await (await open_weaviate()).open(SPEC)
    await collection.set_marker(MARKER)
    assert (await collection.count(), await collection.ids(None, 10)) == (0, [])
    await collection.upsert(batch_of(range(5)))
    assert await collection.ids(point_id(1), 10) == [point_id(each) for each in (2, 3, 4)]
    assert (await collection.count(), await collection.marker()) == (5, MARKER)
    assert len((await collection.search(random_rows(1)[0], 10, repositories=ALL)).hits) == 5


async def test_objects_are_complete_and_the_alias_leads_to_them(open_weaviate: OpenWeaviate) -> None:
    store = await open_weaviate()
    batch = batch_of([1])
    payload = replace(
        batch.payloads[0], path="src/é.py", start_line=3, end_line=9, symbol="f", kind="function", text="def f"
    )
    await (await store.open(SPEC)).upsert(replace(batch, payloads=(payload,)))
    for _ in range(2):
        assert await store.point_alias("codetrove_1a2b_", SPEC.name) == "Codetrove_1a2b"
    client = await client_of(store)
    try:
        found = (await client.collections.use("Codetrove_1a2b").query.fetch_objects()).objects
        assert [each.properties for each in found] == [
            {
                "repository": "r1", "language": "python", "path": "src/é.py", "start_line": 3, "end_line": 9,
                "symbol": "f", "kind": "function", "text": "def f",
            }
        ]  # fmt: skip
    finally:
        await client.alias.delete(alias_name="Codetrove_1a2b")


async def test_pages_of_ids_are_ascending_and_complete(
    open_weaviate: OpenWeaviate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.vectors.weaviate_collection.IDS_A_PAGE", 7)
    collection = await (await open_weaviate()).open(SPEC)
    await collection.upsert(batch_of(range(40)))
    await collection.set_marker(MARKER)
    assert await collection.ids(None, 100) == [point_id(each) for each in range(40)]
    assert await collection.ids(None, 40) == [point_id(each) for each in range(40)]
    assert await collection.ids(point_id(30), 5) == [point_id(each) for each in range(31, 36)]


async def test_all_that_tie_at_the_cut_are_found_however_many(open_weaviate: OpenWeaviate) -> None:
    collection = await (await open_weaviate()).open(SPEC)
    row = random_rows(1)
    await collection.upsert(batch_of(range(60), np.repeat(row, 60, axis=0)))
    found = await collection.search(row[0], 5, repositories=ALL)
    assert len(found.hits) == 60


async def test_the_three_stores_give_the_same_scores_and_the_same_ids_up_to_ties(
    open_weaviate: OpenWeaviate, open_local: OpenLocal
) -> None:
    stores: list[VectorStore] = [MemoryStore(), await open_local(), await open_weaviate()]
    spec, rows = CollectionSpec("same", 64), clustered_rows(600)
    answers = []
    for store in stores:
        collection = await store.open(spec)
        await collection.upsert(batch_of(range(600), rows))
        queries = clustered_rows(20, seed=5)
        answers.append([await collection.search(each, 10, repositories=ALL) for each in queries])
    for exact, *others in zip(*answers, strict=True):
        scores = {hit.id: hit.score for hit in exact.hits}
        lowest = min(scores.values())
        for other in others:
            assert [hit.score for hit in other.hits[:10]] == pytest.approx(
                [hit.score for hit in exact.hits[:10]], abs=1e-3
            )
            strangers = [hit for hit in other.hits if hit.id not in scores]
            assert all(hit.score <= lowest + 1e-3 for hit in strangers)
    await stores[0].aclose()


async def test_f030_a_server_that_is_away_is_unavailable_and_comes_back(
    open_weaviate: OpenWeaviate, weaviate_server: WeaviateOptions
) -> None:
    async with Proxy(int(weaviate_server.url.rpartition(":")[2])) as rest, Proxy(weaviate_server.grpc_port) as inner:
        rest.refuse(True)
        inner.refuse(True)
        store = await open_weaviate(url=f"http://127.0.0.1:{rest.port}", grpc_port=inner.port, deadline_seconds=2)
        with pytest.raises(VectorStoreUnavailable, match=f"Weaviate at http://127.0.0.1:{rest.port} said"):
            await store.open(SPEC)
        rest.refuse(False)
        inner.refuse(False)
        collection = await store.open(SPEC)
        assert len(await collection.upsert(batch_of(range(5)))) == 5
        assert await collection.count() == 5


async def test_f031_a_server_that_hangs_is_given_up_at_the_deadline(
    open_weaviate: OpenWeaviate, weaviate_server: WeaviateOptions
) -> None:
    async with Proxy(weaviate_server.grpc_port) as proxy:
        store = await open_weaviate(grpc_port=proxy.port, deadline_seconds=1, search_seconds=1)
        collection = await store.open(SPEC)
        proxy.hold()
        with pytest.raises(VectorStoreUnavailable):
            await collection.upsert(batch_of(range(5)))
        with pytest.raises(VectorStoreUnavailable):
            await collection.search(random_rows(1)[0], 1, repositories=ALL)
        began = monotonic()
        with pytest.raises(VectorStoreUnavailable):
            await collection.search(random_rows(1)[0], 1, repositories=ALL)
        assert monotonic() - began < 0.5, "the next search waited again"
        proxy.let_go()
        # What was held may take effect now, or has: the caller compares before it believes either.
        assert await collection.upsert(batch_of(range(5))) == frozenset(map(point_id, range(5)))
        assert await collection.ids(None, 10) == [point_id(each) for each in range(5)]


async def test_f034_an_answer_that_is_lost_after_the_server_did_its_work_is_no_answer(
    open_weaviate: OpenWeaviate, weaviate_server: WeaviateOptions
) -> None:
    async with Proxy(weaviate_server.grpc_port) as proxy:
        store = await open_weaviate(grpc_port=proxy.port, deadline_seconds=2)
        collection = await store.open(SPEC)
        await collection.upsert(batch_of(range(5)))
        proxy.cut_answers_after = 0
        with pytest.raises(VectorStoreUnavailable):
            await collection.upsert(batch_of(range(5, 400)))
        proxy.cut_answers_after = None
        batch = batch_of(range(5, 400))
        assert await collection.upsert(batch) == frozenset(batch.ids)
        assert await collection.count() == 400


@pytest.mark.timeout(180)
async def test_f035_a_killed_server_has_what_it_acknowledged(tmp_path: Path) -> None:
    if not can_start():
        pytest.skip("needs a program 'weaviate' that can be killed")
    node = Node(tmp_path / "node")
    await asyncio.to_thread(node.start)
    store = WeaviateStore(WeaviateOptions(node.url, node.grpc, deadline_seconds=5))
    try:
        await asyncio.to_thread(node.wait_ready)
        collection = await store.open(SPEC)
        await collection.set_marker(MARKER)
        acknowledged = await collection.upsert(batch_of(range(300)))
        await asyncio.to_thread(node.kill)
        began = monotonic()
        with pytest.raises(VectorStoreUnavailable, match="gave no answer in 5 s"):
            await collection.count()
        assert monotonic() - began < 15
        await asyncio.to_thread(node.start)
        await asyncio.to_thread(node.wait_ready)
        while True:  # the connection is made again with growing pauses
            try:
                found = await collection.ids(None, 1_000)
                break
            except VectorStoreUnavailable:
                continue
        assert frozenset(found) == acknowledged
        assert await collection.marker() == MARKER
    finally:
        await store.aclose()
        await asyncio.to_thread(node.kill)
