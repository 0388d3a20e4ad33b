"""What a job's progress looks like, from one snapshot. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexing.cli.terminal import duration, size

if TYPE_CHECKING:
    from indexing.ingest.progress import Progress
    from indexing.vectorize.records import VectorProgress


@dataclass(frozen=True, slots=True)
class Bar:
    """One way of being done."""

    name: str
    done: int
    total: int | None
    """None while it is not known"""
    unit: str = "files"


def bars(progress: Progress) -> tuple[Bar, ...]:
    """Return the bars that mean something for this job."""
    total = progress.to_read if progress.scanned else None
    searchable = Bar("searchable", searchable_files(progress), total)
    vectors = progress.vectors
    if vectors is None:
        return (searchable,)
    done = vectors.stored + vectors.failed
    # While files are read, the chunks that are still to come are not known.
    known = done + vectors.pending if progress.stage == "done" else None
    return (searchable, Bar("vectors", done, known, "chunks"))


def searchable_files(progress: Progress) -> int:
    """Return how many of the files that had to be read are findable.

    Files are committed whole, chunks reach the text index a moment later: the share of chunks in it is taken for the
    share of files.
    """
    if progress.stage == "done" or progress.chunks == 0:
        return progress.read
    share = min(1.0, progress.searchable_chunks / progress.chunks)
    return int(progress.read * share)


def seconds_left(progress: Progress) -> float | None:
    """Return how long the rest will take at the speed so far; None while nobody can know."""
    if not progress.scanned or progress.read == 0 or progress.waiting:
        return None
    return max(0, progress.to_read - progress.read) * progress.seconds / progress.read


def figures(progress: Progress) -> str:
    """Return counts, speed and time left in a line."""
    if progress.waiting:
        return f"waiting: {progress.waiting}"
    if progress.stage == "done" and progress.vectors is not None:
        return vector_figures(progress.vectors)
    rate = progress.bytes_read / progress.seconds if progress.seconds else 0.0
    total = f"{progress.to_read:,}" if progress.scanned else f"{progress.to_read:,}+"
    parts = [f"{progress.read:,}/{total} files", f"{progress.chunks:,} chunks", f"{size(rate)}/s"]
    left = seconds_left(progress)
    if progress.stage == "finishing":
        parts.append("finishing")
    elif left is not None:
        parts.append(f"{duration(left)} left")
    failed = sum(progress.failed.values())
    if failed:
        parts.append(f"{failed:,} failed")
    return " · ".join(parts)


def vector_figures(vectors: VectorProgress) -> str:
    """Return how far the vectors are, how fast they come and how long the rest will take, in a line."""
    if vectors.state in ("waiting", "failed"):
        return f"{vectors.state}: {vectors.detail}"
    parts = [f"{vectors.stored:,}/{vectors.stored + vectors.failed + vectors.pending:,} vectors"]
    rate = vectors.per_second
    if rate is not None:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if vectors.pending:
            parts.append(f"{duration(vectors.pending / rate)} left")
    if vectors.from_cache:
        parts.append(f"{vectors.from_cache:,} from the cache")
    if vectors.failed:
        parts.append(f"{vectors.failed:,} failed")
    return " · ".join(parts)


def plain_line(progress: Progress) -> str:
    """Return the line that a log of a job gets every few seconds."""
    parts = [
        f"{bar.name} {bar.done:,}" + (f" of {bar.total:,}" if bar.total is not None else "") + f" {bar.unit}"
        for bar in bars(progress)
    ]
    return f"{', '.join(parts)}; {figures(progress)}"
