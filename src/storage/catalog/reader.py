"""Reading the catalog for planning, status and the text index, over ``aiosqlite``.

A ``Reader`` never writes, locks or migrates; SQLite's WAL lets it work beside the writer.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from storage.catalog.connection import (
    BUSY_TIMEOUT_SECONDS,
    open_for_reading,
    reading_uri,
    translate,
    translated,
)
from storage.catalog.migrations import check_version, schema_version
from storage.catalog.repositories import repositories
from storage.errors import CatalogDamaged, CatalogMissing
from storage.outlines import unpack_outline
from storage.records import Stat
from storage.texts import expand_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import aiosqlite

    from storage.catalog.repositories import Repository

S = TypeVar("S")
T = TypeVar("T")
U = TypeVar("U")

READ_THREADS = 8
"""Of a reader's ``read``."""

COURTESY_SECONDS = 0.5
"""That background work waits, at most, for those who read: they come first, and do not stop it."""

_PAGE_CACHE_KIB = 16_384
"""Of a kept connection, at most. In SQLite's 2 MiB, one search in 90,000 chunks throws out what the next needs."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What the catalog knows of a path: an entry, or why its content was left out."""

    stat: Stat
    read_at_ns: int
    seq: int | None
    """of the entry; None for an exclusion"""
    cutter: str
    extractor: int
    language: str
    flags: tuple[str, ...]
    excluded: str
    """reason, or empty for an entry"""
    rules: str
    """of the exclusion"""


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as the text index needs it."""

    chunk_id: int
    cut_id: int
    repository: str
    language: str
    kind: str
    scope: str
    symbols: tuple[str, ...]
    start_byte: int
    end_byte: int


class Reader:
    """A read-only view of the catalog."""

    def __init__(self, connection: aiosqlite.Connection, catalog: Path) -> None:
        """Wrap an open connection; use ``open_reader``."""
        self.connection = connection
        self.catalog = catalog
        self._damage: CatalogDamaged | None = None
        self._is_damaged = asyncio.Event()
        # Not the event loop's own: scans of trees hold those for long, and whoever searches would wait.
        self._threads = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="catalog-read")
        self._reads = 0
        self._quiet = asyncio.Event()
        self._lock = threading.Lock()
        self._kept: list[sqlite3.Connection] | None = []
        """of ``read``, those not in use; None once closed"""

    async def query(self, sql: str, parameters: Iterable[object] = ()) -> list[tuple]:  # type: ignore[type-arg]
        """Return all rows of a statement."""
        with self._noticing(), translated(self.catalog):
            return list(await self.connection.execute_fetchall(sql, parameters))  # type: ignore[arg-type]

    async def known_files(self, snapshot_id: int, paths: Sequence[bytes] | None = None) -> dict[bytes, KnownFile]:
        """Return what is known of every path of a snapshot; with ``paths``, of those and of what lies below them."""
        if paths is not None:
            return await self.read(lambda connection: _known_below(connection, snapshot_id, paths))
        known = _known(await self.query(f"{_ENTRIES} WHERE snapshot_id = ?", (snapshot_id,)))
        return known | _left_out(await self.query(f"{_EXCLUSIONS} WHERE snapshot_id = ?", (snapshot_id,)))

    async def poisoned(self, snapshot_id: int, deaths: int) -> dict[bytes, Stat]:
        """Return the files that killed their worker ``deaths`` times or more, with the stat they had."""
        rows = await self.query(
            "SELECT path, size, mtime_ns, ctime_ns, inode FROM suspects WHERE snapshot_id = ? AND deaths >= ?",
            (snapshot_id, deaths),
        )
        return {row[0]: Stat(*row[1:5]) for row in rows}

    async def repositories(self) -> list[Repository]:
        """Return all repositories, by root."""
        return await self.run(repositories)

    async def chunks_after(self, chunk_id: int, limit: int) -> tuple[list[StoredChunk], dict[int, bytes]]:
        """Return the next chunks in order of their ids, and the texts of their cuts: ``{cut_id: UTF-8}``."""
        return await self.run(lambda connection: _chunks_after(connection, chunk_id, limit))

    async def deletions_after(self, deletion: int, limit: int) -> list[tuple[int, int]]:
        """Return the next (id, chunk_id) rows of ``deletions``."""
        return await self.query(
            "SELECT id, chunk_id FROM deletions WHERE id > ? ORDER BY id LIMIT ?", (deletion, limit)
        )

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Run a reading function on a connection of its own, in a thread."""
        with self._noticing():
            return await asyncio.to_thread(_read, self.catalog, read)

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Run a reading function in a thread, on a connection that is kept for the next one with its page cache.

        Several statements in one function cost one change of threads; those of ``query`` cost one each.
        """
        with self._counted(), self._noticing():
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._read_on_kept, read)

    async def read_both(
        self,
        one: Callable[[sqlite3.Connection], S],
        other: Callable[[sqlite3.Connection], U],
        then: Callable[[sqlite3.Connection, S, U], T],
    ) -> T:
        """As ``read``: two functions at once, and in the thread of the first a third one with what they gave.

        Where no second thread is free by the time the first is done, it runs the other one too.
        """

        def read(connection: sqlite3.Connection) -> T:
            try:
                first = one(connection)
            finally:
                is_mine = beside.cancel()
            return then(connection, first, other(connection) if is_mine else beside.result())

        with self._counted(), self._noticing():
            beside = self._threads.submit(self._read_on_kept, other)
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._read_on_kept, read)

    async def quiet(self, most_seconds: float = COURTESY_SECONDS) -> None:
        """Wait until nobody is inside ``read``, at most so long: background work lets those who ask go first.

        A search is mostly such reads, and holds the interpreter for most of their time, as does whoever commits files.
        """
        if self._reads:
            with suppress(TimeoutError):
                async with asyncio.timeout(most_seconds):
                    await self._quiet.wait()

    async def damaged(self) -> None:
        """Wait until somebody who read came upon damage; raises it. Whoever owns the catalog then begins anew."""
        await self._is_damaged.wait()
        if self._damage is not None:
            raise self._damage

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._reads += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._reads -= 1
            if not self._reads:
                self._quiet.set()

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except CatalogDamaged as error:
            self._damage = self._damage or error
            self._is_damaged.set()
            raise

    def close_kept(self) -> None:
        """Close the connections of ``read``, and end its threads once they have nothing more to do."""
        with self._lock:
            kept, self._kept = self._kept or [], None
        for each in kept:
            each.close()
        self._threads.shutdown(wait=False)

    def _read_on_kept(self, read: Callable[[sqlite3.Connection], T]) -> T:
        with translated(self.catalog):
            with self._lock:
                connection = self._kept.pop() if self._kept else None
            if connection is None:
                connection = connect_for_reading(self.catalog)
            try:
                result = read(connection)
            except BaseException:
                connection.close()
                raise
            with self._lock:
                if self._kept is not None:
                    self._kept.append(connection)
                    return result
            connection.close()
            return result


_ENTRIES = (
    "SELECT path, entries.size, mtime_ns, ctime_ns, inode, read_at_ns, seq, cutter, extractor, cuts.language, flags"
    " FROM entries JOIN cuts ON cuts.id = cut_id JOIN texts ON texts.id = text_id"
)
_EXCLUSIONS = "SELECT path, size, mtime_ns, ctime_ns, inode, read_at_ns, reason, rules FROM exclusions"
# Two conditions in one statement would have SQLite read the whole snapshot.
_AT = "WHERE snapshot_id = ? AND path = ?"
_BELOW = "WHERE snapshot_id = ? AND path > ? AND path < ?"


def _known_below(connection: sqlite3.Connection, snapshot_id: int, paths: Iterable[bytes]) -> dict[bytes, KnownFile]:
    known: dict[bytes, KnownFile] = {}
    for path in paths:
        # "0" comes right behind "/".
        for where, bounds in ((_AT, (path,)), (_BELOW, (path + b"/", path + b"0"))):
            known |= _known(connection.execute(f"{_ENTRIES} {where}", (snapshot_id, *bounds)))
            known |= _left_out(connection.execute(f"{_EXCLUSIONS} {where}", (snapshot_id, *bounds)))
    return known


def _known(rows: Iterable[tuple[Any, ...]]) -> dict[bytes, KnownFile]:
    return {
        row[0]: KnownFile(
            Stat(*row[1:5]), row[5], row[6], row[7], row[8], row[9], tuple(filter(None, row[10].split(","))), "", ""
        )
        for row in rows
    }


def _left_out(rows: Iterable[tuple[Any, ...]]) -> dict[bytes, KnownFile]:
    return {row[0]: KnownFile(Stat(*row[1:5]), row[5], None, "", 0, "", (), row[6], row[7]) for row in rows}


@asynccontextmanager
async def open_reader(catalog: Path) -> AsyncIterator[Reader]:
    """Open the catalog for reading; raises ``CatalogMissing``, ``CatalogTooNew`` or ``CatalogDamaged``."""
    import aiosqlite  # noqa: PLC0415  (only those who read pay for it)

    await asyncio.to_thread(_read, catalog, lambda opened: _check_version(opened, catalog))
    try:
        connection = await aiosqlite.connect(
            reading_uri(catalog), uri=True, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None
        )
    except sqlite3.Error as error:
        raise translate(error, catalog) from error
    try:
        reader = Reader(connection, catalog)
        try:
            yield reader
        finally:
            await asyncio.to_thread(reader.close_kept)
    finally:
        await connection.close()


def connect_for_reading(catalog: Path) -> sqlite3.Connection:
    """Open a connection that is kept for many reads, with its page cache; one thread after the other may use it."""
    connection = sqlite3.connect(
        reading_uri(catalog), uri=True, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection, catalog: Path) -> None:
    check_version(connection, catalog)
    if schema_version(connection) == 0:
        raise CatalogMissing(f"the catalog {str(catalog)!r} is empty; run 'codetrove index PATH' first")


def _read(catalog: Path, read: Callable[[sqlite3.Connection], T]) -> T:
    connection = open_for_reading(catalog)
    try:
        with translated(catalog):
            return read(connection)
    finally:
        connection.close()


def _chunks_after(
    connection: sqlite3.Connection, chunk_id: int, limit: int
) -> tuple[list[StoredChunk], dict[int, bytes]]:
    rows = connection.execute(
        "SELECT chunk_id, cut_id, uuid, language, kind, scope, start_byte, end_byte FROM chunks"
        " JOIN cuts ON cuts.id = cut_id JOIN repositories ON repositories.id = repository_id"
        " WHERE chunk_id > ? ORDER BY chunk_id LIMIT ?",
        (chunk_id, limit),
    ).fetchall()
    if not rows:
        return [], {}
    names: dict[int, tuple[str, ...]] = {}
    texts: dict[int, bytes] = {}
    for cut_id, first, outline, size, body in connection.execute(
        "SELECT cut_id, first_chunk_id, outlines.body, texts.size, texts.body FROM outlines"
        " JOIN cuts ON cuts.id = cut_id JOIN texts ON texts.id = text_id WHERE cut_id BETWEEN ? AND ?",
        (min(row[1] for row in rows), max(row[1] for row in rows)),
    ):
        texts[cut_id] = expand_text(body, size)
        for number, chunk in enumerate(unpack_outline(outline), first):
            names[number] = tuple(symbol.name for symbol in chunk.symbols)
    chunks = [
        StoredChunk(number, cut_id, uuid, language, kind, scope, names[number], start, end)
        for number, cut_id, uuid, language, kind, scope, start, end in rows
    ]
    return chunks, texts
