"""Rows 9 to 12 and 55: what a worker process's death costs, however it comes about."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import psutil
import pytest
from structlog.testing import capture_logs

from indexing.cutting import FALLBACK_CUTTER
from indexing.ingest.job import JobReport
from indexing.ingest.messages import BatchTask, FileTask, WorkerSetup
from indexing.ingest.worker_process import WorkerDied, WorkerProcess, WorkerStartFailed
from indexing.runtime import open_owner
from indexing.sources import Rules
from storage import Place, Stat
from tests.faults import state
from tests.faults.driver import settings_for

if TYPE_CHECKING:
    from tests.conftest import TreeFactory

FAULT = "_CODETROVE_FAULT"
FILES = {f"{name}.py": f"def {name}(value):\n    return value\n" for name in ("one", "two", "three", "four")}

Index = Callable[..., Awaitable[JobReport]]


def deaths(logs: Sequence[Mapping[str, object]]) -> list[object]:
    return [(each["path"], each["deaths"]) for each in logs if each["event"] == "worker.died"]


async def test_f009_a_killed_worker_costs_one_more_try_of_its_file_alone(
    index: Index, tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT, "worker.read:3:kill")  # the next process counts from one again
    with capture_logs() as logs:
        report = await index(tree(FILES), **{"indexing.worker_batch_size": 4})
    assert report.state == "succeeded"
    assert report.tally.indexed == len(FILES)
    assert deaths(logs) == [("three.py", 1)]
    assert state.rows(data_dir, "SELECT * FROM suspects") == []


async def test_f010_a_file_that_kills_its_worker_three_times_is_set_aside_until_it_changes(
    index: Index, tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(FILES)
    await index(root)
    tree({"two.py": "def two(value):\n    return 2 * value\n", "one.py": "one = 1\n"})
    before = state.rows(data_dir, "SELECT blob_id FROM entries WHERE path = ?", b"two.py")
    monkeypatch.setenv(FAULT, "worker.read@two.py:1:kill")
    with capture_logs() as logs:
        report = await index(root)
    assert report.state == "partial"
    assert [(note.path, note.reason) for note in report.notes] == [(b"two.py", "poison")]
    assert deaths(logs) == [("two.py", 1), ("two.py", 2), ("two.py", 3)]
    assert state.rows(data_dir, "SELECT blob_id FROM entries WHERE path = ?", b"two.py") == before

    with capture_logs() as logs:
        report = await index(root)
    assert report.state == "partial"
    assert [(note.path, note.reason) for note in report.notes] == [(b"two.py", "poison")]
    assert deaths(logs) == []

    monkeypatch.delenv(FAULT)
    tree({"two.py": "def two(value):\n    return 3 * value\n"})
    report = await index(root)
    assert report.state == "succeeded"
    assert state.rows(data_dir, "SELECT blob_id FROM entries WHERE path = ?", b"two.py") != before
    assert state.rows(data_dir, "SELECT * FROM suspects") == []


async def test_f010_a_file_that_only_its_parsing_kills_is_cut_into_windows(
    index: Index, tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT, "worker.parse@two.py:1:kill")
    report = await index(tree(FILES))
    assert report.state == "succeeded"
    assert state.shown(data_dir)[b"two.py"] == ("python", FALLBACK_CUTTER)
    assert state.shown(data_dir)[b"one.py"][1] != FALLBACK_CUTTER


async def test_f011_a_worker_that_cannot_start_fails_at_once(tmp_path: Path) -> None:
    worker = WorkerProcess(setup(tmp_path / "no" / "catalog.db"), directory=tmp_path, wall_seconds=60)
    with pytest.raises(WorkerStartFailed, match="status 1"):
        await worker.start()
    assert worker.meter.starts == 1
    assert worker.pid is None


async def test_a_worker_yields_to_its_owner_and_gets_no_signal_of_the_terminal(
    index: Index, tree: TreeFactory, data_dir: Path
) -> None:
    await index(tree(FILES))
    worker = WorkerProcess(setup(data_dir / "catalog" / "catalog.db"), directory=data_dir, wall_seconds=60)
    await worker.start()
    assert worker.pid is not None
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) > os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getsid(worker.pid) == os.getsid(0)  # priorities of two sessions are not compared
    assert os.getpgid(worker.pid) == worker.pid
    await worker.aclose()


async def test_f011_the_job_fails_with_the_first_worker_that_cannot_start(
    index: Index, tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT, "worker.start:1:kill")
    with pytest.raises(WorkerStartFailed):
        await index(tree(FILES))
    assert state.rows(data_dir, "SELECT state FROM jobs") == [("failed",)]
    monkeypatch.delenv(FAULT)
    assert (await index(tree(FILES))).state == "succeeded"


async def test_f012_a_suspended_worker_is_killed_at_its_deadline(
    index: Index, tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(FILES)
    await index(root)
    monkeypatch.setenv(FAULT, "worker.read:1:stop")
    worker = WorkerProcess(setup(data_dir / "catalog" / "catalog.db"), directory=data_dir, wall_seconds=60)
    await worker.start()
    assert worker.pid is not None
    process = psutil.Process(worker.pid)
    worker._wall_seconds = 0.2
    file = FileTask(Place(1, b"one.py", None), Stat(0, 0, 0, 0), tracked=False, flags=())
    began = monotonic()
    reports = worker.reports(BatchTask(bytes(root), 1, Rules(), (file,), "syntax"))
    with pytest.raises(WorkerDied) as death:
        await anext(aiter(reports))
    assert death.value.cause == "no_answer"
    assert monotonic() - began >= 0.2
    assert not process.is_running()


async def test_f055_a_file_that_burns_cpu_is_cut_into_windows_after_its_deadline(
    tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT, "worker.parse@two.py:1:spin")
    with capture_logs() as logs:
        async with open_owner(settings_for(data_dir, {"indexing.parse_cpu_seconds": 1})) as owner:
            repository = await owner.register(tree(FILES))
            async with owner.job_for(repository) as job:
                report = await job.run()
    assert report.state == "succeeded"
    assert [each["cause"] for each in logs if each["event"] == "worker.died"] == ["cpu_deadline"]
    assert state.shown(data_dir)[b"two.py"] == ("python", FALLBACK_CUTTER)


def setup(catalog: Path) -> WorkerSetup:
    return WorkerSetup(str(catalog), cpu_seconds=10, zstd_level=3)


async def test_reports_stay_with_their_batch_also_when_the_next_one_was_handed_over_before_a_death(
    index: Index, tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(FILES)
    await index(root)
    monkeypatch.setenv(FAULT, "worker.read:2:kill")
    worker = WorkerProcess(setup(data_dir / "catalog" / "catalog.db"), directory=data_dir, wall_seconds=60)
    first, second = (
        BatchTask(
            bytes(root),
            1,
            Rules(),
            tuple(FileTask(Place(1, name, None), Stat(0, 0, 0, 0), tracked=False, flags=()) for name in names),
            "syntax",
        )
        for names in ((b"one.py", b"two.py"), (b"three.py",))
    )

    async def paths(batch: BatchTask, then: BatchTask | None = None) -> list[bytes]:
        return [report.version.place.path async for report in worker.reports(batch, then) if report.version]

    try:
        with pytest.raises(WorkerDied):
            await paths(first, second)
        monkeypatch.delenv(FAULT)
        assert await paths(first, second) == [b"one.py", b"two.py"]
        assert await paths(second) == [b"three.py"]
        assert await paths(first, second) == [b"one.py", b"two.py"]
        assert await paths(first) == [b"one.py", b"two.py"]  # not what was said to come next
    finally:
        await worker.aclose()
