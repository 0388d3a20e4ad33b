"""Opening the catalog's SQLite file, and its errors in our words."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

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

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
_MISSING = {sqlite3.SQLITE_CANTOPEN}


@contextmanager
def translated(catalog: Path) -> Iterator[None]:
    """Turn SQLite's errors into those of ``storage.errors``."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, catalog) from error


def translate(error: sqlite3.Error, catalog: Path) -> CatalogError | DataDirectoryUnsuitable:
    """Return our error for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        return CatalogDamaged(f"the catalog {str(catalog)!r} is damaged ({error}); run 'codetrove fsck --repair'")
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(f"no room left on the disk of {str(catalog)!r}; free some and go on")
    if code in _BUSY:
        return CatalogBusy(
            f"the catalog {str(catalog)!r} was locked by another process for {BUSY_TIMEOUT_SECONDS:.0f} s; try again"
        )
    if code in _READ_ONLY:
        return DataDirectoryUnsuitable(
            f"the catalog {str(catalog)!r} cannot be written ({error}); it needs a disk that can be written to"
        )
    if code in _MISSING:
        return CatalogMissing(f"there is no catalog at {str(catalog)!r}; run 'codetrove index PATH' first")
    return CatalogError(f"the catalog {str(catalog)!r} failed: {error}")


def open_for_writing(catalog: Path) -> sqlite3.Connection:
    """Open the catalog read-write, creating the file; transactions are opened by hand.

    WAL with ``synchronous=FULL``: a commit that returned survives a power cut.
    """
    with translated(catalog):
        connection = sqlite3.connect(
            catalog, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
            connection.execute("PRAGMA temp_store = MEMORY")
        except sqlite3.Error:
            connection.close()
            raise
    return connection


def reading_uri(catalog: Path) -> str:
    """Return the SQLite URI that opens the catalog without ever creating or migrating it."""
    return f"file:{quote(str(catalog))}?mode=ro"


def open_for_reading(catalog: Path) -> sqlite3.Connection:
    """Open the catalog for reading only, beside a writer or without one."""
    with translated(catalog):
        connection = sqlite3.connect(
            reading_uri(catalog), uri=True, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None
        )
    return connection
