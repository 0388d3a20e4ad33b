from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from storage import Committed, Exclusion, Place, ReadAgain, Removal, Stat, count_death
from storage.catalog.files import exclude_file, remove_file

if TYPE_CHECKING:
    from tests.storage.conftest import FilledCatalog, MakeCatalog

CONTENT = ("blobs", "texts", "cuts", "outlines", "chunks")


def counts(catalog: FilledCatalog) -> list[int]:
    return [catalog.one(f"SELECT count(*) FROM {table}") for table in CONTENT]


def test_a_new_file_brings_blob_text_cut_and_chunks_and_its_entry_shows_them(catalog: FilledCatalog) -> None:
    committed = catalog.add("a.py", "def one\ndef two\n")
    assert committed.changed
    assert committed.added is not None
    assert len(committed.added.chunks) == 2
    assert counts(catalog) == [1, 1, 1, 1, 2]
    assert catalog.rows("SELECT path, cut_id, seq FROM entries") == [(b"a.py", committed.added.cut_id, committed.seq)]
    assert catalog.rows("SELECT words FROM path_words WHERE path_words MATCH 'a'") == [("a.py",)]
    assert catalog.findings() == []


def test_f105_a_commit_that_is_replayed_changes_nothing(catalog: FilledCatalog) -> None:
    version = catalog.version("a.py", "def one\n")
    committed = catalog.apply(version)
    assert isinstance(committed, Committed)
    before = catalog.dump(), counts(catalog), catalog.one("SELECT value FROM sequence")
    assert catalog.apply(version) == ReadAgain(version.place, committed.seq)
    assert (catalog.dump(), counts(catalog), catalog.one("SELECT value FROM sequence")) == before


def test_f105_a_slow_reader_of_an_older_version_has_to_read_again(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    slow = catalog.version("a.py", "def two\n")
    newest = catalog.add("a.py", "def three\n")
    before = catalog.dump()
    assert catalog.apply(slow) == ReadAgain(slow.place, newest.seq)
    assert catalog.dump() == before
    again = catalog.apply(replace(slow, place=Place(slow.place.snapshot_id, slow.place.path, newest.seq)))
    assert isinstance(again, Committed)


def test_f105_a_removal_or_an_exclusion_planned_before_a_change_has_to_look_again(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    place = catalog.place("a.py")
    newest = catalog.add("a.py", "def two\n")
    before = catalog.dump()
    exclusion = Exclusion(place, Stat(1, 1, 1, 1), 5, "binary", "", "rules")
    with catalog.transaction() as connection:
        assert remove_file(connection, Removal(place, "gone"), now_ms=1) == ReadAgain(place, newest.seq)
        assert exclude_file(connection, exclusion, now_ms=1) == ReadAgain(place, newest.seq)
    assert catalog.dump() == before


def test_a_file_said_to_be_known_whose_cut_is_gone_has_to_be_read_again(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    known = catalog.version("b.py", "def one\n", known=True)
    catalog.remove("a.py")
    catalog.collect()
    assert counts(catalog) == [0, 0, 0, 0, 0]
    assert catalog.apply(known) == ReadAgain(known.place, None)
    assert counts(catalog) == [0, 0, 0, 0, 0]
    assert catalog.rows("SELECT * FROM entries") == []


def test_a_text_brought_without_its_cut_leaves_nothing_behind(catalog: FilledCatalog) -> None:
    version = replace(catalog.version("a.py", "def one\n"), cut=None)
    assert catalog.apply(version) == ReadAgain(version.place, None)
    assert counts(catalog) == [0, 0, 0, 0, 0]


def test_f064_a_renamed_file_adds_no_chunk(catalog: FilledCatalog) -> None:
    first = catalog.add("old.py", "def one\n")
    before = catalog.rows("SELECT * FROM chunks")
    moved = catalog.add("new.py", "def one\n", known=True)
    catalog.remove("old.py")
    assert (moved.added, moved.changed) == (None, True)
    assert catalog.rows("SELECT * FROM chunks") == before
    assert first.added is not None
    assert catalog.rows("SELECT path, cut_id FROM entries") == [(b"new.py", first.added.cut_id)]
    assert catalog.one("SELECT unshown_since FROM cuts") is None
    assert catalog.findings() == []


def test_two_paths_with_one_content_share_its_cut_until_the_last_is_gone(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    catalog.add("b.py", "def one\n")
    assert counts(catalog) == [1, 1, 1, 1, 1]
    catalog.remove("a.py", now_ms=20)
    assert catalog.one("SELECT unshown_since FROM cuts") is None
    catalog.remove("b.py", now_ms=30)
    assert catalog.one("SELECT unshown_since FROM cuts") == 30


def test_one_header_as_c_and_as_cpp_is_one_text_and_two_cuts(catalog: FilledCatalog) -> None:
    catalog.add("c/a.h", "int one\n", language="c")
    catalog.add("cpp/a.h", "int one\n", language="cpp")
    assert counts(catalog) == [1, 1, 2, 2, 2]
    assert len({row[0] for row in catalog.rows("SELECT external_id FROM chunks")}) == 2


def test_a_new_extractor_or_cutter_cuts_the_same_bytes_anew(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    catalog.add("a.py", "def one\n", extractor=2)
    catalog.add("a.py", "def one\n", extractor=2, cutter="lines-2")
    assert counts(catalog) == [1, 2, 3, 3, 3]
    assert catalog.one("SELECT count(*) FROM cuts WHERE unshown_since IS NULL") == 1


def test_the_same_content_in_two_repositories_is_one_text_with_a_cut_each(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    other = catalog.add_repository(b"/src/two")
    version = catalog.version("a.py", "def one\n", snapshot_id=other.snapshot_id)
    assert isinstance(catalog.apply(version, repository=other), Committed)
    assert counts(catalog) == [1, 1, 2, 2, 2]
    assert catalog.findings() == []


def test_external_ids_are_equal_in_every_catalog_of_the_same_repository(make_catalog: MakeCatalog) -> None:
    one, other, foreign = (make_catalog(name, uuid=uuid) for name, uuid in (("1", "r"), ("2", "r"), ("3", "s")))
    other.add("first.py", "def elsewhere\n")
    for each in (one, other, foreign):
        each.add("a.py", "def one\ndef two\n")
    query = "SELECT external_id FROM chunks JOIN entries USING (cut_id)"
    ids, same, different = (each.rows(query + " WHERE path = ?", b"a.py") for each in (one, other, foreign))
    assert ids == same
    assert not set(ids) & set(different)


def test_an_unchanged_file_read_again_takes_its_new_stat_and_says_that_nothing_changed(catalog: FilledCatalog) -> None:
    first = catalog.add("a.py", "def one\n")
    again = catalog.add("a.py", "def one\n", mtime_ns=99)
    assert (again.added, again.changed) == (None, False)
    assert again.seq > first.seq
    assert catalog.one("SELECT mtime_ns FROM entries") == 99


def test_chunk_ids_are_never_given_out_again(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\ndef two\n")
    catalog.remove("a.py")
    gone = catalog.collect()
    assert gone == (1, 2)
    catalog.connection.close()
    catalog.connection = type(catalog)(catalog.path).connection
    committed = catalog.add("a.py", "def one\ndef two\n")
    assert committed.added is not None
    assert committed.added.first_chunk_id == 3
    assert committed.added.cut_id == 2, "the text index names cuts, too"


def test_an_empty_file_is_an_entry_without_chunks(catalog: FilledCatalog) -> None:
    committed = catalog.add("empty.py", "")
    assert committed.added is not None
    assert committed.added.chunks == ()
    assert counts(catalog) == [1, 1, 1, 0, 0]
    assert catalog.findings() == []


def test_an_excluded_file_loses_its_entry_and_keeps_the_reason(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    exclusion = Exclusion(catalog.place("a.py"), Stat(1, 2, 3, 4), 5, "binary", "NUL", "rules")
    with catalog.transaction() as connection:
        assert exclude_file(connection, exclusion, now_ms=30) == "excluded"
    assert catalog.rows("SELECT * FROM entries") == []
    assert catalog.rows("SELECT * FROM path_words") == []
    assert catalog.rows("SELECT path, reason, rules FROM exclusions") == [(b"a.py", "binary", "rules")]
    assert catalog.one("SELECT unshown_since FROM cuts") == 30
    catalog.add("a.py", "def two\n")
    assert catalog.rows("SELECT * FROM exclusions") == []


def test_f010_deaths_are_counted_for_one_content_and_forgotten_with_the_next(catalog: FilledCatalog) -> None:
    place, stat = catalog.place("a.py"), Stat(1, 2, 3, 4)
    with catalog.transaction() as connection:
        assert [count_death(connection, place, stat) for _ in range(3)] == [1, 2, 3]
        assert count_death(connection, place, replace(stat, mtime_ns=9)) == 1
    catalog.add("a.py", "def one\n")
    assert catalog.rows("SELECT * FROM suspects") == []


@pytest.mark.parametrize("state", ["building", "serving"])
def test_every_new_chunk_is_wanted_in_collections_that_serve_or_are_built(catalog: FilledCatalog, state: str) -> None:
    catalog.change("INSERT INTO collections VALUES (1, 'local', 'f', 3, ?, 'one', '')", state)
    catalog.change("INSERT INTO collections VALUES (2, 'local', 'g', 3, 'retired', 'two', '')")
    catalog.add("a.py", "def one\ndef two\n")
    assert catalog.rows("SELECT collection_id, chunk_id, state FROM points") == [(1, 1, "pending"), (1, 2, "pending")]
    assert catalog.findings() == []


def test_a_stored_point_stays_stored_when_its_chunk_is_shown_once_more(catalog: FilledCatalog) -> None:
    catalog.change("INSERT INTO collections VALUES (1, 'local', 'f', 3, 'serving', 'one', '')")
    catalog.add("a.py", "def one\n")
    catalog.change("UPDATE points SET state = 'stored'")
    before = catalog.rows("SELECT * FROM points")
    catalog.add("b.py", "def one\n")
    assert catalog.rows("SELECT * FROM points") == before


def test_a_chunk_shown_again_while_its_vector_is_being_deleted_is_wanted_again_under_a_new_number(
    catalog: FilledCatalog,
) -> None:
    catalog.change("INSERT INTO collections VALUES (1, 'local', 'f', 3, 'serving', 'one', '')")
    catalog.add("a.py", "def one\n")
    catalog.change("UPDATE points SET state = 'stored'")
    catalog.remove("a.py")
    assert catalog.collect() == ()
    ((state, deleting),) = catalog.rows("SELECT state, seq FROM points")
    assert state == "deleting"
    catalog.add("b.py", "def one\n")
    ((state, seq),) = catalog.rows("SELECT state, seq FROM points")
    assert state == "pending"
    assert seq > deleting, "a late acknowledgement of the deletion must not match"
    assert catalog.findings() == []
