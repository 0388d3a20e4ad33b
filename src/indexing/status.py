"""What is in a data directory, how old it is, who owns it, and what is wrong; beside an owner or without one."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Final

from indexing.sources import RootIdentity, display, identify, same_root
from storage import (
    DataDirectory,
    TextIndex,
    TextIndexError,
    chunks_past,
    damage_mark,
    failed_files,
    kept_collections,
    open_reader,
    overview_of,
    point_counts,
)

if TYPE_CHECKING:
    from indexing.settings import Settings
    from storage import CollectionRow, JobOverview, Reader, Repository

STATUS_SCHEMA: Final = 1
"""Version of the JSON: raised when a key changes its meaning or goes; new keys may come without."""

MOST_FAILED: Final = 5
"""Failed files that are named for a repository."""


@dataclass(frozen=True, slots=True)
class RepositoryStatus:
    """One repository."""

    uuid: str
    root: str
    """printable"""
    files: int
    source_bytes: int
    chunks: int
    stored_bytes: int
    """compressed texts in the catalog, those in their grace period included"""
    scanned_seconds_ago: float | None
    """since the end of the last complete scan; None before the first"""
    job: JobOverview | None
    pending_files: int
    """that a run has in hand"""
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VectorStatus:
    """The vectors of one model."""

    model: str
    state: str
    """``serving``, or ``building`` beside the serving ones"""
    stored: int
    pending: int
    failed: int


@dataclass(frozen=True, slots=True)
class Status:
    """One data directory."""

    data_dir: str
    owner: str
    """who is writing; empty if nobody is"""
    catalog_bytes: int
    text_bytes: int
    vector_bytes: int
    """vectors and their cache"""
    other_bytes: int
    """catalogs that were moved aside, and what else lies there"""
    pending_chunks: int
    """in the catalog, but not findable yet"""
    vectors: tuple[VectorStatus, ...]
    repositories: tuple[RepositoryStatus, ...]
    problems: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and not any(repository.problems for repository in self.repositories)


async def status(settings: Settings) -> Status:
    """Look at a data directory without owning it; raises the errors of ``storage.open_reader``."""
    directory = DataDirectory(settings.storage.data_dir)
    if await asyncio.to_thread(directory.path.exists):
        await asyncio.to_thread(directory.check_readable)
    owner = await asyncio.to_thread(owner_of, directory)
    async with open_reader(directory.catalog) as reader:
        known = await reader.repositories()
        repositories = [await repository_status(reader, each, owned=bool(owner)) for each in known]
        followed, problems = await asyncio.to_thread(_followed, directory.text)
        pending = await chunks_past(reader, followed)
        vectors = await vector_states(reader)
    problems += await asyncio.to_thread(_marks, directory)
    if pending and not owner:
        problems.append(f"{pending} chunks are not findable yet; the next 'codetrove index' adds them")
    if not owner:
        missing = sum(each.pending for each in vectors)
        failed = sum(each.failed for each in vectors)
        if missing:
            problems.append(f"{missing} vectors are missing; the next 'codetrove index' goes on from there")
        if failed:
            problems.append(f"{failed} chunks have no vector, because the model gave none for them")
    catalog, text, stored, everything = await asyncio.to_thread(_sizes, directory)
    return Status(
        str(directory.path), owner, catalog, text, stored, everything - catalog - text - stored, pending, vectors,
        tuple(repositories), tuple(problems),
    )  # fmt: skip


def owner_of(directory: DataDirectory) -> str:
    """Return who holds the owner's lock, empty if nobody does.

    Trying the lock would make an owner that starts at the same moment fail, so the process that the lock file names is
    asked whether it has the file open.
    """
    import psutil  # noqa: PLC0415 - only a status needs it

    try:
        text = directory.owner_lock.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    named = re.match(r"process (\d+)\b", text)
    if named is None:
        return ""
    lock = str(directory.owner_lock.resolve())
    try:
        files = psutil.Process(int(named[1])).open_files()
    except psutil.AccessDenied:
        return f"{text} (of another user)"
    except psutil.Error:
        return ""
    return text if any(file.path == lock for file in files) else ""


def to_json(found: Status) -> dict[str, Any]:
    """Return a status as plain JSON values."""
    from dataclasses import asdict  # noqa: PLC0415 - only a program's caller needs it

    return {"schema": STATUS_SCHEMA, **asdict(found)}


async def vector_states(reader: Reader) -> tuple[VectorStatus, ...]:
    """Count the vectors of every collection that is kept."""
    found = []
    for row in await kept_collections(reader):
        counts = await point_counts(reader, row.id)
        counted = (counts.get(state, 0) for state in ("stored", "pending", "failed"))
        found.append(VectorStatus(_model_name(row), row.state, *counted))
    return tuple(found)


def _model_name(row: CollectionRow) -> str:
    from embeddings import ModelRefused, resolved_from_json  # noqa: PLC0415 - only where there are vectors

    try:
        return resolved_from_json(row.model).spec.name
    except ModelRefused:
        return row.name


async def repository_status(reader: Reader, repository: Repository, *, owned: bool) -> RepositoryStatus:
    """Look at one repository; ``owned`` where a process owns the data directory now."""
    kept = await overview_of(reader, repository)
    job = kept.last_job
    problems = await asyncio.to_thread(lambda: list(_root_problems(repository)))
    if job is not None:
        problems += await _job_problems(reader, job, owned=owned)
    if repository.scanned_at is None and job is None:
        problems.append(f"not indexed yet; run 'codetrove index {display(repository.root.path)}'")
    age = None if repository.scanned_at is None else max(0.0, time() - repository.scanned_at / 1000)
    return RepositoryStatus(
        repository.uuid, display(repository.root.path), kept.files, kept.source_bytes, kept.chunks,
        kept.stored_bytes, age, job, kept.files_in_hand, tuple(problems),
    )  # fmt: skip


async def _job_problems(reader: Reader, job: JobOverview, *, owned: bool) -> list[str]:
    if job.state == "paused" and owned:
        return [f"the job is paused: {job.reason}"]
    if job.state in ("queued", "running", "paused", "cancelling"):
        return [] if owned else ["the last run was interrupted; 'codetrove index' goes on from there"]
    if job.state in ("failed", "cancelled"):
        return [f"the last run did not come to its end: {job.reason}"]
    if not job.failed:
        return []
    rows = await failed_files(reader, job.id, MOST_FAILED)
    named = ", ".join(f"{display(path)} ({reason})" for path, reason in rows)
    return [f"{job.failed} files failed in the last run" + (f": {named}" if named else "")]


def _root_problems(repository: Repository) -> list[str]:
    root = repository.root
    try:
        descriptor = os.open(root.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        return [f"the root cannot be opened: {error.strerror}; 'codetrove forget' takes it out"]
    try:
        now = identify(descriptor)
    finally:
        os.close(descriptor)
    if same_root(RootIdentity(root.device, root.inode, root.boot_id), now):
        return []
    return ["another directory is at the root now; if it is right, run 'codetrove index --accept-root'"]


def _followed(text: Path) -> tuple[int, list[str]]:
    """Return the last chunk that the text index holds, and what is wrong with the index."""
    try:
        index = TextIndex.open_for_reading(text)
    except TextIndexError as error:
        return 0, [f"{error}"]
    try:
        mark = index.watermark()
    except TextIndexError as error:
        return 0, [f"{error}"]
    finally:
        index.close()
    if mark is None:
        return 0, ["the text index has no watermark; the next 'codetrove index' makes it again"]
    return mark.chunk_id, []


def _marks(directory: DataDirectory) -> list[str]:
    found = []
    mark = damage_mark(directory.catalog)
    if mark is not None:
        found.append(f"{mark}; the next 'codetrove index' moves it aside and indexes again")
    if directory.pending_restore.exists():
        found.append("a backup lies ready; it is taken in at the next start of an owner")
    return found


def _sizes(directory: DataDirectory) -> tuple[int, int, int, int]:
    """Return bytes on disk of the catalog, of the text index, of vectors with their cache, and of everything."""
    cache = sum(each.stat().st_blocks * 512 for each in directory.path.glob(f"{directory.embeddings.name}*"))
    vectors = _size(directory.vectors) + cache
    return _size(directory.catalog.parent), _size(directory.text), vectors, _size(directory.path)


def _size(path: Path) -> int:
    total = 0
    for parent, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(f"{parent}/{name}").st_blocks * 512
            except FileNotFoundError:
                continue
    return total
