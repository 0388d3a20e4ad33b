"""Invariants I2 and I3: the text index follows in order, and nothing that it still holds by then is shown."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from indexing.ingest import text_feed
from indexing.ingest.batch_work import COMMITS_AHEAD, BatchWork
from indexing.ingest.scanning import TreeScan
from indexing.ingest.text_feed import TextFeed
from indexing.runtime import open_owner
from indexing.search import SearchRequest, search
from storage import (
    CatalogError,
    Collected,
    Committed,
    DataDirectory,
    FileChange,
    FileResult,
    FileVersion,
    Removal,
    Tally,
    TextIndex,
    TextIndexError,
    Writer,
    collect_garbage,
    commit_batch,
    end_run,
    open_reader,
    start_run,
)
from storage.catalog.writer import GROUPED_CHANGES
from storage.faults import InjectedFault, arm
from tests.faults import state
from tests.faults.driver import settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from indexing.ingest.job import JobReport
    from indexing.ingest.messages import FileReport, FileTask
    from indexing.runtime import Owner
    from storage import Given, Reader, Repository, Run
    from tests.conftest import TreeFactory

    Index = Callable[..., Awaitable[JobReport]]
CHANGE = BatchWork._change


async def test_i3_a_deletion_follows_the_addition_it_undoes_even_in_one_commit(
    tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = _noted_versions(monkeypatch)
    root = tree({"a.py": "alpha = 1\n", "b.py": "beta = 1\n"})
    async with open_owner(settings_for(data_dir)) as owner:
        repository = await owner.register(root)
        async with owner.job_for(repository) as job:
            await job.run()
        version = versions[b"a.py"]

        def add_and_remove(connection: sqlite3.Connection) -> list[object]:
            """Forget the file, then add it and forget it again: new chunks and their deletion in one commit."""
            run, _ = start_run(connection, repository.id, "second", incarnation=owner.incarnation.id, now_ms=1)
            ((seq,),) = connection.execute("SELECT seq FROM entries WHERE path = ?", (b"a.py",))

            def commit(change: FileVersion | Removal) -> FileResult:
                return commit_batch(connection, run, [change], repository=repository.uuid, now_ms=1)[0]

            commit(Removal(replace(version.place, expected_seq=seq), "gone"))
            first = collect_garbage(connection, older_than_ms=2)
            added = commit(replace(version, place=replace(version.place, expected_seq=None)))
            assert isinstance(added, Committed)
            commit(Removal(replace(version.place, expected_seq=added.seq), "gone"))
            second = collect_garbage(connection, older_than_ms=2)
            end_run(connection, run, "succeeded", "", Tally(), now_ms=1)
            return [first, added, second]

        await owner.writer.apply(add_and_remove)
        await owner.feed.settled()
    assert await state.findings(data_dir) == []
    assert len(await asyncio.to_thread(state.text_ids, data_dir)) == 1


async def test_nothing_is_committed_to_the_catalog_while_the_text_index_commits(
    tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = asyncio.Event(), threading.Event()
    loop, commit = asyncio.get_running_loop(), TextFeed._commit

    def held(self: TextFeed) -> None:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(20)
        commit(self)

    async with open_owner(settings_for(data_dir)) as owner:
        monkeypatch.setattr(TextFeed, "_commit", held)
        repository = await owner.register(tree({"a.py": "alpha = 1\n"}))
        async with owner.job_for(repository) as job, asyncio.TaskGroup() as group:
            try:
                running = group.create_task(job.run())
                await asyncio.wait_for(begun.wait(), 20)
                change = group.create_task(owner.writer.apply(lambda _: 7))
                put_off = asyncio.create_task(asyncio.wait_for(owner.feed.caught_up(), 0.2))
                with pytest.raises(TimeoutError):
                    await put_off
                assert not change.done()
            finally:
                may_end.set()
            assert await change == 7
            await running
        assert running.result().state == "succeeded"


@pytest.mark.parametrize("fails", [False, True])
async def test_i3_what_an_undone_transaction_gave_to_the_index_is_not_in_it(
    tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """The ids that it took are given again, also where the index had failed meanwhile."""
    versions = _noted_versions(monkeypatch)
    async with open_owner(settings_for(data_dir)) as owner:
        repository, run = await _indexed_and_begun(owner, tree({"a.py": "alpha = 1\n", "b.py": "beta = 1\n"}))
        _fail_once(monkeypatch, TextFeed, "_apply", fails=fails)

        def add_again(path: bytes, connection: sqlite3.Connection) -> list[object]:
            version = versions[path]
            ((seq,),) = connection.execute("SELECT seq FROM entries WHERE path = ?", (path,))
            gone = Removal(replace(version.place, expected_seq=seq), "gone")
            commit_batch(connection, run, [gone], repository=repository.uuid, now_ms=1)
            collected = collect_garbage(connection, older_than_ms=2)
            again = replace(version, place=replace(version.place, expected_seq=None))
            return [collected, *commit_batch(connection, run, [again], repository=repository.uuid, now_ms=1)]

        given = _given(monkeypatch)
        undone = asyncio.create_task(owner.writer.apply(partial(add_again, b"a.py"), patience=60))
        await asyncio.wait_for(given.wait(), 20)
        broken = asyncio.create_task(owner.writer.apply(_break_the_transaction))
        ends = await asyncio.gather(undone, broken, return_exceptions=True)
        assert [type(each) for each in ends] == [CatalogError, CatalogError]
        await owner.writer.apply(partial(add_again, b"b.py"))
        await owner.feed.settled()
        with closing(await asyncio.to_thread(TextIndex.open_for_reading, owner.directory.text)) as text:
            assert await asyncio.to_thread(lambda: list(text.chunk_ids())) == [1, 3]
        await owner.writer.apply(lambda connection: end_run(connection, run, "succeeded", "", Tally(), now_ms=1))
    assert await state.findings(data_dir) == []


async def test_f007_an_index_on_a_full_disk_is_neither_made_anew_nor_waited_for_at_the_end(
    tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index fails to take a file, and there is no room to write anything from then on."""
    monkeypatch.setattr(text_feed, "ROOM_POLL_SECONDS", 0.0)
    looked = threading.Event()

    def is_full(_: TextFeed) -> bool:
        looked.set()
        return True

    async with open_owner(settings_for(data_dir)) as owner:
        repository, run = await _indexed_and_begun(owner, tree({"a.py": "alpha = 1\n"}))
        await owner.writer.apply(lambda connection: end_run(connection, run, "succeeded", "", Tally(), now_ms=1))
        _fail_once(monkeypatch, TextFeed, "_apply")
        monkeypatch.setattr(TextFeed, "_is_full", is_full)
        tree({"b.py": "beta = 1\n"})
        async with owner.job_for(repository) as job:
            running = asyncio.create_task(job.run())
            assert await asyncio.to_thread(looked.wait, 20)
            running.cancel()
            await asyncio.wait([running], timeout=0.01)
    monkeypatch.undo()
    async with open_owner(settings_for(data_dir)) as owner:
        assert owner.feed.rebuilt == ""
        assert len(await asyncio.to_thread(state.text_ids, data_dir)) == 2


async def test_i3_files_that_the_index_failed_to_take_are_found_once_they_are_committed(
    tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = state.small_tree()
    async with open_owner(settings_for(data_dir, {"text.commit_interval_ms": 60_000})) as owner:
        repository = await owner.register(tree(files))
        async with owner.job_for(repository) as job:
            _fail_once(monkeypatch, TextFeed, "_apply")
            assert (await asyncio.wait_for(job.run(), 20)).state == "succeeded"
        assert owner.feed.meter.errors == 1
        assert len(await asyncio.to_thread(state.text_ids, data_dir)) >= len(files)
    assert await state.findings(data_dir) == []


async def test_files_of_a_job_wait_for_others_until_there_are_none(
    tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last file is in the open transaction before the scan knows that it is the last."""
    given, tasks, apply = _given(monkeypatch), TreeScan.tasks, Writer.apply
    patient: list[float] = []

    async def ending_late(self: TreeScan, reader: Reader) -> AsyncIterator[list[FileTask]]:
        async for each in tasks(self, reader):
            yield each
        await given.wait()

    async def noting(self: Writer, change: Callable[[sqlite3.Connection], object], *, patience: float = 0.0) -> object:
        if patience > 1.0:
            patient.append(patience)
        return await apply(self, change, patience=patience)

    monkeypatch.setattr(TreeScan, "tasks", ending_late)
    monkeypatch.setattr(Writer, "apply", noting)
    async with open_owner(settings_for(data_dir, {"text.commit_interval_ms": 60_000})) as owner:
        repository = await owner.register(tree({"a.py": "alpha = 1\n"}))
        async with owner.job_for(repository) as job:
            assert (await asyncio.wait_for(job.run(), 20)).state == "succeeded"
    assert patient == [60.0]


async def test_batches_of_one_file_wait_for_one_another_and_not_for_the_interval(
    tree: TreeFactory, data_dir: Path
) -> None:
    """As after a crash: what was in hand is read file by file, and no more batches wait than one commit takes."""
    assert COMMITS_AHEAD >= GROUPED_CHANGES
    files = {f"{number}.py": f"value_{number} = 1\n" for number in range(12 * GROUPED_CHANGES)}
    overrides = {"text.commit_interval_ms": 60_000, "indexing.worker_batch_size": 1}
    async with open_owner(settings_for(data_dir, overrides)) as owner:
        repository = await owner.register(tree(files))
        async with owner.job_for(repository) as job:
            assert (await asyncio.wait_for(job.run(), 20)).state == "succeeded"


def _given(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once something was given to the text index that may wait for more."""
    given, take = asyncio.Event(), TextFeed.take

    async def noting(self: TextFeed, results: Sequence[object]) -> Given:
        amount = await take(self, results)
        if amount == "some":
            given.set()
        return amount

    monkeypatch.setattr(TextFeed, "take", noting)
    return given


def _noted_versions(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, FileVersion]:
    """What is committed of each path from now on."""
    versions: dict[bytes, FileVersion] = {}

    def noting(self: BatchWork, task: FileTask, report: FileReport) -> FileChange:
        change = CHANGE(self, task, report)
        if isinstance(change, FileVersion):
            versions[change.place.path] = change
        return change

    monkeypatch.setattr(BatchWork, "_change", noting)
    return versions


async def _indexed_and_begun(owner: Owner, root: Path) -> tuple[Repository, Run]:
    """Index a tree, and begin another run of its repository."""
    repository = await owner.register(root)
    async with owner.job_for(repository) as job:
        await job.run()
    begin = partial(start_run, repository_id=repository.id, job_id="2", incarnation=owner.incarnation.id, now_ms=1)
    run, _ = await owner.writer.apply(begin)
    return repository, run


def _fail_once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, *, fails: bool = True) -> None:
    real, left = getattr(owner, name), [fails]

    def failing(self: object, *arguments: object) -> None:
        if left.pop() if left else False:
            raise TextIndexError("nothing can be written")
        real(self, *arguments)

    monkeypatch.setattr(owner, name, failing)


def _break_the_transaction(connection: sqlite3.Connection) -> None:
    connection.execute("ROLLBACK")
    raise sqlite3.OperationalError("the disk is gone")


async def test_f019_what_is_committed_after_the_index_failed_lets_nobody_wait(
    tree: TreeFactory, data_dir: Path
) -> None:
    root = tree({"a.py": "alpha = 1\n"})
    owner_context = open_owner(settings_for(data_dir))
    owner = await owner_context.__aenter__()
    try:
        repository = await owner.register(root)
        async with owner.job_for(repository) as job:
            await job.run()
        arm("text.apply:1:raise")
        try:
            assert await owner.feed.take([Collected((1,), 1, more=False)]) == "some"
            await asyncio.wait_for(owner.feed.caught_up(), 20)
            with pytest.raises(InjectedFault):
                await owner.feed.confirm()
        finally:
            arm(None)
        await owner.feed.take([Collected((2,), 2, more=False)])
        await asyncio.wait_for(owner.feed.caught_up(), 20)
        with pytest.raises(InjectedFault):
            await owner.feed.confirm()
        with pytest.raises(InjectedFault):
            await asyncio.wait_for(owner.feed.settled(), 20)
    finally:
        with pytest.raises(InjectedFault):
            await owner_context.__aexit__(None, None, None)


async def test_i2_content_that_is_kept_for_its_grace_period_is_not_shown(
    index: Index, tree: TreeFactory, data_dir: Path
) -> None:
    keep = {"storage.garbage_grace_days": 14}
    root = tree({"a.py": "alphabetical = 1\n", "b.py": "beta = 1\n"})
    await index(root, **keep)
    tree({"a.py": "gamma = 1\n"})
    await index(root, **keep)
    assert len(await asyncio.to_thread(state.text_ids, data_dir)) == 3
    ((uuid,),) = await asyncio.to_thread(state.rows, data_dir, "SELECT uuid FROM repositories")
    found = {}
    async with open_reader(DataDirectory(data_dir).catalog) as reader:
        with closing(await asyncio.to_thread(TextIndex.open_for_reading, DataDirectory(data_dir).text)) as text:
            for word in ("alphabetical", "gamma"):
                request = SearchRequest(word, repositories=frozenset({uuid}))
                found[word] = (await search(request, catalog=reader, text_index=text)).hits
    assert found["alphabetical"] == ()
    assert [hit.path for hit in found["gamma"]] == ["a.py"]
