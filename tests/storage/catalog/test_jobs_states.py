from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Literal

import pytest

from storage import (
    Failure,
    JobPaths,
    JobRow,
    JobState,
    OutcomeRow,
    Place,
    Run,
    StaleEpoch,
    Tally,
    accept_job,
    check_epoch,
    commit_batch,
    end_run,
    job_row,
    job_rows,
    open_batches,
    open_reader,
    outcomes_of,
    set_job_state,
    start_run,
    unfinished_jobs,
)

if TYPE_CHECKING:
    from storage import Repository
    from tests.storage.conftest import FilledCatalog


def begin(catalog: FilledCatalog, job_id: str = "job", *, now_ms: int = 1, repository: Repository | None = None) -> Run:
    with catalog.transaction() as connection:
        to = (repository or catalog.repository).id
        return start_run(connection, to, job_id, incarnation=4, now_ms=now_ms)[0]


def accept(catalog: FilledCatalog, job_id: str, paths: JobPaths, *, now_ms: int) -> None:
    with catalog.transaction() as connection:
        accept_job(connection, catalog.repository.id, job_id, paths, now_ms)


def turn(catalog: FilledCatalog, run: Run, state: Literal["running", "paused", "cancelling"], reason: str = "") -> bool:
    with catalog.transaction() as connection:
        return set_job_state(connection, run, state, reason)


@pytest.mark.parametrize("state", ["running", "paused", "cancelling"])
def test_a_run_writes_what_it_has_in_hand_in_every_state_before_its_end(
    catalog: FilledCatalog, state: Literal["running", "paused", "cancelling"]
) -> None:
    run = begin(catalog)
    assert turn(catalog, run, state, "why")
    assert catalog.rows("SELECT state, reason FROM jobs") == [(state, "why")]
    with catalog.transaction() as connection:
        first, _ = open_batches(connection, run, [[b"a.py"], [b"b.py"]])
        change = catalog.version("a.py", "def one\n")
        commit_batch(connection, run, [change], repository=catalog.repository.uuid, now_ms=5, batch_id=first)
    assert catalog.findings() == []
    with catalog.transaction() as connection:
        end_run(connection, run, "cancelled", "asked to", Tally(seen=1, indexed=1), now_ms=9, unreached=7)
    assert catalog.rows("SELECT state, unreached FROM jobs") == [("cancelled", 7)]


def test_f027_the_state_is_fenced_like_every_other_write(catalog: FilledCatalog) -> None:
    late = begin(catalog)
    run = begin(catalog)
    with pytest.raises(StaleEpoch):
        turn(catalog, late, "paused")
    assert turn(catalog, run, "running")
    with catalog.transaction() as connection:
        end_run(connection, run, "succeeded", "", Tally(), now_ms=9)
    with pytest.raises(StaleEpoch):
        turn(catalog, run, "running")
    assert catalog.rows("SELECT state FROM jobs") == [("succeeded",)]


def test_f022_a_job_that_is_being_cancelled_neither_runs_nor_pauses_again(catalog: FilledCatalog) -> None:
    run = begin(catalog)
    assert turn(catalog, run, "cancelling", "asked to")
    assert not turn(catalog, run, "running")
    assert not turn(catalog, run, "paused", "memory")
    assert turn(catalog, run, "cancelling", "asked to again")
    assert catalog.rows("SELECT state, reason FROM jobs") == [("cancelling", "asked to again")]
    check_epoch(catalog.connection, run)


@pytest.mark.parametrize("state", ["queued", "running", "paused", "cancelling"])
def test_a_job_does_not_end_in_a_state_that_is_no_end(catalog: FilledCatalog, state: JobState) -> None:
    run = begin(catalog)
    with pytest.raises(ValueError, match=f"'{state}' is no end of a job"), catalog.transaction() as connection:
        end_run(connection, run, state, "", Tally(), now_ms=9)
    check_epoch(catalog.connection, run)


def test_an_unknown_state_is_refused_by_the_table(catalog: FilledCatalog) -> None:
    begin(catalog)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        catalog.change("UPDATE jobs SET state = 'asleep'")


async def test_a_queued_job_is_read_with_what_it_is_about(catalog: FilledCatalog) -> None:
    await asyncio.to_thread(accept, catalog, "job", (b"caf\xe9", b"a/b"), now_ms=3)
    repository = catalog.repository
    async with open_reader(catalog.path) as reader:
        row = await job_row(reader, "job")
        assert row == JobRow(
            "job", repository.id, repository.uuid, "queued", 0, None, "", 3, None, None, Tally(), 0, (),
            (b"a/b", b"caf\xe9"), "request",
        )  # fmt: skip
        assert not row.is_ended
        assert await job_row(reader, "unknown") is None


async def test_an_ended_job_is_read_with_everything_that_became_of_it(catalog: FilledCatalog) -> None:
    tally = Tally(10, 1, 2, 3, 4, 5)

    def run_to_its_end() -> None:
        run = begin(catalog, now_ms=5)
        warnings = ["two\nlines", "odd \udce9 name", " "]
        with catalog.transaction() as connection:
            end_run(
                connection, run, "cancelled", "odd \udce9", tally, now_ms=9, unreached=6, warnings=warnings
            )  # fmt: skip

    await asyncio.to_thread(run_to_its_end)
    repository = catalog.repository
    async with open_reader(catalog.path) as reader:
        row = await job_row(reader, "job")
        assert row == JobRow(
            "job", repository.id, repository.uuid, "cancelled", 1, 4, "odd \\udce9", 5, 5, 9, tally, 6,
            ("two lines", "odd \\udce9 name"), None, "request",
        )  # fmt: skip
        assert row.is_ended


STATES: dict[str, Literal["running", "paused", "cancelling"]] = {"1": "running", "2": "paused", "3": "cancelling"}


async def test_jobs_are_listed_newest_first_and_the_unfinished_oldest_first(catalog: FilledCatalog) -> None:
    def fill() -> None:
        for number, state in STATES.items():
            turn(catalog, begin(catalog, number, repository=catalog.add_repository(b"/src/r" + number.encode())), state)
        ended = begin(catalog, "4")
        with catalog.transaction() as connection:
            end_run(connection, ended, "succeeded", "", Tally(), now_ms=9)
        accept(catalog, "5", None, now_ms=1)
        begin(catalog, "0", now_ms=0, repository=catalog.add_repository(b"/src/two"))

    await asyncio.to_thread(fill)
    async with open_reader(catalog.path) as reader:
        assert [row.id for row in await job_rows(reader)] == ["5", "4", "3", "2", "1", "0"]
        assert [row.id for row in await job_rows(reader, limit=2)] == ["5", "4"]
        assert [row.id for row in await job_rows(reader, catalog.repository.id)] == ["5", "4"]
        assert [row.id for row in await job_rows(reader, catalog.repository.id, 1)] == ["5"]
        unfinished = await unfinished_jobs(reader)
        assert [(row.id, row.state) for row in unfinished] == [("0", "running"), *STATES.items(), ("5", "queued")]


async def test_outcomes_are_read_page_by_page_in_the_order_of_raw_paths(catalog: FilledCatalog) -> None:
    paths = [b"a", b"a/b", b"a0", b"\xc3\xa9", b"\xff"]

    def fill() -> None:
        run = begin(catalog)
        changes = [Failure(Place(catalog.repository.snapshot_id, path, None), "denied", "EACCES") for path in paths]
        with catalog.transaction() as connection:
            commit_batch(connection, run, changes[::-1], repository=catalog.repository.uuid, now_ms=5)

    await asyncio.to_thread(fill)
    async with open_reader(catalog.path) as reader:
        found: list[OutcomeRow] = []
        while page := await outcomes_of(reader, "job", found[-1].path if found else b"", 2):
            assert len(page) <= 2
            found += page
        assert found == [OutcomeRow(path, "failed", "denied", "EACCES") for path in paths]
        assert await outcomes_of(reader, "other", b"", 2) == []
