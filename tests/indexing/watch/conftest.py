"""A watched repository: a real owner, real events, and something to wait on that is neither a clock nor a sleep."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pytest

from indexing.ingest.job import JobReport
from indexing.runtime import Owner, open_owner
from indexing.settings import WatchSettings
from indexing.watch import Watching, WatchState
from storage import JobOrigin, Repository
from tests.faults.driver import settings_for

PATIENCE = 40.0
"""Seconds after which a test that waits for something fails; nothing depends on it otherwise."""
BIG_STEPS = {"indexing.worker_batch_size": 64, "text.commit_interval_ms": 50, "storage.garbage_grace_days": 14}
"""Overrides for storms of many files."""
RARELY = 3_600
"""Seconds between two scans where a test wants events alone."""


@dataclass(slots=True, eq=False)
class Handed:
    """A job that was handed in."""

    paths: tuple[bytes, ...] | None
    origin: JobOrigin
    report: object = None


@dataclass(slots=True, eq=False)
class Watched:
    """An owner, what watches its repositories, and the jobs that came of it."""

    owner: Owner
    watching: Watching
    repository: Repository
    is_enabled: bool = True
    jobs: list[Handed] = field(default_factory=list)
    running: dict[str, Handed] = field(default_factory=dict)
    most_at_once: int = 0
    fails_with: Exception | None = None
    """What the next job is made to fail with when it is handed in."""
    turned: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def root(self) -> Path:
        return Path(os.fsdecode(self.repository.root.path))

    @property
    def state(self) -> WatchState:
        return self.watching.state_of(self.repository.uuid)

    async def submit(self, repository: Repository, paths: Sequence[bytes] | None, origin: JobOrigin) -> str:
        if self.fails_with is not None:
            error, self.fails_with = self.fails_with, None
            raise error
        job = await self.owner.service.submit(repository, paths)
        if repository.uuid == self.repository.uuid:
            self.running[job] = Handed(None if paths is None else tuple(paths), origin)
            self.jobs.append(self.running[job])
            self.most_at_once = max(self.most_at_once, len(self.running))
        return job

    async def wait(self, job: str) -> object:
        handed = self.running.get(job, Handed(None, "watch"))
        try:
            handed.report = await self.owner.service.wait(job)
            return handed.report
        finally:
            self.running.pop(job, None)
            self.turn()

    def turn(self) -> None:
        self.turned.set()
        self.turned = asyncio.Event()

    async def until(self, holds: Callable[[], bool | Awaitable[bool]]) -> None:
        """Wait for jobs to end until something holds after one."""
        async with asyncio.timeout(PATIENCE):
            while True:
                turned = self.turned
                answer = holds()
                if answer if isinstance(answer, bool) else await answer:
                    return
                await turned.wait()

    async def listening(self) -> None:
        """Wait until events come and nothing is dirty."""
        await self.until(lambda: self.state.mode == "events" and not self.state.dirty and not self.running)

    async def indexed(self) -> dict[bytes, str]:
        """The indexed paths, and the SHA-256 of what is indexed of each."""
        rows = await self.owner.reader.query(
            "SELECT path, hex(sha256) FROM entries JOIN blobs ON blobs.id = blob_id WHERE snapshot_id = ?",
            (self.repository.snapshot_id,),
        )
        return dict(rows)

    async def is_indexed(self, *names: str | bytes) -> bool:
        """Whether files are indexed as they are on disk."""
        there = await self.indexed()
        return all(there.get(os.fsencode(name)) == self.on_disk(name) for name in names)

    def on_disk(self, name: str | bytes) -> str:
        with open(os.path.join(os.fsencode(self.root), os.fsencode(name)), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest().upper()

    async def equals_the_tree(self) -> bool:
        """Whether exactly the files on disk are indexed, outside of hidden directories, as they are."""
        root = os.fsencode(self.root)
        there = {}
        for directory, subdirectories, files in os.walk(root):
            subdirectories[:] = [name for name in subdirectories if not name.startswith(b".")]
            for name in files:
                path = os.path.relpath(os.path.join(directory, name), root)
                there[path] = self.on_disk(path)
        return await self.indexed() == there


Watch: TypeAlias = Callable[..., AbstractAsyncContextManager[Watched]]


@pytest.fixture
def watch(data_dir: Path) -> Watch:
    """Watches a tree, by events alone unless there are ``settings``: see ``Watched``."""

    @asynccontextmanager
    async def watching(root: Path, *, settings: WatchSettings | None = None) -> AsyncIterator[Watched]:
        chosen = settings or WatchSettings(debounce_ms=20, scan_seconds=RARELY)
        async with open_owner(settings_for(data_dir, BIG_STEPS)) as owner:
            repository = await owner.register(root)
            watched = Watched(owner, None, repository)  # type: ignore[arg-type]
            watched.watching = Watching(
                chosen,
                repositories=owner.reader.repositories,
                submit=watched.submit,
                wait=watched.wait,
                enabled=lambda: watched.is_enabled,
                ignored=(os.fsencode(data_dir),),
            )
            async with watched.watching:
                yield watched

    return watching


def tally(handed: Handed) -> tuple[int, int]:
    """How many files a job indexed and removed."""
    assert isinstance(handed.report, JobReport)
    return handed.report.tally.indexed, handed.report.tally.removed
