"""The one task that writes the catalog: whole transactions from a bounded queue, committed in groups.

The connection belongs to one thread. What comes is applied at once, in a transaction that stays open until a commit is
due; others see nothing of it before. A cancelled caller does not stop its change: what was handed in is done. The
writer ends by closing its queue, never by cancelling it inside a transaction.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeAlias, TypeVar

from storage.catalog.connection import BUSY_TIMEOUT_SECONDS
from storage.catalog.writing_connection import Failed, WritingConnection
from storage.closable_queue import ClosableQueue, QueueClosed
from storage.errors import CatalogError, DiskFull, StorageError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

Given: TypeAlias = Literal["nothing", "some", "enough"]
"""What a transaction holds for those who follow: nothing that is worth a wait, some, enough for a commit."""

QUEUED_CHANGES = 32
GROUPED_CHANGES = 32
APPLIED_AT_ONCE = 4
"""Then those who follow are asked whether it is enough."""
CHECKPOINT_COMMITS = 16
"""Commits between two checkpoints of the write-ahead log: a page that changes often is copied once for all of them."""
ROOM_POLL_SECONDS = 1.0
"""How often a full disk is looked at again: there is no event for it."""


@dataclass(frozen=True, slots=True)
class _Pending(Generic[T]):
    change: Callable[[sqlite3.Connection], T]
    done: asyncio.Future[T]
    due: float
    """``monotonic``"""


@dataclass(slots=True)
class _Group:
    """Changes of one transaction."""

    changes: list[_Pending[Any]] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)
    """of those that are applied, in order"""
    due: float = inf
    """``monotonic`` when it is to be committed, whatever else may come"""
    is_full: bool = False
    """Whether nothing more may join it."""


class Writer:
    """Applies changes to the catalog, each all or nothing, many to a commit."""

    def __init__(
        self,
        catalog: Path,
        *,
        after_apply: Callable[[Sequence[Any]], Awaitable[Given]] | None = None,
        before_commit: Callable[[], Awaitable[None]] | None = None,
        after_commit: Callable[[Sequence[Any]], Awaitable[None]] | None = None,
        after_undo: Callable[[], Awaitable[None]] | None = None,
        on_full: Callable[[bool], None] | None = None,
        busy_timeout: float = BUSY_TIMEOUT_SECONDS,
        room_poll: float = ROOM_POLL_SECONDS,
    ) -> None:
        """Prepare.

        ``after_apply`` gets the results of changes in the open transaction, in order, and returns how much of it waits
        for the commit; ``after_commit`` gets those of the whole group once it is committed, and ``after_undo`` is
        called when it is undone instead (its changes may be applied again). ``before_commit`` may put a commit off;
        until it returns, changes that come join the same group, unless there is enough in it.
        ``on_full`` is told when the writer begins (True) and ceases (False) to wait for room on the disk, at which it
        looks every ``room_poll`` seconds. A catalog that another process keeps locked is waited for ``busy_timeout``
        seconds.
        """
        self._catalog = catalog
        self._after_apply = after_apply
        self._before_commit = before_commit
        self._after_commit = after_commit
        self._after_undo = after_undo
        self._on_full = on_full
        self._room_poll = room_poll
        self._queue: ClosableQueue[_Pending[Any]] = ClosableQueue(QUEUED_CHANGES)
        self._closing = asyncio.Event()
        self._connection = WritingConnection(catalog, busy_timeout=busy_timeout)
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self.commits = 0
        self._checkpointed = 0

    async def __aenter__(self) -> Self:
        """Open the catalog, migrated, and begin to write; after an error it can be entered again."""
        await self._connection.open()
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

    async def apply(self, change: Callable[[sqlite3.Connection], T], *, patience: float = 0.0) -> T:
        """Run ``change`` on the connection inside a transaction and return its result once that is durable.

        Its commit may wait for others ``patience`` seconds, or until ``flush``. An exception of ``change`` undoes it
        alone and is raised here. ``change`` may run twice (a full disk undoes the first time), so it must depend on
        nothing but the catalog and its own arguments.
        Raises ``CatalogError`` when the writer is closed or has failed.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            await self._queue.put(_Pending(change, done, monotonic() + patience))
        except QueueClosed:
            raise self._over() from self._failure
        return await done

    async def flush(self) -> None:
        """Commit what waits for others now, and return once it is durable; raises as ``apply`` does."""
        await self.apply(lambda _: None)

    async def _run(self) -> None:
        group = _Group()
        try:
            while await self._queue.ready():
                group = _Group()
                await self._turn(group)
                if self.commits - self._checkpointed >= CHECKPOINT_COMMITS:
                    self._checkpointed = self.commits
                    await self._connection.checkpoint()
        except BaseException as error:  # noqa: BLE001  (task boundary: raised by __aexit__, and for every caller)
            self._failure = error
            await self._queue.close()
            while not self._queue.empty():
                group.changes.append(self._queue.get_nowait())
            for pending in group.changes:
                _resolve(pending.done, Failed(self._over()))

    async def _turn(self, group: _Group) -> None:
        """Apply and commit what has come and what joins it, then give everyone what came of it."""
        failure = await self._commit_when_there_is_room(group)
        results = group.results if failure is None else [failure] * len(group.changes)
        succeeded = _succeeded(results)
        try:
            if self._after_commit is not None and succeeded:
                await self._after_commit(succeeded)
        finally:
            # What is committed is committed, also when those who follow the catalog have failed.
            for pending, result in zip(group.changes, results, strict=True):
                _resolve(pending.done, result)

    async def _commit_when_there_is_room(self, group: _Group) -> Failed | None:
        """Return None once the group is committed, or why none of it is."""
        waits = False
        while True:
            failure = None
            try:
                await self._fill(group)
                await self._connection.commit()
                self.commits += 1
            except DiskFull as error:
                await self._undone(group)
                if not self._closing.is_set():
                    if not waits:
                        _warn("disk.full", catalog=str(self._catalog), error=str(error))
                        self._announce(full=True)
                    waits = True
                    await self._room()
                    continue
                failure = Failed(error)
            except StorageError as error:
                await self._undone(group)
                failure = Failed(error)
            if waits:
                _warn("disk.room", catalog=str(self._catalog))
                self._announce(full=False)
            return failure

    async def _fill(self, group: _Group) -> None:
        """Apply the changes of a group, and those that join it until it may be committed."""
        while True:
            new = group.changes[len(group.results) :][:APPLIED_AT_ONCE]
            while not group.is_full and len(new) < APPLIED_AT_ONCE and not self._queue.empty():
                new.append(self._queue.get_nowait())
                group.changes.append(new[-1])
            if new:
                results = await self._connection.apply([pending.change for pending in new])
                group.results += results
                await self._note_applied(group, new, results)
            if not await self._is_joined(group):
                return

    async def _note_applied(self, group: _Group, new: Sequence[_Pending[Any]], results: Sequence[Any]) -> None:
        group.due = min(group.due, *(pending.due for pending in new))
        succeeded = _succeeded(results)
        given: Given = "nothing"
        if self._after_apply is not None and succeeded:
            given = await self._after_apply(succeeded)
        group.is_full = given == "enough" or len(group.changes) >= GROUPED_CHANGES
        if group.is_full or given == "nothing":
            group.due = 0.0

    async def _is_joined(self, group: _Group) -> bool:
        """Wait until the group may be committed; True when a change, or the end of all, came before that."""
        commit = asyncio.create_task(self._until_commit(group.due), name="catalog-commit-due")
        joins = None if group.is_full else asyncio.create_task(self._queue.ready(), name="catalog-change-waits")
        try:
            await asyncio.wait([commit] if joins is None else [commit, joins], return_when=asyncio.FIRST_COMPLETED)
            if joins is not None and joins.done() and not commit.done():
                if not joins.result():  # nothing more will come
                    group.is_full, group.due = True, 0.0
                return True
            await commit
        finally:
            for task in (commit, joins):
                if task is not None and not task.done():
                    task.cancel()
                    await asyncio.wait([task])
        return False

    async def _until_commit(self, due: float) -> None:
        if (rest := due - monotonic()) > 0:
            await asyncio.sleep(rest)
        if self._before_commit is not None:
            await self._before_commit()

    async def _undone(self, group: _Group) -> None:
        group.results.clear()
        if self._after_undo is not None:
            await self._after_undo()

    async def _room(self) -> None:
        """Wait until there is room again, or the writer is to close."""
        while not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._room_poll):
                    await self._closing.wait()
            if await self._connection.has_room():
                return

    def _announce(self, *, full: bool) -> None:
        if self._on_full is not None:
            self._on_full(full)

    async def _end(self) -> None:
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._connection.close()

    def _over(self) -> CatalogError:
        why = "it is closed" if self._failure is None else f"it failed: {self._failure!r}"
        error = CatalogError(f"nothing more is written to the catalog {str(self._catalog)!r}: {why}")
        error.__cause__ = self._failure
        return error


def _succeeded(results: Sequence[Any]) -> list[Any]:
    return [result for result in results if not isinstance(result, Failed)]


def _resolve(done: asyncio.Future[Any], result: Any) -> None:
    if done.done():  # the caller was cancelled
        return
    if isinstance(result, Failed):
        done.set_exception(result.error)
    else:
        done.set_result(result)


def _warn(event: str, **values: str) -> None:
    import structlog  # noqa: PLC0415  (45 ms that a command that never warns does not pay)

    structlog.get_logger(__name__).warning(event, **values)
