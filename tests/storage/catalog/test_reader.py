from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest

from storage import (
    CatalogDamaged,
    Exclusion,
    KnownCuts,
    KnownFile,
    Stat,
    StorageError,
    count_death,
    damage_mark,
    mark_damaged,
    open_reader,
    set_aside,
)
from storage.catalog.files import exclude_file

if TYPE_CHECKING:
    from tests.storage.conftest import FilledCatalog


@pytest.fixture
def filled(catalog: FilledCatalog) -> FilledCatalog:
    """Files, an exclusion and a suspect."""
    catalog.add("a.py", "def one\ndef two\n", flags=("generated", "test"))
    catalog.add("b.py", "def three\n", cutter="lines-2", extractor=2)
    catalog.add("empty.py", "")
    catalog.add("c.py", "def four\n")
    exclusion = Exclusion(catalog.place("x.bin"), Stat(1, 2, 3, 4), 5, "binary", "", "rules")
    with catalog.transaction() as connection:
        exclude_file(connection, exclusion, now_ms=1)
        for _ in range(3):
            count_death(connection, catalog.place("d.py"), Stat(5, 6, 7, 8))
        count_death(connection, catalog.place("e.py"), Stat(5, 6, 7, 8))
    return catalog


async def test_what_is_known_of_every_path_is_read_at_once(filled: FilledCatalog) -> None:
    async with open_reader(filled.path) as reader:
        known = await reader.known_files(filled.repository.snapshot_id)
        assert set(known) == {b"a.py", b"b.py", b"c.py", b"empty.py", b"x.bin"}
        assert known[b"a.py"] == KnownFile(
            Stat(16, 1, 1, 7), 5, 1, "lines-1", 1, "python", ("generated", "test"), "", ""
        )
        assert (known[b"b.py"].cutter, known[b"b.py"].extractor) == ("lines-2", 2)
        assert known[b"x.bin"] == KnownFile(Stat(1, 2, 3, 4), 5, None, "", 0, "", (), "binary", "rules")
        assert await reader.poisoned(filled.repository.snapshot_id, 3) == {b"d.py": Stat(5, 6, 7, 8)}
        assert await reader.repositories() == [filled.repository]


async def test_chunks_come_in_pages_in_order_with_the_texts_of_their_cuts(filled: FilledCatalog) -> None:
    pages = []
    last = 0
    async with open_reader(filled.path) as reader:
        while True:
            chunks, texts = await reader.chunks_after(last, 3)
            if not chunks:
                break
            pages.append([(chunk.chunk_id, chunk.symbols) for chunk in chunks])
            for chunk in chunks:
                text = texts[chunk.cut_id]
                assert text[chunk.start_byte : chunk.end_byte].decode() == f"def {chunk.symbols[0]}\n"
                assert chunk.repository == filled.repository.uuid
            last = chunks[-1].chunk_id
    assert pages == [[(1, ("one",)), (2, ("two",)), (3, ("three",))], [(4, ("four",))]]


async def test_deletions_come_in_pages_in_order(filled: FilledCatalog) -> None:
    def remove() -> None:
        for path in ("a.py", "c.py"):
            filled.remove(path)
        filled.collect()

    await asyncio.to_thread(remove)
    async with open_reader(filled.path) as reader:
        assert await reader.deletions_after(0, 2) == [(1, 1), (2, 2)]
        assert await reader.deletions_after(2, 2) == [(3, 4)]
        assert await reader.deletions_after(3, 2) == []


async def test_a_reader_sees_each_commit_of_the_writer_and_cannot_write(filled: FilledCatalog) -> None:
    async with open_reader(filled.path) as reader:
        before = len(await reader.known_files(filled.repository.snapshot_id))
        await asyncio.to_thread(filled.add, "new.py", "def five\n")
        assert len(await reader.known_files(filled.repository.snapshot_id)) == before + 1
        with pytest.raises(StorageError):
            await reader.query("DELETE FROM entries")
        with pytest.raises(StorageError):
            await reader.run(lambda connection: connection.execute("DELETE FROM entries").fetchall())


async def test_f008_a_reader_of_what_is_no_catalog_says_that_it_is_damaged(filled: FilledCatalog) -> None:
    path = filled.path.with_name("other.db")
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(CatalogDamaged, match="fsck --repair"):
        async with open_reader(path):
            pass


def test_a_worker_is_told_which_content_is_cut_already(filled: FilledCatalog) -> None:
    known = KnownCuts(filled.path)
    version = filled.version("other.py", "def one\ndef two\n")
    own = filled.repository.id
    try:
        assert known.has(own, version.sha256, extractor=1, language="python", cutter="lines-1")
        assert not known.has(own + 1, version.sha256, extractor=1, language="python", cutter="lines-1")
        assert not known.has(own, b"other", extractor=1, language="python", cutter="lines-1")
        assert not known.has(own, version.sha256, extractor=2, language="python", cutter="lines-1")
        assert not known.has(own, version.sha256, extractor=1, language="c", cutter="lines-1")
        assert not known.has(own, version.sha256, extractor=1, language="python", cutter="lines-2")
        filled.add("late.py", "def late\n")
        late = filled.version("late.py", "def late\n")
        assert known.has(own, late.sha256, extractor=1, language="python", cutter="lines-1")
    finally:
        known.close()


def test_f008_a_damaged_catalog_is_moved_aside_as_a_whole_with_the_word_left_on_it(catalog: FilledCatalog) -> None:
    assert damage_mark(catalog.path) is None
    mark_damaged(catalog.path, "page 3 \u2026")
    assert damage_mark(catalog.path) == "page 3 \u2026"
    catalog.path.with_name("catalog.db-wal").write_bytes(b"left")
    catalog.close()
    aside = set_aside(catalog.path, now_ms=5)
    assert {path.name for path in aside.iterdir()} >= {"catalog.db", "damaged"}
    assert list(catalog.path.parent.iterdir()) == []
    assert catalog.path.parent.stat().st_mode & 0o777 == 0o700
    assert damage_mark(catalog.path) is None


async def test_reading_many_at_once_is_served_by_one_connection(filled: FilledCatalog) -> None:
    async with open_reader(filled.path) as reader:
        results = await asyncio.gather(*(reader.deletions_after(0, 1) for _ in range(20)))
    assert results == [[]] * 20


async def test_what_reads_one_after_the_other_shares_a_connection_that_sees_every_commit(filled: FilledCatalog) -> None:
    def names(connection: sqlite3.Connection) -> tuple[int, list[bytes]]:
        return id(connection), [path for (path,) in connection.execute("SELECT path FROM entries ORDER BY path")]

    async with open_reader(filled.path) as reader:
        first, before = await reader.read(names)
        await asyncio.to_thread(filled.add, "new.py", "def new\n")
        second, after = await reader.read(names)
        assert (first, set(after) - set(before)) == (second, {b"new.py"})
        kept: list[sqlite3.Connection] = await reader.read(lambda connection: [connection])
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        await asyncio.to_thread(kept[0].execute, "SELECT 1")


async def test_what_reads_at_the_same_time_never_shares_a_connection(filled: FilledCatalog) -> None:
    together = threading.Barrier(3, timeout=20)

    def meet(connection: sqlite3.Connection) -> int:
        together.wait()
        return id(connection)

    async with open_reader(filled.path) as reader:
        for _ in range(2):
            assert len(set(await asyncio.gather(*(reader.read(meet) for _ in range(3))))) == 3


async def test_a_connection_whose_reader_failed_is_not_used_again(filled: FilledCatalog) -> None:
    used: list[sqlite3.Connection] = []

    def fail(connection: sqlite3.Connection) -> None:
        used.append(connection)
        connection.execute("SELECT * FROM nothing")

    async with open_reader(filled.path) as reader:
        with pytest.raises(StorageError, match="nothing"):
            await reader.read(fail)
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            await asyncio.to_thread(used[0].execute, "SELECT 1")
        assert await reader.read(lambda connection: connection.execute("SELECT 1").fetchall()) == [(1,)]


async def test_a_connection_in_use_when_the_reader_closes_is_closed_after_it(filled: FilledCatalog) -> None:
    begun, go_on = threading.Event(), threading.Event()
    used: list[sqlite3.Connection] = []

    def wait(connection: sqlite3.Connection) -> None:
        used.append(connection)
        begun.set()
        assert go_on.wait(20)

    async with open_reader(filled.path) as reader:
        reading = asyncio.create_task(reader.read(wait))
        assert await asyncio.to_thread(begun.wait, 20)
    go_on.set()
    await reading
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        await asyncio.to_thread(used[0].execute, "SELECT 1")


async def test_two_functions_read_at_the_same_time_and_a_third_with_what_they_gave(filled: FilledCatalog) -> None:
    meeting = threading.Barrier(2, timeout=10)

    def meet(connection: sqlite3.Connection) -> sqlite3.Connection:
        meeting.wait()
        return connection

    async with open_reader(filled.path) as reader:
        third, first, other = await reader.read_both(meet, meet, lambda *given: given)
        assert third is first
        assert other is not first


async def test_more_pairs_than_threads_wait_for_each_other_and_never_for_ever(filled: FilledCatalog) -> None:
    async with open_reader(filled.path) as reader, asyncio.timeout(20):
        pairs = (reader.read_both(lambda _: 1, lambda _: 2, lambda _, one, two: one + two) for _ in range(200))
        assert set(await asyncio.gather(*pairs)) == {3}


@pytest.mark.parametrize("fails", ["one", "other", "then"])
async def test_whichever_of_the_functions_fails_is_heard(filled: FilledCatalog, fails: str) -> None:
    def step(name: str) -> None:
        if name == fails:
            raise CatalogDamaged(name)

    async with open_reader(filled.path) as reader:
        with pytest.raises(CatalogDamaged, match=fails):
            await reader.read_both(lambda _: step("one"), lambda _: step("other"), lambda *_: step("then"))
        assert await reader.read(lambda connection: connection.execute("SELECT 1").fetchall()) == [(1,)]
