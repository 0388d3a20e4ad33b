"""The join with the catalog holds by itself, whatever an index says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage import hits

if TYPE_CHECKING:
    from tests.indexing.search.conftest import Build, World

FILES = {"lib/near.py": "def near(): pass\n", "or.py": "x = 1\n"}


async def _cuts(built: World) -> list[int]:
    return [cut_id for (cut_id,) in await built.reader.query("SELECT id FROM cuts")]


async def test_f096_places_of_other_repositories_are_never_given(world: Build) -> None:
    built = await world(FILES)
    cuts = await _cuts(built)
    assert len(await hits.places_of(built.reader, cuts, {built.uuid})) == 2
    assert await hits.places_of(built.reader, cuts, {"other"}) == {}
    assert await hits.places_of(built.reader, cuts, set()) == {}
    entries = [number for (number,) in await built.reader.query("SELECT id FROM entries")]
    assert len(await hits.shown_entries(built.reader, entries, {built.uuid})) == 2
    assert await hits.shown_entries(built.reader, entries, {"other"}) == []
    assert await hits.cuts_under(built.reader, [b""], {built.uuid}, lambda _: True) == sorted(cuts)
    assert await hits.cuts_under(built.reader, [b""], {"other"}, lambda _: True) == []


@pytest.mark.parametrize("word", ["OR", "NOT", "NEAR", 'x" OR "near', "near*", "words:near", "(near", "near AND or"])
async def test_f083_path_words_are_matched_as_plain_words(world: Build, word: str) -> None:
    built = await world(FILES)
    found = await hits.entries_with_path_words(built.reader, [word])
    expected = {"OR": 1, "NEAR": 1, "near*": 1, "(near": 1}.get(word, 0)
    assert sum(map(len, found.values())) == expected


async def test_a_path_word_that_is_everywhere_is_left_out(world: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "MAX_FILES_PER_WORD", 3)
    built = await world({f"common/rare{number // 3}_{number}.py": f"x = {number}\n" for number in range(6)})
    found = await hits.entries_with_path_words(built.reader, ["common", "rare0", "absent"])
    assert {word: len(entries) for word, entries in found.items()} == {"rare0": 3}


async def test_path_filters_apply_before_the_cut_of_the_path_leg(world: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexing.search.engine.MAX_ALLOWED_IDS", 0)
    crowd = {f"crowd{number}/invoice.py": f"x = {number}\n" for number in range(60)}
    built = await world(crowd | {"wanted/invoice.py": "y = 2\n"})
    assert await built.paths("invoice", path_globs=("wanted/**",)) == ["wanted/invoice.py"]


async def test_the_many_paths_of_one_content_are_bounded(world: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "MAX_PLACES", 4)
    built = await world({f"copy{number}.py": "def licence(): pass\n" for number in reversed(range(9))})
    for many in (4_096, 5):  # fetched and sorted here, or numbered by SQLite
        monkeypatch.setattr(hits, "_MANY_PLACES", many)
        (hit,) = (await built.search("licence")).hits
        assert (hit.path, hit.also_at) == ("copy0.py", ("copy1.py", "copy2.py", "copy3.py"))
        assert (hit.root, hit.language, hit.stale) == (str(built.tree), "python", False)
    (filtered,) = (await built.search("licence", path_globs=("copy8.py",))).hits
    assert filtered.path == "copy8.py"


async def test_chunks_are_known_by_their_external_ids(world: Build) -> None:
    built = await world({f"a{number}.py": f"x = {number}\n" for number in range(40)})
    rows = await built.reader.query("SELECT external_id, chunk_id, cut_id FROM chunks")
    known = {external_id: (chunk_id, cut_id) for external_id, chunk_id, cut_id in rows}
    assert await hits.chunks_under(built.reader, [*known, b"?" * 16]) == known
    assert await hits.chunks_under(built.reader, []) == {}
    cuts = [cut_id for _, cut_id in known.values()]
    assert set(await hits.external_ids_of(built.reader, cuts, 40) or ()) == set(known)
    assert await hits.external_ids_of(built.reader, cuts, 39) is None
    assert await hits.external_ids_of(built.reader, [], 0) == []
