"""Sums over the catalog for whoever asks how things stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.catalog.reader import Reader
    from storage.catalog.repositories import Repository


@dataclass(frozen=True, slots=True)
class JobOverview:
    """A job; times in milliseconds since 1970."""

    id: str
    state: str
    reason: str
    started_at: int | None
    ended_at: int | None
    failed: int


@dataclass(frozen=True, slots=True)
class RepositoryOverview:
    """What is kept of a repository."""

    files: int
    source_bytes: int
    chunks: int
    stored_bytes: int
    """compressed texts in the catalog, those in their grace period included"""
    files_in_hand: int
    last_job: JobOverview | None


async def overview_of(reader: Reader, repository: Repository) -> RepositoryOverview:
    """Count what is kept of a repository."""
    snapshot = (repository.snapshot_id,)
    ((files, source_bytes),) = await reader.query(
        "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM entries WHERE snapshot_id = ?", snapshot
    )
    ((chunks,),) = await reader.query(
        "SELECT COUNT(*) FROM chunks WHERE cut_id IN (SELECT cut_id FROM entries WHERE snapshot_id = ?)", snapshot
    )
    ((stored,),) = await reader.query(
        "SELECT COALESCE(SUM(LENGTH(body)), 0) FROM texts"
        " WHERE id IN (SELECT text_id FROM cuts WHERE repository_id = ?)",
        (repository.id,),
    )
    in_hand = await reader.query(
        "SELECT batches.paths FROM batches JOIN jobs ON jobs.id = job_id WHERE repository_id = ?", (repository.id,)
    )
    jobs = await reader.query(
        "SELECT id, state, reason, started_at, ended_at, failed FROM jobs WHERE repository_id = ?"
        " ORDER BY state IN ('running', 'paused', 'cancelling') DESC, created_at DESC, rowid DESC LIMIT 1",
        (repository.id,),
    )
    return RepositoryOverview(
        files=files,
        source_bytes=source_bytes,
        chunks=chunks,
        stored_bytes=stored,
        files_in_hand=sum(paths.count(b"\0") + 1 for (paths,) in in_hand),
        last_job=JobOverview(*jobs[0]) if jobs else None,
    )


async def failed_files(reader: Reader, job_id: str, most: int) -> list[tuple[bytes, str]]:
    """Return (path, reason) of files that failed in a job, by path."""
    return await reader.query(
        "SELECT path, reason FROM outcomes WHERE job_id = ? AND outcome = 'failed' ORDER BY path LIMIT ?",
        (job_id, most),
    )


async def chunks_past(reader: Reader, chunk_id: int) -> int:
    """Return how many chunks came after ``chunk_id``."""
    ((count,),) = await reader.query("SELECT COUNT(*) FROM chunks WHERE chunk_id > ?", (chunk_id,))
    return int(count)
