"""``IndexingService``: jobs that are accepted, gathered, run side by side, paused, cancelled and taken up again."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from indexing.ingest import job as job_module
from indexing.ingest import pool as pool_module
from indexing.ingest import text_feed
from indexing.ingest.batch_work import BatchWork
from indexing.ingest.job import IndexJob, NothingToIndex
from indexing.ingest.messages import FileReport, FileTask
from indexing.live_job import JobOver, JobStatus, ServiceClosed, UnknownJob
from indexing.runtime import Owner, open_owner
from indexing.service import IndexingService
from indexing.sources import RootMissing
from storage import KeyReused, Repository, StaleEpoch, accept_job, job_row, job_rows
from storage.catalog import writing_connection as writer_module
from tests.faults import state
from tests.faults.driver import Driver, Order, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import TreeFactory

PARALLEL: dict[str, object] = {
    "indexing.enable_parallel": True,
    "indexing.concurrent_workers": 2,
    "memory.max_percent": 99,
    "memory.max_memory_per_worker": 64,
}
ENDED = {"succeeded", "partial", "failed", "cancelled"}
SHARED_MEMORY = "/dev/shm"  # noqa: S108  (only listed)
COMMIT = BatchWork._commit


class Held:
    """Jobs that stop before their first commit, until they may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        held = self

        async def commit(
            self: BatchWork, reports: Sequence[tuple[FileTask, FileReport]], batch_id: int | None
        ) -> list[FileTask]:
            held.reached.set()
            await held.go_on.wait()
            return await COMMIT(self, reports, batch_id)

        monkeypatch.setattr(BatchWork, "_commit", commit)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(monkeypatch)


def opened(data_dir: Path, **overrides: object) -> Any:
    return open_owner(settings_for(data_dir, PARALLEL | overrides))


def jobs(data_dir: Path) -> list[tuple[Any, ...]]:
    return state.rows(data_dir, "SELECT id, state FROM jobs ORDER BY created_at, rowid")


async def sound(data_dir: Path) -> None:
    assert await state.findings(data_dir) == []
    assert state.rows(data_dir, "SELECT * FROM batches") == []
    assert len(state.text_ids(data_dir)) == state.rows(data_dir, "SELECT count(*) FROM chunks")[0][0]


async def test_a_job_is_on_disk_when_submit_returns_and_not_yet_run(tree: TreeFactory, data_dir: Path) -> None:
    async with opened(data_dir) as owner:
        repository = await owner.register(tree(state.small_tree(8)))
        job_id = await owner.service.submit(repository)
        assert (await owner.service.status(job_id)).state == "queued"
        assert jobs(data_dir) == [(job_id, "queued")]
        report = await owner.service.wait(job_id)
        assert (report.job_id, report.state, report.tally.indexed) == (job_id, "succeeded", 8)
        assert (await owner.service.status(job_id)).state == "succeeded"
        assert owner.service.running == ()
    assert jobs(data_dir) == [(job_id, "succeeded")]


async def test_f025_fifty_wishes_at_once_for_one_repository_end_with_one_result(
    tree: TreeFactory, data_dir: Path
) -> None:
    async with opened(data_dir) as owner:
        repository = await owner.register(tree(state.small_tree(12)))
        ids = await asyncio.gather(*(owner.service.submit(repository) for _ in range(50)))
        reports = await asyncio.gather(*(owner.service.wait(job_id) for job_id in ids))
        assert {report.state for report in reports} == {"succeeded"}
        assert len(set(ids)) <= 2, "one that runs, and one that gathers the others"
        assert sum(report.tally.indexed for report in {each.job_id: each for each in reports}.values()) == 12
        await owner.service.idle()
    assert sorted(job_id for job_id, _ in jobs(data_dir)) == sorted(set(ids))
    await sound(data_dir)


async def test_f025_what_is_asked_for_while_a_job_runs_is_gathered_in_the_one_behind_it(
    tree: TreeFactory, data_dir: Path, held: Held
) -> None:
    async with opened(data_dir) as owner:
        root = tree(state.small_tree(12))
        repository = await owner.register(root)
        first = await owner.service.submit(repository)
        await held.reached.wait()
        tree({"pkg0/module0.py": "changed = 1\n", "docs/part3.md": "# Changed\n", "pkg1/module4.py": "changed = 1\n"})
        behind = await owner.service.submit(repository, [b"docs/part3.md"])
        assert behind != first
        assert await owner.service.submit(repository, [b"pkg0", b"pkg0/module0.py"]) == behind
        row = await job_row(owner.reader, behind)
        assert row is not None
        assert (row.state, row.paths) == ("queued", (b"docs/part3.md", b"pkg0"))
        assert (await owner.service.status(behind)).progress is None
        held.go_on.set()
        assert (await owner.service.wait(first)).tally.indexed == 12
        assert (await owner.service.wait(behind)).state == "succeeded"
        assert [(row.id, row.epoch) for row in await job_rows(owner.reader)] == [(behind, 1), (first, 1)]


async def test_a_job_about_some_paths_reads_only_these_and_removes_only_below_them(
    tree: TreeFactory, data_dir: Path
) -> None:
    async with opened(data_dir) as owner:
        root = tree(state.small_tree(12))
        repository = await owner.register(root)
        await owner.service.wait(await owner.service.submit(repository))
        before = shas(data_dir)
        tree({"pkg0/module0.py": "changed = 1\n", "pkg1/module1.py": "changed = 1\n", "docs/new.md": "# New\n"})
        for name in ("pkg0/module9.py", "pkg1/module4.py", "native/unit2.c"):
            (root / name).unlink()
        wish = await owner.service.submit(repository, [b"pkg0", b"native/unit2.c", b"nowhere/at/all"])
        report = await owner.service.wait(wish)
        assert (report.state, report.tally.removed, report.tally.indexed) == ("succeeded", 2, 1)
        after = shas(data_dir)
        assert {path for path in before | after if before.get(path) != after.get(path)} == {
            b"pkg0/module0.py", b"pkg0/module9.py", b"native/unit2.c",
        }  # fmt: skip
        report = await owner.service.wait(await owner.service.submit(repository))
        assert (report.tally.indexed, report.tally.removed) == (2, 1)
    await sound(data_dir)


async def test_paths_that_no_job_can_be_about_are_refused_and_leave_no_job(tree: TreeFactory, data_dir: Path) -> None:
    async with opened(data_dir) as owner:
        repository = await owner.register(tree(state.small_tree(2)))
        for paths in ([], [b"/etc/passwd"], [b"../other"]):
            with pytest.raises(ValueError):
                await owner.service.submit(repository, paths)
        assert jobs(data_dir) == []


async def test_a_request_that_is_sent_again_with_its_key_gets_its_job_and_begins_nothing(
    tree: TreeFactory, data_dir: Path
) -> None:
    async with opened(data_dir) as owner:
        repository = await owner.register(tree({"a.py": "a = 1\n"}))
        first = await owner.service.submit(repository, key="k", origin="watch")
        assert await owner.service.submit(repository, key="k") == first
        await owner.service.wait(first)
        assert await owner.service.submit(repository, key="k") == first
        assert (await owner.service.status(first)).state == "succeeded"
        with pytest.raises(KeyReused, match="something else"):
            await owner.service.submit(repository, [b"a.py"], key="k")
    async with opened(data_dir) as owner:
        (repository,) = await owner.reader.repositories()
        assert await owner.service.submit(repository, key="k") == first
        await owner.service.idle()
        assert [(row.id, row.state, row.origin) for row in await job_rows(owner.reader)] == [
            (first, "succeeded", "watch")
        ]


async def test_a_key_finds_a_job_that_an_earlier_owner_left_waiting(tree: TreeFactory, data_dir: Path) -> None:
    async with opened(data_dir) as owner:
        repository = await owner.register(tree({"a.py": "a = 1\n"}))
        accepted = await owner.writer.apply(
            lambda connection: accept_job(connection, repository.id, "left", None, 1, key="k")
        )
    async with opened(data_dir) as owner:
        (repository,) = await owner.reader.repositories()
        assert await owner.service.submit(repository, key="k") == accepted == "left"
        assert (await owner.service.wait("left")).state == "succeeded"


async def test_jobs_of_two_repositories_run_side_by_side_under_one_limit(
    tree: TreeFactory, data_dir: Path, held: Held
) -> None:
    async with opened(data_dir) as owner:
        repositories = [await owner.register(tree(state.small_tree(30), name=name)) for name in ("one", "two")]
        ids = [await owner.service.submit(repository) for repository in repositories]
        await until(lambda: [job.counters.to_read for job in owner.service.running] == [30, 30])
        assert [(await owner.service.status(job_id)).state for job_id in ids] == ["running", "running"]
        held.go_on.set()
        reports = await asyncio.gather(*map(owner.service.wait, ids))
        assert owner.pool.permits.in_use == 0
        assert len(owner.pool.meters) == 2
    assert [(report.state, report.tally.indexed) for report in reports] == [("succeeded", 30)] * 2
    await sound(data_dir)


async def test_a_repository_that_waits_gets_the_one_permit_of_another_before_that_is_through(
    tree: TreeFactory, data_dir: Path
) -> None:
    order: list[str] = []
    async with opened(data_dir, **{"indexing.enable_parallel": False}) as owner:
        repositories = [await owner.register(tree(state.small_tree(40), name=name)) for name in ("one", "two")]
        ids = [await owner.service.submit(repository) for repository in repositories]
        for job_id in ids:
            ending = asyncio.ensure_future(owner.service.wait(job_id))
            ending.add_done_callback(lambda _: order.append(f"{_read(owner, ids)}"))
        await owner.service.idle()
        await asyncio.sleep(0)
    # When the first is through the other has come nearly as far; with one after the other it would stand at 0.
    first = min(int(count) for count in order[0].split())
    assert first >= 20


def _read(owner: Owner, ids: Sequence[str]) -> str:
    found = [owner.service.progress(job_id) for job_id in ids]
    return " ".join(str(progress.read if progress is not None else 0) for progress in found)


async def test_a_running_job_pauses_and_goes_on(tree: TreeFactory, data_dir: Path, held: Held) -> None:
    async with opened(data_dir) as owner:
        service = owner.service
        job_id = await service.submit(await owner.register(tree(state.small_tree(40))))
        await held.reached.wait()
        await service.pause(job_id, "a test says so")
        status = await service.status(job_id)
        assert (status.state, status.reason) == ("paused", "a test says so")
        assert jobs(data_dir) == [(job_id, "paused")]
        held.go_on.set()
        await other_work(owner, tree)  # the commit in hand is through, too
        progress = service.progress(job_id)
        assert progress is not None
        assert 0 < progress.read < 40
        await other_work(owner, tree)
        later = service.progress(job_id)
        assert later is not None
        assert (later.read, later.tally) == (progress.read, progress.tally)
        await service.pause(job_id, "again")
        assert (await service.status(job_id)).reason == "a test says so"
        await service.resume(job_id)
        await service.resume(job_id)
        assert (await service.status(job_id)).state == "running"
        assert (job_id, "running") in jobs(data_dir)
        assert (await service.wait(job_id)).tally.indexed == 40


async def test_a_queued_job_that_is_paused_begins_paused(tree: TreeFactory, data_dir: Path) -> None:
    async with opened(data_dir) as owner:
        service = owner.service
        repository = await owner.register(tree(state.small_tree(40)))
        await other_work(owner, tree)  # the workers are ready now
        job_id = await service.submit(repository)
        await service.pause(job_id)
        assert (await service.status(job_id)).state == "queued"
        events = service.events(job_id)
        seen: list[JobStatus] = []
        async for status in events:
            seen.append(status)
            if status.state == "paused" and status.progress is not None and status.progress.scanned:
                break
        await other_work(owner, tree)
        progress = service.progress(job_id)
        assert progress is not None
        assert (progress.to_read, progress.read) == (40, 0)
        await service.resume(job_id)
        assert (await service.wait(job_id)).state == "succeeded"


async def test_a_pause_that_is_taken_back_before_the_job_begins_leaves_no_trace(
    tree: TreeFactory, data_dir: Path
) -> None:
    async with opened(data_dir) as owner:
        job_id = await owner.service.submit(await owner.register(tree(state.small_tree(4))))
        await owner.service.pause(job_id, "")
        await owner.service.resume(job_id)
        status = await owner.service.status(job_id)
        assert (status.state, status.reason) == ("queued", "")
        assert (await owner.service.wait(job_id)).state == "succeeded"


async def test_f022_a_paused_job_is_cancelled(tree: TreeFactory, data_dir: Path, held: Held) -> None:
    async with opened(data_dir) as owner:
        job_id = await owner.service.submit(await owner.register(tree(state.small_tree(40))))
        await held.reached.wait()
        await owner.service.pause(job_id)
        held.go_on.set()
        await owner.service.cancel(job_id)
        async with asyncio.timeout(5):
            report = await owner.service.wait(job_id)
        assert report.state == "cancelled"
        row = await job_row(owner.reader, job_id)
        assert row is not None
        assert (row.state, row.unreached) == ("cancelled", 40 - report.tally.indexed)
    await sound(data_dir)


async def test_f022_a_job_behind_another_is_cancelled_at_once_and_never_begins(
    tree: TreeFactory, data_dir: Path, held: Held
) -> None:
    async with opened(data_dir) as owner:
        service = owner.service
        repository = await owner.register(tree(state.small_tree(8)))
        first = await service.submit(repository)
        await held.reached.wait()
        behind = await service.submit(repository)
        await service.cancel(behind)
        assert (await service.status(behind)).state == "cancelled"
        with pytest.raises(JobOver, match="before it began"):
            await service.wait(behind)
        third = await service.submit(repository)
        assert third not in (first, behind)
        held.go_on.set()
        assert [(await service.wait(each)).state for each in (first, third)] == ["succeeded", "succeeded"]
        await service.idle()
    assert jobs(data_dir) == [(first, "succeeded"), (behind, "cancelled"), (third, "succeeded")]


async def test_f022_a_job_whose_turn_comes_while_it_is_cancelled_ends_as_cancelled(
    tree: TreeFactory, data_dir: Path, held: Held
) -> None:
    """The wish and the end of the job before it meet, in both orders."""
    async with opened(data_dir) as owner:
        service = owner.service
        repository = await owner.register(tree(state.small_tree(8)))
        for number in range(12):
            first = await service.submit(repository)
            await until(partial(service.progress, first))
            behind = await service.submit(repository)
            held.go_on.set()
            if (await service.status(first)).state not in ENDED:
                await turns(number * 4)
            cancelling = asyncio.ensure_future(service.cancel(behind))
            after = asyncio.ensure_future(service.submit(repository))
            await asyncio.wait([cancelling])
            async with asyncio.timeout(20):
                await asyncio.wait([asyncio.ensure_future(service.wait(behind))])
                assert cancelling.exception() is not None or (await service.status(behind)).state == "cancelled"
                await asyncio.wait([asyncio.ensure_future(service.wait(await after))])
                await service.idle()
        assert {row.state for row in await job_rows(owner.reader)} <= {"succeeded", "cancelled"}
    await sound(data_dir)


async def test_f022_a_job_that_the_catalog_ends_while_it_begins_is_cancelled_and_has_not_failed(
    tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, pending, may_write = IndexJob._end, list[asyncio.Future[Any]](), threading.Event()
    async with opened(data_dir) as owner:
        service = owner.service

        async def ending(self: IndexJob, *how: Any) -> None:
            await end(self, *how)
            if not pending:
                pending.append(asyncio.ensure_future(owner.writer.apply(lambda _: may_write.wait(20))))
                pending.append(asyncio.ensure_future(service.cancel(behind)))
                await turns(5)

        monkeypatch.setattr(IndexJob, "_end", ending)
        repository = await owner.register(tree(state.small_tree(8)))
        first = await service.submit(repository)
        await until(partial(service.progress, first))
        behind = await service.submit(repository)
        assert (await service.wait(first)).state == "succeeded"
        # Its turn has come, and its cancellation is with the writer before its beginning is.
        await until(partial(service.progress, behind))
        await turns(5)
        may_write.set()
        with pytest.raises(JobOver):
            await service.wait(behind)
        await service.idle()
        assert (await service.status(behind)).state == "cancelled"
    assert jobs(data_dir) == [(first, "succeeded"), (behind, "cancelled")]


STAGES = ("queued", "prepared", "pool.lend", "job.intent", "catalog.commit", "text.apply", "text.commit",
          "job.removal", "job.garbage", "job.trim")  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
async def test_f022_a_cancel_at_any_stage_leaves_each_file_old_or_new_and_the_next_job_goes_on(
    tree: TreeFactory, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    old = state.small_tree(24)
    new = {name: f"{text}\nchanged = 1\n" for name, text in old.items()}
    async with opened(data_dir) as owner:
        service = owner.service
        root = tree(old)
        repository = await owner.register(root)
        await service.wait(await service.submit(repository))
        tree(new)
        (root / "pkg0/module0.py").unlink()
        cancelled = asyncio.Event()
        job_id = await service.submit(repository)

        async def cancel() -> None:
            await service.cancel(job_id)
            cancelled.set()

        if stage == "queued":
            await cancel()
        elif stage == "prepared":
            await until(lambda: service.progress(job_id))
            await cancel()
        else:
            _once_at(stage, cancel, monkeypatch)
            async with asyncio.timeout(20):
                await cancelled.wait()
        async with asyncio.timeout(5):
            report = await service.wait(job_id)
        assert report.state == "cancelled"
        held = {os.fsdecode(path): sha for path, sha in shas(data_dir).items()}
        assert held.keys() >= old.keys() - {"pkg0/module0.py"}
        for name, sha in held.items():
            assert sha in (sha256(old[name].encode()).digest(), sha256(new[name].encode()).digest())
        assert (await service.wait(await service.submit(repository))).state == "succeeded"
    await sound(data_dir)
    await state.from_scratch(tmp_path / "scratch", data_dir)
    assert await asyncio.to_thread(state.dump, data_dir) == await asyncio.to_thread(state.dump, tmp_path / "scratch")


def _once_at(stage: str, happens: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let something happen when a step is first reached, in whichever thread."""
    loop, waiting, tasks = asyncio.get_running_loop(), [happens], []

    def reach(reached: str, _: bytes = b"") -> None:
        if reached == stage and waiting:
            begin = waiting.pop()
            loop.call_soon_threadsafe(lambda: tasks.append(asyncio.ensure_future(begin())))

    for module in (job_module, pool_module, writer_module, text_feed):
        monkeypatch.setattr(module, "reach", reach)


async def test_f022_a_worker_that_hangs_does_not_hold_a_cancelled_job_up(
    tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "STOP_SECONDS", 0.2)
    monkeypatch.setenv("_CODETROVE_FAULT", "worker.read:1:stop")
    async with opened(data_dir) as owner:
        repository = await owner.register(tree(state.small_tree(8)))
        job_id = await owner.service.submit(repository)
        await until(lambda: owner.pool.busy == 2)
        processes = [psutil.Process(pid) for pid in owner.pool.pids]
        await owner.service.cancel(job_id)
        async with asyncio.timeout(5):
            report = await owner.service.wait(job_id)
        assert report.state == "cancelled"
        assert "was given up" in report.warnings[0]
        assert not any(process.is_running() for process in processes)
        monkeypatch.delenv("_CODETROVE_FAULT")
        assert (await owner.service.wait(await owner.service.submit(repository))).tally.indexed == 8
    await sound(data_dir)


def test_the_time_to_stop_is_within_the_promise() -> None:
    assert job_module.STOP_SECONDS < 5


async def test_events_tell_each_state_to_a_quick_reader_and_the_latest_to_a_slow_one(
    tree: TreeFactory, data_dir: Path, held: Held
) -> None:
    async with opened(data_dir) as owner:
        service = owner.service
        job_id = await service.submit(await owner.register(tree(state.small_tree(30))))
        quick = asyncio.ensure_future(_states(owner, job_id))
        slow = service.events(job_id)
        first = await anext(slow)
        assert (first.state, first.progress) == ("queued", None)
        await held.reached.wait()
        await service.pause(job_id, "a test says so")
        await turns(5)
        held.go_on.set()
        await service.resume(job_id)
        await service.wait(job_id)
        last = await anext(slow)
        assert (last.state, last.progress and last.progress.read) == ("succeeded", 30)
        with pytest.raises(StopAsyncIteration):
            await anext(slow)
        assert await quick == ["queued", "running", "paused", "running", "succeeded"]
        assert [status.state async for status in service.events(job_id)] == ["succeeded"]


async def _states(owner: Owner, job_id: str) -> list[str]:
    states: list[str] = []
    async for status in owner.service.events(job_id):
        if status.state not in states[-1:]:
            states.append(status.state)
    return states


async def test_wait_raises_what_made_the_job_fail_and_the_next_one_is_not_held_up(
    tree: TreeFactory, data_dir: Path
) -> None:
    async with opened(data_dir) as owner:
        service = owner.service
        empty = await owner.register(tree({}, name="empty"))
        failed = await service.submit(empty)
        for _ in range(2):
            with pytest.raises(NothingToIndex):
                await service.wait(failed)
        status = await service.status(failed)
        assert status.state == "failed"
        assert "NothingToIndex" in status.reason
        tree({"a.py": "a = 1\n"}, name="empty")
        assert (await service.wait(await service.submit(empty))).state == "succeeded"
        gone = await owner.register(tree({"a.py": "a = 1\n"}, name="gone"))
        (Path(os.fsdecode(gone.root.path)) / "a.py").unlink()
        Path(os.fsdecode(gone.root.path)).rmdir()
        with pytest.raises(RootMissing):
            await service.wait(await service.submit(gone))
        await service.idle()
    assert sorted(each for _, each in jobs(data_dir)) == ["failed", "failed", "succeeded"]


async def test_what_is_unknown_or_over_is_said(tree: TreeFactory, data_dir: Path) -> None:
    async with opened(data_dir) as owner:
        service = owner.service
        for question in (service.status, service.wait, service.pause, service.resume, service.cancel):
            with pytest.raises(UnknownJob, match="'no such job'"):
                await question("no such job")
        with pytest.raises(UnknownJob):
            await anext(service.events("no such job"))
        assert service.progress("no such job") is None
        job_id = await service.submit(await owner.register(tree(state.small_tree(2))))
        await service.wait(job_id)
        for question in (service.pause, service.resume, service.cancel):
            with pytest.raises(JobOver, match="it is succeeded"):
                await question(job_id)
    async with opened(data_dir) as owner:
        status = await owner.service.status(job_id)
        assert status.row is not None
        assert (status.state, status.progress, status.row.tally.indexed) == ("succeeded", None, 2)
        assert [each.state async for each in owner.service.events(job_id)] == ["succeeded"]
        with pytest.raises(JobOver, match="not run by this process; it is succeeded"):
            await owner.service.wait(job_id)
        with pytest.raises(UnknownJob):
            await owner.service.cancel(job_id)


async def test_closing_ends_what_runs_as_cancelled_and_keeps_what_waits(
    tree: TreeFactory, data_dir: Path, held: Held
) -> None:
    async with opened(data_dir) as owner:
        service = owner.service
        repository = await owner.register(tree(state.small_tree(40)))
        first = await service.submit(repository)
        await held.reached.wait()
        behind = await service.submit(repository, [b"pkg0"])
        waiting = [asyncio.ensure_future(service.wait(each)) for each in (first, behind)]
        await turns(1)
        held.go_on.set()
    report = await waiting[0]
    assert report.state == "cancelled"
    assert report.tally.indexed < 40
    with pytest.raises(ServiceClosed, match=r"before job .* began"):
        async with asyncio.timeout(5):
            await waiting[1]
    with pytest.raises(ServiceClosed):
        await service.submit(repository)
    assert jobs(data_dir) == [(first, "cancelled"), (behind, "queued")]
    async with opened(data_dir) as owner:
        assert await owner.service.submit(repository) == behind
        assert (await owner.service.wait(behind)).state == "succeeded"
    assert len(state.shown(data_dir)) == 40
    await sound(data_dir)


async def test_closing_before_a_job_has_begun_leaves_it_to_the_next_service(
    tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(data_dir) as owner:
        service = owner.service

        @asynccontextmanager
        async def late(repository: Repository, job_id: str) -> AsyncIterator[IndexJob]:
            await until(lambda: service._begun.closed)
            async with owner.job_for(repository, job_id) as job:
                yield job

        monkeypatch.setattr(service, "_job_for", late)
        repository = await owner.register(tree(state.small_tree(40)))
        job_id = await service.submit(repository)
        waiting = asyncio.ensure_future(service.wait(job_id))
    with pytest.raises(ServiceClosed):
        async with asyncio.timeout(5):
            await waiting
    assert jobs(data_dir) == [(job_id, "queued")]
    assert state.shown(data_dir) == {}
    async with opened(data_dir) as owner:
        assert await owner.service.submit(repository) == job_id
        assert (await owner.service.wait(job_id)).state == "succeeded"


async def test_a_service_that_is_torn_away_tells_its_waiters_and_not_that_they_were_cancelled(
    tree: TreeFactory, data_dir: Path, held: Held
) -> None:
    waiting: list[asyncio.Future[Any]] = []
    services: list[IndexingService] = []

    async def serve() -> None:
        async with opened(data_dir) as owner:
            services.append(owner.service)
            job_id = await owner.service.submit(await owner.register(tree(state.small_tree(8))))
            await held.reached.wait()
            waiting.append(asyncio.ensure_future(owner.service.wait(job_id)))

    serving = asyncio.ensure_future(serve())
    await held.reached.wait()
    await until(lambda: services[0]._begun.closed)
    await turns(3)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(ServiceClosed, match="was stopped while job"):
        await waiting[0]
    assert [each for _, each in jobs(data_dir)] == ["cancelled"]
    await sound(data_dir)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver() as driver:
        yield driver


@pytest.mark.parametrize("number", [6, 9])
async def test_f001_a_job_whose_owner_was_killed_goes_on_under_its_id(
    driver: Driver, tree: TreeFactory, data_dir: Path, number: int
) -> None:
    root = tree(state.small_tree(30))
    order = Order(str(data_dir), str(root), fault=f"catalog.commit:{number}:kill", overrides=PARALLEL)
    outcome = await asyncio.to_thread(driver.run, order)
    assert outcome.killed
    ((job_id, before),) = jobs(data_dir)
    assert before == "running"
    assert not await asyncio.to_thread(state.left_after_a_second, data_dir)
    async with opened(data_dir) as owner:
        status = await owner.service.status(job_id)
        assert (status.state, status.reason) == ("queued", "interrupted")
        repository = await owner.register(root)
        assert await owner.service.submit(repository, [b"pkg0"]) == job_id
        assert (await owner.service.wait(job_id)).state == "succeeded"
        row = await job_row(owner.reader, job_id)
        assert row is not None
        assert row.epoch == 2
    assert jobs(data_dir) == [(job_id, "succeeded")]
    assert len(state.shown(data_dir)) == 30
    await sound(data_dir)


async def test_f016_a_hundred_cycles_of_start_index_and_cancel_leave_nothing(tree: TreeFactory, data_dir: Path) -> None:
    root = tree(state.small_tree(8))
    await _cycles(tree, root, data_dir, 0)
    before = belongings()
    for number in range(10):
        await _cycles(tree, root, data_dir, number)
    assert belongings() == before
    await sound(data_dir)


async def _cycles(tree: TreeFactory, root: Path, data_dir: Path, number: int) -> None:
    async with opened(data_dir) as owner:
        repository: Repository = await owner.register(root)
        for turn in range(10):
            tree({f"docs/part{3 + turn % 2 * 4}.md": f"# Changed {number} {turn}\n"})
            job_id = await owner.service.submit(repository)
            if turn % 3:
                await turns(7 * (10 * number + turn) % 101)
                try:
                    await owner.service.cancel(job_id)
                except JobOver:
                    continue
            try:
                report = await owner.service.wait(job_id)
            except StaleEpoch:
                pytest.fail("a job was overtaken")
            assert report.state in {"succeeded", "cancelled"}


async def other_work(owner: Owner, tree: TreeFactory) -> None:
    """Another repository's job, from its beginning to its end."""
    other = await owner.register(tree(state.small_tree(8), name="other"))
    assert (await owner.service.wait(await owner.service.submit(other))).state == "succeeded"


def belongings() -> dict[str, object]:
    gc.collect()
    process = psutil.Process()
    return {
        "threads": sorted(thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")),
        "children": [child.pid for child in process.children(recursive=True)],
        "files": process.num_fds(),
        "shared memory": sorted(os.listdir(SHARED_MEMORY)) if os.path.isdir(SHARED_MEMORY) else [],
    }


def shas(data_dir: Path) -> dict[bytes, bytes]:
    found = state.rows(data_dir, "SELECT path, sha256 FROM entries JOIN blobs ON blobs.id = blob_id")
    return {bytes(path): bytes(sha) for path, sha in found}


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110  (what is waited for sets no event)
        await asyncio.sleep(0)


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
