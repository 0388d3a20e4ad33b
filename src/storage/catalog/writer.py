"""The one task that writes the catalog: whole transactions from a bounded queue, committed in groups.

The connection belongs to one thread. A cancelled caller does not stop its change: what was handed in is done.
The writer ends by closing its queue, never by cancelling it inside a transaction.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from storage.catalog.connection import BUSY_TIMEOUT_SECONDS, has_room, open_for_writing, translate
from storage.catalog.migrations import migrate
from storage.closable_queue import ClosableQueue, QueueClosed
from storage.errors import CatalogError, DiskFull, StorageError
from storage.faults import reach

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

QUEUED_CHANGES = 32
GROUPED_CHANGES = 32
CHECKPOINT_COMMITS = 16
"""Commits between two checkpoints of the write-ahead log: a page that changes often is copied once for all of them."""
ROOM_POLL_SECONDS = 1.0
"""How often a full disk is looked at again: there is no event for it."""

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
class _Pending(Generic[T]):
    change: Callable[[sqlite3.Connection], T]
    done: asyncio.Future[T]


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


class Writer:
    """Applies changes to the catalog, each all or nothing, many to a commit."""

    def __init__(
        self,
        catalog: Path,
        *,
        before_commit: Callable[[], Awaitable[None]] | None = None,
        after_commit: Callable[[Sequence[Any]], Awaitable[None]] | None = None,
        on_full: Callable[[bool], None] | None = None,
        busy_timeout: float = BUSY_TIMEOUT_SECONDS,
        room_poll: float = ROOM_POLL_SECONDS,
    ) -> None:
        """Prepare; ``after_commit`` gets the results of a committed group in order.

        ``before_commit`` may put a commit off; until it returns, changes that come join the same group.
        ``on_full`` is told when the writer begins (True) and ceases (False) to wait for room on the disk, at which it
        looks every ``room_poll`` seconds. A catalog that another process keeps locked is waited for ``busy_timeout``
        seconds.
        """
        self._catalog = catalog
        self._before_commit = before_commit
        self._after_commit = after_commit
        self._on_full = on_full
        self._busy_timeout = busy_timeout
        self._room_poll = room_poll
        self._queue: ClosableQueue[_Pending[Any]] = ClosableQueue(QUEUED_CHANGES)
        self._closing = asyncio.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self.commits = 0
        self._checkpointed = 0

    async def __aenter__(self) -> Self:
        """Open the catalog, migrated, and begin to write; after an error it can be entered again."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog-writer")
        try:
            self._connection = await self._in_thread(self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._task = asyncio.create_task(self._run(), name="catalog-writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish what was handed in, then close. A cancellation is raised again once that is done.

        What still waits for room on a full disk by then fails with ``DiskFull``.
        """
        self._closing.set()
        await self._queue.close()
        ending = asyncio.create_task(self._end(), name="catalog-writer-end")
        cancelled: asyncio.CancelledError | None = None
        while not ending.done():
            try:
                await asyncio.wait([ending])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        ending.result()
        if self._failure is not None:
            raise self._failure

    async def ended(self) -> None:
        """Wait until nothing more is written; raises what made it fail."""
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._failure is not None:
            raise self._failure

    @property
    def waiting(self) -> int:
        """Changes that wait for their turn."""
        return self._queue.qsize()

    async def apply(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``change`` on the connection inside a transaction and return its result once that is durable.

        An exception of ``change`` undoes it alone and is raised here. ``change`` may run twice (a full disk undoes
        the first time), so it must depend on nothing but the catalog and its own arguments.
        Raises ``CatalogError`` when the writer is closed or has failed.
        """
        pending: _Pending[T] = _Pending(change, asyncio.get_running_loop().create_future())
        try:
            await self._queue.put(pending)
        except QueueClosed:
            raise self._over() from self._failure
        return await pending.done

    async def _run(self) -> None:
        group: list[_Pending[Any]] = []
        try:
            with suppress(QueueClosed):
                while True:
                    if self._before_commit is not None and await self._queue.ready():
                        await self._before_commit()
                    group = await self._queue.get_many(GROUPED_CHANGES)
                    await self._turn(group)
                    if self.commits - self._checkpointed >= CHECKPOINT_COMMITS:
                        self._checkpointed = self.commits
                        await self._in_thread(self._checkpoint)
        except BaseException as error:  # noqa: BLE001  (task boundary: raised by __aexit__, and for every caller)
            self._failure = error
            await self._queue.close()
            while not self._queue.empty():
                group.append(self._queue.get_nowait())
            for pending in group:
                _resolve(pending.done, _Failed(self._over()))

    async def _turn(self, group: list[_Pending[Any]]) -> None:
        results = await self._commit_when_there_is_room(group)
        succeeded = [result for result in results if not isinstance(result, _Failed)]
        try:
            if self._after_commit is not None and succeeded:
                await self._after_commit(succeeded)
        finally:
            # What is committed is committed, also when those who follow the catalog have failed.
            for pending, result in zip(group, results, strict=True):
                _resolve(pending.done, result)

    async def _commit_when_there_is_room(self, group: list[_Pending[Any]]) -> list[Any]:
        waits = False
        while True:
            try:
                results = await self._in_thread(lambda: self._commit(group))
            except DiskFull as error:
                if self._closing.is_set():
                    results = [_Failed(error)] * len(group)
                else:
                    if not waits:
                        _warn("disk.full", catalog=str(self._catalog), error=str(error))
                        self._announce(full=True)
                    waits = True
                    await self._room()
                    continue
            except StorageError as error:
                results = [_Failed(error)] * len(group)
            if waits:
                _warn("disk.room", catalog=str(self._catalog))
                self._announce(full=False)
            return results

    async def _room(self) -> None:
        """Wait until there is room again, or the writer is to close."""
        while not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._room_poll):
                    await self._closing.wait()
            if await self._in_thread(lambda: has_room(self._catalog)):
                return

    def _announce(self, *, full: bool) -> None:
        if self._on_full is not None:
            self._on_full(full)

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

    def _commit(self, group: Sequence[_Pending[Any]]) -> list[Any]:
        connection = self._connection
        assert connection is not None  # noqa: S101  (opened before the task starts)
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [self._apply_one(connection, pending.change) for pending in group]
            reach("catalog.commit")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(connection)
            raise translate(error, self._catalog) from error
        except BaseException:
            _roll_back(connection)
            raise
        self.commits += 1
        reach("catalog.committed")
        return results

    def _apply_one(self, connection: sqlite3.Connection, change: Callable[[sqlite3.Connection], Any]) -> Any:
        connection.execute("SAVEPOINT change")
        try:
            result = change(connection)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
            if code not in _OWN_FAULTS or not connection.in_transaction:
                raise
            result = _Failed(translate(error, self._catalog))
            result.error.__cause__ = error
        except Exception as error:  # noqa: BLE001  (task boundary: handed to the caller of apply, the group goes on)
            result = _Failed(error)
        if isinstance(result, _Failed):
            connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")
        return result

    def _checkpoint(self) -> None:
        """Copy the log into the catalog's file, as far as readers allow.

        Here and not inside a commit: that would keep what is committed from those who follow for as long as it takes.
        """
        assert self._connection is not None  # noqa: S101  (opened before the task starts)
        # What stands in its way stands in the way of the next commit too, which reports it.
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    async def _end(self) -> None:
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._connection is not None:
            await self._in_thread(self._connection.close)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.shutdown)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _over(self) -> CatalogError:
        why = "it is closed" if self._failure is None else f"it failed: {self._failure!r}"
        error = CatalogError(f"nothing more is written to the catalog {str(self._catalog)!r}: {why}")
        error.__cause__ = self._failure
        return error


def _roll_back(connection: sqlite3.Connection) -> None:
    # SQLite has already rolled back by itself after SQLITE_FULL and some I/O errors.
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _resolve(done: asyncio.Future[Any], result: Any) -> None:
    if done.done():  # the caller was cancelled
        return
    if isinstance(result, _Failed):
        done.set_exception(result.error)
    else:
        done.set_result(result)


def _warn(event: str, **values: str) -> None:
    import structlog  # noqa: PLC0415  (45 ms that a command that never warns does not pay)

    structlog.get_logger(__name__).warning(event, **values)
