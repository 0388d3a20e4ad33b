"""One run of an indexing job: scan → batches → worker processes → writer, as ``docs/architecture.md`` draws it."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import time
from typing import TYPE_CHECKING
from uuid import uuid4

from indexing.ingest.batch_work import Batch, BatchWork
from indexing.ingest.batches import batched
from indexing.ingest.gate import Gate
from indexing.ingest.progress import Counters
from indexing.ingest.scanning import TreeScan
from indexing.sources import Extent, RootIdentity, Scan, display, same_root
from storage import (
    ClosableQueue,
    QueueClosed,
    StorageError,
    check_epoch,
    collect_garbage,
    end_run,
    finish_scan,
    open_batches,
    reach,
    start_run,
    trim_deletions,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Sequence

    from indexing.ingest.messages import FileTask
    from indexing.ingest.pool import WorkerPool
    from indexing.ingest.progress import FileNote
    from indexing.ingest.text_feed import TextFeed
    from indexing.sources import Rules
    from storage import Incarnation, JobState, Reader, Removal, Repository, Run, Tally, Writer

REMOVALS_A_CHANGE = 500
STOP_SECONDS = 4.0
"""That a job which is to stop may take for what it has in hand; then that is given up, each file old or new."""
INTENT_SECONDS = 0.25
"""That an intent waits for others' commit: the workers have some batches still, and each commit makes a segment."""
QUEUED_FILES = 65_536
"""Files that may be planned ahead of the workers, about 400 bytes each, so that the total is known early."""


class RootReplaced(Exception):
    """Another directory is at the repository's root than the one that was indexed."""


class NothingToIndex(Exception):
    """The tree holds no file that can be indexed, and none was indexed before."""


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What a job is run with; sizes in files and bytes."""

    rules: Rules
    concurrent_workers: int
    """tasks that work on its batches, as far as they get permits"""
    batch_files: int
    batch_bytes: int
    queue_batches: int
    zstd_level: int
    commit_seconds: float
    """that batches wait for others to be committed with them"""
    garbage_grace_seconds: float


@dataclass(frozen=True, slots=True)
class JobReport:
    """How a job ended."""

    job_id: str
    repository: Repository
    state: JobState
    reason: str
    tally: Tally
    notes: tuple[FileNote, ...]
    warnings: tuple[str, ...]


class IndexJob:
    """Brings the index of one repository up to date with its tree."""

    def __init__(
        self,
        repository: Repository,
        settings: JobSettings,
        *,
        writer: Writer,
        reader: Reader,
        feed: TextFeed,
        pool: WorkerPool,
        incarnation: Incarnation,
        job_id: str = "",
    ) -> None:
        """Prepare a run, which borrows its workers from ``pool``.

        ``job_id`` is the accepted job to run; without it the repository's unfinished job goes on, or a new one begins.
        """
        self._repository = repository
        self._settings = settings
        self._writer = writer
        self._reader = reader
        self._feed = feed
        self._pool = pool
        self._incarnation = incarnation
        self._job_id = job_id or uuid4().hex
        self.run_record: Run | None = None
        """The run in the catalog, once it has begun."""
        self._batches: ClosableQueue[Batch] = ClosableQueue(settings.queue_batches)
        self._planned: ClosableQueue[FileTask] = ClosableQueue(QUEUED_FILES)
        self.gate = Gate()
        self.gate.is_sequential = settings.concurrent_workers == 1
        self.counters = Counters()
        self._patience: asyncio.Timeout | None = None

    @property
    def waiting(self) -> dict[str, int]:
        """{stage: items that wait for it}."""
        return {"planned": self._planned.qsize(), "batches": self._batches.qsize()}

    def stop(self) -> None:
        """Take no new work, finish what is in hand within ``STOP_SECONDS``, and end as cancelled."""
        if self._patience is not None and not self.gate.is_stopping:
            self._patience.reschedule(asyncio.get_running_loop().time() + STOP_SECONDS)
        self.gate.stop()

    async def run(self) -> JobReport:
        """Run the job to its end.

        Raises ``RootReplaced``, ``NothingToIndex``, the errors of ``indexing.sources`` about the root, of ``storage``,
        and ``WorkerStartFailed``; the job is then recorded as failed, and what was indexed before stays.
        """
        repository = self._repository
        run, held = await self._writer.apply(
            lambda connection: start_run(
                connection, repository.id, self._job_id, incarnation=self._incarnation.id, now_ms=_now_ms()
            )
        )
        self.run_record = run
        work = BatchWork(
            repository,
            run,
            self._batches,
            self._writer,
            self.counters,
            reader=self._reader,
            rules=self._settings.rules,
            gate=self.gate,
            zstd_level=self._settings.zstd_level,
            commit_seconds=self._settings.commit_seconds,
            meter=self._pool.meter,
        )
        try:
            root, extent = Path(os.fsdecode(repository.root.path)), Extent(run.paths)
            scan = await asyncio.to_thread(Scan, root, self._settings.rules, extent)
            self._check_root(scan)
            await self._within_patience(self._bring_up_to_date(scan, run, work, frozenset(held)))
        except BaseException as error:
            first = _first(error)
            state: JobState = "cancelled" if isinstance(first, asyncio.CancelledError) else "failed"
            with suppress(StorageError):
                await asyncio.shield(self._end(run, state, f"{type(first).__name__}: {first}"))
            if first is error:
                raise
            raise first from error
        state, reason = self._verdict()
        await self._end(run, state, reason)
        self.counters.stage = "done"
        notes, warnings = tuple(self.counters.notes), (*scan.warnings, *self.gate.warnings)
        return JobReport(run.job_id, repository, state, reason, self.counters.tally(), notes, warnings)

    async def _within_patience(self, work: Awaitable[None]) -> None:
        patience = asyncio.timeout(STOP_SECONDS if self.gate.is_stopping else None)
        try:
            async with patience:
                self._patience = patience
                await work
        except TimeoutError:
            if not patience.expired():
                raise
            self.gate.warnings.append(f"what was in hand {STOP_SECONDS:g} s after the job was to stop was given up")
        finally:
            self._patience = None

    async def _bring_up_to_date(self, scan: Scan, run: Run, work: BatchWork, suspects: frozenset[bytes]) -> None:
        repository = self._repository
        tree = TreeScan(scan, self._settings.rules, repository, self.counters)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._scan(tree), name="scan")
            group.create_task(self._form_batches(run, suspects), name="batches")
            for number in range(self._settings.concurrent_workers):
                group.create_task(work.work(self._pool, number), name=f"worker-{number}")
        await work.read_again(self._pool)
        self.counters.stage = "finishing"
        if not self.gate.is_stopping:
            await self._remove(await tree.removals(), work)
            if scan.extent.is_whole:
                self._check_not_empty()
                await self._writer.apply(partial(_finish_scan, run=run, repository_id=repository.id, rules=tree.rules))
        await self._collect_garbage()
        await self._feed.settled()

    def _check_root(self, scan: Scan) -> None:
        root = self._repository.root
        if same_root(RootIdentity(root.device, root.inode, root.boot_id), scan.root):
            return
        message = (
            f"{display(root.path)} is another directory than the one that was indexed (replaced, or something is "
            "mounted over it); nothing was changed. If it is right, run 'codetrove index --accept-root PATH'"
        )
        raise RootReplaced(message)

    def _check_not_empty(self) -> None:
        counters = self.counters
        failed = sum(counters.failed.values())
        if counters.indexed + counters.unchanged + counters.removed + failed == 0:
            skipped = ", ".join(f"{count} {reason}" for reason, count in sorted(counters.skipped.items()))
            message = f"{display(self._repository.root.path)} holds nothing to index ({skipped or 'it is empty'})"
            raise NothingToIndex(message)

    async def _scan(self, tree: TreeScan) -> None:
        with suppress(QueueClosed):
            async for tasks in tree.tasks(self._reader):
                for task in tasks:
                    await self._planned.put(task)
                if self.gate.is_stopping:
                    break
        await self._planned.close()

    async def _form_batches(self, run: Run, suspects: frozenset[bytes]) -> None:
        """Record the intent for some batches at a time, then hand them on (design §3, step 1)."""
        settings = self._settings
        patience = min(INTENT_SECONDS, settings.commit_seconds)
        while not self.gate.is_stopping:
            try:
                tasks = await self._planned.get_many(settings.batch_files * settings.queue_batches)
            except QueueClosed:
                break
            await self.gate.may_plan()
            batches = list(
                batched(tasks, most_files=settings.batch_files, most_bytes=settings.batch_bytes, alone=suspects)
            )
            paths = [[task.place.path for task in batch] for batch in batches]
            ids = await self._writer.apply(partial(open_batches, run=run, batches=paths), patience=patience)
            reach("job.intent")
            for batch_id, batch in zip(ids, batches, strict=True):
                await self._batches.put(Batch(batch_id, batch))
        await self._planned.close()
        await self._batches.close()

    async def _remove(self, removals: Sequence[Removal], work: BatchWork) -> None:
        for start in range(0, len(removals), REMOVALS_A_CHANGE):
            reach("job.removal")
            await work.apply(removals[start : start + REMOVALS_A_CHANGE])

    async def _collect_garbage(self) -> None:
        older_than_ms = _now_ms() - int(self._settings.garbage_grace_seconds * 1000)
        more = True
        while more and not self.gate.is_stopping:
            reach("job.garbage")
            collected = await self._writer.apply(
                lambda connection: collect_garbage(connection, older_than_ms=older_than_ms)
            )
            more = collected.more
        await self._feed.settled()
        followed = self._feed.applied_deletion
        reach("job.trim")
        await self._writer.apply(lambda connection: trim_deletions(connection, followed))

    def _verdict(self) -> tuple[JobState, str]:
        if self.gate.is_stopping:
            return "cancelled", "stopped before every file was reached"
        if self.counters.failed:
            return "partial", "some files failed"
        return "succeeded", ""

    async def _end(self, run: Run, state: JobState, reason: str) -> None:
        counters, warnings = self.counters, tuple(self.gate.warnings)
        tally, unreached = counters.tally(), max(0, counters.to_read - counters.read) if state == "cancelled" else 0
        await self._writer.apply(
            lambda connection: end_run(
                connection, run, state, reason, tally, now_ms=_now_ms(), unreached=unreached, warnings=warnings
            )
        )


def _finish_scan(connection: sqlite3.Connection, *, run: Run, repository_id: int, rules: str) -> None:
    check_epoch(connection, run)
    finish_scan(connection, repository_id, rules, now_ms=_now_ms())


def _first(error: BaseException) -> BaseException:
    """Return the one error behind nested groups of one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _now_ms() -> int:
    return int(time() * 1000)
