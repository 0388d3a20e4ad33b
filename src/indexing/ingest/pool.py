"""The worker processes, lent to whoever holds a permit; they serve every repository and outlive a job."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from indexing.ingest.stage_meters import IngestMeter
from indexing.ingest.worker_meter import WorkerMeter
from indexing.ingest.worker_process import WorkerProcess
from indexing.memory import rss_of
from storage import reach

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from indexing.ingest.messages import WorkerSetup
    from indexing.ingest.permits import Permit, Permits

log = structlog.get_logger(__name__)

WEIGHED_FILES = 64
"""Files between two looks at the memory of a worker."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Limits of a worker process."""

    wall_seconds: float
    """without an answer mean that it hangs"""
    recycle_files: int
    """after which it is replaced"""
    max_bytes: int
    """of memory, above which it is replaced"""


@dataclass(slots=True)
class Lent:
    """A worker that runs, for as long as it may be kept."""

    worker: WorkerProcess
    permit: Permit
    settings: PoolSettings
    is_worn: bool = False
    """Whether the process is to be replaced by a new one."""
    _weighed_at: int = 0

    @property
    def is_recalled(self) -> bool:
        """Whether it should be given back before more work is taken."""
        return self.permit.is_recalled or self.is_worn

    async def weigh(self) -> None:
        """Find out whether the process is worn: after so many files, or with too much memory."""
        worker = self.worker
        self.is_worn = worker.files >= self.settings.recycle_files
        if not self.is_worn and worker.pid is not None and worker.files >= self._weighed_at + WEIGHED_FILES:
            self._weighed_at = worker.files
            self.is_worn = await asyncio.to_thread(rss_of, worker.pid) > self.settings.max_bytes


class WorkerPool:
    """Starts worker processes as permits allow, keeps the idle ones, and replaces those that are worn."""

    def __init__(self, setup: WorkerSetup, permits: Permits, settings: PoolSettings, *, directory: Path) -> None:
        """Prepare; processes work in ``directory`` and are started when they are first lent."""
        self._setup = setup
        self._permits = permits
        self._settings = settings
        self._directory = directory
        self._idle: list[WorkerProcess] = []
        self._lent: list[WorkerProcess] = []
        self._meters: list[WorkerMeter] = []
        self._ending: set[asyncio.Future[None]] = set()
        self.meter = IngestMeter()
        """Of all tasks that borrow workers."""

    @property
    def permits(self) -> Permits:
        """How many workers may be lent at once."""
        return self._permits

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run now."""
        return tuple(worker.pid for worker in (*self._lent, *self._idle) if worker.pid is not None)

    @property
    def busy(self) -> int:
        """How many workers have a batch in hand."""
        return sum(worker.is_busy for worker in self._lent)

    @property
    def meters(self) -> tuple[WorkerMeter, ...]:
        """What the workers have done, by their number."""
        return tuple(map(copy, self._meters))

    @asynccontextmanager
    async def lend(self, owner: object) -> AsyncIterator[Lent]:
        """Wait for a permit, then lend a running worker. Raises ``WorkerStartFailed``."""
        async with self._permits.take(owner) as permit:
            worker = self._idle.pop() if self._idle else self._new()
            self._lent.append(worker)
            lent = Lent(worker, permit, self._settings)
            try:
                reach("pool.lend")
                if worker.pid is None:
                    # Cancelled now, it must not be lent again: that it is ready would be taken for its first answer.
                    lent.is_worn = True
                    await worker.start()
                    lent.is_worn = False
                yield lent
            finally:
                self._lent.remove(worker)
                await self._take_back(lent)

    def allow(self, limit: int) -> None:
        """Let so many workers run from now on; the idle ones beyond that end: they would keep their memory."""
        self._permits.set_limit(limit)
        surplus = len(self._idle) + len(self._lent) - self._permits.limit
        for _ in range(min(surplus, len(self._idle))):
            ending = asyncio.ensure_future(self._idle.pop(0).aclose())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """End the idle processes; those that are lent end when they come back."""
        while self._idle:
            await self._idle.pop().aclose()
        await asyncio.gather(*self._ending)

    async def _take_back(self, lent: Lent) -> None:
        worker = lent.worker
        # One that is still at work was given up in the middle of a batch: nobody would read its answers.
        surplus = len(self._idle) + len(self._lent) >= self._permits.limit
        if worker.is_busy or surplus or lent.is_worn:
            log.debug("worker.replaced", pid=worker.pid, files=worker.files, busy=worker.is_busy)
            await worker.aclose()
        elif worker.pid is not None:
            self._idle.append(worker)

    def _new(self) -> WorkerProcess:
        taken = {worker.meter.number for worker in (*self._lent, *self._idle)}
        meter = next((each for each in self._meters if each.number not in taken), None)
        if meter is None:
            meter = WorkerMeter(len(self._meters))
            self._meters.append(meter)
        wall_seconds = self._settings.wall_seconds
        return WorkerProcess(self._setup, directory=self._directory, wall_seconds=wall_seconds, meter=meter)
