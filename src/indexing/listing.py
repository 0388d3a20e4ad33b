"""The repositories that a caller sees, as plain JSON values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from indexing.sources import display
from indexing.status import repository_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage import Reader, Repository


async def repository_json(
    reader: Reader, repository: Repository, *, owned: bool, watching: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """Describe one repository; ``watching`` says of a uuid how it is watched."""
    found = await repository_status(reader, repository, owned=owned)
    job = found.job
    return {
        "uuid": found.uuid,
        "root": found.root,
        "name": display(repository.root.path.rpartition(b"/")[2]) or found.root,
        "files": found.files,
        "chunks": found.chunks,
        "source_bytes": found.source_bytes,
        "scanned_at": None if repository.scanned_at is None else utc(repository.scanned_at),
        "job": None if job is None else {"id": job.id, "state": job.state, "reason": job.reason},
        "watching": watching(found.uuid),
        "problems": list(found.problems),
    }


def utc(milliseconds: int) -> str:
    """Return a time since 1970 as RFC 3339 writes it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
