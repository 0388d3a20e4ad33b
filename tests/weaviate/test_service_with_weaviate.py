"""The whole program with its vectors in a real Weaviate: filling, losing, moving, and doing without."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from embeddings import HashingEncoder
from indexing.runtime import Owner, open_owner
from indexing.search import SearchRequest, SearchResult, search
from indexing.settings import Settings
from storage import WeaviateStore, collections, expected_ids, load_registry, point_counts
from storage.vectors import CollectionSpec, WeaviateOptions
from storage.vectors.weaviate_schema import alias_of, class_of
from tests.weaviate.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from embeddings import TextKind
    from storage import CollectionRow, Vectors
    from tests.conftest import TreeFactory

CHUNKS = 30
FILES = {f"m{number}.py": f"def banana_{number}():\n    return 'apple{number}'\n" for number in range(CHUNKS)}


@pytest.fixture
def root(tree: TreeFactory) -> Path:
    return tree(FILES)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of documents that were encoded."""
    texts: list[str] = []
    encode = HashingEncoder.encode

    async def noting(self: HashingEncoder, given: Sequence[str], kind: TextKind) -> Vectors:
        if kind == "document":
            texts.extend(given)
        return await encode(self, given, kind)

    monkeypatch.setattr(HashingEncoder, "encode", noting)
    return texts


def settings_for(data: Path, server: WeaviateOptions, backend: str = "weaviate") -> Settings:
    return Settings(
        storage={"data_dir": str(data), "backend": backend},
        weaviate={"url": server.url, "grpc_port": server.grpc_port, "deadline_seconds": 2},
        embeddings={"model": "hashing-64", "batch_chunks": 8, "download": False},
    )


@asynccontextmanager
async def opened(data: Path, server: WeaviateOptions, backend: str = "weaviate") -> AsyncIterator[Owner]:
    async with open_owner(settings_for(data, server, backend)) as owner:
        yield owner


async def index(owner: Owner, root: Path) -> None:
    repository = await owner.register(root)
    report = await owner.service.wait(await owner.service.submit(repository))
    assert report.state == "succeeded"


async def drained(owner: Owner) -> None:
    assert owner.vectors is not None
    assert await owner.vectors.drained()


async def found(owner: Owner, query: str = "banana 7 apple7") -> SearchResult:
    assert owner.vectors is not None
    uuids = frozenset(each.uuid for each in await owner.reader.repositories())
    async with owner.vectors.source() as vectors:
        return await search(
            SearchRequest(query, repositories=uuids, k=5),
            catalog=owner.reader,
            text_index=owner.feed.index,
            vectors=vectors,
        )


async def states(owner: Owner, row: CollectionRow) -> dict[str, int]:
    counts = await point_counts(owner.reader, row.id)
    return {state: count for state, count in counts.items() if count}


async def check_same(owner: Owner, server: WeaviateOptions) -> None:
    """The ids in the server are those that the catalog expects there, no more, no fewer."""
    (row,) = await collections(owner.reader)
    assert (row.store, row.state) == ("weaviate", "serving")
    assert await states(owner, row) == {"stored": CHUNKS}
    store = WeaviateStore(server)
    try:
        client: Any = await store._clients.first()
        objects = (await client.collections.use(class_of(row.name)).query.fetch_objects(limit=1_000)).objects
    finally:
        await store.aclose()
    there = {each.uuid.bytes for each in objects if each.properties["kind"] != "marker"}
    assert there == set(await expected_ids(owner.reader, row.id, None, 1_000))


@pytest.fixture(autouse=True)
async def _drop_all(weaviate_server: WeaviateOptions) -> AsyncIterator[None]:
    yield
    store = WeaviateStore(weaviate_server)
    for name in await store.collections():
        await store.drop(name)
    await store.aclose()


async def test_vectors_are_kept_in_the_server_and_found_there(
    root: Path, data_dir: Path, weaviate_server: WeaviateOptions, encoded: list[str]
) -> None:
    async with opened(data_dir, weaviate_server) as owner:
        await index(owner, root)
        await drained(owner)
        await check_same(owner, weaviate_server)
        result = await found(owner)
        assert result.degraded == ()
        assert "vector" in result.hits[0].scores.legs
        (row,) = await collections(owner.reader)
    assert len(encoded) == CHUNKS
    async with opened(data_dir, weaviate_server) as owner:
        (root / "m7.py").unlink()
        (root / "new.py").write_text("def cherry():\n    return 1\n")
        await index(owner, root)
        await drained(owner)
        hits = (await found(owner, "cherry")).hits
        assert hits[0].path == "new.py"
        assert await collections(owner.reader) == [row]
    assert len(encoded) == CHUNKS + 1


@pytest.mark.timeout(120)
async def test_f030_with_the_server_away_text_answers_and_what_is_missing_comes_when_it_is_back(
    root: Path, data_dir: Path, weaviate_server: WeaviateOptions
) -> None:
    async with Proxy(int(weaviate_server.url.rpartition(":")[2])) as rest, Proxy(weaviate_server.grpc_port) as inner:
        there = WeaviateOptions(f"http://127.0.0.1:{rest.port}", inner.port)
        rest.refuse(True)
        inner.refuse(True)
        async with opened(data_dir, there) as owner:
            await index(owner, root)
            result = await found(owner)
            assert result.hits[0].path == "m7.py"
            assert result.degraded
            rest.refuse(False)
            inner.refuse(False)
            await drained(owner)
            await check_same(owner, weaviate_server)
            assert (await found(owner)).degraded == ()
            rest.refuse(True)
            inner.refuse(True)
            again = await found(owner)
            assert again.hits[0].path == "m7.py"
            assert any("store unavailable" in reason for reason in again.degraded)
            (row,) = await collections(owner.reader)
            assert await states(owner, row) == {"stored": CHUNKS}


@pytest.mark.parametrize("loss", ["wiped", "emptied"])
async def test_f036_a_server_that_lost_everything_is_filled_from_the_cache(
    root: Path, data_dir: Path, weaviate_server: WeaviateOptions, encoded: list[str], loss: str
) -> None:
    async with opened(data_dir, weaviate_server) as owner:
        await index(owner, root)
        await drained(owner)
        (row,) = await collections(owner.reader)
    before = len(encoded)
    store = WeaviateStore(weaviate_server)
    if loss == "wiped":
        await store.drop(row.name)
    else:
        collection = await store.open(CollectionSpec(row.name, row.dimension))
        await collection.delete(await collection.ids(None, 1_000))
    await store.aclose()
    if loss == "emptied":
        _forget_the_clean_stop(data_dir)
    async with opened(data_dir, weaviate_server) as owner:
        await drained(owner)
        await check_same(owner, weaviate_server)
    assert len(encoded) == before


def _forget_the_clean_stop(data_dir: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(data_dir / "catalog" / "catalog.db", isolation_level=None)) as connection:
        connection.execute("UPDATE incarnations SET stopped_at = NULL")


async def test_vectors_move_there_and_back_with_nothing_encoded_and_no_search_without_an_answer(
    root: Path, data_dir: Path, weaviate_server: WeaviateOptions, encoded: list[str]
) -> None:
    async with opened(data_dir, weaviate_server, "local") as owner:
        await index(owner, root)
        await drained(owner)
        first = [(hit.path, hit.start_line) for hit in (await found(owner)).hits]
        encoded.clear()
    for backend in ("weaviate", "local"):
        async with opened(data_dir, weaviate_server, backend) as owner:
            draining = asyncio.create_task(drained(owner))
            answers = 0
            while not draining.done():
                result = await found(owner)
                assert [(hit.path, hit.start_line) for hit in result.hits][:1] == first[:1]
                assert "vector" in result.hits[0].scores.legs
                answers += 1
                await asyncio.sleep(0)
            await draining
            assert answers
            (row,) = await collections(owner.reader)
            assert (row.store, row.state) == (backend, "serving")
            assert await states(owner, row) == {"stored": CHUNKS}
            assert [(hit.path, hit.start_line) for hit in (await found(owner)).hits] == first
    assert encoded == []
    store = WeaviateStore(weaviate_server)
    assert await store.collections() == ()
    await store.aclose()


async def test_f107_two_installations_on_one_server_do_not_see_each_other(
    root: Path, tmp_path: Path, weaviate_server: WeaviateOptions
) -> None:
    for name in ("one", "two"):
        async with opened(tmp_path / name, weaviate_server) as owner:
            await index(owner, root)
            await drained(owner)
    async with opened(tmp_path / "one", weaviate_server) as owner:
        await drained(owner)
        await check_same(owner, weaviate_server)
    store = WeaviateStore(weaviate_server)
    assert len(await store.collections()) == 2
    await store.aclose()


async def test_the_alias_of_the_installation_leads_to_the_serving_collection(
    root: Path, data_dir: Path, weaviate_server: WeaviateOptions
) -> None:
    async with opened(data_dir, weaviate_server) as owner:
        await index(owner, root)
        await drained(owner)
        (row,) = await collections(owner.reader)
        installation = (await asyncio.to_thread(load_registry, data_dir)).installation
    store = WeaviateStore(weaviate_server)
    client: Any = await store._clients.first()
    alias = alias_of(f"codetrove_{installation.replace('-', '')[:8]}_")
    try:
        found_there = (await client.collections.use(alias).query.fetch_objects(limit=1)).objects
        assert json.loads(json.dumps(found_there[0].properties["repository"]))
        assert (await client.alias.get(alias_name=alias)).collection == class_of(row.name)
    finally:
        await client.alias.delete(alias_name=alias)
        await store.aclose()
