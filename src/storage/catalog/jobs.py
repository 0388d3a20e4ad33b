"""Jobs, the batches they have in hand, and what became of every file.

A run of a job has an epoch. Everything it writes is refused once a later run has begun, so a thread or process
that was suspended and wakes up late changes nothing (invariant I5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

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
from storage.catalog.job_paths import JobPaths, join_paths, pack_paths, unpack_paths
from storage.errors import StaleEpoch, UnknownRepository

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from storage.catalog.files import FileChange, FileResult

JobState: TypeAlias = Literal[
    "queued", "running", "paused", "cancelling", "succeeded", "partial", "failed", "cancelled"
]
JobOrigin: TypeAlias = Literal["request", "watch", "scan", "start"]
"""Who asked for a job: a caller, a change of files, the regular scan, or the start of an owner."""
ENDED_STATES: Final[frozenset[JobState]] = frozenset({"succeeded", "partial", "failed", "cancelled"})
"""A job comes to one of these exactly once (invariant I7)."""
KEPT_JOBS = 20
"""Ended jobs that a repository keeps, with the outcomes of their files; of those that it began itself and of those that
were asked for, so that the former never drive the latter out."""

_WRITING_STATES: Final = frozenset({"running", "paused", "cancelling"})
"""A paused or cancelled run still brings what it has in hand to its end."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job: what its writes are fenced with, and what it is about."""

    job_id: str
    epoch: int
    paths: JobPaths = field(default=None, compare=False)
    """relative to the root; None is the whole tree"""


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
    connection: sqlite3.Connection,
    repository_id: int,
    job_id: str,
    *,
    incarnation: int,
    now_ms: int,
    paths: JobPaths = None,
) -> tuple[Run, tuple[bytes, ...]]:
    """Begin a run of the job ``job_id``, which keeps the paths that it was accepted with.

    If there is no such job, continue the repository's interrupted one, else begin its oldest queued one, else accept
    ``job_id`` as a new one; that job is about ``paths`` then, beside what it was about before. Jobs that another
    incarnation was cancelling are ended first.

    Returns the run and the paths that a dead run had in hand. Raises ``StaleEpoch`` when the job ``job_id`` is ended
    or is being cancelled, ``UnknownRepository`` when its repository was forgotten since, and ``ValueError`` for paths
    that no job can be about.
    """
    known = connection.execute("SELECT 1 FROM repositories WHERE id = ? AND root IS NOT NULL", (repository_id,))
    if known.fetchone() is None:
        raise UnknownRepository(f"repository {repository_id!r} was forgotten; job {job_id!r} has nothing to do")
    end_cancelled(connection, incarnation, now_ms)
    found = _named_job(connection, repository_id, job_id)
    if found is None:
        found = _waiting_job(connection, repository_id, paths)
    if found is None:
        found = job_id, 0, add_job(connection, repository_id, job_id, paths, now_ms)
    run = Run(found[0], found[1] + 1, found[2])
    connection.execute(
        "UPDATE jobs SET state = 'running', reason = '', epoch = ?, incarnation = ?, started_at = ? WHERE id = ?",
        (run.epoch, incarnation, now_ms, run.job_id),
    )
    held = connection.execute("SELECT paths FROM batches WHERE job_id = ? ORDER BY id", (run.job_id,)).fetchall()
    connection.execute("DELETE FROM batches WHERE job_id = ?", (run.job_id,))
    trim_jobs(connection, repository_id)
    return run, tuple(dict.fromkeys(path for (joined,) in held for path in joined.split(b"\0") if path))


def set_job_state(
    connection: sqlite3.Connection, run: Run, state: Literal["running", "paused", "cancelling"], reason: str
) -> bool:
    """Record how a run goes on; returns whether the job is in ``state`` now.

    A job that is being cancelled does not run or pause again. Raises ``StaleEpoch``.
    """
    check_epoch(connection, run)
    changed = connection.execute(
        "UPDATE jobs SET state = ?1, reason = ?2 WHERE id = ?3 AND (state <> 'cancelling' OR ?1 = 'cancelling')",
        (state, _plain(reason), run.job_id),
    )
    return changed.rowcount == 1


def end_run(
    connection: sqlite3.Connection,
    run: Run,
    state: JobState,
    reason: str,
    tally: Tally,
    *,
    now_ms: int,
    unreached: int = 0,
    warnings: Sequence[str] = (),
) -> None:
    """End the job, once; ``unreached`` counts the files that a cancelled one did not come to.

    Raises ``StaleEpoch``, and ``ValueError`` for a state that is no end.
    """
    if state not in ENDED_STATES:
        raise ValueError(f"{state!r} is no end of a job; give one of {sorted(ENDED_STATES)}")
    check_epoch(connection, run)
    connection.execute(
        "UPDATE jobs SET state=?, reason=?, ended_at=?, seen=?, indexed=?, unchanged=?, skipped=?, failed=?, removed=?,"
        " unreached=?, warnings=? WHERE id = ?",
        (
            state, _plain(reason), now_ms, tally.seen, tally.indexed, tally.unchanged, tally.skipped, tally.failed,
            tally.removed, unreached, "\n".join(filter(None, map(_one_line, warnings))), run.job_id,
        ),
    )  # fmt: skip
    connection.execute("DELETE FROM batches WHERE job_id = ?", (run.job_id,))


def cancel_queued(connection: sqlite3.Connection, job_id: str, now_ms: int) -> bool:
    """End a job that has not begun as cancelled; returns False, and changes nothing, if it is not queued."""
    changed = connection.execute(
        "UPDATE jobs SET state = 'cancelled', reason = 'cancelled before it began', ended_at = ?"
        " WHERE id = ? AND state = 'queued'",
        (now_ms, job_id),
    )
    return changed.rowcount == 1


def end_cancelled(connection: sqlite3.Connection, incarnation: int, now_ms: int) -> list[str]:
    """End the jobs that other incarnations than this one were cancelling when they died; returns their ids."""
    ended = connection.execute(
        "UPDATE jobs SET state = 'cancelled', reason = 'cancelled; its process ended before it did', ended_at = ?"
        " WHERE state = 'cancelling' AND incarnation IS NOT ? RETURNING id",
        (now_ms, incarnation),
    ).fetchall()
    connection.executemany("DELETE FROM batches WHERE job_id = ?", ended)
    return [row[0] for row in ended]


def requeue_interrupted(connection: sqlite3.Connection, incarnation: int, now_ms: int) -> list[str]:
    """Queue the jobs again in whose middle other incarnations ended; returns their ids.

    A job of the same repository that was queued behind one joins it.
    """
    rows = connection.execute(
        "SELECT id, repository_id, paths FROM jobs WHERE state IN ('running', 'paused') AND incarnation IS NOT ?"
        " ORDER BY created_at, rowid",
        (incarnation,),
    ).fetchall()
    for job_id, repository_id, paths in rows:
        behind = connection.execute(
            "SELECT id, paths FROM jobs WHERE repository_id = ? AND state = 'queued'", (repository_id,)
        ).fetchall()
        connection.execute("UPDATE jobs SET state = 'queued', reason = 'interrupted' WHERE id = ?", (job_id,))
        wishes = [unpack_paths(paths), *(unpack_paths(each) for _, each in behind)]
        set_paths(connection, job_id, join_paths(*wishes))
        connection.executemany(
            "UPDATE jobs SET state = 'cancelled', reason = ?, ended_at = ? WHERE id = ?",
            [(f"joined job {job_id}", now_ms, other) for other, _ in behind],
        )
    return [row[0] for row in rows]


def check_epoch(connection: sqlite3.Connection, run: Run) -> None:
    """Raise ``StaleEpoch`` unless the run is the job's current one."""
    row = connection.execute("SELECT epoch, state FROM jobs WHERE id = ?", (run.job_id,)).fetchone()
    if row is None or row[0] != run.epoch or row[1] not in _WRITING_STATES:
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


def _named_job(connection: sqlite3.Connection, repository_id: int, job_id: str) -> tuple[str, int, JobPaths] | None:
    row = connection.execute("SELECT repository_id, state, epoch, paths FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        return None
    if row[0] != repository_id:
        raise ValueError(f"job {job_id!r} is one of repository {row[0]}, not of {repository_id}; begin it there")
    if row[1] == "cancelling" or row[1] in ENDED_STATES:
        raise StaleEpoch(f"job {job_id!r} cannot begin, it is {row[1]}; submit a new one")
    return job_id, row[2], unpack_paths(row[3])


def _waiting_job(
    connection: sqlite3.Connection, repository_id: int, paths: JobPaths
) -> tuple[str, int, JobPaths] | None:
    row = connection.execute(
        "SELECT id, epoch, paths FROM jobs WHERE repository_id = ? AND state IN ('queued', 'running', 'paused')"
        " ORDER BY state = 'queued', created_at, rowid",
        (repository_id,),
    ).fetchone()
    if row is None:
        return None
    return row[0], row[1], set_paths(connection, row[0], join_paths(unpack_paths(row[2]), paths))


def add_job(connection: sqlite3.Connection, repository_id: int, job_id: str, paths: JobPaths, now_ms: int) -> JobPaths:
    """Queue a new job; returns its paths, joined."""
    joined = join_paths(paths)
    connection.execute(
        "INSERT INTO jobs (id, repository_id, state, epoch, created_at, paths) VALUES (?, ?, 'queued', 0, ?, ?)",
        (job_id, repository_id, now_ms, pack_paths(joined)),
    )
    return joined


def set_paths(connection: sqlite3.Connection, job_id: str, paths: JobPaths) -> JobPaths:
    """Let a job be about these paths; returns them."""
    connection.execute("UPDATE jobs SET paths = ? WHERE id = ?", (pack_paths(paths), job_id))
    return paths


def _one_line(text: str) -> str:
    return " ".join(_plain(text).split())


def _plain(text: str) -> str:
    # A lone surrogate, from a file name in an error's message, would make SQLite refuse the row and the job never end.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def trim_jobs(connection: sqlite3.Connection, repository_id: int) -> None:
    """Drop the oldest ended jobs of a repository."""
    for wanted in ("= 'request'", "<> 'request'"):
        old = connection.execute(
            f"SELECT id FROM jobs WHERE repository_id = ? AND ended_at IS NOT NULL AND origin {wanted}"  # noqa: S608
            " ORDER BY created_at DESC, rowid DESC LIMIT -1 OFFSET ?",
            (repository_id, KEPT_JOBS),
        ).fetchall()
        connection.executemany("DELETE FROM outcomes WHERE job_id = ?", old)
        connection.executemany("DELETE FROM job_keys WHERE job_id = ?", old)
        connection.executemany("DELETE FROM jobs WHERE id = ?", old)
