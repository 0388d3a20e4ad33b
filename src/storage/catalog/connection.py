"""Opening the catalog's SQLite file, and its errors in our words."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from storage.catalog.migrations import check_version
from storage.errors import (
    CatalogBusy,
    CatalogDamaged,
    CatalogError,
    CatalogMissing,
    DataDirectoryUnsuitable,
    DiskFull,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CATALOG_FILE = "catalog.db"
BUSY_TIMEOUT_SECONDS = 30.0
_PAGE_CACHE_KIB = 32_768
_CHECKPOINT_PAGES = 10_000
"""Pages of the write-ahead log (40 MB) at which SQLite copies them by itself; the writer does it earlier."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
ROOM_BYTES = 1024 * 1024
"""A disk with less room than this is full: what a small group of changes may need."""


@contextmanager
def translated(catalog: Path) -> Iterator[None]:
    """Turn SQLite's errors into those of ``storage.errors``."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, catalog) from error
    except UnicodeDecodeError as error:  # from sqlite3 where its own message quotes a damaged name
        message = f"the catalog {str(catalog)!r} is damaged ({error}); run 'codetrove fsck --repair'"
        raise CatalogDamaged(message) from error


def translate(error: sqlite3.Error, catalog: Path) -> CatalogError | DataDirectoryUnsuitable:
    """Return our error for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        return CatalogDamaged(f"the catalog {str(catalog)!r} is damaged ({error}); run 'codetrove fsck --repair'")
    # SQLite reports a full disk as an I/O error where it grows the WAL's index or meets a quota.
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and not has_room(catalog)):
        return DiskFull(f"no room left on the disk of {str(catalog)!r}; free some and go on")
    if code in _BUSY:
        return CatalogBusy(f"the catalog {str(catalog)!r} is kept locked by another process ({error}); try again")
    if code in _READ_ONLY:
        return DataDirectoryUnsuitable(
            f"the catalog {str(catalog)!r} cannot be written ({error}); it needs a disk that can be written to"
        )
    # Too many open files, or a directory that may not be entered, is not a missing catalog.
    if code == sqlite3.SQLITE_CANTOPEN and not catalog.exists():
        return CatalogMissing(f"there is no catalog at {str(catalog)!r}; run 'codetrove index PATH' first")
    return CatalogError(f"the catalog {str(catalog)!r} failed: {error}")


def has_room(catalog: Path) -> bool:
    """Return whether the catalog's disk has room for a write."""
    try:
        free = os.statvfs(catalog.parent)
    except OSError:
        return True
    return free.f_bavail * free.f_frsize >= ROOM_BYTES


def open_for_writing(catalog: Path, *, busy_timeout: float = BUSY_TIMEOUT_SECONDS) -> sqlite3.Connection:
    """Open the catalog read-write, creating the file; transactions are opened by hand.

    WAL with ``synchronous=FULL``: a commit that returned survives a power cut. Raises ``CatalogTooNew`` for a catalog
    of a newer program, before anything is changed in it, and ``CatalogBusy`` when another process keeps it locked for
    ``busy_timeout`` seconds.
    """
    with translated(catalog):
        connection = sqlite3.connect(catalog, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
        try:
            check_version(connection, catalog)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
    return connection


def reading_uri(catalog: Path) -> str:
    """Return the SQLite URI that opens the catalog without ever creating or migrating it."""
    return f"file:{quote(os.fsencode(catalog))}?mode=ro"


def open_for_reading(catalog: Path) -> sqlite3.Connection:
    """Open the catalog for reading only, beside a writer or without one."""
    with translated(catalog):
        return sqlite3.connect(reading_uri(catalog), uri=True, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)
