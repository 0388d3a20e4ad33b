"""A job as the process that runs it sees it, and what is said of it to others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexing.ingest.job import IndexJob, JobReport
    from indexing.ingest.progress import Progress
    from storage import JobRow, JobState, Repository


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

    def become(self, state: JobState, reason: str = "") -> None:
        """Take a state and wake whoever watches."""
        self.state, self.reason = state, reason
        self.changed.set()
        self.changed = asyncio.Event()
