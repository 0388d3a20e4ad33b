"""How a job goes on, for any number of readers: one snapshot and one encoding for all of them.

A reader that is slow misses snapshots and never gets an old one, and nothing is kept for it: there is one latest
snapshot of a job, whoever reads it. The more readers there are, the rarer the snapshots.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import structlog

from indexing.http.job_view import is_over, job_view, surroundings
from indexing.live_job import UnknownJob
from indexing.service import EVENT_SECONDS
from storage import job_row

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from indexing.http.answers import JobAnswer
    from indexing.live_job import JobStatus
    from indexing.runtime import Owner
    from storage import Repository

    _Statuses: TypeAlias = AsyncGenerator[JobStatus, None]

log = structlog.get_logger(__name__)

SENDS_A_SECOND: Final = 250
"""To all readers of one job together: a send costs 0.2 ms of the loop that the job needs too."""
WOKEN_AT_ONCE: Final = 25
"""Readers, before others have their turn on the loop."""
BETWEEN_HANDFULS_SECONDS: Final = 0.02
LOOK_SECONDS: Final = 1.0
"""Between two looks at a job that waits for a process to take it up."""


@dataclass(slots=True, eq=False)
class Reader:
    """One reader of a job."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    """set when there is something new, at the end, and by whoever else has news for it"""


class JobStream:
    """The latest snapshot of one job, kept up to date while anybody reads it."""

    def __init__(self, owner: Owner, repository: Repository, job_id: str, *, everything: bool) -> None:
        """Prepare; ``everything`` where its readers see all repositories."""
        self._owner = owner
        self._repository = repository
        self._job_id = job_id
        self._everything = everything
        self._told: JobAnswer | None = None
        self._told_at = 0.0
        self.readers: set[Reader] = set()
        self.number = 0
        """of the latest snapshot; 0 before the first"""
        self.latest = b""
        """the snapshot as an event"""
        self.end = b""
        """the last event of a job that has ended; empty before"""
        self.is_closed = False
        """whether no further snapshot comes"""

    async def follow(self, closing: asyncio.Event) -> None:
        """Keep ``latest`` up to date until the job ends, nobody reads it any more, or the service closes."""
        try:
            while not closing.is_set() and self.readers:
                async with aclosing(cast("_Statuses", self._owner.service.events(self._job_id))) as events:
                    async for status in events:
                        await self._look(status)
                        if closing.is_set() or not self.readers:
                            return
                if self.end:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await closing.wait()
        except UnknownJob:  # its repository was forgotten
            await self._end_forgotten()
        except Exception:  # task boundary: its readers may come again
            if not closing.is_set():  # else what it reads from may be closed already
                log.exception("job_stream.failed", job=self._job_id)
        finally:
            self.is_closed = True
            for reader in self.readers:
                reader.woken.set()

    async def _look(self, status: JobStatus) -> None:
        told = self._told
        if told is not None and told.state == status.state and self._is_too_soon():
            return
        row = await job_row(self._owner.reader, self._job_id)
        if row is None:
            raise UnknownJob(f"there is no job {self._job_id!r} any more")
        around = surroundings(self._owner, everything=self._everything)
        view = job_view(status, row, self._repository.root.path, around)
        if told is None or _but_for_time(view) != _but_for_time(told):
            await self._tell(view)

    def _is_too_soon(self) -> bool:
        return monotonic() - self._told_at < max(EVENT_SECONDS / 2, len(self.readers) / SENDS_A_SECOND)

    async def _tell(self, view: JobAnswer) -> None:
        self._told, self._told_at = view, monotonic()
        self.number += 1
        data = view.model_dump_json()
        self.latest = _event("job", self.number, data)
        self.end = _event("end", self.number, data) if is_over(view) else b""
        for count, reader in enumerate(tuple(self.readers), 1):
            reader.woken.set()
            if count % WOKEN_AT_ONCE == 0:
                # A job wants its share of the loop between two handfuls of sends.
                await asyncio.sleep(BETWEEN_HANDFULS_SECONDS)

    async def _end_forgotten(self) -> None:
        if self._told is not None and not self.end:
            await self._tell(
                self._told.model_copy(update={"state": "cancelled", "reason": "the repository was forgotten"})
            )


class JobStreams:
    """The streams that are read now, of all jobs."""

    def __init__(self, owner: Owner, closing: asyncio.Event) -> None:
        """Begin with none; all end when ``closing`` is set."""
        self._owner = owner
        self._closing = closing
        self._streams: dict[tuple[str, bool], JobStream] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def readers(self) -> int:
        """How many there are of all jobs together."""
        return sum(len(stream.readers) for stream in self._streams.values())

    def join(self, reader: Reader, repository: Repository, job_id: str, *, everything: bool) -> JobStream:
        """Read a job's stream, the same as its other readers; `leave` it after."""
        key = job_id, everything
        stream = self._streams.get(key)
        if stream is None or stream.is_closed:
            stream = JobStream(self._owner, repository, job_id, everything=everything)
            self._streams[key] = stream
            stream.readers.add(reader)
            task = asyncio.create_task(stream.follow(self._closing), name=f"job-stream-{job_id}")
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._over(done, key, stream))
        stream.readers.add(reader)
        return stream

    def leave(self, reader: Reader, stream: JobStream) -> None:
        """Read no more; a stream that nobody reads ends by itself."""
        stream.readers.discard(reader)

    async def closed(self) -> None:
        """Wait until no stream looks at its job any more: soon after ``closing`` is set."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def _over(self, task: asyncio.Task[None], key: tuple[str, bool], stream: JobStream) -> None:
        self._tasks.discard(task)
        if self._streams.get(key) is stream:
            del self._streams[key]


def _event(name: str, number: int, data: str) -> bytes:
    # JSON has no line break, which would end the data.
    return f"id: {number}\nevent: {name}\ndata: {data}\n\n".encode()


def _but_for_time(view: JobAnswer) -> tuple[object, ...]:
    """Return what makes a snapshot worth sending: everything but the seconds that go by."""
    progress, vectors = view.progress, view.vectors
    return (
        view.model_copy(update={"progress": None, "vectors": None}),
        None if progress is None else progress.model_copy(update={"seconds": 0.0}),
        None if vectors is None else vectors.model_copy(update={"seconds": 0.0}),
    )
