"""Vectors by (fingerprint of the encoder, hash of the embedded text), in half precision: nothing is encoded twice.

A cache: it can be deleted, and costs time then and nothing else. A file that is damaged, foreign or of a newer version
is set aside and another begun. Everything is synchronous, on the one thread that opened it.
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from storage.errors import DimensionMismatch, StorageError, VectorsRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    HalfVector: TypeAlias = NDArray[np.float16]

T = TypeVar("T")

HASH_BYTES = 16
APPLICATION_ID = 0x63744556  # "ctEV"
SCHEMA_VERSION = 1
SET_ASIDE_SUFFIX = ".set-aside"
"""One file at most is kept under this name."""

_PAGE_BYTES = 8192
"""Ten vectors of 384 dimensions fill such a page, or five of 768, which would waste a quarter of one of 4,096 bytes."""
_BUSY_SECONDS = 30.0
_CHECKPOINT_PAGES = 4096
_ASKED_AT_ONCE = 512
_EVICTED_AT_ONCE = 20_000
_CHECKSUM_BYTES = 4
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_SCHEMA = (
    "CREATE TABLE fingerprints (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, dimension INTEGER NOT NULL) STRICT",
    # vector: float16, little endian, then the CRC-32 of hash and vector. SQLite does not notice a flipped bit.
    (
        "CREATE TABLE vectors (id INTEGER PRIMARY KEY, fingerprint INTEGER NOT NULL, hash BLOB NOT NULL,"
        " vector BLOB NOT NULL) STRICT"
    ),
    "CREATE UNIQUE INDEX vectors_hash ON vectors (fingerprint, hash)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class EmbeddingCache:
    """An open cache; made by `open`. Every method raises ``StorageError`` where the file cannot be used at present."""

    def __init__(self, path: Path) -> None:
        """Prepare; `open` opens."""
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._fingerprints: dict[str, tuple[int, int]] = {}
        self._set_aside: tuple[Path, str] | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the cache at ``path``, or begin one; see `set_aside` for what became of a file that was of no use."""
        cache = cls(path)
        with cache._translated():
            try:
                cache._connection = _connect(path)
            except (_Unusable, sqlite3.DatabaseError) as error:
                cache._begin_anew(error)
        return cache

    @property
    def set_aside(self) -> tuple[Path, str] | None:
        """Where a file is that was of no use, and why; None if there was none since `open`."""
        return self._set_aside

    @property
    def size(self) -> int:
        """Bytes on disk, what is still to be moved out of SQLite's write-ahead log included."""
        files = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with self._translated():
                connection.close()

    def get(self, fingerprint: str, hashes: Sequence[bytes]) -> dict[bytes, HalfVector]:
        """Return the vectors that are known, by hash: ``(dimension,)``, read-only. A damaged one counts as unknown."""
        return self._attempt(lambda connection: self._get(connection, fingerprint, hashes)) or {}

    def put(self, fingerprint: str, hashes: Sequence[bytes], vectors: NDArray[Any]) -> None:
        """Keep ``(n, dimension)`` vectors, rounded to half precision; one that is there already is replaced.

        Raises ``VectorsRefused`` for vectors or hashes that cannot be kept, and ``DimensionMismatch`` where the
        fingerprint has another dimension; nothing of them is kept then.
        """
        rows = _rows(hashes, vectors)
        dimension = vectors.shape[1]
        if rows:
            self._attempt(lambda connection: self._put(connection, fingerprint, dimension, rows), again=True)

    def count(self, fingerprint: str) -> int:
        """Return how many vectors there are of a fingerprint."""
        rows = self._attempt(lambda connection: connection.execute(_COUNT, (fingerprint,)).fetchone())
        return 0 if rows is None else int(rows[0])

    def forget(self, fingerprint: str) -> int:
        """Remove all vectors of a fingerprint and give the room back; returns how many those were."""
        return self._attempt(lambda connection: self._forget(connection, fingerprint)) or 0

    def evict(self, most_bytes: int, in_use: Collection[str]) -> int:
        """Shrink the file to ``most_bytes`` by forgetting fingerprints, oldest first; returns how many vectors went.

        Those ``in_use`` stay whatever the size.
        """
        return self._attempt(lambda connection: self._evict(connection, most_bytes, in_use)) or 0

    def _get(
        self, connection: sqlite3.Connection, fingerprint: str, hashes: Sequence[bytes]
    ) -> dict[bytes, HalfVector]:
        import numpy as np  # noqa: PLC0415  (commands that encode nothing do not pay for it)

        number = self._number(connection, fingerprint)
        if number is None:
            return {}
        length = 2 * self._fingerprints[fingerprint][1]
        found: dict[bytes, HalfVector] = {}
        for start in range(0, len(hashes), _ASKED_AT_ONCE):
            asked = hashes[start : start + _ASKED_AT_ONCE]
            absent = [None] * (_ASKED_AT_ONCE - len(asked))  # one statement, however many are asked for
            for hash_, kept in connection.execute(_FIND, (number, *asked, *absent)):
                if len(kept) == length + _CHECKSUM_BYTES and kept[length:] == _checksum(hash_, kept[:length]):
                    found[hash_] = np.frombuffer(kept, "<f2", length // 2)
        return found

    def _put(
        self, connection: sqlite3.Connection, fingerprint: str, dimension: int, rows: Sequence[tuple[bytes, bytes]]
    ) -> None:
        with _transaction(connection):
            number = self._number(connection, fingerprint)
            if number is None:
                (number,) = connection.execute(
                    "INSERT INTO fingerprints (name, dimension) VALUES (?, ?) RETURNING id", (fingerprint, dimension)
                ).fetchone()
            elif self._fingerprints[fingerprint][1] != dimension:
                raise DimensionMismatch(
                    f"vectors of fingerprint {fingerprint!r} have {self._fingerprints[fingerprint][1]} dimensions, "
                    f"not {dimension}; another dimension needs another fingerprint"
                )
            connection.executemany(_KEEP, [(number, hash_, kept) for hash_, kept in rows])

    def _forget(self, connection: sqlite3.Connection, fingerprint: str) -> int:
        number = self._number(connection, fingerprint)
        if number is None:
            return 0
        with _transaction(connection):
            gone = connection.execute("DELETE FROM vectors WHERE fingerprint = ?", (number,)).rowcount
            connection.execute("DELETE FROM fingerprints WHERE id = ?", (number,))
        del self._fingerprints[fingerprint]
        _give_room_back(connection)
        return gone

    def _evict(self, connection: sqlite3.Connection, most_bytes: int, in_use: Collection[str]) -> int:
        gone = 0
        for (name,) in connection.execute("SELECT name FROM fingerprints ORDER BY id").fetchall():
            if _used_bytes(connection) <= most_bytes:
                break
            if name not in in_use:
                gone += self._forget(connection, name)
        return gone

    def _number(self, connection: sqlite3.Connection, fingerprint: str) -> int | None:
        if fingerprint not in self._fingerprints:
            row = connection.execute("SELECT id, dimension FROM fingerprints WHERE name = ?", (fingerprint,)).fetchone()
            if row is None:
                return None
            self._fingerprints[fingerprint] = row
        return self._fingerprints[fingerprint][0]

    def _attempt(self, work: Callable[[sqlite3.Connection], T], *, again: bool = False) -> T | None:
        """Do ``work``; where the file turns out damaged, begin another and do it ``again`` there, or return None."""
        with self._translated():
            if self._connection is None:
                raise StorageError(f"the embedding cache {str(self._path)!r} is closed")
            try:
                return work(self._connection)
            except sqlite3.DatabaseError as error:
                self._begin_anew(error)
            return work(self._connection) if again else None

    def _begin_anew(self, error: Exception) -> None:
        """Set the file aside and begin another; raises ``error`` where it does not mean that the file is of no use."""
        if not isinstance(error, _Unusable) and _code(error) not in _DAMAGED:
            raise error
        self.close()
        self._fingerprints.clear()
        aside = self._path.with_name(self._path.name + SET_ASIDE_SUFFIX)
        for suffix in ("", "-wal", "-shm"):
            # A log that is left from an earlier time must not be taken for that of the file set aside now.
            aside.with_name(aside.name + suffix).unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).rename(aside.with_name(aside.name + suffix))
        self._set_aside = aside, str(error)
        self._connection = _connect(self._path)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, _Unusable) as error:
            message = (
                f"the embedding cache {str(self._path)!r} cannot be used: {error}; "
                "make room or mend its directory, or delete the file: vectors are encoded again then"
            )
            raise StorageError(message) from error


class _Unusable(Exception):
    """The file is no embedding cache that this program understands."""


_FIND = (
    "SELECT hash, vector FROM vectors WHERE fingerprint = ? AND hash IN (" + ",".join("?" * _ASKED_AT_ONCE) + ")"  # noqa: S608  (question marks)
)
_KEEP = (
    "INSERT INTO vectors (fingerprint, hash, vector) VALUES (?, ?, ?)"
    " ON CONFLICT DO UPDATE SET vector = excluded.vector WHERE vector <> excluded.vector"
)
_COUNT = "SELECT COUNT(*) FROM vectors WHERE fingerprint = (SELECT id FROM fingerprints WHERE name = ?)"


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file, made where there is none. Raises ``_Unusable`` and SQLite's errors."""
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (objects,) = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        is_new = objects == application == version == 0
        if not is_new and application != APPLICATION_ID:
            raise _Unusable("it is no embedding cache")
        if not is_new and version != SCHEMA_VERSION:
            raise _Unusable(f"it has version {version}, and this codetrove knows {SCHEMA_VERSION}")
        if is_new:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_CHECKPOINT_PAGES * _PAGE_BYTES}")
        connection.execute("PRAGMA cache_size = -32768")
        if is_new:
            with _transaction(connection):
                for statement in _SCHEMA:
                    connection.execute(statement)
        connection.execute("SELECT id, name, dimension FROM fingerprints LIMIT 1").fetchall()
        connection.execute("SELECT id, fingerprint, hash, vector FROM vectors LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        connection.close()
        if _code(error) == sqlite3.SQLITE_ERROR:  # no such table or column
            raise _Unusable(str(error)) from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _rows(hashes: Sequence[bytes], vectors: NDArray[Any]) -> list[tuple[bytes, bytes]]:
    """Return ``(hash, vector as kept)``, by hash: neighbours in the index are then written together."""
    import numpy as np  # noqa: PLC0415  (see `EmbeddingCache._get`)

    if vectors.ndim != 2 or len(vectors) != len(hashes):
        raise VectorsRefused(f"{len(hashes)} hashes need as many rows, not an array of shape {vectors.shape}")
    if any(len(hash_) != HASH_BYTES for hash_ in hashes):
        raise VectorsRefused(f"a hash has {HASH_BYTES} bytes, not {sorted({len(each) for each in hashes})!r}")
    with np.errstate(over="ignore"):
        halves = np.ascontiguousarray(vectors, "<f2")
    if not np.isfinite(halves).all():
        raise VectorsRefused("a vector is not finite in half precision; leave it out")
    pieces = ((hash_, half.tobytes()) for hash_, half in zip(hashes, halves, strict=True))
    return sorted((hash_, piece + _checksum(hash_, piece)) for hash_, piece in pieces)


def _used_bytes(connection: sqlite3.Connection) -> int:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(pages - free) * _PAGE_BYTES


def _give_room_back(connection: sqlite3.Connection) -> None:
    """Shorten the file by the pages that nothing uses any more."""
    connection.executescript("PRAGMA incremental_vacuum")  # execute() would step it once, which frees a single page
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _checksum(hash_: bytes, vector: bytes) -> bytes:
    return zlib.crc32(vector, zlib.crc32(hash_)).to_bytes(_CHECKSUM_BYTES, "little")


def _code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back by itself when the disk is full.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
