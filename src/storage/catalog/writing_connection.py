"""The one connection that writes the catalog, and the thread it belongs to.

A transaction begins with the first change that is applied and ends with ``commit``; whatever goes wrong with it undoes
all of it, but what a single change raises undoes that change alone.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from storage.catalog.connection import has_room, open_for_writing, translate
from storage.catalog.migrations import migrate
from storage.faults import reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")

_OWN_FAULTS = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_TOOBIG,
}
"""Errors that say something of one statement, nothing of the catalog or its disk; they leave the transaction open."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Stands for the result of a change that was not made."""

    error: BaseException


class WritingConnection:
    """Applies changes to the catalog in a thread of its own; one call at a time."""

    def __init__(self, catalog: Path, *, busy_timeout: float) -> None:
        """Prepare; a catalog that another process keeps locked is waited for ``busy_timeout`` seconds."""
        self._catalog = catalog
        self._busy_timeout = busy_timeout
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the catalog, migrated; after an error it can be tried again."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog-writer")
        try:
            self._connection = await self._in_thread(self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Undo what is not committed, and close."""
        if self._connection is not None:
            await self._in_thread(self._connection.close)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.shutdown)

    async def apply(self, changes: Sequence[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
        """Apply changes in the open transaction, or in a new one; returns the result of each, or ``Failed``.

        Raises the errors of ``storage`` that say something of the catalog or its disk; the transaction is undone then.
        """
        return await self._in_thread(partial(self._apply, changes))

    async def commit(self) -> None:
        """Commit the open transaction; raises as ``apply`` does."""
        await self._in_thread(self._commit)

    async def checkpoint(self) -> None:
        """Copy the log into the catalog's file, as far as readers allow.

        Here and not inside a commit: that would keep what is committed from those who follow for as long as it takes.
        """
        await self._in_thread(self._checkpoint)

    async def has_room(self) -> bool:
        """Whether something can be written to the catalog's disk again."""
        return await self._in_thread(partial(has_room, self._catalog))

    def _open(self) -> sqlite3.Connection:
        connection = open_for_writing(self._catalog, busy_timeout=self._busy_timeout)
        try:
            migrate(connection, self._catalog)
        except sqlite3.Error as error:
            connection.close()
            raise translate(error, self._catalog) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _apply(self, changes: Sequence[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
        with self._whole() as connection:
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            return [self._apply_one(connection, change) for change in changes]

    def _commit(self) -> None:
        with self._whole() as connection:
            reach("catalog.commit")
            connection.execute("COMMIT")
        reach("catalog.committed")

    @contextmanager
    def _whole(self) -> Iterator[sqlite3.Connection]:
        """Undo the whole transaction where something goes wrong with it."""
        connection = self._opened
        try:
            yield connection
        except sqlite3.Error as error:
            _roll_back(connection)
            raise translate(error, self._catalog) from error
        except BaseException:
            _roll_back(connection)
            raise

    def _apply_one(self, connection: sqlite3.Connection, change: Callable[[sqlite3.Connection], Any]) -> Any:
        connection.execute("SAVEPOINT change")
        try:
            result = change(connection)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
            if code not in _OWN_FAULTS or not connection.in_transaction:
                raise
            result = Failed(translate(error, self._catalog))
            result.error.__cause__ = error
        except Exception as error:  # noqa: BLE001  (task boundary: handed to the caller of apply, the group goes on)
            result = Failed(error)
        if isinstance(result, Failed):
            connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")
        return result

    def _checkpoint(self) -> None:
        # What stands in its way stands in the way of the next commit too, which reports it.
        with suppress(sqlite3.Error):
            self._opened.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @property
    def _opened(self) -> sqlite3.Connection:
        assert self._connection is not None  # noqa: S101  (``open`` comes first)
        return self._connection

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _roll_back(connection: sqlite3.Connection) -> None:
    # SQLite has already rolled back by itself after SQLITE_FULL and some I/O errors.
    if connection.in_transaction:
        connection.execute("ROLLBACK")
