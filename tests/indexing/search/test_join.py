"""The join with the catalog holds by itself, whatever an index says."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from storage import hits, visible

if TYPE_CHECKING:
    from storage import PlaceShown
    from tests.indexing.search.conftest import Build, World

FILES = {"lib/near.py": "def near(): pass\n", "or.py": "x = 1\n"}


async def _cuts(built: World) -> list[int]:
    return [cut_id for (cut_id,) in await built.reader.query("SELECT id FROM cuts")]


async def _with_words(built: World, *words: str) -> hits.PathWords:
    return await built.reader.read(lambda connection: hits.entries_with_path_words(connection, words))


async def test_f096_places_of_other_repositories_are_never_given(world: Build) -> None:
    built = await world(FILES)
    cuts = await _cuts(built)

    async def places(*repositories: str) -> dict[int, tuple[PlaceShown, ...]]:
        return await built.reader.read(lambda connection: visible.places_of(connection, cuts, repositories))

    async def entries_of(repository: str) -> list[tuple[int, int, str, bytes, str]]:
        return await built.reader.read(lambda connection: visible.shown_entries(connection, entries, {repository}))

    async def cuts_of(repository: str) -> list[int]:
        return await built.reader.read(lambda c: visible.cuts_under(c, [b""], {repository}, lambda _: True))

    assert len(await places(built.uuid)) == 2
    assert await places("other") == {}
    assert await places() == {}
    entries = [number for (number,) in await built.reader.query("SELECT id FROM entries")]
    assert len(await entries_of(built.uuid)) == 2
    assert await entries_of("other") == []
    assert await cuts_of(built.uuid) == sorted(cuts)
    assert await cuts_of("other") == []


async def test_the_stat_of_an_entry_that_shows_another_cut_by_now_is_not_given(world: Build) -> None:
    built = await world(FILES)
    entries: dict[int, int] = dict(await built.reader.query("SELECT id, cut_id FROM entries"))
    assert (await built.reader.read(lambda connection: visible.stats_of(connection, entries))).keys() == entries.keys()
    others = dict.fromkeys((*entries, 10**6), max(entries.values()) + 1)
    assert await built.reader.read(lambda connection: visible.stats_of(connection, others)) == {}


@pytest.mark.parametrize("word", ["OR", "NOT", "NEAR", 'x" OR "near', "near*", "words:near", "(near", "near AND or"])
async def test_f083_path_words_are_matched_as_plain_words(world: Build, word: str) -> None:
    built = await world(FILES)
    found = (await _with_words(built, word)).entries
    expected = {"OR": 1, "NEAR": 1, "near*": 1, "(near": 1}.get(word, 0)
    assert sum(map(len, found.values())) == expected


async def test_a_path_word_that_is_everywhere_is_left_out(world: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "MAX_FILES_PER_WORD", 3)
    built = await world({f"common/rare{number // 3}_{number}.py": f"x = {number}\n" for number in range(6)})
    found = await _with_words(built, "common", "rare0", "absent")
    assert {word: len(entries) for word, entries in found.entries.items()} == {"rare0": 3}
    assert found.total == 6


async def test_path_filters_apply_before_the_cut_of_the_path_leg(world: Build) -> None:
    crowd = {f"crowd{number}/invoice.py": f"x = {number}\n" for number in range(60)}
    built = await world(crowd | {"wanted/invoice.py": "y = 2\n"})
    assert await built.paths("invoice", path_globs=("wanted/**",), max_allowed_ids=0) == ["wanted/invoice.py"]


async def test_the_many_paths_of_one_content_are_bounded(world: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visible, "MAX_PLACES", 4)
    built = await world({f"copy{number}.py": "def licence(): pass\n" for number in reversed(range(9))})
    for many in (4_096, 5):  # fetched and sorted here, or numbered by SQLite
        monkeypatch.setattr(visible, "_MANY_PLACES", many)
        (hit,) = (await built.search("licence")).hits
        assert (hit.path, hit.also_at) == ("copy0.py", ("copy1.py", "copy2.py", "copy3.py"))
        assert (hit.root, hit.language, hit.stale) == (str(built.tree), "python", False)
    (filtered,) = (await built.search("licence", path_globs=("copy8.py",))).hits
    assert filtered.path == "copy8.py"


async def test_chunks_are_known_by_their_external_ids(world: Build) -> None:
    built = await world({f"a{number}.py": f"x = {number}\n" for number in range(40)})
    rows = await built.reader.query("SELECT external_id, chunk_id, cut_id FROM chunks")
    known = {external_id: (chunk_id, cut_id) for external_id, chunk_id, cut_id in rows}
    cuts = [cut_id for _, cut_id in known.values()]

    def look(connection: sqlite3.Connection) -> None:
        found = hits.chunks_under(connection, [b"?" * 16, *known])
        assert found == known
        by_id = hits.chunks_by_id(connection, [chunk_id for chunk_id, _ in known.values()])
        assert sorted((chunk_id, each.cut_id) for chunk_id, each in by_id.items()) == sorted(known.values())
        assert (hits.chunks_under(connection, []), hits.chunks_by_id(connection, [10**6])) == ({}, {})
        assert set(hits.external_ids_of(connection, cuts, 40) or ()) == set(known)
        assert hits.external_ids_of(connection, cuts, 39) is None
        assert hits.external_ids_of(connection, [], 0) == []

    await built.reader.read(look)


@pytest.mark.parametrize("symbol", ['q"uo\\te', "nul\0and\x01", "über\u2028", ""])
async def test_rows_of_chunks_keep_every_character_of_a_symbol(world: Build, symbol: str) -> None:
    built = await world({"a.py": "x = 1\n"})
    with closing(sqlite3.connect(built.reader.catalog)) as connection, connection:
        connection.execute("UPDATE chunks SET symbol = ?", (symbol,))
    (chunk,) = (await built.reader.read(lambda kept: hits.chunks_by_id(kept, [1]))).values()
    assert chunk.symbol == symbol


async def test_an_outline_that_is_missing_costs_the_signature_alone(world: Build) -> None:
    built = await world({"a.py": "def lonely(): pass\n"})
    assert (await built.search("lonely words")).hits[0].signature
    with closing(sqlite3.connect(built.reader.catalog)) as connection, connection:
        connection.execute("DELETE FROM outlines")
    assert [hit.signature for hit in (await built.search("lonely words")).hits] == [""]
