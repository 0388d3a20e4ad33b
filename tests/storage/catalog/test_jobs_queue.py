from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from storage import (
    JobOrigin,
    JobPaths,
    KeyReused,
    Run,
    StaleEpoch,
    Tally,
    UnknownRepository,
    accept_job,
    cancel_queued,
    check_epoch,
    end_cancelled,
    end_run,
    forget,
    open_batches,
    set_job_state,
    start_run,
)
from storage.catalog.jobs import KEPT_JOBS

if TYPE_CHECKING:
    from tests.storage.conftest import FilledCatalog


def accept(
    catalog: FilledCatalog,
    job_id: str,
    paths: JobPaths = None,
    *,
    now_ms: int = 1,
    repository_id: int | None = None,
    origin: JobOrigin = "request",
    key: str = "",
) -> str:
    with catalog.transaction() as connection:
        number = repository_id or catalog.repository.id
        return accept_job(connection, number, job_id, paths, now_ms, origin=origin, key=key)


def begin(
    catalog: FilledCatalog, job_id: str, paths: JobPaths = None, *, incarnation: int = 1
) -> tuple[Run, tuple[bytes, ...]]:
    with catalog.transaction() as connection:
        return start_run(connection, catalog.repository.id, job_id, incarnation=incarnation, now_ms=2, paths=paths)


def end(catalog: FilledCatalog, run: Run) -> None:
    with catalog.transaction() as connection:
        end_run(connection, run, "succeeded", "", Tally(), now_ms=9)


def begin_and_cancel(catalog: FilledCatalog, job_id: str, *, incarnation: int = 1) -> None:
    cancel(catalog, begin(catalog, job_id, incarnation=incarnation)[0])


def cancel(catalog: FilledCatalog, run: Run) -> None:
    with catalog.transaction() as connection:
        open_batches(connection, run, [[b"a.py"]])
        assert set_job_state(connection, run, "cancelling", "asked to")


def test_an_accepted_job_is_queued_until_its_run_begins(catalog: FilledCatalog) -> None:
    assert accept(catalog, "one", (b"src", b"doc"), now_ms=5) == "one"
    assert catalog.rows("SELECT id, state, epoch, created_at, started_at, paths FROM jobs") == [
        ("one", "queued", 0, 5, None, b"doc\0src")
    ]
    run, held = begin(catalog, "one")
    assert (run, run.paths, held) == (Run("one", 1), (b"doc", b"src"), ())
    assert catalog.rows("SELECT state, started_at, paths FROM jobs") == [("running", 2, b"doc\0src")]


def test_f025_wishes_for_one_repository_are_one_queued_job_about_all_their_paths(catalog: FilledCatalog) -> None:
    first = accept(catalog, "0", (b"a/0",))
    assert {accept(catalog, str(number), (b"a/%d" % number,)) for number in range(1, 50)} == {first}
    assert catalog.one("SELECT count(*) FROM jobs") == 1
    assert accept(catalog, "all", (b"a",)) == first
    assert catalog.rows("SELECT paths FROM jobs") == [(b"a",)]
    assert accept(catalog, "tree", None) == first
    assert accept(catalog, "late", (b"b",)) == first
    assert catalog.rows("SELECT id, paths FROM jobs") == [(first, None)]


def test_wishes_for_different_repositories_are_different_jobs(catalog: FilledCatalog) -> None:
    other = catalog.add_repository(b"/src/two")
    assert accept(catalog, "one") == "one"
    assert accept(catalog, "two", repository_id=other.id) == "two"
    assert catalog.rows("SELECT id, repository_id FROM jobs ORDER BY id") == [
        ("one", catalog.repository.id), ("two", other.id),
    ]  # fmt: skip


def test_a_wish_does_not_join_a_job_that_has_begun_as_that_may_be_past_its_paths(catalog: FilledCatalog) -> None:
    accept(catalog, "one", (b"a",))
    run, _ = begin(catalog, "one")
    assert accept(catalog, "two", (b"b",)) == "two"
    assert accept(catalog, "three", (b"c",)) == "two"
    assert catalog.rows("SELECT id, paths FROM jobs ORDER BY id") == [("one", b"a"), ("two", b"b\0c")]
    end(catalog, run)
    assert begin(catalog, "two")[0].paths == (b"b", b"c")


@pytest.mark.parametrize("paths", [(), (b"/etc",)])
def test_a_wish_that_no_job_can_be_about_is_refused_and_the_queued_job_stays(
    catalog: FilledCatalog, paths: JobPaths
) -> None:
    with pytest.raises(ValueError, match="whole tree"):
        accept(catalog, "one", paths)
    accept(catalog, "one", (b"a",))
    with pytest.raises(ValueError, match="whole tree"):
        accept(catalog, "two", paths)
    assert catalog.rows("SELECT id, paths FROM jobs") == [("one", b"a")]


def test_a_forgotten_repository_gets_no_job(catalog: FilledCatalog) -> None:
    with catalog.transaction() as connection:
        forget(connection, catalog.repository.id)
    for repository_id in (catalog.repository.id, 99):
        with pytest.raises(UnknownRepository, match=f"{repository_id} is not indexed"):
            accept(catalog, "one", repository_id=repository_id)
    assert catalog.rows("SELECT * FROM jobs") == []


def test_a_named_job_begins_though_another_was_interrupted(catalog: FilledCatalog) -> None:
    accept(catalog, "one", (b"a",))
    begin(catalog, "one")
    accept(catalog, "two", (b"b",))
    run, _ = begin(catalog, "two", (b"ignored",), incarnation=2)
    assert (run, run.paths) == (Run("two", 1), (b"b",))
    run, _ = begin(catalog, "one", incarnation=2)
    assert (run, run.paths) == (Run("one", 2), (b"a",))


def test_without_a_name_the_interrupted_job_goes_before_the_queued_one_and_takes_the_paths_in(
    catalog: FilledCatalog,
) -> None:
    accept(catalog, "queued", (b"q",), now_ms=1)
    accept_after = begin(catalog, "queued")[0]
    accept(catalog, "waits", (b"w",), now_ms=0)
    run, _ = begin(catalog, "new", (b"n",), incarnation=2)
    assert (run, run.paths) == (Run("queued", accept_after.epoch + 1), (b"n", b"q"))
    end(catalog, run)
    run, _ = begin(catalog, "new", (b"n",), incarnation=2)
    assert (run, run.paths) == (Run("waits", 1), (b"n", b"w"))
    end(catalog, run)
    run, _ = begin(catalog, "new", (b"n", b"n/below"), incarnation=2)
    assert (run, run.paths) == (Run("new", 1), (b"n",))


def test_a_paused_job_of_a_dead_process_runs_on_without_its_reason(catalog: FilledCatalog) -> None:
    run, _ = begin(catalog, "one")
    with catalog.transaction() as connection:
        open_batches(connection, run, [[b"a.py"]])
        set_job_state(connection, run, "paused", "no room left")
    assert begin(catalog, "two", incarnation=2) == (Run("one", 2), (b"a.py",))
    assert catalog.rows("SELECT state, reason, incarnation FROM jobs") == [("running", "", 2)]


@pytest.mark.parametrize("how", ["ended", "cancelled while queued", "being cancelled", "cancelled by a dead process"])
def test_f022_a_job_that_is_over_or_being_cancelled_does_not_begin(catalog: FilledCatalog, how: str) -> None:
    accept(catalog, "one")
    if how == "ended":
        end(catalog, begin(catalog, "one")[0])
    elif how == "cancelled while queued":
        with catalog.transaction() as connection:
            assert cancel_queued(connection, "one", 3)
    else:
        begin_and_cancel(catalog, "one", incarnation=1 if how == "being cancelled" else 7)
    before = catalog.rows("SELECT id, epoch FROM jobs")
    with pytest.raises(StaleEpoch, match=r"cannot begin, it is .*; submit a new one"):
        begin(catalog, "one")
    assert catalog.rows("SELECT id, epoch FROM jobs") == before
    assert begin(catalog, "two")[0] == Run("two", 1)


def test_a_job_does_not_begin_for_another_repository(catalog: FilledCatalog) -> None:
    other = catalog.add_repository(b"/src/two")
    accept(catalog, "two", repository_id=other.id)
    with pytest.raises(ValueError, match=f"one of repository {other.id}"):
        begin(catalog, "two")


def test_f022_only_a_queued_job_is_cancelled_without_a_run(catalog: FilledCatalog) -> None:
    accept(catalog, "one")
    with catalog.transaction() as connection:
        assert cancel_queued(connection, "one", 3)
        assert not cancel_queued(connection, "one", 4)
        assert not cancel_queued(connection, "unknown", 4)
    assert catalog.rows("SELECT state, reason, ended_at FROM jobs") == [("cancelled", "cancelled before it began", 3)]
    run, _ = begin(catalog, "two")
    with catalog.transaction() as connection:
        assert not cancel_queued(connection, "two", 5)
        check_epoch(connection, run)


def test_i7_what_a_dead_process_was_cancelling_ends_once_and_keeps_nothing_in_hand(catalog: FilledCatalog) -> None:
    for job_id in ("dead", "live"):
        accept(catalog, job_id)
        begin(catalog, job_id, incarnation=7)
    late, (live, _) = Run("dead", 1), begin(catalog, "live", incarnation=8)
    cancel(catalog, live)
    cancel(catalog, late)
    with catalog.transaction() as connection:
        assert end_cancelled(connection, 8, 3) == ["dead"]
        assert end_cancelled(connection, 8, 4) == []
        check_epoch(connection, live)
        with pytest.raises(StaleEpoch):
            end_run(connection, late, "cancelled", "", Tally(), now_ms=9)
    assert catalog.rows("SELECT id, state, ended_at FROM jobs ORDER BY id") == [
        ("dead", "cancelled", 3), ("live", "cancelling", None),
    ]  # fmt: skip
    assert catalog.rows("SELECT DISTINCT job_id FROM batches") == [("live",)]
    assert catalog.findings() == []


def test_the_next_run_ends_what_a_dead_process_was_cancelling_instead_of_going_on_with_it(
    catalog: FilledCatalog,
) -> None:
    begin_and_cancel(catalog, "dead", incarnation=7)
    assert begin(catalog, "new", incarnation=8) == (Run("new", 1), ())
    assert catalog.rows("SELECT id, state FROM jobs ORDER BY id") == [("dead", "cancelled"), ("new", "running")]


def test_jobs_that_are_cancelled_before_they_begin_do_not_pile_up(catalog: FilledCatalog) -> None:
    for number in range(KEPT_JOBS + 5):
        assert accept(catalog, str(number)) == str(number), "at the same millisecond"
        with catalog.transaction() as connection:
            cancel_queued(connection, str(number), 2)
    assert accept(catalog, "last") == "last"
    kept = {row[0] for row in catalog.rows("SELECT id FROM jobs")}
    assert kept == {*(str(number) for number in range(5, KEPT_JOBS + 5)), "last"}


STEPS = st.lists(st.sampled_from(["accept", "begin", "begin unnamed", "end", "cancel", "crash"]), max_size=25)


@examples(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_i7_every_accepted_job_ends_exactly_once_whatever_happens(catalog: FilledCatalog, steps: list[str]) -> None:
    """Against a model: accepted ids, those that ended, and the run in hand of the one owner."""
    catalog.change("DELETE FROM jobs")
    accepted: set[str] = set()
    ended: list[str] = []
    run: Run | None = None
    incarnation = 1
    for number, step in enumerate([*steps, "crash", *["begin", "end"] * 26]):
        queued = [row[0] for row in catalog.rows("SELECT id FROM jobs WHERE state = 'queued'")]
        if step == "accept":
            accepted.add(accept(catalog, f"job {number}", (b"%d" % number,)))
        elif step == "begin unnamed" and run is None:
            run, _ = begin(catalog, f"job {number}", incarnation=incarnation)
            accepted.add(run.job_id)
        elif step == "begin" and run is None:
            waiting = catalog.rows("SELECT id FROM jobs WHERE ended_at IS NULL ORDER BY created_at, rowid")
            run = begin(catalog, waiting[0][0], incarnation=incarnation)[0] if waiting else None
        elif step == "end" and run is not None:
            end(catalog, run)
            ended.append(run.job_id)
            run = None
        elif step == "cancel" and queued:
            with catalog.transaction() as connection:
                assert cancel_queued(connection, queued[0], number)
            ended.append(queued[0])
        elif step == "crash":
            run, incarnation = None, incarnation + 1
        assert len(queued) <= 1
    assert sorted(ended) == sorted(accepted)
    assert catalog.findings() == []


def test_a_key_finds_its_job_again_however_it_stands(catalog: FilledCatalog) -> None:
    assert accept(catalog, "one", (b"src",), key="k") == "one"
    assert accept(catalog, "two", (b"src",), key="k") == "one"
    end(catalog, begin(catalog, "one")[0])
    assert accept(catalog, "three", (b"src", b"src/a.py"), key="k") == "one"
    assert accept(catalog, "four", (b"src",), key="other") == "four"
    assert accept(catalog, "five", (b"doc",), key="joins") == "four"
    assert accept(catalog, "six", (b"doc",), key="joins") == "four"
    assert catalog.rows("SELECT id, state FROM jobs ORDER BY rowid") == [("one", "succeeded"), ("four", "queued")]


@pytest.mark.parametrize("paths", [None, (b"doc",)])
def test_a_key_of_a_job_about_something_else_is_refused(catalog: FilledCatalog, paths: JobPaths) -> None:
    accept(catalog, "one", (b"src",), key="k")
    with pytest.raises(KeyReused, match=r"'k' belongs to job 'one'.*use a new key"):
        accept(catalog, "two", paths, key="k")
    assert catalog.rows("SELECT id, paths FROM jobs") == [("one", b"src")]


def test_a_job_that_was_asked_for_stays_one_whoever_joins_it(catalog: FilledCatalog) -> None:
    accept(catalog, "one", (b"a",), origin="watch")
    assert catalog.rows("SELECT origin FROM jobs") == [("watch",)]
    accept(catalog, "two", (b"b",))
    assert catalog.rows("SELECT origin FROM jobs") == [("request",)]
    accept(catalog, "three", (b"c",), origin="scan")
    assert catalog.rows("SELECT id, origin, paths FROM jobs") == [("one", "request", b"a\0b\0c")]


def test_jobs_that_began_by_themselves_do_not_drive_out_those_that_were_asked_for(catalog: FilledCatalog) -> None:
    accept(catalog, "asked", key="k")
    end(catalog, begin(catalog, "asked")[0])
    for number in range(KEPT_JOBS + 3):
        accept(catalog, f"{number}", origin="watch", now_ms=10 + number)
        end(catalog, begin(catalog, f"{number}")[0])
    accept(catalog, "last", origin="scan", now_ms=100)
    assert catalog.rows("SELECT count(*), sum(id = 'asked'), sum(id = '0') FROM jobs") == [(KEPT_JOBS + 2, 1, 0)]
    assert catalog.rows("SELECT key FROM job_keys") == [("k",)]


def test_forgetting_a_repository_forgets_the_keys_of_its_jobs(catalog: FilledCatalog) -> None:
    accept(catalog, "one", key="k")
    with catalog.transaction() as connection:
        forget(connection, catalog.repository.id)
    assert catalog.rows("SELECT * FROM job_keys") == []
