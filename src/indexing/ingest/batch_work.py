"""What is done with a batch in hand: worker process, writer, counters; and what when a worker dies on a file."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic, time
from typing import TYPE_CHECKING

import structlog

from indexing.ingest.finish import finished
from indexing.ingest.messages import BatchTask, FileReport
from indexing.ingest.progress import FileNote
from indexing.ingest.stage_meters import IngestMeter
from indexing.ingest.worker_process import WorkerDied
from indexing.sources import display
from storage import (
    POISON_DEATHS,
    Committed,
    Exclusion,
    Failure,
    FileVersion,
    ReadAgain,
    Removal,
    check_epoch,
    commit_batch,
    count_death,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from indexing.ingest.gate import Gate
    from indexing.ingest.messages import CutMode, FileTask
    from indexing.ingest.pool import Lent, WorkerPool
    from indexing.ingest.progress import Counters
    from indexing.ingest.worker_process import WorkerProcess
    from indexing.sources import Rules
    from storage import ClosableQueue, FileChange, FileResult, Reader, Repository, Run, Writer

log = structlog.get_logger(__name__)

COMMITS_AHEAD = 32
"""Batches that may wait for their commit: as many as one commit takes at most (``GROUPED_CHANGES`` of the catalog's
writer). Were it fewer, all of them could wait until it is due, and the workers with them."""
READ_AGAIN_MOST = 3
GONE_SINCE = "gone_since"
"""Reason of a removal: the scan saw the path, the worker no longer did."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Files to work on, whose intent is recorded."""

    id: int
    tasks: tuple[FileTask, ...]


class BatchWork:
    """Takes batches of one run of a job to their commit."""

    def __init__(
        self,
        repository: Repository,
        run: Run,
        batches: ClosableQueue[Batch],
        writer: Writer,
        counters: Counters,
        *,
        reader: Reader,
        rules: Rules,
        gate: Gate,
        zstd_level: int,
        commit_seconds: float,
        meter: IngestMeter | None = None,
    ) -> None:
        """Prepare to take ``batches``: all is written under ``run``, nothing new is begun where ``gate`` says so.

        While more batches follow, one waits ``commit_seconds`` for others to be committed with it.
        """
        self._meter = meter or IngestMeter()
        self._reader = reader
        self._repository = repository
        self._run = run
        self._batches = batches
        self._writer = writer
        self._counters = counters
        self._rules = rules
        self._gate = gate
        self._zstd_level = zstd_level
        self._commit_seconds = commit_seconds
        self._commits = asyncio.Semaphore(COMMITS_AHEAD)
        self._finishing = asyncio.Lock()
        self._again: list[FileTask] = []

    async def work(self, pool: WorkerPool, number: int) -> None:
        """Take batches until there are none, as the ``number``-th of the tasks that do.

        A permit and a worker come before each batch, and are kept until they are recalled or no batch is there. While
        one batch is cut, the next is already with the worker, and those before wait for their commit. All tasks but the
        first (number 0) end when the job goes on sequentially; so does it for the first worker that cannot be had. The
        first task tries once more then, and when it has none either, the job fails.
        """
        async with asyncio.TaskGroup() as group:
            while await self._may_begin(number):
                has_worker, asked = False, monotonic()
                self._gate.are_several = pool.permits.limit > 1
                try:
                    async with pool.lend(self._gate) as lent:
                        has_worker = True
                        self._meter.worker_wait_seconds += monotonic() - asked
                        await self._work(lent, group, number)
                except Exception as error:
                    # With a batch in hand the failure is the job's; without one another task may do what is left.
                    if has_worker or (self._gate.is_sequential and not number):
                        raise
                    self._gate.go_on_sequentially(str(error))
            await self._writer.flush()

    async def _may_begin(self, number: int) -> bool:
        while await self._has_batch():
            if number and self._gate.is_sequential:
                return False
            if self._gate.is_open:
                return True
            await self._gate.opened()
        return False

    async def _has_batch(self) -> bool:
        began = monotonic()
        is_there = await self._batches.ready()
        self._meter.work_wait_seconds += monotonic() - began
        return is_there

    async def _work(self, lent: Lent, group: asyncio.TaskGroup, number: int) -> None:
        """Work with one worker for as long as it may be kept; the last commits may still be going on then."""
        # A recalled permit is good for one batch all the same: two jobs would hand it to and fro and do nothing.
        following = self._next() if self._gate.is_open else None
        while following is not None:
            (batch, task), following = following, None
            if self._gate.is_stopping:
                following = self._next()
                continue
            if self._may_go_on(lent, number):
                following = self._next()
            await lent.weigh()
            reports = await self._reports(lent.worker, batch.tasks, task, None if following is None else following[1])
            began = monotonic()
            await self._commits.acquire()
            self._meter.writer_wait_seconds += monotonic() - began
            group.create_task(self._commit_batch(reports, batch.id), name="commit")
            if following is None and self._may_go_on(lent, number):
                following = self._next()

    def _may_go_on(self, lent: Lent, number: int) -> bool:
        is_one_too_many = number > 0 and self._gate.is_sequential
        return self._gate.is_open and not lent.is_recalled and not is_one_too_many

    def _next(self) -> tuple[Batch, BatchTask] | None:
        try:
            batch = self._batches.get_nowait()
        except asyncio.QueueEmpty:
            return None
        return batch, self._task(batch.tasks)

    async def _commit_batch(self, reports: Sequence[tuple[FileTask, FileReport]], batch_id: int) -> None:
        try:
            self._again.extend(await self._commit(reports, batch_id))
        finally:
            self._commits.release()

    async def read_again(self, pool: WorkerPool) -> None:
        """Read the files again whose entry changed under the read, once no batch is left."""
        if self._again and not self._gate.is_stopping:
            async with pool.lend(self._gate) as lent:
                await self._read_again(lent.worker, self._again)

    async def apply(
        self, changes: Sequence[FileChange], batch_id: int | None = None, *, patience: float = 0.0
    ) -> list[FileResult]:
        """Commit changes and count what came of them."""
        run, uuid = self._run, self._repository.uuid
        results = await self._writer.apply(
            lambda connection: commit_batch(
                connection, run, changes, repository=uuid, now_ms=int(time() * 1000), batch_id=batch_id
            ),
            patience=patience,
        )
        for change, result in zip(changes, results, strict=True):
            if not isinstance(result, ReadAgain):
                self._count(change, result)
        return results

    def _task(self, tasks: Sequence[FileTask], mode: CutMode = "syntax") -> BatchTask:
        root, repository_id = self._repository.root.path, self._repository.id
        return BatchTask(root, repository_id, self._rules, tuple(tasks), mode, finish=self._gate.are_several)

    async def _reports(
        self,
        worker: WorkerProcess,
        tasks: Sequence[FileTask],
        task: BatchTask | None = None,
        then: BatchTask | None = None,
    ) -> list[tuple[FileTask, FileReport]]:
        """Return what became of some files; ``task`` names them all, ``then`` is what will be asked for next."""
        done: list[tuple[FileTask, FileReport]] = []
        while len(done) < len(tasks):
            try:
                async for report in worker.reports(task or self._task(tasks[len(done) :]), then):
                    done.append((tasks[len(done)], report))
            except WorkerDied as death:
                suspect = tasks[len(done)]
                done.append((suspect, await self._alone_after(worker, suspect, death)))
                task = then = None
        return done

    async def _alone_after(self, worker: WorkerProcess, task: FileTask, death: WorkerDied) -> FileReport:
        """Try the file that a worker died on alone: once more, then without parsing, then set it aside."""
        deaths = await self._writer.apply(lambda connection: self._count_death(connection, task))
        log.warning("worker.died", cause=death.cause, path=display(task.place.path), deaths=deaths)
        self._gate.count_death()
        if deaths >= POISON_DEATHS:
            detail = f"ended its worker process {deaths} times; set aside until it changes"
            return FileReport(failure=Failure(task.place, "poison", detail))
        without_parsing = deaths == POISON_DEATHS - 1 or death.cause == "cpu_deadline"
        self._meter.retries += 1
        alone = self._task([task], "windows" if without_parsing else "syntax")
        ((_, report),) = await self._reports(worker, [task], alone)
        return report

    def _count_death(self, connection: sqlite3.Connection, task: FileTask) -> int:
        check_epoch(connection, self._run)
        return count_death(connection, task.place, task.stat)

    async def _read_again(self, worker: WorkerProcess, tasks: Sequence[FileTask]) -> None:
        """Read the files again whose entry changed under the read; a few times, then leave them for the next job."""
        for _ in range(READ_AGAIN_MOST):
            if not tasks:
                return
            self._meter.read_again += len(tasks)
            tasks = await self._commit(await self._reports(worker, tasks), None)
        detail = "another change of its entry came first each time"
        await self.apply([Failure(task.place, "changing", detail) for task in tasks])

    async def _commit(self, reports: Sequence[tuple[FileTask, FileReport]], batch_id: int | None) -> list[FileTask]:
        """Commit what came of some files; returns those that have to be read again."""
        await self._reader.quiet()
        # One at a time: they would only take turns with each other, and with whoever commits.
        async with self._finishing:
            changes = await asyncio.to_thread(lambda: [self._change(task, report) for task, report in reports])
        is_last = self._batches.closed and self._batches.empty()
        results = await self.apply(changes, batch_id, patience=0.0 if is_last else self._commit_seconds)
        return [
            task.with_seq(result.seq)
            for (task, _), result in zip(reports, results, strict=True)
            if isinstance(result, ReadAgain)
        ]

    def _change(self, task: FileTask, report: FileReport) -> FileChange:
        version = report.version
        if version is not None and report.text is not None:
            version = finished(version, report.text, self._zstd_level)
        return version or report.exclusion or report.failure or Removal(task.place, GONE_SINCE)

    def _count(self, change: FileChange, result: FileResult) -> None:
        counters = self._counters
        path = change.place.path
        if not isinstance(change, Removal):
            counters.read += 1
        match change:
            case FileVersion():
                counters.bytes_read += change.stat.size
                if isinstance(result, Committed) and result.changed:
                    counters.indexed += 1
                    counters.chunks += 0 if result.added is None else len(result.added.chunks)
                else:
                    counters.unchanged += 1
            case Exclusion():
                counters.note(FileNote(path, "skipped", change.reason, change.detail))
            case Failure():
                counters.note(FileNote(path, "failed", change.reason, change.detail))
            case Removal():
                counters.removed += change.place.expected_seq is not None
                if change.reason == GONE_SINCE:
                    counters.read += 1
                    counters.seen -= 1
