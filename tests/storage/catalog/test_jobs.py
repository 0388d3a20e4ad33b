from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage import (
    Committed,
    Exclusion,
    Failure,
    FileChange,
    Place,
    Removal,
    Run,
    StaleEpoch,
    Stat,
    Tally,
    check_epoch,
    commit_batch,
    end_run,
    open_batches,
    start_run,
)
from storage.catalog.jobs import KEPT_JOBS

if TYPE_CHECKING:
    from tests.storage.conftest import FilledCatalog


def begin(catalog: FilledCatalog, job_id: str = "job", *, now_ms: int = 1) -> tuple[Run, tuple[bytes, ...]]:
    with catalog.transaction() as connection:
        return start_run(connection, catalog.repository.id, job_id, incarnation=1, now_ms=now_ms)


def end(catalog: FilledCatalog, run: Run, tally: Tally | None = None) -> None:
    with catalog.transaction() as connection:
        end_run(connection, run, "succeeded", "", tally or Tally(), now_ms=9)


def commit(catalog: FilledCatalog, run: Run, *changes: FileChange, batch_id: int | None = None) -> list[object]:
    with catalog.transaction() as connection:
        return list(
            commit_batch(connection, run, changes, repository=catalog.repository.uuid, now_ms=5, batch_id=batch_id)
        )


def test_a_new_job_runs_in_its_first_epoch(catalog: FilledCatalog) -> None:
    assert begin(catalog) == (Run("job", 1), ())
    assert catalog.rows("SELECT id, state, epoch FROM jobs") == [("job", "running", 1)]


def test_i7_a_job_ends_exactly_once_with_its_tally(catalog: FilledCatalog) -> None:
    run, _ = begin(catalog)
    end(catalog, run, Tally(seen=4, indexed=1, unchanged=1, skipped=1, failed=1))
    before = catalog.rows("SELECT * FROM jobs")
    assert catalog.rows("SELECT state, ended_at, seen, indexed + unchanged + skipped + failed FROM jobs") == [
        ("succeeded", 9, 4, 4)
    ]
    with pytest.raises(StaleEpoch, match="no longer in its run 1"):
        end(catalog, run)
    assert catalog.rows("SELECT * FROM jobs") == before


def test_a_dead_run_is_continued_under_the_next_epoch_with_the_paths_it_had_in_hand(catalog: FilledCatalog) -> None:
    run, _ = begin(catalog)
    with catalog.transaction() as connection:
        first, _ = open_batches(connection, run, [[b"a.py", b"b\n.py"], [b"c.py", b"a.py", b"caf\xe9.py"]])
    commit(catalog, run, batch_id=first)
    assert begin(catalog, "another") == (Run("job", 2), (b"c.py", b"a.py", b"caf\xe9.py"))
    assert begin(catalog, "another") == (Run("job", 3), ()), "they are handed over once"
    assert catalog.rows("SELECT id FROM jobs") == [("job",)]


def test_an_ended_job_is_not_continued(catalog: FilledCatalog) -> None:
    run, _ = begin(catalog, "one")
    with catalog.transaction() as connection:
        open_batches(connection, run, [[b"a.py"]])
    end(catalog, run)
    assert begin(catalog, "two") == (Run("two", 1), ())
    assert catalog.rows("SELECT * FROM batches") == []


@pytest.mark.parametrize("how", ["next run", "ended", "forgotten"])
def test_f027_every_write_of_a_run_that_is_over_is_refused_and_changes_nothing(
    catalog: FilledCatalog, how: str
) -> None:
    """A thread or process that was suspended wakes up and goes on writing."""
    late, _ = begin(catalog)
    if how == "next run":
        begin(catalog)
    elif how == "ended":
        end(catalog, late)
    else:
        catalog.change("DELETE FROM jobs")
    version = catalog.version("a.py", "def one\n")
    before = catalog.dump(), catalog.rows("SELECT * FROM jobs"), catalog.one("SELECT value FROM sequence")
    with pytest.raises(StaleEpoch):
        commit(catalog, late, version, Failure(version.place, "internal", ""))
    with pytest.raises(StaleEpoch), catalog.transaction() as connection:
        open_batches(connection, late, [[b"a.py"]])
    with pytest.raises(StaleEpoch):
        end(catalog, late)
    with pytest.raises(StaleEpoch):
        check_epoch(catalog.connection, late)
    assert (catalog.dump(), catalog.rows("SELECT * FROM jobs"), catalog.one("SELECT value FROM sequence")) == before
    assert catalog.rows("SELECT * FROM batches UNION ALL SELECT job_id, path, outcome, reason FROM outcomes") == []


def test_the_outcome_of_each_file_is_kept_with_its_reason(catalog: FilledCatalog) -> None:
    catalog.add("gone.py", "def gone\n")
    catalog.add("same.py", "def same\n")
    run, _ = begin(catalog)
    with catalog.transaction() as connection:
        (batch_id,) = open_batches(connection, run, [[b"a.py"]])
    stale = Place(catalog.repository.snapshot_id, b"stale.py", 99)
    results = commit(
        catalog,
        run,
        catalog.version("a.py", "def one\n", flags=("test",)),
        catalog.version("same.py", "def same\n"),
        Exclusion(catalog.place("b.bin"), Stat(1, 2, 3, 4), 5, "binary", "NUL at 3", "rules"),
        Removal(catalog.place("gone.py"), "gone"),
        Failure(catalog.place("c.py"), "denied", "EACCES"),
        Removal(stale, "gone"),
        batch_id=batch_id,
    )
    assert [each if isinstance(each, str) else type(each).__name__ for each in results] == [
        "Committed", "Committed", "excluded", "removed", "failed", "ReadAgain",
    ]  # fmt: skip
    assert catalog.rows("SELECT path, outcome, reason, detail FROM outcomes ORDER BY path") == [
        (b"a.py", "indexed", "", "test"),
        (b"b.bin", "skipped", "binary", "NUL at 3"),
        (b"c.py", "failed", "denied", "EACCES"),
        (b"gone.py", "removed", "gone", ""),
    ]
    assert catalog.rows("SELECT * FROM batches") == []
    assert catalog.findings() == []


def test_f060_a_file_that_cannot_be_read_keeps_what_was_indexed_of_it(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    run, _ = begin(catalog)
    before = catalog.dump()
    assert commit(catalog, run, Failure(catalog.place("a.py"), "denied", "EACCES")) == ["failed"]
    assert catalog.dump() == before


def test_i4_a_batch_that_is_replayed_changes_nothing(catalog: FilledCatalog) -> None:
    run, _ = begin(catalog)
    changes = (
        catalog.version("a.py", "def one\n"),
        Exclusion(catalog.place("b.bin"), Stat(1, 2, 3, 4), 5, "binary", "", "rules"),
    )
    assert isinstance(commit(catalog, run, *changes)[0], Committed)
    before = catalog.dump(), catalog.rows("SELECT * FROM outcomes")
    commit(catalog, run, *changes)
    assert (catalog.dump(), catalog.rows("SELECT * FROM outcomes")) == before


def test_only_the_latest_ended_jobs_are_kept_with_their_outcomes(catalog: FilledCatalog) -> None:
    for number in range(KEPT_JOBS + 3):
        run, _ = begin(catalog, f"job {number}", now_ms=number)
        commit(catalog, run, Failure(catalog.place("a.py"), "denied", ""))
        end(catalog, run)
    begin(catalog, "last", now_ms=1000)
    expected = {f"job {number}" for number in range(3, KEPT_JOBS + 3)}
    assert {row[0] for row in catalog.rows("SELECT id FROM jobs")} == {*expected, "last"}
    assert {row[0] for row in catalog.rows("SELECT job_id FROM outcomes")} == expected
