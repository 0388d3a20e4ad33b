from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from storage import (
    CatalogDamaged,
    canonical_dump,
    check_catalog,
    compress_text,
    open_for_reading,
    open_for_writing,
    pack_outline,
    translated,
)
from storage.catalog.check import _RULES

if TYPE_CHECKING:
    from tests.storage.conftest import FilledCatalog, MakeCatalog

CORRUPTIONS: dict[str, tuple[str, ...]] = {
    "entry shows a cut of another content": ("UPDATE entries SET blob_id = 2 WHERE path = CAST('a.py' AS BLOB)",),
    "entry shows a cut of another repository": ("UPDATE entries SET snapshot_id = 2 WHERE id = 1",),
    "entry shows a cut that is marked as not shown": ("UPDATE cuts SET unshown_since = 5 WHERE id = 1",),
    "cut that nothing shows is not marked so": ("UPDATE cuts SET unshown_since = NULL WHERE id = 3",),
    "text without a cut": (
        "INSERT INTO blobs (id, sha256, size) VALUES (9, x'00', 0)",
        "INSERT INTO texts (blob_id, extractor, encoding, size, body) VALUES (9, 1, 'utf-8', 0, x'00')",
    ),
    "blob without a text": ("INSERT INTO blobs (id, sha256, size) VALUES (9, x'00', 0)",),
    "entry without path words": ("DELETE FROM path_words WHERE rowid = 1",),
    "path words without an entry": ("INSERT INTO path_words (rowid, words) VALUES (99, 'lost')",),
    "chunk that deletions name": ("INSERT INTO deletions (chunk_id) VALUES (1)",),
    "live chunk without a point": ("DELETE FROM points WHERE chunk_id = 1",),
    "point without a chunk": ("INSERT INTO points VALUES (1, 99, 'pending', '', 1, 0, 0)",),
    "sequence behind a number it gave out": ("UPDATE sequence SET value = 1",),
    "sequence is not one row": ("INSERT INTO sequence VALUES (99)",),
    "chunk ids behind one that was given out": ("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'chunks'",),
    "batch of a job that does not run": (
        "INSERT INTO jobs (id, repository_id, state, epoch, created_at) VALUES ('j', 1, 'failed', 1, 1)",
        "INSERT INTO batches (job_id, epoch, paths) VALUES ('j', 1, x'61')",
    ),
    "path words": ("UPDATE path_words_content SET c0 = 'other' WHERE id = 1",),
    "foreign key": ("UPDATE cuts SET repository_id = 77 WHERE id = 3",),
    "SQLite integrity": ("UPDATE jobs SET state = 'unheard of'",),
    "schema": ("DROP INDEX entries_cut",),
    "text": ("UPDATE texts SET body = x'28b52ffd' WHERE id = 1",),
    "chunks cover their text": ("UPDATE chunks SET start_byte = 1 WHERE chunk_id = 1",),
    "external id": ("UPDATE chunks SET external_id = x'00000000000000000000000000000000' WHERE chunk_id = 1",),
    "outline": ("UPDATE outlines SET body = x'0000000028b52ffd' WHERE cut_id = 1",),
}


@pytest.fixture
def filled(catalog: FilledCatalog) -> FilledCatalog:
    """Two live files, one that is gone, another repository, and a collection."""
    catalog.change("INSERT INTO collections VALUES (1, 'local', 'f', 3, 'serving', 'one', '')")
    catalog.add("a.py", "def one\ndef two\n")
    catalog.add("b.py", "def three\n")
    catalog.add("c.py", "def gone\n")
    catalog.remove("c.py")
    catalog.change("INSERT INTO jobs (id, repository_id, state, epoch, created_at) VALUES ('k', 1, 'queued', 1, 1)")
    catalog.add_repository(b"/src/two")
    assert catalog.findings() == []
    return catalog


@pytest.mark.parametrize("rule", CORRUPTIONS)
def test_each_rule_finds_its_corruption(filled: FilledCatalog, rule: str) -> None:
    filled.change("PRAGMA ignore_check_constraints = ON")
    for statement in CORRUPTIONS[rule]:
        filled.change(statement)
    filled.change("PRAGMA ignore_check_constraints = OFF")
    assert rule in {finding.rule for finding in filled.findings()}


def test_every_rule_is_tested() -> None:
    assert set(_RULES) <= set(CORRUPTIONS)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chunks SET end_byte = 7 WHERE chunk_id = 1",
        "UPDATE chunks SET end_byte = 99 WHERE chunk_id = 2",
        "DELETE FROM chunks WHERE chunk_id = 2",
        "DELETE FROM chunks WHERE cut_id = 1",
    ],
)
def test_a_gap_an_overlap_or_a_missing_end_of_the_chunks_is_found(filled: FilledCatalog, statement: str) -> None:
    filled.change(statement)
    assert "chunks cover their text" in {finding.rule for finding in filled.findings()}


def test_a_text_of_white_space_alone_needs_no_chunks(catalog: FilledCatalog) -> None:
    catalog.add("blank.py", "")
    catalog.change("UPDATE texts SET body = ?, size = 4", compress_text(b" \n\n\t"))
    assert catalog.findings() == []


@pytest.mark.parametrize("how", ["missing", "of another cut", "too short"])
def test_an_outline_that_does_not_fit_its_chunks_is_found(filled: FilledCatalog, how: str) -> None:
    match how:
        case "missing":
            filled.change("DELETE FROM outlines WHERE cut_id = 1")
        case "of another cut":
            filled.change("UPDATE outlines SET first_chunk_id = 2 WHERE cut_id = 1")
        case _:
            filled.change("UPDATE outlines SET body = ? WHERE cut_id = 1", pack_outline([]))
    assert "outline" in {finding.rule for finding in filled.findings()}


def test_a_file_that_is_no_database_is_found(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"no database" * 1000)
    with closing(open_for_reading(tmp_path / "catalog.db")) as connection:
        assert [finding.rule for finding in check_catalog(connection)] == ["SQLite integrity"]


@pytest.mark.parametrize("seed", range(4))
def test_f008_flipped_bits_are_found_or_harmless(make_catalog: MakeCatalog, tmp_path: Path, seed: int) -> None:
    catalog = make_catalog()
    catalog.change("PRAGMA page_size = 512")
    for number in range(20):
        catalog.add(f"{number}.py", "".join(f"def f{number}_{line}\n" for line in range(number)))
    catalog.connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    whole = (tmp_path / "copy.db").read_bytes()
    with closing(open_for_reading(tmp_path / "copy.db")) as connection:
        sound = list(canonical_dump(connection))
    chance = random.Random(seed)
    found = 0
    for _ in range(12):
        damaged = bytearray(whole)
        damaged[chance.randrange(100, len(damaged))] ^= 1 << chance.randrange(8)
        target = tmp_path / "damaged.db"
        target.write_bytes(damaged)
        with closing(open_for_reading(target)) as connection:
            if list(check_catalog(connection)):
                found += 1
                continue
            assert same_but_for_names_and_numbers(list(canonical_dump(connection)), sound)
    assert found


def same_but_for_names_and_numbers(one: list[str], other: list[str]) -> bool:
    """SQLite keeps no checksums: a flip inside a plain value of a row is not noticed and harms that value alone."""
    return len(one) == len(other) and len(set(one) - set(other)) <= 1


def test_f008_a_truncated_wal_opens_to_an_earlier_state_that_is_whole(
    make_catalog: MakeCatalog, tmp_path: Path
) -> None:
    catalog = make_catalog()
    catalog.change("PRAGMA wal_checkpoint(TRUNCATE)")
    dumps = [catalog.dump()]
    for number in range(6):
        catalog.add(f"{number}.py", f"def f{number}\n")
        dumps.append(catalog.dump())
    wal = catalog.path.with_name("catalog.db-wal").read_bytes()
    copy = tmp_path / "copy"
    seen = set()
    for kept in range(0, len(wal), len(wal) // 12):
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        shutil.copyfile(catalog.path, copy / "catalog.db")
        (copy / "catalog.db-wal").write_bytes(wal[:kept])
        with closing(open_for_writing(copy / "catalog.db")) as connection:
            assert list(check_catalog(connection)) == []
            dump = list(canonical_dump(connection))
        assert dump in dumps
        seen.add(dumps.index(dump))
    assert len(seen) > 2
    assert sorted(seen) == list(range(max(seen) + 1)), "every earlier state, none skipped"


def test_f008_a_truncated_catalog_is_an_error_of_ours(catalog: FilledCatalog, tmp_path: Path) -> None:
    for number in range(40):
        catalog.add(f"{number}.py", f"def f{number}\n")
    catalog.connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    whole = (tmp_path / "copy.db").read_bytes()
    (tmp_path / "short.db").write_bytes(whole[: len(whole) // 2])
    with closing(open_for_reading(tmp_path / "short.db")) as connection:
        assert [finding.rule for finding in check_catalog(connection)] != []
        with pytest.raises(CatalogDamaged), translated(tmp_path / "short.db"):
            list(canonical_dump(connection))


def test_f008_damage_that_sqlite_quotes_in_bytes_that_are_no_text_is_damage_too(
    catalog: FilledCatalog, tmp_path: Path
) -> None:
    catalog.connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    whole = (tmp_path / "copy.db").read_bytes()
    assert b"chunks_cut ON chunks" in whole
    (tmp_path / "copy.db").write_bytes(whole.replace(b"chunks_cut ON chunks", b"chunks_cut ON ch\xd5nks"))
    with closing(open_for_reading(tmp_path / "copy.db")) as connection:
        assert [finding.rule for finding in check_catalog(connection)] == ["SQLite integrity"]
        with pytest.raises(CatalogDamaged, match="fsck --repair"), translated(tmp_path / "copy.db"):
            connection.execute("SELECT * FROM meta")


def test_what_sqlite_says_of_damage_becomes_our_error(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"no database" * 1000)
    with (
        closing(open_for_reading(tmp_path / "catalog.db")) as connection,
        pytest.raises(CatalogDamaged, match="fsck --repair") as caught,
        translated(tmp_path / "catalog.db"),
    ):
        connection.execute("SELECT * FROM meta")
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
