"""What is like a piece of code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from embeddings import HashingEncoder
from indexing.search import BadRequest, NoVectors, SimilarRequest, VectorSearchUnavailable, search_similar, similar
from tests.indexing.search.conftest import Concepts

if TYPE_CHECKING:
    from indexing.search import SimilarResult, VectorSource
    from storage import FoundChunk, Vectors
    from tests.indexing.search.conftest import Build, World

BODY = "".join(
    f"    value_{number} = compute(value_{number}, {number}) + other_thing_{number}\n" for number in range(20)
)
FILES = {
    "a.py": f"def car():\n{BODY}\n\ndef banana():\n{BODY}",
    "b.py": "def automobile():\n    return banana\n",
    "c.py": "def vehicle():\n    return 2\n",
    "d.py": "nothing = 1\n",
}


def concepts() -> Concepts:
    return Concepts("car automobile vehicle", "banana fruit")


async def ask(built: World, vectors: VectorSource | None, path: str, line: int, **more: object) -> SimilarResult:
    values = {"repositories": frozenset({built.uuid})} | more
    request = SimilarRequest(built.uuid, path.encode(), line, **values)  # type: ignore[arg-type]
    return await search_similar(request, catalog=built.reader, vectors=vectors)


async def test_neighbours_come_nearest_first_without_the_piece_itself(world: Build) -> None:
    built = await world(FILES)
    vectors = await built.vectors(concepts())
    result = await ask(built, vectors, "a.py", 1)
    assert (result.path, result.start_line, result.symbol) == ("a.py", 1, "car")
    assert result.start_line <= 1 <= result.end_line
    places = [(hit.path, hit.start_line) for hit in result.found.hits]
    assert places[:2] == [("c.py", 1), ("b.py", 1)]
    assert ("a.py", 1) not in places
    first = result.found.hits[0].to_json()
    assert first["score"] == 1.0
    assert first["scores"] == {"fusion": 1.0, "legs": {"vector": {"rank": 1, "score": 1.0}}, "factors": {}}
    assert [line["line"] for line in first["snippet"]] == [1, 2]
    assert 0.7 < result.found.hits[1].scores.total < 0.71
    assert result.found.complete
    assert result.to_json()["to"] == {"path": "a.py", "start_line": 1, "end_line": result.end_line, "symbol": "car"}


async def test_the_piece_is_the_one_that_holds_the_line(world: Build) -> None:
    built = await world(FILES)
    vectors = await built.vectors(concepts())
    line = FILES["a.py"].count("\n")
    result = await ask(built, vectors, "a.py", line)
    assert result.symbol == "banana"
    assert result.start_line <= line <= result.end_line
    assert result.found.hits[0].path == "b.py"


@pytest.mark.parametrize(
    ("path", "line", "message"),
    [
        ("gone.py", 1, "'gone.py' is not indexed"),
        ("d.py", 9, "line 9 is not in 'd.py', which was indexed with 1 lines"),
        ("d.py", 0, "lines begin at 1"),
    ],
)
async def test_a_place_that_is_not_indexed_is_refused_by_name(world: Build, path: str, line: int, message: str) -> None:
    built = await world(FILES)
    with pytest.raises(BadRequest, match=message):
        await ask(built, None, path, line)


async def test_f096_only_allowed_repositories_and_languages_are_searched(world: Build) -> None:
    await world({"copy.py": FILES["c.py"], "copy.js": "function car() {}\n"})
    built = await world(FILES)
    vectors = await built.vectors(concepts())
    here = await ask(built, vectors, "c.py", 1)
    assert {hit.repository for hit in here.found.hits} == {built.uuid}
    both = await ask(built, vectors, "c.py", 1, repositories=frozenset({"repository-1", "repository-2"}))
    copies = [hit.path for hit in both.found.hits if hit.repository == "repository-1" and hit.scores.total == 1.0]
    assert copies == ["copy.js", "copy.py"]
    other = await ask(built, vectors, "c.py", 1, repositories=frozenset({"repository-1"}), languages=("javascript",))
    assert [hit.path for hit in other.found.hits] == ["copy.js"]


async def test_it_widens_past_what_is_not_shown_any_more(world: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar, "FIRST_LIMIT", 2)
    nearer = {f"x{number}.py": f"car = {'banana ' * number}\n" for number in range(1, 21)}
    built = await world(nearer | {"c.py": FILES["c.py"], "z.py": f"car = {'banana ' * 30}\n"})
    vectors = await built.vectors(concepts())
    for path in nearer:
        built.remove(path)
    result = await ask(built, vectors, "c.py", 1, k=1)
    assert [hit.path for hit in result.found.hits] == ["z.py"]


async def test_without_vectors_or_a_model_it_says_what_to_do(world: Build) -> None:
    built = await world(FILES)
    vectors = await built.vectors(HashingEncoder())
    assert (await ask(built, vectors, "a.py", 1)).found.hits
    no_model = replace(vectors, encoder=None, vector_of=None, no_encoder="no model; run 'codetrove model fetch'")
    for missing, message in (
        (None, "there are no vectors in this index; 'codetrove index PATH --until vectors'"),
        (NoVectors("store unavailable: locked"), "store unavailable: locked"),
        (no_model, "no model; run 'codetrove model fetch'"),
    ):
        with pytest.raises(VectorSearchUnavailable, match=message):
            await ask(built, missing, "a.py", 1)
    assert vectors.encoder is not None
    await vectors.encoder.aclose()
    with pytest.raises(VectorSearchUnavailable, match="cannot be encoded"):
        await ask(built, vectors, "a.py", 1)


async def test_a_vector_that_is_at_hand_needs_no_model(world: Build) -> None:
    built = await world(FILES)
    vectors = await built.vectors(encoder := concepts())

    async def from_cache(chunk: FoundChunk, piece: bytes) -> Vectors | None:
        assert piece == FILES["c.py"].encode()
        return (await encoder.encode(["vehicle"], "document"))[0] if chunk.symbol == "vehicle" else None

    cached = replace(vectors, encoder=None, vector_of=from_cache)
    assert (await ask(built, cached, "c.py", 1)).found.hits[0].scores.total == 1.0
    with pytest.raises(VectorSearchUnavailable, match="no usable vector for lines 1-1"):
        await ask(built, replace(cached, vector_of=_none), "d.py", 1)


async def _none(_chunk: FoundChunk, _piece: bytes) -> Vectors | None:
    return None
