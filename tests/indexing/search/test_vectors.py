"""The vector leg: what it adds, what it never serves, and what happens without it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from embeddings import EncodeFailed, HashingEncoder
from indexing.search import NoVectors, VectorSearch, VectorSearchUnavailable, engine
from indexing.search.legs import text_leg
from storage import CollectionSpec, DimensionMismatch, MemoryStore, PointPayload, VectorBatch, VectorStoreUnavailable
from tests.indexing.search.conftest import Concepts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from embeddings import TextKind, Vectors
    from tests.indexing.search.conftest import Build

FILES = {
    "auto/engine.py": "def start_car():\n    return ignite()\n",
    "fruit/bowl.py": "def peel_banana():\n    return skin()\n",
    "plain.py": "def other():\n    return 1\n",
    "web/engine.js": "function parkCar() { return 2 }\n",
}
VEHICLES = "car automobile vehicle start_car parkcar"


FAR = f"car = {'banana ' * 30}\n"


def crowd(directory: str = "") -> dict[str, str]:
    """Files nearer to a vehicle than ``FAR`` is, no two at the same distance."""
    return {f"{directory}a{number}.py": f"car = {'banana ' * number}\n" for number in range(1, 21)}


def concepts() -> Concepts:
    return Concepts(VEHICLES, "banana fruit")


class Fails:
    """An encoder whose model cannot be used."""

    def __init__(self, vector: list[float] | None = None) -> None:
        self.spec = concepts().spec
        self._vector = vector

    async def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        assert kind == "query"
        if self._vector is None:
            raise EncodeFailed("out of memory")
        return np.array([self._vector] * len(texts), dtype=np.float32)

    async def aclose(self) -> None:
        pass


async def test_what_means_the_same_is_found_in_other_words(world: Build) -> None:
    built = await world(FILES)
    assert await built.paths("automobile") == []
    vectors = await built.vectors(concepts())
    result = await built.search("automobile", vectors=vectors)
    assert {hit.path for hit in result.hits} == {"auto/engine.py", "web/engine.js"}
    assert (result.complete, result.degraded) == (True, ())


class _Late(Concepts):
    """Encodes a query once the words were found, and waited for longer than a search waits in their thread."""

    def __init__(self) -> None:
        super().__init__(VEHICLES, "banana fruit")
        self.may_go = asyncio.Event()
        self.is_asked = asyncio.Event()

    async def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        if kind == "query":
            self.is_asked.set()
            await self.may_go.wait()
        return await super().encode(texts, kind)


@pytest.mark.parametrize("late", [False, True])
async def test_a_page_is_the_same_whether_the_vectors_or_the_words_come_first(
    world: Build, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    built = await world(FILES)
    encoder = _Late()
    vectors = await built.vectors(encoder)
    encoder.may_go.set()
    expected = await built.search("peel fruit", vectors=vectors)
    assert expected.hits[0].scores.legs.keys() == {"text", "path", "vector"}

    searches = 0
    made, loop = engine._Legs._search_words, asyncio.get_running_loop()
    # A whole minute: the vectors are there before, unless they wait for the words to give up.
    monkeypatch.setattr(engine, "PATIENCE_SECONDS", 0.0 if late else 60.0)
    encoder.may_go.clear()

    def words(legs: engine._Legs, connection: sqlite3.Connection) -> object:
        nonlocal searches
        searches += 1
        found = made(legs, connection)
        if not late:
            loop.call_soon_threadsafe(encoder.may_go.set)
        return found

    monkeypatch.setattr(engine._Legs, "_search_words", words)
    reads, read = 0, built.reader.read

    async def counted(function: Callable[[sqlite3.Connection], object]) -> object:
        nonlocal reads
        reads += 1
        result = await read(function)
        encoder.may_go.set()
        return result

    monkeypatch.setattr(built.reader, "read", counted)
    assert await built.search("peel fruit", vectors=vectors) == expected
    assert reads == (2 if late else 1)
    assert searches == 1


async def test_a_search_that_is_given_up_leaves_no_search_of_vectors_behind(
    world: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = await world(FILES)
    encoder = _Late()
    vectors = await built.vectors(encoder)
    monkeypatch.setattr(engine, "PATIENCE_SECONDS", 0.0)
    others = asyncio.all_tasks()
    searching = asyncio.create_task(built.search("peel fruit", vectors=vectors))
    await encoder.is_asked.wait()
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    assert asyncio.all_tasks() == others


async def test_a_hit_shows_its_rank_and_cosine(world: Build) -> None:
    built = await world(FILES)
    result = await built.search("peel fruit", vectors=await built.vectors(concepts()))
    hit = result.hits[0].to_json()
    assert hit["path"] == "fruit/bowl.py"
    assert hit["scores"]["legs"]["vector"] == {"rank": 1, "score": 1.0}
    assert {"text", "path", "vector"} <= hit["scores"]["legs"].keys()
    assert result.to_json()["degraded"] == []


async def test_without_vectors_or_in_text_mode_nothing_changes_and_nothing_is_said(world: Build) -> None:
    built = await world(FILES)
    vectors = await built.vectors(encoder := concepts())
    encoder.encoded.clear()
    alone = await built.search("start car")
    assert alone.hits
    assert await built.search("start car", mode="text", vectors=vectors) == alone
    assert await built.search("start car", mode="text", vectors=NoVectors("gone")) == alone
    assert encoder.encoded == []
    assert "vector" not in alone.hits[0].scores.legs


async def test_vectors_alone_ask_no_word_and_keep_what_a_place_is_worth(world: Build) -> None:
    built = await world(FILES | {"tests/test_car.py": "def test_car(): pass\n"})
    result = await built.search("start vehicle", mode="vector", vectors=await built.vectors(concepts()))
    assert {tuple(hit.scores.legs) for hit in result.hits} == {("vector",)}
    assert result.hits[0].path != "tests/test_car.py"
    (test,) = [hit for hit in result.hits if hit.path == "tests/test_car.py"]
    assert test.scores.factors["test"] < 1


async def test_what_is_not_similar_at_all_is_left_out_unless_only_vectors_are_asked(world: Build) -> None:
    built = await world(FILES)
    vectors = await built.vectors(concepts())
    hybrid = await built.search("automobile", vectors=vectors)
    assert "plain.py" not in {hit.path for hit in hybrid.hits}
    alone = await built.search("automobile", mode="vector", vectors=vectors)
    assert [hit.path for hit in alone.hits][2:] == ["fruit/bowl.py", "plain.py"]
    assert alone.complete


async def test_a_removed_file_is_not_served_though_the_store_still_has_it(world: Build) -> None:
    built = await world(FILES)
    vectors = await built.vectors(concepts())
    built.remove("auto/engine.py")
    for mode in ("hybrid", "vector"):
        result = await built.search("automobile", mode=mode, vectors=vectors)
        assert result.hits[0].path == "web/engine.js"
        assert "auto/engine.py" not in {hit.path for hit in result.hits}


async def test_f096_other_repositories_and_unknown_ids_are_never_served(world: Build) -> None:
    await world({"secret.py": "def car(): pass\n"})
    built = await world({"open.py": "def automobile(): pass\n"})
    vectors = await built.vectors(encoder := concepts())
    # A store may be wrong about the repository, and may hold what the catalog never heard of.
    foreign = await built.reader.query("SELECT external_id FROM chunks WHERE cut_id = 1")
    ids = (*(row[0] for row in foreign), b"\xff" * 16)
    near = await encoder.encode(["car"] * len(ids), "document")
    await vectors.collection.upsert(VectorBatch(ids, near, (PointPayload(built.uuid, "python"),) * len(ids)))
    for mode in ("hybrid", "vector"):
        assert [hit.path for hit in (await built.search("vehicle", mode=mode, vectors=vectors)).hits] == ["open.py"]
    nobody = await built.search("vehicle", repositories=frozenset(), vectors=vectors)
    assert nobody.hits == ()


async def test_languages_narrow_the_vector_leg(world: Build) -> None:
    built = await world(FILES)
    result = await built.search(
        "vehicle", languages=("javascript",), mode="vector", vectors=await built.vectors(concepts())
    )
    assert [hit.path for hit in result.hits] == ["web/engine.js"]


@pytest.mark.parametrize("listed", [True, False])
async def test_a_path_filter_finds_what_lies_behind_a_nearer_crowd(
    world: Build, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    monkeypatch.setattr(engine, "FIRST_NEIGHBOURS", 4)
    built = await world(crowd("crowd/") | {"wanted/far.py": FAR})
    vectors = await built.vectors(concepts())
    if listed:
        monkeypatch.setattr(engine, "LAST_NEIGHBOURS", 4)
    else:
        monkeypatch.setattr(vectors.collection, "max_allowed_ids", 0, raising=False)
    for mode in ("hybrid", "vector"):
        result = await built.search("vehicle", k=1, path_globs=("wanted/**",), mode=mode, vectors=vectors)
        assert [hit.path for hit in result.hits] == ["wanted/far.py"]
        assert result.complete
    nothing = await built.search("vehicle", path_globs=("nowhere/**",), vectors=vectors)
    assert (nothing.hits, nothing.complete) == ((), True)


async def test_the_leg_widens_past_the_dead_up_to_a_bound(world: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FIRST_NEIGHBOURS", 2)
    built = await world(crowd() | {"z.py": FAR})
    vectors = await built.vectors(encoder := concepts())
    for path in crowd():
        built.remove(path)
    encoder.encoded.clear()
    found = await built.search("vehicle", k=1, vectors=vectors)
    assert ([hit.path for hit in found.hits], found.complete) == (["z.py"], True)
    assert encoder.encoded == [("vehicle", "query")]
    monkeypatch.setattr(engine, "LAST_NEIGHBOURS", 8)
    bounded = await built.search("vehicle", k=1, vectors=vectors)
    assert ([hit.path for hit in bounded.hits], bounded.complete) == ([], False)


async def test_other_repositories_take_no_place_in_the_cut(world: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FIRST_NEIGHBOURS", 2)
    monkeypatch.setattr(engine, "LAST_NEIGHBOURS", 4)
    await world(crowd())
    built = await world({"z.py": FAR})
    result = await built.search("vehicle", k=1, vectors=await built.vectors(concepts()))
    assert [hit.path for hit in result.hits] == ["z.py"]


async def test_a_store_that_is_down_leaves_the_other_legs_and_says_so(world: Build) -> None:
    built = await world(FILES)
    store = MemoryStore()
    collection = await store.open(CollectionSpec("down", 3))
    await store.aclose()
    vectors = VectorSearch(collection, concepts())
    alone = await built.search("start car")
    result = await built.search("start car", vectors=vectors)
    assert result.hits == alone.hits
    (reason,) = result.degraded
    assert reason.startswith("vectors: store unavailable: ")
    with pytest.raises(VectorSearchUnavailable, match=r"store unavailable: .*; or search with mode 'text'") as raised:
        await built.search("start car", mode="vector", vectors=vectors)
    assert isinstance(raised.value.__cause__, VectorStoreUnavailable)


async def test_f038_vectors_of_another_length_leave_the_other_legs(world: Build) -> None:
    built = await world(FILES)
    vectors = replace(await built.vectors(concepts()), encoder=HashingEncoder(64))
    result = await built.search("start car", vectors=vectors)
    assert result.hits
    assert "64" in result.degraded[0]
    with pytest.raises(VectorSearchUnavailable) as raised:
        await built.search("start car", mode="vector", vectors=vectors)
    assert isinstance(raised.value.__cause__, DimensionMismatch)


@pytest.mark.parametrize(
    ("encoder", "reason"),
    [
        (Fails(), "vectors: the query cannot be encoded: out of memory"),
        (Fails([float("nan")] * 3), "vectors: the model gives no usable vector for this query"),
        (Fails([float("inf"), 0.0, 0.0]), "vectors: the model gives no usable vector for this query"),
        (None, "vectors: no model"),
    ],
)
async def test_without_a_vector_of_the_query_the_other_legs_answer(
    world: Build, encoder: Fails | None, reason: str
) -> None:
    built = await world(FILES)
    vectors = replace(await built.vectors(concepts()), encoder=encoder)
    alone = await built.search("start car")
    result = await built.search("start car", vectors=vectors)
    assert (result.hits, result.degraded) == (alone.hits, (reason,))
    with pytest.raises(VectorSearchUnavailable, match=reason):
        await built.search("start car", mode="vector", vectors=vectors)


async def test_vectors_that_should_be_there_and_are_not_are_missed_and_none_at_all_only_when_asked(
    world: Build,
) -> None:
    built = await world(FILES)
    result = await built.search("start car", vectors=NoVectors("store unavailable: locked"))
    assert result.hits
    assert result.degraded == ("vectors: store unavailable: locked",)
    with pytest.raises(VectorSearchUnavailable, match="there are none in this index; 'codetrove index PATH --until"):
        await built.search("start car", mode="vector")


async def test_chunks_that_wait_for_their_vectors_are_counted(world: Build) -> None:
    built = await world(FILES)
    vectors = replace(await built.vectors(concepts()), waiting=1234, chunks=5000)
    for mode in ("hybrid", "vector"):
        result = await built.search("start car", mode=mode, vectors=vectors)
        assert result.hits
        assert result.degraded == ("vectors: 1,234 of 5,000 chunks have none yet",)


async def test_the_query_is_encoded_while_words_are_searched(world: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    built = await world(FILES)
    vectors = await built.vectors(encoder := concepts())
    encoding, searching = threading.Event(), threading.Event()
    encode = encoder.encode

    async def encode_beside(texts: Sequence[str], kind: TextKind) -> Vectors:
        encoding.set()
        assert await asyncio.to_thread(searching.wait, 20)
        return await encode(texts, kind)

    def search_beside(*arguments: object) -> object:
        searching.set()
        assert encoding.wait(20)
        return text_leg(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder, "encode", encode_beside)
    monkeypatch.setattr("indexing.search.engine.text_leg", search_beside)
    async with asyncio.timeout(20):
        result = await built.search("start car", vectors=vectors)
    assert {"text", "vector"} <= result.hits[0].scores.legs.keys()


async def test_the_files_of_an_answer_are_named_for_whoever_makes_vectors(world: Build) -> None:
    built = await world(FILES)
    result = await built.search("peel_banana")
    ((cut_id,),) = await built.reader.query("SELECT cut_id FROM entries WHERE path = ?", (b"fruit/bowl.py",))
    assert result.cut_ids == (cut_id,)
    assert "cut_ids" not in result.to_json()
