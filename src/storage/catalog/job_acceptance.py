"""How a wish becomes a job: joined to the one that waits, found again by its key, or queued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.catalog.job_paths import JobPaths, join_paths, pack_paths, unpack_paths
from storage.catalog.jobs import JobOrigin, add_job, set_paths, trim_jobs
from storage.errors import KeyReused, UnknownRepository

if TYPE_CHECKING:
    import sqlite3


def accept_job(
    connection: sqlite3.Connection,
    repository_id: int,
    job_id: str,
    paths: JobPaths,
    now_ms: int,
    *,
    origin: JobOrigin = "request",
    key: str = "",
) -> str:
    """Let the repository's queued job take these paths in too, or queue ``job_id`` if there is none.

    Returns the id of the job that will see to the paths. Once this is committed, the job ends exactly once, in this
    process or a later one (invariant I7). A ``key`` that made a job before gives that job again, however it stands.
    A job that was asked for stays one, whoever joins it.
    Raises ``UnknownRepository``, ``KeyReused`` for a key of a job about something else, and ``ValueError`` for paths
    that no job can be about.
    """
    known = connection.execute("SELECT 1 FROM repositories WHERE id = ? AND root IS NOT NULL", (repository_id,))
    if known.fetchone() is None:
        raise UnknownRepository(f"repository {repository_id!r} is not indexed (any more); run 'codetrove index PATH'")
    if key and (made := _job_of_key(connection, repository_id, paths, key)) is not None:
        return made
    row = connection.execute(
        "SELECT id, paths FROM jobs WHERE repository_id = ? AND state = 'queued' ORDER BY created_at, rowid",
        (repository_id,),
    ).fetchone()
    if row is None:
        add_job(connection, repository_id, job_id, paths, now_ms)
        trim_jobs(connection, repository_id)
    else:
        job_id = str(row[0])
        set_paths(connection, job_id, join_paths(unpack_paths(row[1]), paths))
    if origin == "request" or row is None:
        connection.execute("UPDATE jobs SET origin = ? WHERE id = ?", (origin, job_id))
    if key:
        asked = b"" if paths is None else pack_paths(join_paths(paths)) or b""
        connection.execute(
            "INSERT INTO job_keys (key, job_id, repository_id, paths, made_at) VALUES (?, ?, ?, ?, ?)",
            (key, job_id, repository_id, asked, now_ms),
        )
    return job_id


def _job_of_key(connection: sqlite3.Connection, repository_id: int, paths: JobPaths, key: str) -> str | None:
    row = connection.execute("SELECT job_id, repository_id, paths FROM job_keys WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    asked = b"" if paths is None else pack_paths(join_paths(paths)) or b""
    if (row[1], row[2]) != (repository_id, asked):
        message = f"the idempotency key {key!r} belongs to job {row[0]!r}, which is about something else; use a new key"
        raise KeyReused(message)
    return str(row[0])
