from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from storage import CatalogBusy, CatalogDamaged, CatalogError, Given, Writer, open_for_reading
from storage.catalog.writer import APPLIED_AT_ONCE, GROUPED_CHANGES


def put(name: str) -> Callable[[sqlite3.Connection], str]:
    def change(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (name, name))
        return name

    return change


def names_in(catalog: Path) -> list[str]:
    connection = open_for_reading(catalog)
    try:
        return [row[0] for row in connection.execute("SELECT key FROM meta ORDER BY key")]
    finally:
        connection.close()


class Gate:
    """A change that holds the writer's thread until it is opened, so that others queue up behind it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self._open = threading.Event()

    def __call__(self, _: sqlite3.Connection) -> None:
        self.begun.set()
        self._open.wait(10)

    def open(self) -> None:
        self._open.set()


async def goes_on(_: Sequence[Any]) -> Given:
    """Follow what is applied, and wait for more of it."""
    return "some"


async def handed_in(*tasks: asyncio.Task[Any]) -> None:
    """Let tasks that were just made get as far as waiting for their change."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_a_change_is_durable_when_its_result_is_there(tmp_path: Path) -> None:
    async with Writer(tmp_path / "catalog.db") as writer:
        assert await writer.apply(put("a")) == "a"
        assert await asyncio.to_thread(names_in, tmp_path / "catalog.db") == ["a"]


async def test_changes_that_wait_together_are_committed_together_in_order(tmp_path: Path) -> None:
    groups: list[list[Any]] = []

    async def after_commit(results: Sequence[Any]) -> None:
        groups.append(list(results))

    gate = Gate()
    async with Writer(tmp_path / "catalog.db", after_commit=after_commit) as writer:
        first = asyncio.create_task(writer.apply(gate))
        await asyncio.to_thread(gate.begun.wait, 10)
        rest = [asyncio.create_task(writer.apply(put(name))) for name in "cab"]
        await handed_in(first, *rest)
        gate.open()
        assert await asyncio.gather(first, *rest) == [None, "c", "a", "b"]
        assert writer.commits == 2
    assert groups == [[None], ["c", "a", "b"]]


async def test_changes_that_come_while_a_commit_is_put_off_are_in_it(tmp_path: Path) -> None:
    may_commit, asked = asyncio.Event(), asyncio.Event()

    async def before_commit() -> None:
        asked.set()
        await may_commit.wait()

    async with Writer(tmp_path / "catalog.db", before_commit=before_commit) as writer:
        async with asyncio.TaskGroup() as group:
            changes = [group.create_task(writer.apply(put(name))) for name in "abc"]
            await asked.wait()
            changes.append(group.create_task(writer.apply(put("d"))))
            await handed_in(*changes)
            assert writer.commits == 0
            may_commit.set()
        assert [each.result() for each in changes] == ["a", "b", "c", "d"]
        assert writer.commits == 1


async def test_patient_changes_are_committed_with_the_first_that_is_not(tmp_path: Path) -> None:
    applied: asyncio.Queue[list[Any]] = asyncio.Queue()

    async def after_apply(results: Sequence[Any]) -> Given:
        applied.put_nowait(list(results))
        return "some"

    catalog = tmp_path / "catalog.db"
    async with Writer(catalog, after_apply=after_apply) as writer, asyncio.TaskGroup() as group:
        patient = []
        for name in "abc":
            patient.append(group.create_task(writer.apply(put(name), patience=60)))
            assert await asyncio.wait_for(applied.get(), 20) == [name]
        assert writer.commits == 0
        assert await asyncio.to_thread(names_in, catalog) == []
        assert not any(each.done() for each in patient)
        assert await writer.apply(put("d")) == "d"
        assert [each.result() for each in patient] == ["a", "b", "c"]
        assert writer.commits == 1


async def test_a_patient_change_is_committed_when_its_patience_ends_or_it_is_flushed(tmp_path: Path) -> None:
    async with Writer(tmp_path / "catalog.db", after_apply=goes_on) as writer:
        assert await asyncio.wait_for(writer.apply(put("a"), patience=0.01), 20) == "a"
        async with asyncio.TaskGroup() as group:
            patient = group.create_task(writer.apply(put("b"), patience=60))
            await handed_in(patient)
            await writer.flush()
            assert patient.result() == "b"
        assert writer.commits == 2


async def test_a_patient_change_is_committed_at_once_where_those_who_follow_have_enough(tmp_path: Path) -> None:
    async def is_enough(results: Sequence[Any]) -> Given:
        return "enough" if "c" in results else "some"

    async with Writer(tmp_path / "catalog.db", after_apply=is_enough) as writer, asyncio.TaskGroup() as group:
        patient = [group.create_task(writer.apply(put(name), patience=60)) for name in "abc"]
        await asyncio.wait_for(patient[-1], 20)
        assert writer.commits == 1


async def test_a_patient_change_that_gives_nothing_to_those_who_follow_is_committed_at_once(tmp_path: Path) -> None:
    async def nothing(_: Sequence[Any]) -> Given:
        return "nothing"

    async with Writer(tmp_path / "catalog.db", after_apply=nothing) as writer:
        assert await asyncio.wait_for(writer.apply(put("a"), patience=60), 20) == "a"


async def test_nothing_joins_what_is_enough_for_a_commit(tmp_path: Path) -> None:
    groups: list[list[Any]] = []

    async def is_enough(_: Sequence[Any]) -> Given:
        return "enough"

    async def after_commit(results: Sequence[Any]) -> None:
        groups.append(list(results))

    gate = Gate()
    names = list("abcdef")
    async with Writer(tmp_path / "catalog.db", after_apply=is_enough, after_commit=after_commit) as writer:
        first = asyncio.create_task(writer.apply(gate))
        await asyncio.to_thread(gate.begun.wait, 10)
        rest = [asyncio.create_task(writer.apply(put(name))) for name in names]
        await handed_in(first, *rest)
        gate.open()
        await asyncio.gather(first, *rest)
    assert groups == [[None], names[:APPLIED_AT_ONCE], names[APPLIED_AT_ONCE:]]


async def test_a_group_takes_so_many_changes_and_no_more(tmp_path: Path) -> None:
    sizes: list[int] = []

    async def after_commit(results: Sequence[Any]) -> None:
        sizes.append(len(results))

    names = [f"n{number:02}" for number in range(GROUPED_CHANGES + 3)]
    async with Writer(tmp_path / "catalog.db", after_apply=goes_on, after_commit=after_commit) as writer:
        async with asyncio.TaskGroup() as group:
            patient = [group.create_task(writer.apply(put(name), patience=60)) for name in names]
            await asyncio.wait_for(patient[GROUPED_CHANGES - 1], 20)
            await writer.flush()
        assert [each.result() for each in patient] == names
    assert sizes == [GROUPED_CHANGES, 4]


async def test_closing_commits_what_is_patient(tmp_path: Path) -> None:
    async with Writer(tmp_path / "catalog.db", after_apply=goes_on) as writer:
        patient = asyncio.create_task(writer.apply(put("a"), patience=60))
        await handed_in(patient)
    assert await patient == "a"
    assert names_in(tmp_path / "catalog.db") == ["a"]


async def test_f007_those_who_follow_are_told_when_a_group_is_undone(tmp_path: Path) -> None:
    told: asyncio.Queue[object] = asyncio.Queue()

    async def after_apply(results: Sequence[Any]) -> Given:
        told.put_nowait(list(results))
        return "some"

    async def after_undo() -> None:
        told.put_nowait("undone")

    def breaks_the_transaction(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("the disk is gone")

    async with Writer(tmp_path / "catalog.db", after_apply=after_apply, after_undo=after_undo) as writer:
        patient = asyncio.create_task(writer.apply(put("a"), patience=60))
        assert await asyncio.wait_for(told.get(), 20) == ["a"]
        with pytest.raises(CatalogError, match="the disk is gone"):
            await writer.apply(breaks_the_transaction)
        with pytest.raises(CatalogError, match="the disk is gone"):
            await patient
        assert told.get_nowait() == "undone"
        assert await writer.apply(put("b")) == "b"
    assert names_in(tmp_path / "catalog.db") == ["b"]


async def test_a_failing_change_undoes_itself_alone(tmp_path: Path) -> None:
    def half(connection: sqlite3.Connection) -> None:
        put("half")(connection)
        raise KeyError("half")

    gate = Gate()
    async with Writer(tmp_path / "catalog.db") as writer:
        first = asyncio.create_task(writer.apply(gate))
        await asyncio.to_thread(gate.begun.wait, 10)
        rest = [asyncio.create_task(writer.apply(change)) for change in (put("a"), half, put("b"))]
        await handed_in(*rest)
        gate.open()
        ends = await asyncio.gather(*rest, return_exceptions=True)
        assert [ends[0], type(ends[1]), ends[2]] == ["a", KeyError, "b"]
        assert writer.commits == 2
        await first
    assert names_in(tmp_path / "catalog.db") == ["a", "b"]


async def test_a_statement_that_breaks_a_constraint_fails_its_own_change_alone(tmp_path: Path) -> None:
    def twice(connection: sqlite3.Connection) -> None:
        put("twice")(connection)
        put("a")(connection)

    gate = Gate()
    async with Writer(tmp_path / "catalog.db") as writer:
        first = asyncio.create_task(writer.apply(gate))
        await asyncio.to_thread(gate.begun.wait, 10)
        rest = [asyncio.create_task(writer.apply(change)) for change in (put("a"), twice, put("b"))]
        await handed_in(*rest)
        gate.open()
        ends = await asyncio.gather(*rest, return_exceptions=True)
        assert [ends[0], type(ends[1]), ends[2]] == ["a", CatalogError, "b"]
        await first
    assert names_in(tmp_path / "catalog.db") == ["a", "b"]


async def test_a_change_goes_through_although_its_caller_was_cancelled(tmp_path: Path) -> None:
    gate = Gate()
    async with Writer(tmp_path / "catalog.db") as writer:
        first = asyncio.create_task(writer.apply(gate))
        await asyncio.to_thread(gate.begun.wait, 10)
        second = asyncio.create_task(writer.apply(put("a")))
        await handed_in(second)
        second.cancel()
        gate.open()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second
    assert names_in(tmp_path / "catalog.db") == ["a"]


async def test_closing_finishes_what_was_handed_in(tmp_path: Path) -> None:
    gate = Gate()
    async with Writer(tmp_path / "catalog.db") as writer:
        tasks = [asyncio.create_task(writer.apply(change)) for change in (gate, put("a"), put("b"))]
        await asyncio.to_thread(gate.begun.wait, 10)
        gate.open()
    assert await asyncio.gather(*tasks) == [None, "a", "b"]
    assert names_in(tmp_path / "catalog.db") == ["a", "b"]
    with pytest.raises(CatalogError, match="closed"):
        await writer.apply(put("late"))


async def test_closing_finishes_also_when_it_is_cancelled(tmp_path: Path) -> None:
    gate = Gate()

    async def use() -> None:
        async with Writer(tmp_path / "catalog.db") as writer:
            tasks.extend(asyncio.create_task(writer.apply(change)) for change in (gate, put("a")))
            await asyncio.to_thread(gate.begun.wait, 10)

    tasks: list[asyncio.Task[Any]] = []
    using = asyncio.create_task(use())
    await asyncio.to_thread(gate.begun.wait, 10)
    await handed_in(using)
    using.cancel()
    await handed_in(using)
    using.cancel()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert await asyncio.gather(*tasks) == [None, "a"]
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("catalog-writer")] == []


async def test_those_who_follow_failing_reaches_the_owner_and_every_later_caller(tmp_path: Path) -> None:
    async def after_commit(results: Sequence[Any]) -> None:
        raise OSError("the index is gone")

    writer = await Writer(tmp_path / "catalog.db", after_commit=after_commit).__aenter__()
    assert await writer.apply(put("a")) == "a"
    with pytest.raises(CatalogError, match="the index is gone"):
        await writer.apply(put("b"))
    with pytest.raises(OSError, match="the index is gone"):
        await writer.__aexit__()
    assert names_in(tmp_path / "catalog.db") == ["a"]


async def test_a_writer_that_found_damage_can_be_opened_again_once_it_is_moved_away(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.db"
    catalog.write_bytes(b"no database at all" * 1000)
    writer = Writer(catalog)
    with pytest.raises(CatalogDamaged, match="fsck --repair"):
        await writer.__aenter__()
    catalog.unlink()
    async with writer:
        assert await writer.apply(put("a")) == "a"


LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
sys.stdout.write("locked\\n"); sys.stdout.flush()
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


def lock(catalog: Path) -> subprocess.Popen[str]:
    """Another process that holds the catalog's lock until it is sent a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(catalog)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


async def test_f007_a_catalog_locked_by_another_process_is_waited_for(tmp_path: Path) -> None:
    async with Writer(tmp_path / "catalog.db") as writer:
        await writer.apply(put("a"))
        locker = await asyncio.to_thread(lock, tmp_path / "catalog.db")
        waiting = asyncio.create_task(writer.apply(put("b")))
        await handed_in(waiting)
        await asyncio.to_thread(locker.communicate, "\n")
        assert await waiting == "b"


async def test_f007_a_catalog_that_stays_locked_is_an_error_that_says_so_and_not_the_end(tmp_path: Path) -> None:
    async with Writer(tmp_path / "catalog.db", busy_timeout=0.05) as writer:
        await writer.apply(put("a"))
        locker = await asyncio.to_thread(lock, tmp_path / "catalog.db")
        with pytest.raises(CatalogBusy, match="kept locked by another process"):
            await writer.apply(put("b"))
        await asyncio.to_thread(locker.communicate, "\n")
        assert await writer.apply(put("c")) == "c"
    assert names_in(tmp_path / "catalog.db") == ["a", "c"]
