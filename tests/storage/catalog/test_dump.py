from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage import compress_text

if TYPE_CHECKING:
    from tests.storage.conftest import FilledCatalog, MakeCatalog

FILES = {"a.py": "def one\ndef two\n", "b.py": "def three\n", "dir/c.py": "def one\ndef two\n"}


@pytest.fixture
def filled(make_catalog: MakeCatalog) -> FilledCatalog:
    catalog = make_catalog(uuid="the-uuid")
    catalog.change("INSERT INTO collections VALUES (1, 'local', 'f', 3, 'serving', 'one', '')")
    for path, text in FILES.items():
        catalog.add(path, text)
    return catalog


def test_i6_catalogs_that_came_about_differently_have_one_dump(
    filled: FilledCatalog, make_catalog: MakeCatalog
) -> None:
    other = make_catalog("other", uuid="the-uuid")
    other.change("INSERT INTO collections VALUES (7, 'local', 'f', 3, 'building', 'other', '')")
    other.add("gone.py", "def gone\n", now_ms=99)
    other.add("b.py", "def older\n")
    other.remove("gone.py")
    for path, text in reversed(FILES.items()):
        other.add(path, text, mtime_ns=77, now_ms=500)
    other.change("DELETE FROM points WHERE chunk_id IN (SELECT chunk_id FROM chunks JOIN cuts ON cuts.id = cut_id"
                 " WHERE unshown_since IS NOT NULL)")  # fmt: skip
    other.collect()
    assert other.dump() == filled.dump()


def test_a_dump_does_not_depend_on_how_well_texts_are_compressed(filled: FilledCatalog) -> None:
    before = filled.dump()
    filled.change("UPDATE texts SET body = ? WHERE id = 1", compress_text(b"def one\ndef two\n", 19))
    assert filled.dump() == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET path = x'7a' WHERE id = 1",
        "UPDATE entries SET flags = 'test' WHERE id = 1",
        "UPDATE entries SET cut_id = 2, blob_id = 2 WHERE id = 1",
        "DELETE FROM entries WHERE id = 1",
        "UPDATE path_words SET words = 'other' WHERE rowid = 1",
        "UPDATE repositories SET uuid = 'other'",
        "UPDATE blobs SET sha256 = x'00' WHERE id = 1",
        "UPDATE texts SET encoding = 'latin-1' WHERE id = 1",
        "UPDATE texts SET sections = '[[\"cell 1\", 1]]' WHERE id = 1",
        "UPDATE cuts SET imports = 'sys' WHERE id = 1",
        "UPDATE cuts SET cutter = 'other' WHERE id = 1",
        "UPDATE chunks SET end_line = 9 WHERE chunk_id = 1",
        "UPDATE chunks SET symbol = 'other' WHERE chunk_id = 1",
        "DELETE FROM outlines WHERE cut_id = 1",
        "UPDATE points SET state = 'stored' WHERE chunk_id = 1",
        "INSERT INTO exclusions VALUES (1, x'7a', 'binary', 'rules', 1, 1, 1, 1, 1)",
    ],
)
def test_i6_any_change_of_content_changes_the_dump(filled: FilledCatalog, statement: str) -> None:
    before = filled.dump()
    filled.change(statement)
    assert filled.dump() != before


def test_i6_another_text_or_outline_changes_the_dump(filled: FilledCatalog) -> None:
    before = filled.dump()
    filled.change("UPDATE texts SET body = ? WHERE id = 1", compress_text(b"def one\ndef TWO\n"))
    assert filled.dump() != before
    other = filled.version("a.py", "def one\ndef two\n", cutter="lines-2", signature="def one()")
    filled.change("UPDATE texts SET body = ? WHERE id = 1", compress_text(b"def one\ndef two\n"))
    assert filled.dump() == before
    filled.apply(other)
    assert any("def one()" in line for line in filled.dump())
