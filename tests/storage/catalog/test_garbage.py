from __future__ import annotations

from typing import TYPE_CHECKING

from storage import Collected, collect_garbage, last_deletion, trim_deletions
from storage.catalog.garbage import deletions_trimmed
from storage.catalog.repositories import forget

if TYPE_CHECKING:
    from tests.storage.conftest import FilledCatalog

TABLES = ("blobs", "texts", "cuts", "outlines", "chunks")


def counts(catalog: FilledCatalog) -> list[int]:
    return [catalog.one(f"SELECT count(*) FROM {table}") for table in TABLES]


def test_chunks_that_nothing_shows_stay_for_their_grace_period(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    catalog.remove("a.py", now_ms=1000)
    assert catalog.collect(older_than_ms=999) == ()
    assert counts(catalog) == [1, 1, 1, 1, 1]
    assert catalog.collect(older_than_ms=1000) == (1,)
    assert counts(catalog) == [0, 0, 0, 0, 0]


def test_chunks_shown_again_within_their_grace_period_stay(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    catalog.remove("a.py", now_ms=1000)
    assert catalog.add("b.py", "def one\n", known=True).added is None
    assert catalog.findings() == []
    assert catalog.collect() == ()
    catalog.remove("b.py", now_ms=5000)
    assert catalog.collect(older_than_ms=4999) == (), "the period begins anew"


def test_a_cut_that_an_entry_shows_is_kept_whatever_its_mark_says(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    catalog.change("UPDATE cuts SET unshown_since = 1")
    assert catalog.collect() == ()


def test_a_text_goes_with_its_last_cut_and_a_blob_with_its_last_text(catalog: FilledCatalog) -> None:
    catalog.add("a.h", "int one\n", language="c")
    catalog.add("b.h", "int one\n", language="cpp")
    catalog.add("c.h", "int one\n", language="c", extractor=2)
    catalog.remove("a.h")
    catalog.collect()
    assert counts(catalog) == [1, 2, 2, 2, 2]
    catalog.remove("b.h")
    catalog.collect()
    assert counts(catalog) == [1, 1, 1, 1, 1]
    catalog.remove("c.h")
    catalog.collect()
    assert counts(catalog) == [0, 0, 0, 0, 0]
    assert catalog.findings() == []


def test_every_chunk_that_goes_is_named_in_deletions_by_the_same_transaction(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\ndef two\n")
    catalog.add("b.py", "def three\n")
    catalog.remove("a.py")
    catalog.connection.execute("BEGIN IMMEDIATE")
    collected = collect_garbage(catalog.connection, older_than_ms=1 << 60)
    assert collected == Collected((1, 2), 2, more=False)
    assert catalog.rows("SELECT id, chunk_id FROM deletions") == [(1, 1), (2, 2)]
    catalog.connection.execute("ROLLBACK")
    assert catalog.rows("SELECT * FROM deletions") == []
    assert catalog.one("SELECT count(*) FROM chunks") == 3


def test_much_garbage_goes_in_rounds(catalog: FilledCatalog) -> None:
    for number in range(5):
        catalog.add(f"{number}.py", f"def f{number}\n")
        catalog.remove(f"{number}.py")
    rounds = []
    for _ in range(3):
        with catalog.transaction() as connection:
            collected = collect_garbage(connection, older_than_ms=1 << 60, most_cuts=2)
        rounds.append((len(collected.chunk_ids), collected.more))
    assert rounds == [(2, True), (2, True), (1, False)]


def test_deletions_that_were_followed_are_trimmed_and_how_far_is_remembered(catalog: FilledCatalog) -> None:
    for number in range(3):
        catalog.add(f"{number}.py", f"def f{number}\n")
        catalog.remove(f"{number}.py")
    catalog.collect()
    assert deletions_trimmed(catalog.connection) == 0
    with catalog.transaction() as connection:
        trim_deletions(connection, 2)
    assert catalog.rows("SELECT id FROM deletions") == [(3,)]
    assert deletions_trimmed(catalog.connection) == 2
    with catalog.transaction() as connection:
        trim_deletions(connection, 1)
    assert deletions_trimmed(catalog.connection) == 2, "what is gone does not come back"
    with catalog.transaction() as connection:
        trim_deletions(connection, 10)
    assert (deletions_trimmed(catalog.connection), last_deletion(catalog.connection)) == (10, 3)


def test_ids_of_deletions_are_never_given_out_again(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    catalog.remove("a.py")
    catalog.collect()
    with catalog.transaction() as connection:
        trim_deletions(connection, 1)
    catalog.add("b.py", "def two\n")
    catalog.remove("b.py")
    catalog.collect()
    assert catalog.rows("SELECT id FROM deletions") == [(2,)]


def test_chunks_with_vectors_wait_until_their_deletion_is_acknowledged(catalog: FilledCatalog) -> None:
    catalog.change("INSERT INTO collections VALUES (1, 'local', 'f', 3, 'serving', 'one', '')")
    catalog.add("a.py", "def one\n")
    catalog.change("UPDATE points SET state = 'stored'")
    catalog.remove("a.py")
    assert catalog.collect() == ()
    ((state, seq),) = catalog.rows("SELECT state, seq FROM points")
    assert state == "deleting"
    assert catalog.collect() == ()
    assert catalog.rows("SELECT state, seq FROM points") == [("deleting", seq)], "asked for once"
    assert catalog.one("SELECT count(*) FROM chunks") == 1
    catalog.change("DELETE FROM points WHERE seq = ?", seq)
    assert catalog.collect() == (1,)
    assert catalog.findings() == []


def test_a_forgotten_repository_vanishes_with_its_last_cut_and_the_others_stay(catalog: FilledCatalog) -> None:
    other = catalog.add_repository(b"/src/two")
    catalog.add("a.py", "def one\n")
    catalog.apply(catalog.version("a.py", "def one\n", snapshot_id=other.snapshot_id), repository=other)
    catalog.apply(catalog.version("b.py", "def two\n", snapshot_id=other.snapshot_id), repository=other)
    with catalog.transaction() as connection:
        forget(connection, other.id)
    assert catalog.one("SELECT count(*) FROM repositories") == 2, "its cuts still need it"
    assert len(catalog.collect(older_than_ms=0)) == 2
    assert catalog.rows("SELECT uuid FROM repositories") == [(catalog.repository.uuid,)]
    assert catalog.one("SELECT count(*) FROM snapshots") == 1
    assert counts(catalog) == [1, 1, 1, 1, 1]
    assert catalog.findings() == []
