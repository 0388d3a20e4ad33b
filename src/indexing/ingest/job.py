"""One run of an indexing job: scan → batches → worker processes → writer, as ``docs/architecture.md`` draws it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from indexing.ingest.batches import batched
from indexing.ingest.messages import BatchTask, FileReport
from indexing.ingest.progress import Counters, FileNote
from indexing.ingest.scanning import TreeScan
from indexing.ingest.worker_process import WorkerDied, WorkerProcess
from indexing.sources import RootIdentity, Scan, display, same_root
from storage import (
    POISON_DEATHS,
    ClosableQueue,
    Committed,
    Exclusion,
    Failure,
    FileVersion,
    QueueClosed,
    ReadAgain,
    Removal,
    collect_garbage,
    commit_batch,
    count_death,
    end_run,
    finish_scan,
    open_batches,
    start_run,
    trim_deletions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexing.ingest.messages import CutMode, FileTask
    from indexing.ingest.text_feed import TextFeed
    from indexing.sources import Rules
    from storage import FileChange, Incarnation, JobState, Reader, Repository, Run, Tally, Writer

log = structlog.get_logger(__name__)

READ_AGAIN_MOST = 3
REMOVALS_A_CHANGE = 500
QUEUED_FILES = 65_536
"""Files that may be planned ahead of the workers, about 400 bytes each, so that the total is known early."""


class RootReplaced(Exception):  # noqa: N818
    """Another directory is at the repository's root than the one that was indexed."""


class NothingToIndex(Exception):  # noqa: N818
    """The tree holds no file that can be indexed, and none was indexed before."""


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What a job is run with; sizes in files and bytes."""

    rules: Rules
    batch_files: int
    batch_bytes: int
    queue_batches: int
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


@dataclass(frozen=True, slots=True)
class _Batch:
    id: int
    tasks: tuple[FileTask, ...]


class IndexJob:
    """Brings the index of one repository up to date with its tree."""

    def __init__(  # noqa: PLR0913
        self,
        repository: Repository,
        settings: JobSettings,
        *,
        writer: Writer,
        reader: Reader,
        feed: TextFeed,
        workers: Sequence[WorkerProcess],
        incarnation: Incarnation,
    ) -> None:
        """Prepare a run; the workers are used by this job alone while it runs."""
        self._repository = repository
        self._settings = settings
        self._writer = writer
        self._reader = reader
        self._feed = feed
        self._workers = workers
        self._incarnation = incarnation
        self._batches: ClosableQueue[_Batch] = ClosableQueue(settings.queue_batches)
        self._planned: ClosableQueue[FileTask] = ClosableQueue(QUEUED_FILES)
        self._stopping = False
        self._alone: frozenset[bytes] = frozenset()
        self._run: Run | None = None
        self.counters = Counters()

    def stop(self) -> None:
        """Take no new work, finish what is in hand, and end as cancelled."""
        self._stopping = True

    async def run(self) -> JobReport:
        """Run the job to its end.

        Raises ``RootReplaced``, ``NothingToIndex``, the errors of ``indexing.sources`` about the root, of ``storage``,
        and ``WorkerStartFailed``; the job is then recorded as failed, and what was indexed before stays.
        """
        repository, settings = self._repository, self._settings
        self._run, held = await self._writer.apply(
            lambda connection: start_run(
                connection, repository.id, uuid4().hex, incarnation=self._incarnation.id, now_ms=_now_ms()
            )
        )
        self._alone = frozenset(held)
        try:
            scan = await asyncio.to_thread(Scan, Path(os.fsdecode(repository.root.path)), settings.rules)
            self._check_root(scan)
            tree = TreeScan(scan, settings.rules, repository, self.counters)
            await self._ingest(tree)
            self.counters.stage = "finishing"
            if not self._stopping:
                await self._remove(await tree.removals())
                self._check_not_empty()
                await self._writer.apply(
                    lambda connection: finish_scan(connection, repository.id, tree.rules, now_ms=_now_ms())
                )
            await self._collect_garbage()
            await self._feed.settled()
        except BaseException as error:
            await asyncio.shield(self._end("failed", _first(error)))
            raise _first(error) from error
        state, reason = self._verdict()
        await self._end(state, reason)
        self.counters.stage = "done"
        return JobReport(
            self._run.job_id,
            repository,
            state,
            reason,
            self.counters.tally(),
            tuple(self.counters.notes),
            tuple(scan.warnings),
        )

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

    async def _ingest(self, tree: TreeScan) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._scan(tree), name="scan")
            group.create_task(self._form_batches(), name="batches")
            for worker in self._workers:
                group.create_task(self._work(worker), name="worker")

    async def _scan(self, tree: TreeScan) -> None:
        async for tasks in tree.tasks(self._reader):
            for task in tasks:
                await self._planned.put(task)
            if self._stopping:
                break
        await self._planned.close()

    async def _form_batches(self) -> None:
        """Record the intent for some batches at a time, then hand them on (design §3, step 1)."""
        settings, run = self._settings, self._run
        assert run is not None  # noqa: S101
        while not self._stopping:
            try:
                tasks = await self._planned.get_many(settings.batch_files * settings.queue_batches)
            except QueueClosed:
                break
            batches = list(
                batched(tasks, most_files=settings.batch_files, most_bytes=settings.batch_bytes, alone=self._alone)
            )
            paths = [[task.place.path for task in batch] for batch in batches]
            ids = await self._writer.apply(lambda connection: open_batches(connection, run, paths))  # noqa: B023
            for batch_id, batch in zip(ids, batches, strict=True):
                await self._batches.put(_Batch(batch_id, batch))
        await self._batches.close()

    async def _work(self, worker: WorkerProcess) -> None:
        """Take batches until there are none; while one is cut, the one before is committed."""
        committing: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            async for batch in self._batches:
                if self._stopping:
                    continue
                reports = await self._reports(worker, batch.tasks)
                if committing is not None:
                    await committing
                committing = group.create_task(self._commit(worker, batch, reports))

    async def _reports(
        self, worker: WorkerProcess, tasks: Sequence[FileTask], mode: CutMode = "syntax"
    ) -> list[tuple[FileTask, FileReport]]:
        done: list[tuple[FileTask, FileReport]] = []
        while len(done) < len(tasks):
            remaining = tuple(tasks[len(done) :])
            batch = BatchTask(self._repository.root.path, self._repository.id, remaining, mode)
            try:
                async for report in worker.reports(batch):
                    done.append((tasks[len(done)], report))
            except WorkerDied as death:
                suspect = tasks[len(done)]
                done.append((suspect, await self._alone_after(worker, suspect, death)))
        return done

    async def _alone_after(self, worker: WorkerProcess, task: FileTask, death: WorkerDied) -> FileReport:
        """Try the file that a worker died on alone: once more, then without parsing, then set it aside."""
        deaths = await self._writer.apply(lambda connection: count_death(connection, task.place, task.stat))
        log.warning("worker.died", cause=death.cause, path=display(task.place.path), deaths=deaths)
        if deaths >= POISON_DEATHS:
            detail = f"ended its worker process {deaths} times; set aside until it changes"
            return FileReport(failure=Failure(task.place, "poison", detail))
        without_parsing = deaths == POISON_DEATHS - 1 or death.cause == "cpu_deadline"
        ((_, report),) = await self._reports(worker, [task], "windows" if without_parsing else "syntax")
        return report

    async def _commit(
        self, worker: WorkerProcess, batch: _Batch, reports: Sequence[tuple[FileTask, FileReport]]
    ) -> None:
        batch_id: int | None = batch.id
        for _ in range(READ_AGAIN_MOST):
            again = await self._commit_once(reports, batch_id)
            batch_id = None
            if not again:
                return
            reports = await self._reports(worker, again)
        for task, _ in reports:
            await self._apply([Failure(task.place, "changing", "another change of its entry came first each time")])

    async def _commit_once(
        self, reports: Sequence[tuple[FileTask, FileReport]], batch_id: int | None
    ) -> list[FileTask]:
        tasks = {task.place.path: task for task, _ in reports}
        changes = [_change(task, report) for task, report in reports]
        again: list[FileTask] = []
        for change, result in zip(changes, await self._apply(changes, batch_id), strict=True):
            task = tasks[change.place.path]
            if isinstance(result, ReadAgain):
                again.append(task.with_place(result.place, result.seq))
        return again

    async def _apply(self, changes: Sequence[FileChange], batch_id: int | None = None) -> list[object]:
        """Commit changes and count what came of them."""
        run, uuid = self._run, self._repository.uuid
        assert run is not None  # noqa: S101
        results = await self._writer.apply(
            lambda connection: commit_batch(
                connection, run, changes, repository=uuid, now_ms=_now_ms(), batch_id=batch_id
            )
        )
        for change, result in zip(changes, results, strict=True):
            if not isinstance(result, ReadAgain):
                self._count(change, result)
        return list(results)

    def _count(self, change: FileChange, result: object) -> None:
        counters = self.counters
        path = change.place.path
        match change:
            case FileVersion():
                counters.read += 1
                counters.bytes_read += change.stat.size
                if isinstance(result, Committed) and result.changed:
                    counters.indexed += 1
                    counters.chunks += 0 if result.added is None else len(result.added.chunks)
                else:
                    counters.unchanged += 1
            case Exclusion():
                counters.read += 1
                counters.note(FileNote(path, "skipped", change.reason, change.detail))
            case Failure():
                counters.read += 1
                counters.note(FileNote(path, "failed", change.reason, change.detail))
            case Removal():
                if change.place.expected_seq is not None:
                    counters.removed += 1
                if change.reason == "gone_since":
                    # It was seen by the scan, and nothing is left to say of it.
                    counters.read += 1
                    counters.seen -= 1

    async def _remove(self, removals: Sequence[Removal]) -> None:
        for start in range(0, len(removals), REMOVALS_A_CHANGE):
            await self._apply(removals[start : start + REMOVALS_A_CHANGE])

    async def _collect_garbage(self) -> None:
        older_than_ms = _now_ms() - int(self._settings.garbage_grace_seconds * 1000)
        more = True
        while more and not self._stopping:
            collected = await self._writer.apply(
                lambda connection: collect_garbage(connection, older_than_ms=older_than_ms)
            )
            more = collected.more
        await self._feed.settled()
        followed = self._feed.applied_deletion
        await self._writer.apply(lambda connection: trim_deletions(connection, followed))

    def _verdict(self) -> tuple[JobState, str]:
        if self._stopping:
            return "cancelled", "stopped before every file was reached"
        if self.counters.failed:
            return "partial", "some files failed"
        return "succeeded", ""

    async def _end(self, state: JobState, reason: str | BaseException) -> None:
        run = self._run
        assert run is not None  # noqa: S101
        tally = self.counters.tally()
        await self._writer.apply(
            lambda connection: end_run(connection, run, state, str(reason), tally, now_ms=_now_ms())
        )


def _change(task: FileTask, report: FileReport) -> FileChange:
    return report.version or report.exclusion or report.failure or Removal(task.place, "gone_since")


def _first(error: BaseException) -> BaseException:
    """Return the one error behind nested groups of one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _now_ms() -> int:
    return int(time() * 1000)
