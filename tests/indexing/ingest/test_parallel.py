"""Several workers at once: the same index as from one, whatever is switched, fails or dies on the way."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil
import pytest

from indexing.ingest import text_feed
from indexing.ingest.batch_work import BatchWork
from indexing.ingest.job import IndexJob
from indexing.ingest.messages import BatchTask, FileReport, FileTask
from indexing.ingest.text_documents import documents_of_commit
from indexing.ingest.worker_process import WorkerProcess, WorkerStartFailed
from indexing.memory import MemoryReading
from indexing.memory_guard import MemoryGuard, Verdict
from indexing.runtime import Owner, open_owner
from indexing.settings import MIB
from storage import NewChunks, StorageError, TextDocument
from storage.faults import InjectedFault, arm
from tests.faults import state
from tests.faults.driver import settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import TreeFactory

FAULT = "_CODETROVE_FAULT"
FILES = 60
REPORTS = BatchWork._reports
COMMIT = BatchWork._commit

During = Callable[[Owner, IndexJob], Awaitable[None]]


def parallel(workers: int = 2, **overrides: object) -> dict[str, object]:
    """Settings of so many workers, which the memory of the machine does not hold back."""
    return {
        "indexing.enable_parallel": True,
        "indexing.concurrent_workers": workers,
        "memory.max_percent": 99,
        "memory.max_memory_per_worker": 64,
        **overrides,
    }


@dataclass(frozen=True, slots=True)
class Reference:
    """A tree as one worker alone indexes it."""

    data: Path
    dump: list[str]
    text_ids: list[bytes]
    documents: list[str]
    """what the text index was given"""
    hits: Mapping[str, list[tuple[bytes, float]]]
    """of the text index made again: a merge of segments estimates lengths, so scores depend on when it was made"""


@contextmanager
def noted() -> Iterator[list[str]]:
    """What the text index is given of commits meanwhile."""
    found: list[str] = []

    def noting(added: NewChunks) -> list[TextDocument]:
        documents = documents_of_commit(added)
        found.extend(repr(msgspec.structs.replace(each, chunk_id=0, cut_id=0)) for each in documents)
        return documents

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_feed, "documents_of_commit", noting)
        yield found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    here = tmp_path_factory.mktemp("reference")
    state.write(here / "tree", state.small_tree(FILES))

    async def index() -> None:
        async with open_owner(settings_for(here / "data")) as owner:
            async with owner.job_for(await owner.register(here / "tree")) as job:
                assert (await job.run()).state == "succeeded"
            assert sum(meter.starts for meter in owner.pool.meters) == 1

    with noted() as documents:
        asyncio.run(index())
    data = here / "data"
    asyncio.run(state.rebuild_text(data))
    return Reference(data, state.dump(data), state.text_ids(data), sorted(documents), state.hits(data))


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm(None)


@asynccontextmanager
async def ready(
    reference: Reference, data: Path, overrides: Mapping[str, object]
) -> AsyncIterator[tuple[Owner, IndexJob]]:
    """An owner that knows the reference's repository, and a job that indexes it from nothing."""
    data.mkdir(mode=0o700)
    shutil.copy(reference.data / "registry.json", data)
    async with open_owner(settings_for(data, overrides)) as owner:
        (repository,) = owner.to_index_again
        async with owner.job_for(repository) as job:
            yield owner, job


async def warm(owner: Owner, workers: int) -> None:
    """Have so many workers ready, so that none is through before the next has started."""
    async with AsyncExitStack() as stack:
        for _ in range(workers):
            await stack.enter_async_context(owner.pool.lend(stack))


async def same(reference: Reference, data: Path) -> None:
    assert await asyncio.to_thread(state.dump, data) == reference.dump
    assert await asyncio.to_thread(state.text_ids, data) == reference.text_ids
    assert await state.findings(data) == []
    assert state.rows(data, "SELECT * FROM batches") == []


def starts(owner: Owner) -> int:
    return sum(meter.starts for meter in owner.pool.meters)


def at_first_commit(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> list[WorkerProcess]:
    """Let something happen when the first batch was cut; returns the workers of the batches that begin after it."""
    later: list[WorkerProcess] = []
    happened: list[bool] = []

    async def commit(
        self: BatchWork, reports: Sequence[tuple[FileTask, FileReport]], batch_id: int | None
    ) -> list[FileTask]:
        if not happened:
            happens()
            happened.append(True)
        return await COMMIT(self, reports, batch_id)

    async def reports(
        self: BatchWork,
        worker: WorkerProcess,
        tasks: Sequence[FileTask],
        task: BatchTask | None = None,
        then: BatchTask | None = None,
    ) -> list[tuple[FileTask, FileReport]]:
        if happened:
            later.append(worker)
        return await REPORTS(self, worker, tasks, task, then)

    monkeypatch.setattr(BatchWork, "_commit", commit)
    monkeypatch.setattr(BatchWork, "_reports", reports)
    return later


@pytest.mark.parametrize("workers", [1, 2, 4])
async def test_f021_any_number_of_workers_makes_the_index_that_one_makes(
    reference: Reference, data_dir: Path, workers: int
) -> None:
    async with ready(reference, data_dir, parallel(workers)) as (owner, job):
        await warm(owner, workers)
        with noted() as documents:
            report = await job.run()
        assert starts(owner) == workers
        assert sum(meter.files > 0 for meter in owner.pool.meters) >= min(workers, 2)
        assert sum(meter.files for meter in owner.pool.meters) == FILES
    assert (report.state, report.tally.indexed, report.warnings) == ("succeeded", FILES, ())
    await same(reference, data_dir)
    assert sorted(documents) == reference.documents
    await state.rebuild_text(data_dir)
    assert await asyncio.to_thread(state.hits, data_dir) == reference.hits


@pytest.mark.parametrize("steps", [1, 7])
async def test_f021_workers_bring_a_changed_tree_up_to_date_as_one_does(
    tree: TreeFactory, data_dir: Path, tmp_path: Path, steps: int
) -> None:
    root = tree(state.small_tree(24))
    settings = settings_for(data_dir, parallel(3, **{"indexing.worker_batch_size": steps}))
    async with open_owner(settings) as owner:
        repository = await owner.register(root)
        for version in range(3):
            async with owner.job_for(repository) as job:
                assert (await job.run()).state == "succeeded"
            await asyncio.to_thread(
                tree,
                {
                    name: f"changed{version} = {text!r}\n"
                    for name, text in list(state.small_tree(24).items())[version::4]
                },
            )
            os.unlink(root / f"pkg{(4 * version + 1) % 3}/module{4 * version + 1}.py")
            tree({f"new/file{version}.py": f"def made{version}(): ...\n"})
        async with owner.job_for(repository) as job:
            assert (await job.run()).tally.removed == 1
    await state.from_scratch(tmp_path / "scratch", data_dir)
    assert await asyncio.to_thread(state.dump, data_dir) == await asyncio.to_thread(state.dump, tmp_path / "scratch")
    assert await state.findings(data_dir) == []


async def test_flipping_the_flag_all_the_time_changes_nothing_in_the_index(
    reference: Reference, data_dir: Path
) -> None:
    async with ready(reference, data_dir, parallel(3)) as (owner, job):
        running = asyncio.ensure_future(job.run())
        limits: list[int] = []
        while not running.done():
            await owner.flags.set("enable_parallel", len(limits) % 2 == 1)
            limits.append(owner.pool.permits.limit)
        report = await running
    assert limits[:6] == [1, 3, 1, 3, 1, 3]
    assert (report.state, report.tally.indexed, report.warnings) == ("succeeded", FILES, ())
    await same(reference, data_dir)


async def test_a_flag_that_is_set_during_a_job_brings_more_workers_in(
    reference: Reference, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = parallel(2) | {"indexing.enable_parallel": False, "indexing.worker_batch_size": 1}
    async with ready(reference, data_dir, overrides) as (owner, job):
        assert owner.pool.permits.limit == 1
        setting: list[asyncio.Task[None]] = []
        at_first_commit(
            monkeypatch,
            lambda: setting.append(asyncio.ensure_future(owner.flags.set("enable_parallel", True))),
        )
        report = await job.run()
        await asyncio.gather(*setting)
        assert [meter.starts for meter in owner.pool.meters] == [1, 1]
    assert report.state == "succeeded"
    await same(reference, data_dir)


@pytest.mark.parametrize("how", ["permit", "sequential"])
async def test_what_is_lowered_in_mid_job_takes_effect_after_what_is_in_hand(
    reference: Reference, data_dir: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with ready(reference, data_dir, parallel(2)) as (owner, job):
        await warm(owner, 2)
        if how == "permit":
            later = at_first_commit(monkeypatch, lambda: owner.pool.permits.set_limit(1))
        else:
            later = at_first_commit(monkeypatch, lambda: job.gate.go_on_sequentially("a test says so"))
        report = await job.run()
        assert how == "sequential" or len(owner.pool.pids) == 1
    assert report.state == "succeeded"
    batches = sorted(Counter(map(id, later)).values())
    assert sum(batches) > FILES / 2 / 2
    # The other worker had one batch in hand and one more already handed over.
    assert sum(batches[:-1]) <= 2
    await same(reference, data_dir)


@pytest.mark.parametrize("workers", [2, 4])
async def test_f020_a_further_worker_that_cannot_start_leaves_the_job_to_the_first(
    reference: Reference, data_dir: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    async with ready(reference, data_dir, parallel(workers)) as (owner, job):
        await warm(owner, 1)
        monkeypatch.setenv(FAULT, "worker.start:1:kill")
        report = await job.run()
        assert starts(owner) <= workers
    assert report.state == "succeeded"
    (warning,) = report.warnings
    assert warning.startswith("went on with one worker process: a worker process cannot start")
    assert state.rows(data_dir, "SELECT warnings FROM jobs") == [(warning,)]
    await same(reference, data_dir)


@pytest.mark.parametrize("number", [1, 2])
async def test_f020_a_pool_that_fails_leaves_the_job_to_one_worker(
    reference: Reference, data_dir: Path, number: int
) -> None:
    async with ready(reference, data_dir, parallel(2)) as (_, job):
        arm(f"pool.lend:{number}:raise")
        report = await job.run()
    assert report.state == "succeeded"
    assert report.warnings == ("went on with one worker process: pool.lend",)
    await same(reference, data_dir)


@pytest.mark.parametrize("workers", [1, 4])
async def test_f011_a_job_whose_workers_cannot_start_fails_and_starts_no_more(
    reference: Reference, data_dir: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv(FAULT, "worker.start:1:kill")
    async with ready(reference, data_dir, parallel(workers)) as (owner, job):
        with pytest.raises(WorkerStartFailed):
            await job.run()
        assert 1 <= starts(owner) <= (1 if workers == 1 else workers + 1)
        assert owner.pool.permits.in_use == 0
        assert owner.pool.pids == ()
    assert state.rows(data_dir, "SELECT state FROM jobs") == [("failed",)]


async def test_f009_after_three_deaths_the_job_goes_on_with_one_worker_and_says_so(
    reference: Reference, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT, "worker.read:9:kill")  # each process dies on its ninth file
    async with ready(reference, data_dir, parallel(2)) as (owner, job):
        report = await job.run()
        assert sum(meter.deaths for meter in owner.pool.meters) >= 3
    assert (report.state, report.tally.indexed) == ("succeeded", FILES)
    assert report.warnings == ("went on with one worker process: 3 worker processes died",)
    await same(reference, data_dir)


async def test_f010_a_file_that_kills_its_workers_is_set_aside_beside_others_that_are_indexed(
    reference: Reference, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT, "worker.read@module20.py:1:kill")
    async with ready(reference, data_dir, parallel(2)) as (_, job):
        report = await job.run()
    assert (report.state, report.tally.indexed, report.tally.failed) == ("partial", FILES - 1, 1)
    assert [note.reason for note in report.notes] == ["poison"]
    assert report.warnings == ("went on with one worker process: 3 worker processes died",)


async def test_one_worker_that_dies_three_times_is_no_reason_to_announce_one_worker(
    reference: Reference, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT, "worker.read@module20.py:1:kill")
    async with ready(reference, data_dir, parallel(1)) as (_, job):
        report = await job.run()
    assert (report.state, report.warnings) == ("partial", ())


async def test_workers_are_replaced_after_so_many_files(
    reference: Reference, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most: list[int] = []
    start = WorkerProcess.start

    async def counting(self: WorkerProcess) -> None:
        most.append(self.files)
        await start(self)

    monkeypatch.setattr(WorkerProcess, "start", counting)
    files = WorkerProcess.aclose

    async def closing(self: WorkerProcess) -> None:
        most.append(self.files)
        await files(self)

    monkeypatch.setattr(WorkerProcess, "aclose", closing)
    async with ready(reference, data_dir, parallel(2, **{"indexing.recycle_files": 8})) as (owner, job):
        report = await job.run()
        assert starts(owner) >= FILES // 14
    assert report.state == "succeeded"
    # The batch in hand, the one handed over, and the one taken before the count was looked at.
    assert max(most) < 8 + 3 * 2
    await same(reference, data_dir)


async def test_a_worker_that_was_not_ready_when_its_job_ended_is_not_lent_again(
    reference: Reference, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ready(reference, data_dir, parallel(2)) as (owner, job):
        starting = asyncio.Event()
        receive = WorkerProcess._receive

        async def receiving(self: WorkerProcess) -> bytes:
            starting.set()
            return await receive(self)

        monkeypatch.setattr(WorkerProcess, "_receive", receiving)
        running = asyncio.ensure_future(job.run())
        await starting.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert owner.pool.pids == ()
        (repository,) = owner.to_index_again
        async with owner.job_for(repository) as second:
            assert (await second.run()).state == "succeeded"
    await same(reference, data_dir)


async def test_f014_a_job_plans_nothing_while_memory_is_nearly_full_and_goes_on_after_it(
    reference: Reference, data_dir: Path
) -> None:
    async with ready(reference, data_dir, parallel(2)) as (owner, job):
        owner.heed(Verdict(1, is_pressed=True, reason="memory is nearly full"))
        running = asyncio.ensure_future(job.run())
        await until(lambda: job.counters.scanned)
        for _ in range(5):
            await owner.writer.apply(lambda _: None)  # an intent would be written before it
            await turns(5)
        assert state.rows(data_dir, "SELECT * FROM batches") == []
        assert (job.counters.to_read, job.counters.read, starts(owner)) == (FILES, 0, 0)
        owner.heed(Verdict(2, is_pressed=False, reason=""))
        assert (await running).state == "succeeded"
    await same(reference, data_dir)


async def test_f014_a_job_that_is_held_back_can_be_stopped(reference: Reference, data_dir: Path) -> None:
    async with ready(reference, data_dir, parallel(2)) as (owner, job):
        owner.heed(Verdict(1, is_pressed=True, reason="memory is nearly full"))
        running = asyncio.ensure_future(job.run())
        await until(lambda: job.counters.scanned)
        job.stop()
        async with asyncio.timeout(5):
            report = await running
    assert (report.state, report.warnings) == ("cancelled", ())
    assert state.rows(data_dir, "SELECT state, unreached FROM jobs") == [("cancelled", FILES)]


async def test_f014_a_job_ends_though_others_hold_the_memory_all_the_time(
    reference: Reference, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = MemoryReading(1000 * MIB, 999 * MIB, "host")
    defaults = MemoryGuard.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "read", lambda: full)
    overrides = parallel(2) | {"memory.max_percent": 50, "memory.check_seconds": 1}
    async with ready(reference, data_dir, overrides) as (owner, job):
        assert owner.pool.permits.limit == 1
        async with asyncio.timeout(30):
            assert (await job.run()).state == "succeeded"
        assert starts(owner) == 1
    await same(reference, data_dir)


async def test_f015_workers_are_spawned_programs_and_no_forks_of_this_one(reference: Reference, data_dir: Path) -> None:
    async with ready(reference, data_dir, parallel(2)) as (owner, job):
        await warm(owner, 2)
        children = psutil.Process().children()
        commands = {child.pid: child.cmdline() for child in children}
        assert len(owner.pool.pids) == 2
        for pid in owner.pool.pids:
            assert commands[pid][1:] == ["-P", "-m", "indexing.ingest.worker"]
        assert {pid for pid, command in commands.items() if "indexing.ingest.worker" in command} == set(owner.pool.pids)
        # A fork would have what this process has open: the lock, the catalog, the text index.
        for child in children:
            if child.pid in owner.pool.pids:
                assert {Path(file.path).name for file in child.open_files()} <= {"catalog.db", "catalog.db-wal"}
        assert (await job.run()).state == "succeeded"


STEPS = ("job.intent", "job.garbage", "job.trim", "catalog.commit", "catalog.committed", "text.apply", "text.commit",
         "text.committed")  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
async def test_f019_an_exception_at_any_step_ends_the_job_of_two_workers_and_the_next_one_repairs(
    reference: Reference, data_dir: Path, step: str
) -> None:
    async def fail() -> None:
        async with ready(reference, data_dir, parallel(2)) as (_, job):
            arm(f"{step}:{6 if step.startswith('catalog') else 1}:raise")
            await job.run()

    async with asyncio.timeout(30):
        with pytest.raises((InjectedFault, StorageError)):
            await fail()
        arm(None)
        async with open_owner(settings_for(data_dir, parallel(2))) as owner:
            (repository,) = await owner.reader.repositories()
            async with owner.job_for(repository) as job:
                assert (await job.run()).state == "succeeded"
    await same(reference, data_dir)
    assert not await asyncio.to_thread(state.left_after_a_second, data_dir)


@pytest.mark.parametrize("step", ["worker.read", "worker.parse"])
async def test_f019_an_exception_in_a_worker_costs_the_file(
    reference: Reference, data_dir: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setenv(FAULT, f"{step}:3:raise")
    async with asyncio.timeout(30), ready(reference, data_dir, parallel(2)) as (owner, job):
        await warm(owner, 2)
        report = await job.run()
    assert (report.state, report.tally.indexed, report.tally.failed) == ("partial", FILES - 2, 2)
    assert {note.reason for note in report.notes} == {"internal"}


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110  (what is waited for sets no event)
        await asyncio.sleep(0)


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
