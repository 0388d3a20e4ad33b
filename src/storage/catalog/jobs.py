"""Jobs, the batches they have in hand, and what became of every file.

A run of a job has an epoch. Everything it writes is refused once a later run has begun, so a thread or process
that was suspended and wakes up late changes nothing (invariant I5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from storage.catalog.files import (
    Committed,
    Exclusion,
    Failure,
    FileVersion,
    ReadAgain,
    Removal,
    commit_file,
    exclude_file,
    remove_file,
)
from storage.errors import StaleEpoch

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from storage.catalog.files import FileChange, FileResult

JobState: TypeAlias = Literal["queued", "running", "succeeded", "partial", "failed", "cancelled"]
KEPT_JOBS = 20
"""Ended jobs that a repository keeps, with the outcomes of their files."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job: what its writes are fenced with."""

    job_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Tally:
    """How many files came to what; ``seen == indexed + unchanged + skipped + failed`` (invariant I7)."""

    seen: int = 0
    indexed: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    removed: int = 0


def start_run(
    connection: sqlite3.Connection, repository_id: int, job_id: str, *, incarnation: int, now_ms: int
) -> tuple[Run, tuple[bytes, ...]]:
    """Begin a run: continue the repository's interrupted job if there is one, else accept ``job_id`` as a new one.

    Returns the run and the paths that a dead run had in hand.
    """
    row = connection.execute(
        "SELECT id, epoch FROM jobs WHERE repository_id = ? AND state IN ('queued', 'running') ORDER BY created_at",
        (repository_id,),
    ).fetchone()
    if row is None:
        connection.execute(
            "INSERT INTO jobs (id, repository_id, state, epoch, created_at) VALUES (?, ?, 'queued', 0, ?)",
            (job_id, repository_id, now_ms),
        )
        row = (job_id, 0)
    run = Run(row[0], row[1] + 1)
    connection.execute(
        "UPDATE jobs SET state = 'running', epoch = ?, incarnation = ?, started_at = ? WHERE id = ?",
        (run.epoch, incarnation, now_ms, run.job_id),
    )
    held = connection.execute("SELECT paths FROM batches WHERE job_id = ? ORDER BY id", (run.job_id,)).fetchall()
    connection.execute("DELETE FROM batches WHERE job_id = ?", (run.job_id,))
    _trim(connection, repository_id)
    return run, tuple(dict.fromkeys(path for (paths,) in held for path in paths.split(b"\0") if path))


def end_run(
    connection: sqlite3.Connection, run: Run, state: JobState, reason: str, tally: Tally, *, now_ms: int
) -> None:
    """End the job, once."""
    check_epoch(connection, run)
    connection.execute(
        "UPDATE jobs SET state=?, reason=?, ended_at=?, seen=?, indexed=?, unchanged=?, skipped=?, failed=?, removed=?"
        " WHERE id = ?",
        (
            state, reason, now_ms, tally.seen, tally.indexed, tally.unchanged, tally.skipped, tally.failed,
            tally.removed, run.job_id,
        ),
    )  # fmt: skip
    connection.execute("DELETE FROM batches WHERE job_id = ?", (run.job_id,))


def check_epoch(connection: sqlite3.Connection, run: Run) -> None:
    """Raise ``StaleEpoch`` unless the run is the job's current one."""
    row = connection.execute("SELECT epoch, state FROM jobs WHERE id = ?", (run.job_id,)).fetchone()
    if row is None or row != (run.epoch, "running"):
        raise StaleEpoch(f"job {run.job_id} is no longer in its run {run.epoch}: {row!r}; this write was refused")


def open_batches(connection: sqlite3.Connection, run: Run, batches: Sequence[Sequence[bytes]]) -> list[int]:
    """Record the intent to work on some batches of paths; returns their ids (design §3, step 1)."""
    check_epoch(connection, run)
    return [
        connection.execute(
            "INSERT INTO batches (job_id, epoch, paths) VALUES (?, ?, ?) RETURNING id",
            (run.job_id, run.epoch, b"\0".join(paths)),
        ).fetchone()[0]
        for paths in batches
    ]


def commit_batch(
    connection: sqlite3.Connection,
    run: Run,
    changes: Sequence[FileChange],
    *,
    repository: str,
    now_ms: int,
    batch_id: int | None = None,
) -> list[FileResult]:
    """Apply what came of a batch of files and drop its intent; one result a change, in order."""
    check_epoch(connection, run)
    results = [_apply(connection, change, repository, now_ms) for change in changes]
    rows = [_outcome(run, change) for change, result in zip(changes, results, strict=True) if _counts(result)]
    connection.executemany(
        "INSERT OR REPLACE INTO outcomes (job_id, path, outcome, reason, detail) VALUES (?,?,?,?,?)", rows
    )
    if batch_id is not None:
        connection.execute("DELETE FROM batches WHERE id = ?", (batch_id,))
    return results


def _apply(connection: sqlite3.Connection, change: FileChange, repository: str, now_ms: int) -> FileResult:
    match change:
        case FileVersion():
            return commit_file(connection, change, repository=repository, now_ms=now_ms)
        case Exclusion():
            return exclude_file(connection, change, now_ms=now_ms)
        case Removal():
            return remove_file(connection, change, now_ms=now_ms)
        case Failure():
            return "failed"


def _counts(result: FileResult) -> bool:
    return result.changed if isinstance(result, Committed) else not isinstance(result, ReadAgain)


def _outcome(run: Run, change: FileChange) -> tuple[str, bytes, str, str, str]:
    path = change.place.path
    match change:
        case FileVersion():
            return run.job_id, path, "indexed", "", ",".join(change.flags)
        case Exclusion():
            return run.job_id, path, "skipped", change.reason, change.detail
        case Removal():
            return run.job_id, path, "removed", change.reason, ""
        case Failure():
            return run.job_id, path, "failed", change.reason, change.detail


def _trim(connection: sqlite3.Connection, repository_id: int) -> None:
    old = connection.execute(
        "SELECT id FROM jobs WHERE repository_id = ? AND ended_at IS NOT NULL ORDER BY created_at DESC"
        " LIMIT -1 OFFSET ?",
        (repository_id, KEPT_JOBS),
    ).fetchall()
    connection.executemany("DELETE FROM outcomes WHERE job_id = ?", old)
    connection.executemany("DELETE FROM jobs WHERE id = ?", old)
