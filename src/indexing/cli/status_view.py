"""A status as lines of text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexing.cli.terminal import duration, size
from indexing.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexing.status import RepositoryStatus, Status


def status_lines(status: Status) -> Iterator[str]:
    """Yield the lines that tell a person what is there."""
    for repository in status.repositories:
        yield from repository_lines(repository)
        yield ""
    other = f", {size(status.other_bytes)} else" if status.other_bytes > 1_000_000 else ""
    vectors = f", vectors {size(status.vector_bytes)}" if status.vector_bytes > 0 else ""
    yield (
        f"{status.data_dir}: catalog {size(status.catalog_bytes)}, text index {size(status.text_bytes)}"
        f"{vectors}{other}; owner: {printable(status.owner) or 'none'}"
    )
    if not status.repositories:
        yield "  no repository is indexed; run 'codetrove index PATH'"
    if status.pending_chunks:
        yield f"  pending: {status.pending_chunks:,} chunks are not findable yet"
    for each in status.vectors:
        total = each.stored + each.pending + each.failed
        built = "" if each.state == "serving" else ", being built"
        failed = f", {each.failed:,} failed" if each.failed else ""
        yield f"  vectors of {printable(each.model)}{built}: {each.stored:,} of {total:,} chunks{failed}"
    for problem in status.problems:
        yield f"  wrong: {printable(problem)}"


def repository_lines(repository: RepositoryStatus) -> Iterator[str]:
    """Yield the lines for one repository."""
    yield repository.root
    yield (
        f"  {repository.files:,} files ({size(repository.source_bytes)}), {repository.chunks:,} chunks,"
        f" {size(repository.stored_bytes)} of compressed text"
    )
    seen = "never scanned" if repository.scanned_seconds_ago is None else _age(repository.scanned_seconds_ago)
    job = repository.job
    yield f"  {seen}" + ("" if job is None else f"; last run: {job.state}" + (f", {job.reason}" if job.reason else ""))
    if repository.pending_files:
        yield f"  pending: {repository.pending_files:,} files in hand"
    for problem in repository.problems:
        yield f"  wrong: {printable(problem)}"


def _age(seconds: float) -> str:
    return f"scanned {duration(seconds)} ago"
