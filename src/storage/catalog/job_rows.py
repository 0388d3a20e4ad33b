"""Jobs and the outcomes of their files, for whoever asks how they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from storage.catalog.job_paths import JobPaths, unpack_paths
from storage.catalog.jobs import ENDED_STATES, JobOrigin, JobState, Tally

if TYPE_CHECKING:
    from storage.catalog.reader import Reader

Outcome: TypeAlias = Literal["indexed", "skipped", "failed", "removed"]


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job; times in milliseconds since 1970."""

    id: str
    repository_id: int
    repository: str
    """uuid"""
    state: JobState
    epoch: int
    """0 before the first run"""
    incarnation: int | None
    """of the last run"""
    reason: str
    """why it is paused, cancelled, failed or partial; may be empty"""
    created_at: int
    started_at: int | None
    """of the last run"""
    ended_at: int | None
    tally: Tally
    """zeros before the end"""
    unreached: int
    """files that a cancelled job did not come to"""
    warnings: tuple[str, ...]
    paths: JobPaths
    """relative to the root, none below another; None is the whole tree"""
    origin: JobOrigin
    """who asked for it"""

    @property
    def is_ended(self) -> bool:
        """Whether nothing more becomes of the job."""
        return self.state in ENDED_STATES


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """What a job did about a file; unchanged files have no row."""

    path: bytes
    """relative to the root"""
    outcome: Outcome
    reason: str
    """empty for an indexed file"""
    detail: str
    """of an indexed file its flags, joined by commas"""


async def job_row(reader: Reader, job_id: str) -> JobRow | None:
    """Return the job with this id, or None."""
    rows = await reader.query(f"{_SELECT} WHERE jobs.id = ?", (job_id,))
    return _job(rows[0]) if rows else None


async def job_rows(reader: Reader, repository_id: int | None = None, limit: int = 100) -> list[JobRow]:
    """Return the latest jobs, of all repositories or of one, the newest first."""
    newest = "ORDER BY jobs.created_at DESC, jobs.rowid DESC LIMIT ?"
    if repository_id is None:
        rows = await reader.query(f"{_SELECT} {newest}", (limit,))
    else:
        rows = await reader.query(f"{_SELECT} WHERE repository_id = ? {newest}", (repository_id, limit))
    return [_job(row) for row in rows]


async def unfinished_jobs(reader: Reader) -> list[JobRow]:
    """Return the jobs that are queued, running, paused or being cancelled, the oldest first."""
    rows = await reader.query(
        f"{_SELECT} WHERE state IN ('queued', 'running', 'paused', 'cancelling') ORDER BY jobs.created_at, jobs.rowid"
    )
    return [_job(row) for row in rows]


async def outcomes_of(
    reader: Reader, job_id: str, after: bytes, limit: int, outcome: Outcome | None = None
) -> list[OutcomeRow]:
    """Return the next outcomes of a job in the order of their paths; begin with ``b""``, go on with the last path.

    With ``outcome`` only those files are returned to which that happened.
    """
    rows = await reader.query(
        "SELECT path, outcome, reason, detail FROM outcomes WHERE job_id = ?1 AND path > ?2"
        " AND (?3 IS NULL OR outcome = ?3) ORDER BY path LIMIT ?4",
        (job_id, after, outcome, limit),
    )
    return [OutcomeRow(*row) for row in rows]


_SELECT = (
    "SELECT jobs.id, repository_id, uuid, state, epoch, incarnation, reason, jobs.created_at, started_at, ended_at,"
    " seen, indexed, unchanged, skipped, failed, removed, unreached, warnings, paths, origin"
    " FROM jobs JOIN repositories ON repositories.id = repository_id"
)


def _job(row: tuple[Any, ...]) -> JobRow:
    *job, unreached, warnings, paths, origin = row
    values = [*job[:10], Tally(*job[10:]), unreached, tuple(warnings.splitlines()), unpack_paths(paths), origin]
    return JobRow(*values)
