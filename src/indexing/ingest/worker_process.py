"""A worker process seen from its owner: started, fed, watched and, when it must be, killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

from indexing.frames import encode_frame
from indexing.ingest.messages import decode_report
from indexing.ingest.report_pipe import ReportPipe
from indexing.ingest.worker_meter import WorkerMeter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from indexing.ingest.messages import BatchTask, FileReport, WorkerSetup

CauseOfDeath: TypeAlias = Literal["cpu_deadline", "no_answer", "killed"]

ENDING_SECONDS = 5.0
"""How long a process that closed its pipes may take to end."""
GATHER_SECONDS = 0.01
"""For so long reports gather in the pipe before they are looked at: each look costs as much as a tenth of a file."""
FEW = 8
"""Reports of a batch's end that are looked at as they come."""


class WorkerDied(Exception):
    """The process ended, or was ended, with a file in hand."""

    def __init__(self, cause: CauseOfDeath, status: int | None) -> None:
        """Keep the cause and the exit status."""
        super().__init__(f"the worker process ended with status {status} ({cause})")
        self.cause = cause


class WorkerStartFailed(Exception):
    """The process ended before it was ready: the next one would too."""


class WorkerProcess:
    """One worker process; it works on one batch at a time."""

    def __init__(
        self, setup: WorkerSetup, *, directory: Path, wall_seconds: float, meter: WorkerMeter | None = None
    ) -> None:
        """Prepare to start in ``directory``; ``wall_seconds`` without a report mean that it hangs."""
        self.meter = meter or WorkerMeter(0)
        self._setup = setup
        self._directory = directory
        self._wall_seconds = wall_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._pipe: ReportPipe | None = None
        self._begun: list[BatchTask] = []
        """Batches that the process has, whose reports are not all read; in their order."""
        self.files = 0
        """Answers of the process that runs now."""

    @property
    def is_busy(self) -> bool:
        """Whether the process has work whose answers are not all read."""
        return bool(self._begun)

    @property
    def pid(self) -> int | None:
        """Process id, None while it does not run."""
        return None if self._process is None else self._process.pid

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None  # noqa: S101  (started first)
        return self._process

    @property
    def _answers(self) -> ReportPipe:
        assert self._pipe is not None  # noqa: S101  (it is there as long as the process)
        return self._pipe

    async def start(self) -> None:
        """Start the process and wait until it is ready; raises ``WorkerStartFailed`` if it ends before that."""
        self.meter.starts += 1
        self.files = 0
        self._pipe = pipe = ReportPipe()
        try:
            # -P keeps the working directory off sys.path: a pickle.py in an indexed tree must never be imported.
            # A group of its own, so that signals of a terminal pass it by, but no session: Linux compares niceness
            # within a session alone (``autogroup``, sched(7)), and a worker is to yield to its owner.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "indexing.ingest.worker", stdin=asyncio.subprocess.PIPE,
                stdout=pipe.write_end, cwd=self._directory, env=os.environ | {"PYTHONSAFEPATH": "1"},
                process_group=0,
            )  # fmt: skip
        finally:
            pipe.close_write_end()
        try:
            await self._send(encode_frame(self._setup))
            await self._receive()
        except WorkerDied as death:
            raise WorkerStartFailed(f"a worker process cannot start: {death}; see its messages on stderr") from death

    async def reports(self, batch: BatchTask, then: BatchTask | None = None) -> AsyncIterator[FileReport]:
        """Work on a batch; yields a report a file, in order. Raises ``WorkerDied`` at the file it dies on.

        ``then``, the batch that will be asked for next, is handed over at once, so that the process need not wait
        for it. Whether it arrived shows when its reports are read.
        """
        if not self._begun or self._begun[0] is not batch:
            if self._begun:
                await self.aclose()
            if self._process is None:
                await self.start()
            self._begun.append(batch)
            await self._send(encode_frame(batch))
        if then is not None and not self._stdin.is_closing():
            self._stdin.write(encode_frame(then))
            self._begun.append(then)
        for remaining in range(len(batch.files), 0, -1):
            frame = self._answers.take()
            if frame is None:
                if remaining > FEW:
                    await asyncio.sleep(GATHER_SECONDS)
                frame = await self._receive()
            report = decode_report(frame)
            self.files += 1
            self.meter.count(report)
            yield report
        del self._begun[0]

    async def aclose(self) -> None:
        """End the process at once; it keeps nothing that anyone needs."""
        process, self._process = self._process, None
        pipe, self._pipe = self._pipe, None
        self._begun.clear()
        if pipe is not None:
            pipe.close()
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        # This also closes the pipe to it, so that the transport closes before the loop does.
        await asyncio.shield(process.communicate())

    @property
    def _stdin(self) -> asyncio.StreamWriter:
        stdin = self._running.stdin
        assert stdin is not None  # noqa: S101  (it was asked for)
        return stdin

    async def _send(self, frame: bytes) -> None:
        try:
            self._stdin.write(frame)
            async with asyncio.timeout(self._wall_seconds):
                await self._stdin.drain()
        except TimeoutError as error:
            raise await self._death("no_answer") from error
        except (BrokenPipeError, ConnectionResetError) as error:
            raise await self._death("killed") from error

    async def _receive(self) -> bytes:
        try:
            async with asyncio.timeout(self._wall_seconds):
                return await self._answers.next_frame()
        except TimeoutError as error:
            raise await self._death("no_answer") from error
        except EOFError as error:
            raise await self._death("killed") from error

    async def _death(self, cause: CauseOfDeath) -> WorkerDied:
        process = self._running
        if cause == "killed":
            # Signalling a child that has just ended makes subprocess reap it, and its exit status is lost to asyncio.
            with suppress(TimeoutError):
                async with asyncio.timeout(ENDING_SECONDS):
                    await process.wait()
        await self.aclose()
        if process.returncode == -signal.SIGPROF:
            cause = "cpu_deadline"
        self.meter.deaths += 1
        return WorkerDied(cause, process.returncode)
