"""``IndexingService``: accepts jobs, runs those of different repositories side by side, and answers for each of them.

A job is in the catalog from the moment it is accepted, so that it ends exactly once, in this process or in a later one.
Jobs of one repository run one after the other; what is asked for while one runs is gathered in the one behind it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from functools import partial
from time import time
from typing import TYPE_CHECKING, Final, Self
from uuid import uuid4

import structlog

from indexing.live_job import ASKED_TO, JobOver, JobStatus, LiveJob, ServiceClosed, UnknownJob
from indexing.task_end import ended
from storage import (
    ENDED_STATES,
    ClosableQueue,
    QueueClosed,
    StaleEpoch,
    StorageError,
    accept_job,
    cancel_queued,
    end_cancelled,
    job_row,
    requeue_interrupted,
    set_job_state,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from indexing.ingest.job import IndexJob, JobReport
    from indexing.ingest.progress import Progress
    from storage import JobOrigin, JobState, Reader, Repository, Writer

log = structlog.get_logger(__name__)

QUEUED_JOBS: Final = 1_000
"""Jobs that may wait to begin; there is at most one of a repository."""
EVENT_SECONDS: Final = 0.25
"""Between two snapshots of a job's progress."""
FORGET_AFTER_JOBS: Final = 1_000
"""Ended jobs that are answered for from memory; older ones are read from the catalog."""


class IndexingService:
    """Runs jobs from the start of its context to the end."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        job_for: Callable[[Repository, str], AbstractAsyncContextManager[IndexJob]],
        *,
        incarnation: int,
    ) -> None:
        """Prepare; ``job_for`` makes the run of an accepted job."""
        self._incarnation = incarnation
        self._writer = writer
        self._reader = reader
        self._job_for = job_for
        self.ended: Counter[JobState] = Counter()
        """{state: jobs of this process that ended in it}"""
        self._jobs: dict[str, LiveJob] = {}
        self._running: dict[int, LiveJob] = {}
        self._behind: dict[int, LiveJob] = {}
        self._begun: ClosableQueue[LiveJob] = ClosableQueue(QUEUED_JOBS)
        self._task: asyncio.Task[None] | None = None
        self._accepting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Begin to take jobs; those in whose middle an earlier process ended wait for the next wish to begin again."""
        await self._writer.apply(self._requeue)
        self._task = asyncio.create_task(self._run(), name="indexing-service")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close, unless that is done."""
        await self.close()

    async def close(self) -> None:
        """Take no more jobs, finish what is in hand, and end; cancelled, end at once. Nothing is lost either way."""
        await self._begun.close()
        for live in list(self._running.values()):
            if live.job is not None:
                live.job.stop()
        if self._task is None:
            return
        try:
            await ended([self._task])
        finally:
            self._let_go_of_the_waiting()

    @property
    def states(self) -> Counter[JobState]:
        """How many jobs of this process are in which state: those that run, and those that wait behind them."""
        return Counter(live.state for live in (*self._running.values(), *self._behind.values()))

    @property
    def running(self) -> tuple[IndexJob, ...]:
        """The jobs that run now."""
        return tuple(live.job for live in self._running.values() if live.job is not None)

    async def submit(
        self,
        repository: Repository,
        paths: Sequence[bytes] | None = None,
        *,
        origin: JobOrigin = "request",
        key: str = "",
    ) -> str:
        """Accept a job that brings a repository up to date, all of it or what is at some paths; returns its id at once.

        While a job of that repository waits to begin, the paths join it, and the id is that job's. A ``key`` that made
        a job before gives that job again. Once this returns the job is on disk.
        Raises ``ServiceClosed``, ``KeyReused``, ``UnknownRepository``, and ``ValueError`` for paths that no job can be
        about.
        """
        if self._begun.closed:
            raise ServiceClosed("the service is shutting down and takes no more jobs; ask again when it is back")
        async with self._accepting:
            wanted, new_id = None if paths is None else tuple(paths), uuid4().hex
            job_id = await self._writer.apply(
                lambda connection: accept_job(
                    connection, repository.id, new_id, wanted, _now_ms(), origin=origin, key=key
                )
            )
            if job_id == new_id or (self._is_not_live(job_id) and await self._waits(job_id)):
                await self._take_up(LiveJob(job_id, repository))
        return job_id

    async def status(self, job_id: str) -> JobStatus:
        """Return how a job stands; raises ``UnknownJob``."""
        live = self._jobs.get(job_id)
        if live is not None:
            return live.status
        row = await job_row(self._reader, job_id)
        if row is None:
            raise UnknownJob(f"there is no job {job_id!r} (the last ones of each repository are kept)")
        return JobStatus(row.id, row.repository, row.state, row.reason, None, row)

    def progress(self, job_id: str) -> Progress | None:
        """Return how far a job of this process has come; None where it has not begun."""
        live = self._jobs.get(job_id)
        return None if live is None else live.status.progress

    async def events(self, job_id: str) -> AsyncIterator[JobStatus]:
        """Yield how a job stands: now, at each change of state, a few times a second while it runs, and at its end.

        Every snapshot is made when it is asked for: a reader that is slow misses some and never gets an old one.
        """
        live = self._jobs.get(job_id)
        if live is None:
            yield await self.status(job_id)
            return
        async for status in live.events(EVENT_SECONDS):
            yield status

    async def wait(self, job_id: str) -> JobReport:
        """Wait until a job is over and return its report; raises what made it fail, ``UnknownJob`` or ``JobOver``."""
        live = self._jobs.get(job_id)
        if live is None:
            status = await self.status(job_id)
            raise JobOver(f"job {job_id!r} was not run by this process; it is {status.state}")
        await live.done.wait()
        if live.error is not None:
            raise live.error
        if live.report is None:
            raise JobOver(f"job {job_id!r} was cancelled before it began")
        return live.report

    async def pause(self, job_id: str, reason: str = ASKED_TO) -> None:
        """Begin nothing new for a job until `resume`; one that is queued begins paused.

        Raises ``UnknownJob`` and ``JobOver``.
        """
        live = self._live(job_id)
        if live.state not in {"queued", "running"}:
            return
        live.paused = reason or ASKED_TO
        if live.job is None:
            live.become("queued", f"begins paused: {live.paused}")
        else:
            live.job.gate.pause(live.paused)
            live.become("paused", live.paused)
            await self._record(live)

    async def resume(self, job_id: str) -> None:
        """Go on with a paused job. Raises ``UnknownJob`` and ``JobOver``."""
        live = self._live(job_id)
        if not live.paused or live.state == "cancelling":
            return
        live.paused = ""
        if live.job is None:
            live.become("queued")
        else:
            live.job.gate.resume()
            live.become("running")
            await self._record(live)

    async def cancel(self, job_id: str) -> None:
        """End a job after what it has in hand; one that has not begun ends at once.

        Raises ``UnknownJob`` and ``JobOver``.
        """
        live = self._live(job_id)
        # Its turn may come while the catalog is asked: then it begins only to end.
        live.is_unwanted = True
        if live.job is not None:
            live.become("cancelling", ASKED_TO)
            live.job.stop()
            await self._record(live)
        elif self._running.get(live.repository.id) is live:
            return
        elif await self._writer.apply(lambda connection: cancel_queued(connection, job_id, _now_ms())):
            self._behind.pop(live.repository.id, None)
            live.become("cancelled", "cancelled before it began")
            self._end(live)

    async def idle(self) -> None:
        """Wait until no job runs or waits."""
        while live := next(iter((*self._running.values(), *self._behind.values())), None):
            await live.done.wait()
            # A job that was cancelled as it began is over before its turn is: without this, the loop would stand still.
            await asyncio.sleep(0)

    def _is_not_live(self, job_id: str) -> bool:
        return job_id not in self._jobs or self._jobs[job_id].done.is_set()

    async def _waits(self, job_id: str) -> bool:
        """Whether a job is still to begin: the one that a key stands for may be over, or be another process's."""
        row = await job_row(self._reader, job_id)
        return row is not None and row.state == "queued"

    async def _take_up(self, live: LiveJob) -> None:
        if self._begun.closed:
            raise _not_begun(live.id)
        self._jobs[live.id] = live
        self._forget_old()
        if live.repository.id in self._running:
            self._behind[live.repository.id] = live
        else:
            self._running[live.repository.id] = live
            try:
                await self._begun.put(live)
            except QueueClosed:
                del self._running[live.repository.id], self._jobs[live.id]
                raise _not_begun(live.id) from None

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            async for live in self._begun:
                group.create_task(self._run_jobs_of(live), name=f"job-{live.id[:8]}")

    async def _run_jobs_of(self, live: LiveJob | None) -> None:
        """Run a job, and then the one that was gathered behind it."""
        while live is not None:
            repository_id = live.repository.id
            if not live.done.is_set():
                with structlog.contextvars.bound_contextvars(job=live.id):
                    await self._run_job(live)
            live = None if self._begun.closed else self._behind.pop(repository_id, None)
            if live is None:
                self._running.pop(repository_id, None)
            else:
                self._running[repository_id] = live

    async def _run_job(self, live: LiveJob) -> None:
        try:
            async with self._job_for(live.repository, live.id) as job:
                if self._begun.closed:
                    live.error = _not_begun(live.id)
                if live.error is not None or live.done.is_set():
                    return
                live.report = await live.begin(job).run()
            live.become(live.report.state, live.report.reason)
        except asyncio.CancelledError:
            live.error = ServiceClosed(f"the service was stopped while job {live.id!r} ran; submit again to go on")
            live.become("cancelled", "the service was stopped")
            raise
        except Exception as error:  # noqa: BLE001  (task boundary: raised to whoever waits for the job)
            if not live.done.is_set():
                live.error = error
                live.become("failed", f"{type(error).__name__}: {error}")
            log.debug("job.failed", job=live.id, error=repr(error))
        finally:
            self._end(live)

    def _end(self, live: LiveJob) -> None:
        if not live.done.is_set() and live.state in ENDED_STATES:
            self.ended[live.state] += 1
        live.done.set()
        live.changed.set()

    def _let_go_of_the_waiting(self) -> None:
        """Wake whoever waits for a job that did not begin; it stays in the catalog."""
        for live in self._jobs.values():
            if not live.done.is_set():
                live.error = _not_begun(live.id)
                live.done.set()
                live.changed.set()

    async def _record(self, live: LiveJob) -> None:
        """Write the state down for those who read the catalog; a run that is over by now has its own last word."""
        state, reason = live.state, live.reason
        if live.job is None or live.job.run_record is None or state not in {"running", "paused", "cancelling"}:
            return
        with suppress(StaleEpoch, StorageError):
            await self._writer.apply(partial(set_job_state, run=live.job.run_record, state=state, reason=reason))

    def _requeue(self, connection: sqlite3.Connection) -> None:
        end_cancelled(connection, self._incarnation, _now_ms())
        requeue_interrupted(connection, self._incarnation, _now_ms())

    def _live(self, job_id: str) -> LiveJob:
        live = self._jobs.get(job_id)
        if live is None:
            raise UnknownJob(f"there is no job {job_id!r} in this process")
        if live.done.is_set():
            raise JobOver(f"job {job_id!r} has ended: it is {live.state}")
        return live

    def _forget_old(self) -> None:
        ended = [job_id for job_id, live in self._jobs.items() if live.done.is_set()]
        for job_id in ended[: max(0, len(ended) - FORGET_AFTER_JOBS)]:
            del self._jobs[job_id]


def _not_begun(job_id: str) -> ServiceClosed:
    return ServiceClosed(f"the service closed before job {job_id!r} began; it is kept for when the service is back")


def _now_ms() -> int:
    return int(time() * 1000)
