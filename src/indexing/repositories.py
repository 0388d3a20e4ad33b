"""Taking source trees in and forgetting them, while jobs run and others ask."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from indexing.live_job import JobOver, UnknownJob
from indexing.roots import look_at_root
from indexing.sources import (
    DirectoryHandles,
    RootMissing,
    RootNotDirectory,
    RootUnreadable,
    SourceError,
    display,
    identify,
)
from storage import (
    UnknownRepository,
    change_registry,
    collect_garbage,
    forget,
    trim_deletions,
    unfinished_jobs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexing.access import Principal
    from indexing.runtime import Owner
    from storage import Reader, Repository, Root


class RootNotAllowed(Exception):
    """The directory may not be taken in by this caller."""


async def known_repositories(reader: Reader, caller: Principal) -> dict[str, Repository]:
    """Return {uuid: repository} of those that the caller sees, by root."""
    return {each.uuid: each for each in await reader.repositories() if caller.sees(each.uuid)}


async def repository_of(
    reader: Reader, caller: Principal, *, uuid: str | None = None, root: bytes | None = None
) -> Repository:
    """Return the repository with this uuid or, without one, with this root.

    Raises ``UnknownRepository``, the same for one that is not there and one that the caller does not see.
    """
    known = await known_repositories(reader, caller)
    if uuid is not None:
        if uuid in known:
            return known[uuid]
        raise UnknownRepository(f"there is no repository {uuid!r}; GET /repositories lists those there are")
    named = root or b""
    resolved = await asyncio.to_thread(_resolved, named)
    for repository in known.values():
        if repository.root.path in (named, resolved):
            return repository
    raise UnknownRepository(f"there is no repository with the root '{display(named)}'; add it with POST /repositories")


async def add_repository(owner: Owner, path: bytes, *, allowed: Sequence[Path] | None) -> tuple[Repository, bool]:
    """Return the repository whose root is ``path``, which must be absolute, and whether it is new.

    ``allowed`` are the directories below which it has to lie once links are followed; None is everywhere. Raises
    ``RootNotAllowed``, the errors of ``indexing.sources`` about the root, and ``NestedRepository``.
    """
    root = await asyncio.to_thread(_look, path, allowed, owner.directory.path)
    before = {each.uuid for each in await owner.reader.repositories()}
    repository = await owner.take_in(root)
    return repository, repository.uuid not in before


async def forget_repository(owner: Owner, repository: Repository) -> int:
    """Remove a repository, end its jobs, and remove the chunks that only it held; returns how many those were.

    It is gone in one transaction, whatever runs: what its jobs still bring is refused from then on (invariant I5), and
    so is what is submitted for it. What it held follows, also at a later job's end where this is interrupted.
    """
    # What the registry names and the catalog lacks would be brought back by the next start.
    await asyncio.to_thread(_leave_registry, owner.directory.path, repository.uuid)
    jobs = [row.id for row in await unfinished_jobs(owner.reader) if row.repository_id == repository.id]
    for job_id in jobs:
        # One that no process runs, or that is just over, needs no telling.
        with suppress(UnknownJob, JobOver):
            await owner.service.cancel(job_id)
    await owner.writer.apply(lambda connection: forget(connection, repository.id))
    for job_id in jobs:
        await _over(owner, job_id)
    # Somebody may have written it down again since.
    await owner.save_registry()
    chunks = await _collect(owner)
    if owner.vectors is not None:
        # A chunk goes once its vectors are gone from the store.
        await owner.vectors.service.swept()
        chunks += await _collect(owner)
    await owner.feed.settled()
    followed = owner.feed.applied_deletion
    await owner.writer.apply(lambda connection: trim_deletions(connection, followed))
    return chunks


async def _over(owner: Owner, job_id: str) -> None:
    """Wait for a job's end, whatever it is; whoever submitted it is told why."""
    with suppress(Exception):
        await owner.service.wait(job_id)


async def _collect(owner: Owner) -> int:
    """Remove what forget() dated 0: those cuts alone have no grace period left. Returns the chunks removed."""
    chunks, more = 0, True
    while more:
        collected = await owner.writer.apply(lambda connection: collect_garbage(connection, older_than_ms=0))
        chunks += len(collected.chunk_ids)
        more = collected.more
    return chunks


def _leave_registry(data_directory: Path, uuid: str) -> None:
    change_registry(
        data_directory,
        lambda registry: registry.with_repositories(
            {each: root for each, root in registry.repositories.items() if each != uuid}
        ),
    )


def _look(path: bytes, allowed: Sequence[Path] | None, data_directory: Path) -> Root:
    """Return what identifies the directory at ``path``, opened without following a link out of what is allowed."""
    shown = display(path)
    resolved = _resolved(path)
    if resolved is None:
        raise RootMissing(f"'{shown}' is no absolute path of a directory; give one that begins with /")
    where = Path(os.fsdecode(resolved))
    if where.is_relative_to(data_directory.resolve()):
        raise RootNotAllowed(f"'{shown}' lies in the data directory of the index; that is never indexed")
    try:
        if allowed is None:
            return look_at_root(where)
        base = next((each for each in _real(allowed) if where.is_relative_to(each)), None)
        if base is None:
            message = f"'{shown}' does not lie below an allowed root; service.allowed_roots in the settings names them"
            raise RootNotAllowed(message)
        with DirectoryHandles.open(base) as handles:
            relative = b"" if where == base else os.fsencode(where.relative_to(base))
            identity = identify(handles.directory(relative))
        root = look_at_root(where)
    except FileNotFoundError as error:
        raise RootMissing(f"there is nothing at '{shown}'; give the path of a directory") from error
    except NotADirectoryError as error:
        raise RootNotDirectory(f"'{shown}' is no directory; give the one it is in") from error
    except OSError as error:
        raise RootUnreadable(f"'{shown}' cannot be opened: {error.strerror}") from error
    if (root.path, root.device, root.inode) != (resolved, identity.device, identity.inode):
        raise RootUnreadable(f"'{shown}' was replaced while it was looked at; try again")
    return root


def _real(allowed: Sequence[Path]) -> list[Path]:
    return [Path(os.fsdecode(each)) for path in allowed if (each := _resolved(os.fsencode(path))) is not None]


def _resolved(path: bytes) -> bytes | None:
    """Return an absolute path with its links followed; None for one that is not absolute, or leads nowhere."""
    if not path.startswith(b"/") or b"\0" in path:
        return None
    with suppress(OSError, RuntimeError, SourceError):  # RuntimeError: a loop of links
        return os.fsencode(Path(os.fsdecode(path)).resolve())
    return None
