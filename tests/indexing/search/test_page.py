"""A page is made of what the catalog says, whatever chunks, cuts and files the legs name."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from indexing.search import SearchRequest
from indexing.search.legs import Filters
from indexing.search.page import LegsFound, Words, page
from indexing.search.query import analyse
from storage import TextHit, TextHits

if TYPE_CHECKING:
    from tests.indexing.search.conftest import Build, World

LONG = "".join(f"def step_{number}(value):\n" + "    value += 1\n" * 40 for number in range(12))
"""Several chunks."""


async def _page(
    built: World, query: str, words: Words, near: dict[bytes, float] | None = None
) -> list[tuple[str, int]]:
    request = SearchRequest(query, frozenset({built.uuid}))
    found = LegsFound(words, near or {}, exhausted=True, can_widen=False)

    def made(connection: sqlite3.Connection) -> list[tuple[str, int]]:
        result = page(connection, analyse(query), found, request, Filters.without_paths(request))
        assert result is not None
        return [(hit.path, hit.start_line) for hit in result.hits]

    return await built.reader.read(made)


async def _chunks(built: World, path: str) -> list[tuple[int, int]]:
    """Chunk and cut, in the order of the file."""
    return await built.reader.query(
        "SELECT chunk_id, chunks.cut_id FROM entries JOIN chunks ON chunks.cut_id = entries.cut_id WHERE path = ?"
        " ORDER BY chunk_id",
        (path.encode(),),
    )


def _text(*hits: tuple[int, int, float]) -> Words:
    return Words(TextHits(tuple(TextHit(*hit) for hit in hits), exhausted=True))


async def test_f096_a_chunk_in_another_cut_than_the_index_says_is_not_shown(world: Build) -> None:
    built = await world({"a.py": "alpha = 1\n", "b.py": "beta = 2\n"})
    ((a, in_a),), ((b, in_b),) = await _chunks(built, "a.py"), await _chunks(built, "b.py")
    assert await _page(built, "x", _text((a, in_a, 2.0), (b, in_b, 1.0))) == [("a.py", 1), ("b.py", 1)]
    assert await _page(built, "x", _text((a, in_b, 2.0), (b, in_b, 1.0))) == [("b.py", 1)]


async def test_what_the_catalog_does_not_know_leaves_the_page_to_the_rest(world: Build) -> None:
    built = await world({"a.py": "alpha = 1\n"})
    ((a, in_a),) = await _chunks(built, "a.py")
    gone = _text((a + 1000, in_a, 9.0), (a + 1001, in_a + 1000, 8.0), (a, in_a, 1.0))
    assert await _page(built, "x", gone, {b"?" * 16: 0.9}) == [("a.py", 1)]


async def test_a_file_found_by_its_path_alone_is_shown_where_the_words_are(world: Build) -> None:
    built = await world({"invoice.py": LONG + "def total_of_lines(lines):\n    return sum(lines)\n"})
    chunks = await _chunks(built, "invoice.py")
    assert len(chunks) > 2
    by_path = Words(files={chunks[0][1]: 3.0})
    assert await _page(built, "invoice", by_path) == [("invoice.py", 1)]
    ((path, line),) = await _page(built, "invoice TOTAL", by_path)
    assert path == "invoice.py"
    assert line > 400


async def test_a_path_speaks_for_the_best_chunk_that_the_words_found_in_its_file(world: Build) -> None:
    built = await world({"invoice.py": LONG, "other.py": "x = 1\n"})
    (*_, (near_end, in_file), (last, _)), ((other, in_other),) = (
        await _chunks(built, "invoice.py"),
        await _chunks(built, "other.py"),
    )
    text = _text((other, in_other, 2.5), (near_end, in_file, 2.0), (last, in_file, 1.0))
    words = Words(text.text, files={in_file: 3.0})
    (first, *_) = await _page(built, "invoice", words)
    ((begins,),) = await built.reader.query("SELECT start_line FROM chunks WHERE chunk_id = ?", (near_end,))
    assert first == ("invoice.py", begins)
