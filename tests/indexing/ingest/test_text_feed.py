"""Invariants I2 and I3: the text index follows in order, and nothing that it still holds by then is shown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from indexing.ingest.batch_work import BatchWork
from indexing.ingest.text_feed import TextFeed
from indexing.runtime import open_owner
from indexing.search import SearchRequest, search
from storage import (
    Collected,
    Committed,
    DataDirectory,
    FileResult,
    FileVersion,
    Removal,
    Tally,
    TextIndex,
    collect_garbage,
    commit_batch,
    end_run,
    open_reader,
    start_run,
)
from storage.faults import InjectedFault, arm
from tests.faults import state
from tests.faults.driver import settings_for

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from indexing.ingest.job import JobReport
    from indexing.ingest.messages import FileReport, FileTask
    from tests.conftest import TreeFactory

    Index = Callable[..., Awaitable[JobReport]]
    Reports = Sequence[tuple[FileTask, FileReport]]
COMMIT = BatchWork._commit


async def test_i3_a_deletion_follows_the_addition_it_undoes_even_in_one_commit(
    tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions: list[FileVersion] = []

    async def noting(self: BatchWork, reports: Reports, batch_id: int | None) -> list[FileTask]:
        versions.extend(report.version for _, report in reports if report.version is not None)
        return await COMMIT(self, reports, batch_id)

    monkeypatch.setattr(BatchWork, "_commit", noting)
    root = tree({"a.py": "alpha = 1\n", "b.py": "beta = 1\n"})
    async with open_owner(settings_for(data_dir)) as owner:
        repository = await owner.register(root)
        async with owner.job_for(repository) as job:
            await job.run()
        (version,) = [version for version in versions if version.place.path == b"a.py"]

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
                put_off = asyncio.create_task(asyncio.wait_for(owner.feed.keeps_up(), 0.2))
                with pytest.raises(TimeoutError):
                    await put_off
                assert not change.done()
            finally:
                may_end.set()
            assert await change == 7
            await running
        assert running.result().state == "succeeded"


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
            await owner.feed.follow([Collected((1,), 1, more=False)])
            with pytest.raises(InjectedFault):
                await owner.feed.settled()
        finally:
            arm(None)
        with pytest.raises(InjectedFault):
            await owner.feed.follow([Collected((2,), 2, more=False)])
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
