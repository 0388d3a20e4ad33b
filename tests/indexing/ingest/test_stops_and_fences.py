"""Rows 16, 19, 22, 24, 25, 27 and 105: jobs that are stopped, cancelled, overtaken or late."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from indexing.ingest.batch_work import BatchWork
from indexing.ingest.job import JobReport
from indexing.ingest.messages import FileReport, FileTask
from indexing.ingest.worker_process import WorkerProcess
from indexing.runtime import open_owner
from storage import DataDirectoryInUse, StaleEpoch
from tests.faults import state
from tests.faults.driver import WITH_WORKERS, settings_for

if TYPE_CHECKING:
    from tests.conftest import TreeFactory

Index = Callable[..., Awaitable[JobReport]]
Reports = Sequence[tuple[FileTask, FileReport]]
SHARED_MEMORY = "/dev/shm"  # noqa: S108  (only listed)
COMMIT = BatchWork._commit


def at_first_commit(monkeypatch: pytest.MonkeyPatch, happens: Callable[[BatchWork, Reports], Awaitable[None]]) -> None:
    """Let something happen once, between the reading of the first batch and its commit."""
    waiting = [happens]

    async def commit(self: BatchWork, reports: Reports, batch_id: int | None) -> list[FileTask]:
        if waiting:
            await waiting.pop()(self, reports)
        return await COMMIT(self, reports, batch_id)

    monkeypatch.setattr(BatchWork, "_commit", commit)


async def test_f022_a_stopped_job_finishes_what_is_in_hand_and_ends_as_cancelled(
    index: Index, tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(state.small_tree(40))
    async with open_owner(settings_for(data_dir)) as owner:
        repository = await owner.register(root)
        async with owner.job_for(repository) as job:

            async def stop(work: BatchWork, reports: Reports) -> None:
                job.stop()

            at_first_commit(monkeypatch, stop)
            report = await job.run()
    assert report.state == "cancelled"
    assert 2 <= report.tally.indexed < 40
    assert len(state.shown(data_dir)) == report.tally.indexed
    await sound(data_dir, ended="cancelled")
    report = await index(root)
    assert (report.state, len(state.shown(data_dir))) == ("succeeded", 40)


async def test_f022_a_cancelled_task_leaves_each_file_old_or_new(
    index: Index, tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(state.small_tree(20))
    async with open_owner(settings_for(data_dir)) as owner:
        repository = await owner.register(root)
        async with owner.job_for(repository) as job:
            running = asyncio.ensure_future(job.run())

            async def cancel(work: BatchWork, reports: Reports) -> None:
                running.cancel()

            at_first_commit(monkeypatch, cancel)
            with pytest.raises(asyncio.CancelledError):
                await running
    await sound(data_dir, ended="cancelled")
    assert (await index(root)).state == "succeeded"
    assert len(state.shown(data_dir)) == 20


async def test_f024_a_second_owner_is_refused_and_told_who_the_first_is(data_dir: Path) -> None:
    async with open_owner(settings_for(data_dir)):
        with pytest.raises(DataDirectoryInUse, match=str(os.getpid())):
            async with open_owner(settings_for(data_dir)):
                pytest.fail("two owners")


async def test_f027_a_run_that_was_overtaken_changes_nothing_any_more(
    tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(state.small_tree(6))
    between: list[list[str]] = []
    # Two workers: the first run holds one for as long as it is suspended.
    async with open_owner(settings_for(data_dir, WITH_WORKERS)) as owner:
        repository = await owner.register(root)

        async def overtake() -> None:
            """What another owner does while this one is suspended, on the same catalog."""
            await asyncio.to_thread(
                tree, {name: f"changed{number} = 1\n" for number, name in enumerate(state.small_tree(6))}
            )
            async with owner.job_for(repository) as second:
                assert (await second.run()).state == "succeeded"
            between.append(await asyncio.to_thread(state.dump, data_dir))

        overtaking: list[asyncio.Task[None]] = []

        async def be_overtaken(work: BatchWork, reports: Reports) -> None:
            # A task of its own: the first run may notice at another step, and must not take this one with it.
            overtaking.append(asyncio.create_task(overtake()))
            await asyncio.wait(overtaking)

        at_first_commit(monkeypatch, be_overtaken)
        async with owner.job_for(repository) as first:
            with pytest.raises(StaleEpoch):
                await first.run()
        await overtaking[0]
    assert [await asyncio.to_thread(state.dump, data_dir)] == between
    assert state.rows(data_dir, "SELECT state, epoch FROM jobs") == [("succeeded", 2)]


async def test_f105_a_slow_reader_of_an_older_version_does_not_replace_the_newer_one(
    index: Index, tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree({"a.py": "version = 0\n", "b.py": "b = 1\n"})
    await index(root)
    tree({"a.py": "version = 1\n"})
    async with open_owner(settings_for(data_dir)) as owner:
        repository = await owner.register(root)
        async with owner.job_for(repository) as job:

            async def newer_version_first(work: BatchWork, reports: Reports) -> None:
                await asyncio.to_thread(tree, {"a.py": "version = 22\n"})
                quick = WorkerProcess(job._pool._setup, directory=owner.directory.path, wall_seconds=60)
                try:
                    newer = await work._reports(quick, [task for task, _ in reports])
                finally:
                    await quick.aclose()
                assert await COMMIT(work, newer, None) == []

            at_first_commit(monkeypatch, newer_version_first)
            report = await job.run()
    assert report.state == "succeeded"
    blobs = [row[0] for row in state.rows(data_dir, "SELECT sha256 FROM entries JOIN blobs ON blobs.id = blob_id")]
    assert sha256(b"version = 22\n").digest() in blobs
    await sound(data_dir, ended="succeeded")


async def test_f025_two_jobs_of_one_repository_end_with_one_result(tree: TreeFactory, data_dir: Path) -> None:
    root = tree(state.small_tree(8))
    async with open_owner(settings_for(data_dir)) as owner:
        repository = await owner.register(root)
        async with owner.job_for(repository) as first, owner.job_for(repository) as second:
            ends = await asyncio.gather(first.run(), second.run(), return_exceptions=True)
    assert sum(isinstance(end, JobReport) for end in ends) >= 1
    assert all(isinstance(end, JobReport | StaleEpoch) for end in ends)
    assert len(state.shown(data_dir)) == 8
    await sound(data_dir, ended="succeeded")


async def test_f016_twenty_cycles_of_start_stop_and_cancel_leave_nothing(tree: TreeFactory, data_dir: Path) -> None:
    root = tree(state.small_tree(4))
    await cycle(data_dir, root, 0)
    before = belongings()
    for number in range(20):
        tree({"docs/part3.md": f"# Changed {number}\n"})
        await cycle(data_dir, root, number)
    after = belongings()
    assert after == before


async def cycle(data_dir: Path, root: Path, number: int) -> None:
    async with open_owner(settings_for(data_dir)) as owner:
        repository = await owner.register(root)
        async with owner.job_for(repository) as job:
            running = asyncio.ensure_future(job.run())
            if number % 3 == 1:
                job.stop()
            if number % 3 == 2:
                await turns(number)
                running.cancel()
            await asyncio.wait([running])
            assert running.cancelled() or running.result().state in {"succeeded", "cancelled"}


async def turns(number: int) -> None:
    """Let the event loop go on for some rounds."""
    for _ in range(number * 5):
        await asyncio.sleep(0)


def belongings() -> dict[str, object]:
    gc.collect()
    process = psutil.Process()
    return {
        "threads": sorted(thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")),
        "children": [child.pid for child in process.children(recursive=True)],
        "files": process.num_fds(),
        "shared memory": sorted(os.listdir(SHARED_MEMORY)) if os.path.isdir(SHARED_MEMORY) else [],
    }


async def sound(data_dir: Path, *, ended: str) -> None:
    assert await state.findings(data_dir) == []
    assert state.rows(data_dir, "SELECT state FROM jobs ORDER BY created_at DESC LIMIT 1") == [(ended,)]
    assert state.rows(data_dir, "SELECT * FROM batches") == []
    assert len(state.text_ids(data_dir)) == state.rows(data_dir, "SELECT count(*) FROM chunks")[0][0]
