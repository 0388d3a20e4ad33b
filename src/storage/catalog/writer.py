"""The one task that writes the catalog: whole transactions from a bounded queue, committed in groups.

The connection belongs to one thread. A cancelled caller does not stop its change: what was handed in is done.
The writer ends by closing its queue, never by cancelling it inside a transaction.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import structlog

from storage.catalog.connection import open_for_writing, translate
from storage.catalog.migrations import migrate
from storage.closable_queue import ClosableQueue, QueueClosed
from storage.errors import CatalogError, DiskFull
from storage.faults import reach

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

T = TypeVar("T")
log = structlog.get_logger(__name__)

QUEUED_CHANGES = 32
GROUPED_CHANGES = 32
ROOM_POLL_SECONDS = 1.0
"""How often a full disk is looked at again: there is no event for it."""
ROOM_BYTES = 1024 * 1024
"""Room that must be there before a write is tried again."""


@dataclass(frozen=True, slots=True)
class _Pending(Generic[T]):
    change: Callable[[sqlite3.Connection], T]
    done: asyncio.Future[T]


class Writer:
    """Applies changes to the catalog, each all or nothing, many to a commit."""

    def __init__(
        self,
        catalog: Path,
        *,
        after_commit: Callable[[Sequence[Any]], Awaitable[None]] | None = None,
        on_full: Callable[[bool], None] | None = None,
    ) -> None:
        """Prepare; ``after_commit`` gets the results of a committed group in order, ``on_full`` whether it waits for room."""
        self._catalog = catalog
        self._after_commit = after_commit
        self._on_full = on_full
        self._queue: ClosableQueue[_Pending[Any]] = ClosableQueue(QUEUED_CHANGES)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog-writer")
        self._connection: sqlite3.Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self.commits = 0

    async def __aenter__(self) -> Self:
        """Open the catalog, migrated, and begin to write."""
        loop = asyncio.get_running_loop()
        try:
            self._connection = await loop.run_in_executor(self._thread, self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._task = asyncio.create_task(self._run(), name="catalog-writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish what was handed in, then close; safe to be cancelled into."""
        await self._queue.close()
        if self._task is not None:
            await asyncio.shield(asyncio.wait([self._task]))
        if self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=True)
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def apply(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``change`` on the connection inside a transaction and return its result once that is durable.

        An exception of ``change`` undoes it alone and is raised here. ``change`` may run twice (a full disk undoes
        the first time), so it must depend on nothing but the catalog and its own arguments.
        """
        pending = _Pending(change, asyncio.get_running_loop().create_future())
        await self._queue.put(pending)
        return await asyncio.shield(pending.done)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                group = await self._queue.get_many(GROUPED_CHANGES)
            except QueueClosed:
                return
            results = await self._commit_when_there_is_room(loop, group)
            self.commits += 1
            if self._after_commit is not None:
                try:
                    await self._after_commit([result for result in results if not isinstance(result, BaseException)])
                except Exception as error:  # noqa: BLE001  (task boundary: whoever waits for this commit is told)
                    results = [error] * len(group)
            for pending, result in zip(group, results, strict=True):
                _resolve(pending.done, result)

    async def _commit_when_there_is_room(
        self, loop: asyncio.AbstractEventLoop, group: list[_Pending[Any]]
    ) -> list[Any]:
        waiting = False
        while True:
            try:
                results = await loop.run_in_executor(self._thread, self._commit, group)
            except DiskFull as error:
                if not waiting:
                    log.warning("disk.full", catalog=str(self._catalog), error=str(error))
                    self._announce(full=True)
                waiting = True
                await self._room()
                continue
            except (CatalogError, sqlite3.Error) as error:
                results = [error] * len(group)
            if waiting:
                log.info("disk.room", catalog=str(self._catalog))
                self._announce(full=False)
            return results

    async def _room(self) -> None:
        while True:
            await asyncio.sleep(ROOM_POLL_SECONDS)
            free = os.statvfs(self._catalog.parent)
            if free.f_bavail * free.f_frsize >= ROOM_BYTES or self._queue.closed:
                return

    def _announce(self, *, full: bool) -> None:
        if self._on_full is not None:
            self._on_full(full)

    def _open(self) -> sqlite3.Connection:
        connection = open_for_writing(self._catalog)
        try:
            migrate(connection, self._catalog)
        except sqlite3.Error as error:
            connection.close()
            raise translate(error, self._catalog) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _commit(self, group: Sequence[_Pending[Any]]) -> list[Any]:
        connection = self._connection
        assert connection is not None  # noqa: S101  (opened before the task starts)
        results: list[Any] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for pending in group:
                results.append(_apply_one(connection, pending.change))
            reach("catalog.commit")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(connection)
            raise translate(error, self._catalog) from error
        reach("catalog.committed")
        return results


def _apply_one(connection: sqlite3.Connection, change: Callable[[sqlite3.Connection], Any]) -> Any:  # noqa: ANN401
    connection.execute("SAVEPOINT change")
    try:
        result = change(connection)
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001  (task boundary: handed to the caller of apply, the group goes on)
        connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")
        return error
    connection.execute("RELEASE change")
    return result


def _roll_back(connection: sqlite3.Connection) -> None:
    # SQLite has already rolled back by itself after SQLITE_FULL and some I/O errors.
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _resolve(done: asyncio.Future[Any], result: Any) -> None:  # noqa: ANN401
    if done.done():
        return
    if isinstance(result, BaseException):
        done.set_exception(result)
    else:
        done.set_result(result)
