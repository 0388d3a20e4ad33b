"""A job as the process that runs it sees it, and what is said of it to others."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from indexing.ingest.job import IndexJob, JobReport
    from indexing.ingest.progress import Progress
    from storage import JobRow, JobState, Repository


ASKED_TO: Final = "asked to"
"""Why a job is paused or cancelled where nobody says more."""


class UnknownJob(LookupError):
    """There is no job with that id."""


class JobOver(RuntimeError):
    """The job has ended: nothing can be changed about it."""


class ServiceClosed(RuntimeError):
    """The service takes no more jobs."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job stands."""

    id: str
    repository: str
    """uuid"""
    state: JobState
    reason: str
    progress: Progress | None
    """None before it has begun, and for a job of an earlier process"""
    row: JobRow | None = None
    """what the catalog says of a job that this process did not run"""


@dataclass(slots=True, eq=False)
class LiveJob:
    """A job of this process."""

    id: str
    repository: Repository
    state: JobState = "queued"
    reason: str = ""
    job: IndexJob | None = None
    report: JobReport | None = None
    error: BaseException | None = None
    is_unwanted: bool = False
    """cancelled, however far it is"""
    paused: str = ""
    """why it begins nothing, or will begin nothing; empty while it may"""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> JobStatus:
        """How it stands now."""
        progress = None if self.job is None else self.job.counters.snapshot()
        return JobStatus(self.id, self.repository.uuid, self.state, self.reason, progress)

    def begin(self, job: IndexJob) -> IndexJob:
        """Take its run, which ends at once or begins nothing where that was asked for meanwhile; returns it."""
        self.job = job
        if self.is_unwanted:
            job.stop()
            self.become("cancelling", ASKED_TO)
        elif self.paused:
            job.gate.pause(self.paused)
            self.become("paused", self.paused)
        else:
            self.become("running")
        return job

    def become(self, state: JobState, reason: str = "") -> None:
        """Take a state and wake whoever watches."""
        self.state, self.reason = state, reason
        self.changed.set()
        self.changed = asyncio.Event()

    async def events(self, every_seconds: float) -> AsyncIterator[JobStatus]:
        """Yield how it stands: now, at each change of state, at least so often, and at its end."""
        while True:
            changed, over = self.changed, self.done.is_set()
            yield self.status
            if over:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(every_seconds):
                    await changed.wait()
