"""The composition root: opens what an owner of a data directory needs, in order, and closes it in reverse.

Order: settings → data directory and its lock → catalog, migrated → text index, caught up → vector store → ready.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

from indexing.flags import Flags
from indexing.ingest.followers import Followers
from indexing.ingest.job import IndexJob, JobSettings
from indexing.ingest.messages import WorkerSetup
from indexing.ingest.permits import Permits
from indexing.ingest.pool import PoolSettings, WorkerPool
from indexing.ingest.text_feed import TextFeed
from indexing.loop_watchdog import LoopWatchdog
from indexing.memory_guard import GuardSettings, MemoryGuard
from indexing.recovery import bring_back, enter_writer, guard_against_crash_loop
from indexing.responsiveness import quick_turns
from indexing.roots import look_at_root, rules_for
from indexing.service import IndexingService
from indexing.settings import MIB, NO_MODEL
from storage import (
    CatalogDamaged,
    DataDirectory,
    Ownership,
    StorageError,
    Writer,
    accept_root,
    begin_incarnation,
    change_registry,
    end_incarnation,
    load_registry,
    mark_damaged,
    note_served,
    open_reader,
    register,
    take_in_restore,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from indexing.memory_guard import Verdict
    from indexing.search import Pages
    from indexing.settings import Settings
    from indexing.sources import Rules
    from indexing.vectors import OwnedVectors
    from indexing.watch import Watching
    from storage import Incarnation, JobOrigin, Reader, Registry, Repository, Root


CLEAN_STOP_SECONDS = 5.0


@dataclass(slots=True)
class Owner:
    """What the one process that writes a data directory works with."""

    settings: Settings
    directory: DataDirectory
    writer: Writer
    reader: Reader
    feed: TextFeed
    pool: WorkerPool
    flags: Flags
    incarnation: Incarnation
    messages: list[str] = field(default_factory=list)
    """What a user should know of the start: a restore, a catalog moved aside."""
    to_index_again: list[Repository] = field(default_factory=list)
    """Repositories that were never indexed to the end of a job: their catalog was lost, or their first job crashed."""
    unreachable: dict[str, bytes] = field(default_factory=dict)
    """{uuid: root} of repositories that a lost catalog held and that cannot come back now."""
    jobs: dict[str, IndexJob] = field(default_factory=dict)
    """{repository uuid: job} of those that run"""
    vectors: OwnedVectors | None = None
    """None where the settings want text search only."""
    watching: Watching | None = None
    """Notices what changes in the trees; None where the owner was not opened to watch."""
    pages: Pages | None = None
    """Makes the pages of searches in another process; None: this one does."""
    service: IndexingService = field(init=False)
    """Takes and runs jobs; opened right after the owner is made."""
    guard: MemoryGuard = field(init=False)
    """Looks at the memory."""
    watchdog: LoopWatchdog = field(init=False)
    """Says whether the event loop is held up."""

    def _rules_for(self, repository: Repository, others: Sequence[Repository]) -> Rules:
        roots = [other.root.path for other in others]
        return rules_for(self.settings, repository.root.path, roots, self.directory.path)

    async def register(self, path: Path) -> Repository:
        """Return the repository whose root is ``path``, new or not; raises the errors of ``look_at_root``."""
        return await self.take_in(await asyncio.to_thread(look_at_root, path))

    async def take_in(self, root: Root) -> Repository:
        """Return the repository with this root, new or not, and write down that it is there."""
        repository = await self.writer.apply(lambda connection: register(connection, root, now_ms=_now_ms()))
        await self.save_registry()
        return repository

    async def accept_root(self, repository: Repository) -> None:
        """Take the directory that is at the repository's root now as the right one."""
        root = await asyncio.to_thread(look_at_root, Path(os.fsdecode(repository.root.path)))
        await self.writer.apply(lambda connection: accept_root(connection, repository.id, root))

    async def save_registry(self) -> Registry:
        """Write down which repositories there are, for the day the catalog is lost; returns what is written there."""
        repositories = await self.reader.repositories()
        roots = self.unreachable | {repository.uuid: repository.root.path for repository in repositories}
        return await asyncio.to_thread(_save_roots, self.directory.path, roots)

    @asynccontextmanager
    async def job_for(self, repository: Repository, job_id: str = "") -> AsyncIterator[IndexJob]:
        """Prepare the run of an accepted job, or of one that brings a repository up to date."""
        others = await self.reader.repositories()
        rules = await asyncio.to_thread(self._rules_for, repository, others)
        settings = self.settings
        job = IndexJob(
            repository,
            JobSettings(
                rules=rules,
                concurrent_workers=settings.indexing.concurrent_workers,
                batch_files=settings.indexing.worker_batch_size,
                batch_bytes=settings.indexing.worker_batch_bytes,
                queue_batches=settings.indexing.queue_batches,
                zstd_level=settings.storage.zstd_level,
                commit_seconds=settings.text.commit_interval_ms / 1000,
                garbage_grace_seconds=settings.storage.garbage_grace_days * 86_400.0,
            ),
            writer=self.writer,
            reader=self.reader,
            feed=self.feed,
            pool=self.pool,
            incarnation=self.incarnation,
            job_id=job_id,
        )
        _hold_back(job, self.guard.verdict)
        self.jobs[repository.uuid] = job
        try:
            yield job
        finally:
            if self.jobs.get(repository.uuid) is job:
                del self.jobs[repository.uuid]

    def waits_for_room(self, waits: bool) -> None:  # noqa: FBT001 - a callback with one argument
        """Show in the jobs' progress that the disk is full, or no longer."""
        for job in self.jobs.values():
            job.counters.waiting = "disk is full" if waits else ""

    def count_searchable(self, chunks: Mapping[str, int]) -> None:
        """Count chunks that have just become findable, by the uuid of their repository."""
        for repository, count in chunks.items():
            if repository in self.jobs:
                self.jobs[repository].counters.searchable_chunks += count

    def wanted_workers(self) -> int:
        """Return how many workers may run at once by the settings and flags."""
        return self.settings.indexing.concurrent_workers if self.flags.enable_parallel else 1

    def heed(self, verdict: Verdict) -> None:
        """Let as many workers run as the memory allows, and plan nothing new while it is nearly full."""
        self.pool.allow(verdict.limit)
        for job in self.jobs.values():
            _hold_back(job, verdict)


@asynccontextmanager
async def open_owner(settings: Settings, *, watch: bool = False) -> AsyncIterator[Owner]:
    """Own the data directory: take its lock, repair what a crash left, and serve until the context ends.

    With ``watch`` the trees are watched, and what changes in them is indexed by itself (flag ``auto_reindex``).
    Raises the errors of ``storage``, and ``CrashLoop`` when recovery itself keeps crashing.
    """
    directory = DataDirectory(settings.storage.data_dir)
    messages: list[str] = []
    owner: Owner | None = None
    followers = Followers()
    async with AsyncExitStack() as stack:
        stack.enter_context(quick_turns())
        watchdog = await stack.enter_async_context(LoopWatchdog())
        await asyncio.to_thread(directory.prepare)
        await asyncio.to_thread(stack.enter_context, Ownership(directory))
        await asyncio.to_thread(guard_against_crash_loop, settings, directory)
        former = await asyncio.to_thread(lambda: take_in_restore(directory, now_ms=_now_ms()))
        if former is not None:
            messages.append(f"a backup was restored; the former catalog is in {former}")
        try:
            writer = Writer(
                directory.catalog,
                after_apply=followers.take,
                before_commit=followers.caught_up,
                after_commit=followers.confirm,
                after_undo=followers.withdraw,
                on_full=lambda waits: owner.waits_for_room(waits) if owner is not None else None,
            )
            aside = await enter_writer(stack, writer, directory)
            if aside is not None:
                messages.append(f"the catalog was damaged and is moved aside to {aside}")
            incarnation = await writer.apply(lambda connection: begin_incarnation(connection, now_ms=_now_ms()))
            reader = await stack.enter_async_context(open_reader(directory.catalog))
            returning, unreachable = await bring_back(directory, writer, reader, messages)
            feed = TextFeed(
                directory.text,
                reader,
                incarnation,
                heap_bytes=settings.text.heap_bytes,
                threads=settings.text.threads,
                on_searchable=lambda chunks: owner.count_searchable(chunks) if owner is not None else None,
            )
            followers.feed = await stack.enter_async_context(feed)
            if feed.rebuilt:
                messages.append(f"the text index was rebuilt from the catalog: {feed.rebuilt}")
            pool = await stack.enter_async_context(aclosing(_pool(settings, directory)))
            flags = Flags(settings, directory.path, await asyncio.to_thread(load_registry, directory.path))
            owner = Owner(
                settings, directory, writer, reader, feed, pool, flags, incarnation, messages, returning, unreachable
            )
            owner.watchdog = watchdog
            registry = await owner.save_registry()
            await stack.enter_async_context(_memory_guard(owner))
            owner.service = await stack.enter_async_context(
                IndexingService(writer, reader, owner.job_for, incarnation=incarnation.id)
            )
            if settings.embeddings.model != NO_MODEL:
                owner.vectors = await stack.enter_async_context(_vectors(owner, followers, registry.installation))
            await asyncio.to_thread(note_served, directory.starts)
            async with AsyncExitStack() as hints:
                if watch:
                    owner.watching = await hints.enter_async_context(_watching(owner))
                yield owner
            # What the jobs still had in hand belongs to the run that this mark calls clean.
            await owner.service.close()
            await _mark_clean_stop(writer, incarnation.id)
        except CatalogDamaged as error:
            await asyncio.to_thread(mark_damaged, directory.catalog, str(error))
            raise
        except StorageError:
            if owner is None:
                # A refusal with its reason is no crash.
                await asyncio.to_thread(note_served, directory.starts)
            raise


def _pool(settings: Settings, directory: DataDirectory) -> WorkerPool:
    indexing = settings.indexing
    setup = WorkerSetup(
        catalog=str(directory.catalog), cpu_seconds=indexing.parse_cpu_seconds, zstd_level=settings.storage.zstd_level
    )
    limits = PoolSettings(
        wall_seconds=indexing.worker_wall_seconds,
        recycle_files=indexing.recycle_files,
        max_bytes=settings.memory.max_memory_per_worker * MIB,
    )
    return WorkerPool(setup, Permits(1), limits, directory=directory.path)


@asynccontextmanager
async def _memory_guard(owner: Owner) -> AsyncIterator[None]:
    guard = MemoryGuard(
        GuardSettings.of(owner.settings.memory),
        wanted=owner.wanted_workers,
        running=lambda: owner.pool.busy,
        on_verdict=owner.heed,
    )
    owner.guard = guard
    async with guard:

        async def look_again(_: str) -> None:
            await guard.look()

        owner.flags.on_change(look_again)
        yield


@asynccontextmanager
async def _watching(owner: Owner) -> AsyncIterator[Watching]:
    from indexing.watch import Watching  # noqa: PLC0415 - watchfiles is for those who watch

    async def submit(repository: Repository, paths: Sequence[bytes] | None, origin: JobOrigin) -> str:
        return await owner.service.submit(repository, paths, origin=origin)

    watching = Watching(
        owner.settings.watch,
        repositories=owner.reader.repositories,
        submit=submit,
        wait=owner.service.wait,
        enabled=lambda: owner.flags.auto_reindex,
        ignored=(os.fsencode(owner.directory.path.resolve()),),
    )

    async def refresh(_: str) -> None:
        await watching.refresh()

    async with watching:
        owner.flags.on_change(refresh)
        yield watching


@asynccontextmanager
async def _vectors(owner: Owner, followers: Followers, installation: str) -> AsyncIterator[OwnedVectors]:
    from indexing.vectors import own_vectors  # noqa: PLC0415 - numpy and usearch are for those who want vectors

    async with own_vectors(
        owner.settings,
        owner.directory,
        writer=owner.writer,
        reader=owner.reader,
        incarnation=owner.incarnation,
        installation=installation,
    ) as vectors:
        followers.on_commit = vectors.service.nudge
        yield vectors


async def _mark_clean_stop(writer: Writer, incarnation_id: int) -> None:
    """Record a clean stop; on a disk that stays full there is no room to, and the next start takes it as a crash."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLEAN_STOP_SECONDS):
            await writer.apply(lambda connection: end_incarnation(connection, incarnation_id, now_ms=_now_ms()))


def _hold_back(job: IndexJob, verdict: Verdict) -> None:
    job.gate.hold_back(verdict.reason if verdict.is_pressed else "")


def _save_roots(data_directory: Path, roots: dict[str, bytes]) -> Registry:
    return change_registry(data_directory, lambda registry: registry.with_repositories(roots))


def _now_ms() -> int:
    return int(time() * 1000)
