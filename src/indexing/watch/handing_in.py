"""Hands in jobs about one tree, one after the other, and learns from how they end."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Final

import structlog

from indexing.ingest.job import JobReport, NothingToIndex
from indexing.live_job import JobOver, ServiceClosed
from indexing.sources import display
from indexing.watch.directories import is_directory
from indexing.watch.dirt import CLEAN, WHOLE, Dirt
from indexing.watch.timing import delay, polling_interval, scan_interval

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from indexing.settings import WatchSettings
    from indexing.watch.ledger import Ledger
    from storage import JobOrigin, Repository

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 2.0
"""Between two scans where there are no events, right after a change."""
ROOT_FIRST_SECONDS: Final = 0.5
ROOT_MOST_SECONDS: Final = 15.0
"""Between two looks for a root that is gone: the first, and at most."""
GIT_LOOK_SECONDS: Final = 0.1
GIT_MOST_SECONDS: Final = 10.0
"""Between two looks for git's lock, and how long it is respected: one that a crash left behind stays for good."""
FAILED_FIRST_SECONDS: Final = 2.0
FAILED_MOST_SECONDS: Final = 900.0
"""Before the next job after one that failed: the first time, and at most."""


class Forgotten(Exception):
    """The repository is none any more."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """How jobs come about and end."""

    current: Callable[[str], Awaitable[Repository]]
    """the repository of a uuid as it is now; raises ``Forgotten``"""
    submit: Callable[[Repository, Sequence[bytes] | None, JobOrigin], Awaitable[str]]
    wait: Callable[[str], Awaitable[object]]


class HandingIn:
    """Jobs about one repository: about what is dirty, and about the whole tree every now and then."""

    def __init__(self, uuid: str, root: bytes, settings: WatchSettings, jobs: Jobs, ledger: Ledger) -> None:
        """Prepare; the first scan is due at once."""
        self._uuid = uuid
        self._root = root
        self._settings = settings
        self._jobs = jobs
        self._ledger = ledger
        self._changed = asyncio.Event()
        self._turned = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._not_before = 0.0
        self._scan_due = 0.0
        self._interval = float(settings.scan_seconds)
        self._polling = POLL_SECONDS
        self._failures = 0
        self._looks = 0
        self._is_told = False
        self.problem = ""
        self.scanned_at: float | None = None
        """Seconds since 1970 at the end of the last job about the whole tree."""
        self.has_looked = asyncio.Event()
        """Set once the first job is over: what is indexed of the tree is known then."""
        self.uncovered: Callable[[frozenset[bytes]], Awaitable[None]] | None = None
        """What to do with directories in which changes are not told."""

    @property
    def is_told(self) -> bool:
        """Whether events come: then scans are rare."""
        return self._is_told

    @is_told.setter
    def is_told(self, is_told: bool) -> None:
        if self._is_told and not is_told:
            self._polling = POLL_SECONDS
            self._scan_due = min(self._scan_due, self._loop.time() + POLL_SECONDS)
        self._is_told = is_told
        self.nudge()

    def nudge(self) -> None:
        """Look at the ledger again."""
        self._changed.set()

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is dirty, nor in the hands of a job."""
        return not self._ledger.dirt and not self._ledger.in_hand

    async def rests(self) -> None:
        """Wait until all that was heard of is searchable."""
        while not self.is_at_rest:
            await self._turned.wait()

    def scan_soon(self) -> None:
        """Look at the whole tree as soon as nothing else runs, however often it failed before."""
        self._scan_due = self._not_before = 0.0
        self._failures = self._looks = 0
        self.nudge()

    async def run(self) -> None:
        """Hand in jobs until cancelled; raises ``Forgotten``, and ``ServiceClosed`` when no more are taken."""
        while True:
            origin = await self._next()
            if not await asyncio.to_thread(is_directory, self._root):
                self._miss_root()
                continue
            self._looks = 0
            if origin == "watch" and await self._git_is_at_work():
                self._not_before = self._loop.time() + GIT_LOOK_SECONDS
                continue
            await self._run_job(origin)

    async def _git_is_at_work(self) -> bool:
        """Whether git is changing the whole tree right now: it holds its lock until all files are in place."""
        ledger = self._ledger
        if not ledger.dirt.is_whole or self._loop.time() - ledger.first > GIT_MOST_SECONDS:
            return False
        return await asyncio.to_thread(os.path.lexists, self._root + b"/.git/index.lock")

    async def _next(self) -> JobOrigin:
        """Wait until a job has to be handed in; returns why."""
        while True:
            dirty_due = self._ledger.due()
            is_scan = dirty_due is None or self._scan_due <= dirty_due
            at = max(self._scan_due if dirty_due is None else min(dirty_due, self._scan_due), self._not_before)
            if self._loop.time() >= at:
                return "scan" if is_scan else "watch"
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(at):
                    await self._changed.wait()

    async def _run_job(self, origin: JobOrigin) -> None:
        repository = await self._jobs.current(self._uuid)
        ledger = self._ledger
        if origin == "scan":
            if not ledger.dirt and self._is_done_by_others(repository.scanned_at):
                return
            ledger.soil(WHOLE, self._loop.time())
        taken, uncovered = ledger.take(), frozenset(ledger.uncovered)
        ledger.uncovered.clear()
        began = self._loop.time()
        try:
            job = await self._jobs.submit(repository, taken.job_paths, origin)
            report = await self._report(job)
        except BaseException:
            ledger.uncovered |= uncovered
            ledger.soil(taken, began)
            raise
        finally:
            ledger.in_hand = CLEAN
            self._turn()
        if isinstance(report, Exception):
            self._fail(taken, report)
        else:
            self._succeed(taken, report, self._loop.time() - began)
        newly = ledger.learn(taken, _left_out(report)) if isinstance(report, JobReport) else frozenset()
        self.has_looked.set()
        if self.uncovered is not None and (uncovered or newly):
            await self.uncovered(uncovered | newly)

    async def _report(self, job: str) -> object:
        try:
            return await self._jobs.wait(job)
        except ServiceClosed:
            raise
        except (JobOver, NothingToIndex):
            return None
        except Exception as error:  # noqa: BLE001 - whatever made the job fail, which is its own task
            return error

    def _is_done_by_others(self, scanned_ms: int | None) -> bool:
        """Whether a job that was asked for has looked at the whole tree since the last scan, so that this can wait."""
        if scanned_ms is None or self.scanned_at is None or scanned_ms / 1000 <= self.scanned_at:
            return False
        self.scanned_at = scanned_ms / 1000
        self._scan_due = self._loop.time() + max(0.0, self.scanned_at + self._interval - time())
        return self._scan_due > self._loop.time()

    def _succeed(self, taken: Dirt, report: object, seconds: float) -> None:
        self._failures = 0
        self.problem = ""
        if taken.is_whole:
            has_changed = isinstance(report, JobReport) and report.tally.indexed + report.tally.removed > 0
            self._polling = polling_interval(
                self._polling, least=POLL_SECONDS, most=self._settings.scan_seconds, has_changed=has_changed
            )
            self._interval = scan_interval(float(self._settings.scan_seconds), seconds)
            self.scanned_at = time()
            wait = self._interval if self._is_told else max(self._polling, scan_interval(0.0, seconds))
            self._scan_due = self._loop.time() + wait

    def _fail(self, taken: Dirt, error: Exception) -> None:
        self._failures += 1
        wait = delay(self._failures, first=FAILED_FIRST_SECONDS, most=FAILED_MOST_SECONDS)
        self.problem = f"the last job failed: {error}"
        log.warning("watch.job_failed", repository=self._uuid, error=str(error), again_in_seconds=wait)
        now = self._loop.time()
        self._not_before = now + wait
        self._ledger.soil(taken, now)

    def _turn(self) -> None:
        self._turned.set()
        self._turned = asyncio.Event()

    def _miss_root(self) -> None:
        self._looks += 1
        self.problem = f"the root {display(self._root)!r} is gone; what is indexed of it is kept"
        if self._looks == 1:
            log.warning("watch.root_gone", repository=self._uuid, root=display(self._root))
        now = self._loop.time()
        self._not_before = now + delay(self._looks, first=ROOT_FIRST_SECONDS, most=ROOT_MOST_SECONDS)
        self._ledger.soil(WHOLE, now)


def _left_out(report: JobReport) -> list[bytes]:
    return [note.path for note in report.notes if note.directory and note.outcome == "skipped"]
