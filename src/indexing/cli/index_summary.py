"""What is said of a job that has ended: sums that add up, reasons, failed files. Pure."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self

from indexing.cli.terminal import duration, size
from indexing.printable import printable
from indexing.sources import display, path_b64

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from indexing.ingest.job import JobReport
    from indexing.ingest.progress import FileNote, Progress
    from indexing.metrics import Metrics
    from indexing.vectorize.records import VectorProgress
    from storage import JobState

SUMMARY_SCHEMA: Final = 1
"""Version of the JSON: raised when a key changes its meaning or goes; new keys may come without."""

MOST_FAILURES: Final = 20
"""Failed files that are listed unless all are asked for."""

_VERBS = {
    "succeeded": "indexed",
    "partial": "partly indexed",
    "cancelled": "stopped indexing",
    "failed": "failed to index",
}


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that failed."""

    path: str
    """printable, relative to the root"""
    path_b64: str
    reason: str
    detail: str

    @classmethod
    def of(cls, note: FileNote) -> Self:
        """Return what is said of it."""
        return cls(display(note.path), path_b64(note.path), note.reason, note.detail)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Take what ``GET /jobs/{id}/files`` says."""
        path = str(value["path"])
        encoded = value.get("path_b64") or path_b64(os.fsencode(path))
        return cls(path, encoded, value["reason"], value["detail"])


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job at its end, with its counters."""

    job_id: str
    repository: str
    """uuid"""
    root: str
    """printable"""
    state: JobState
    reason: str
    warnings: tuple[str, ...]
    failures: tuple[FailedFile, ...]
    progress: Progress

    @classmethod
    def of(cls, report: JobReport, progress: Progress) -> Self:
        """Return the summary of a job that this process has run."""
        return cls(
            report.job_id,
            report.repository.uuid,
            display(report.repository.root.path),
            report.state,
            report.reason,
            report.warnings,
            tuple(FailedFile.of(note) for note in report.notes if note.outcome == "failed"),
            replace(progress, tally=report.tally),
        )

    @property
    def not_reached(self) -> int:
        """Files that were seen but not read any more, because the job was stopped."""
        tally = self.progress.tally
        return tally.seen - tally.indexed - tally.unchanged - tally.skipped - tally.failed


@dataclass(frozen=True, slots=True)
class VectorSummary:
    """How far the vectors are when a command ends."""

    model: str
    progress: VectorProgress


def summary_lines(job: JobSummary, *, every_failure: bool) -> Iterator[str]:
    """Yield the lines that tell a person how a job ended."""
    progress = job.progress
    tally = progress.tally
    rate = progress.bytes_read / progress.seconds if progress.seconds else 0.0
    yield (
        f"{_VERBS[job.state]} {job.root} in {duration(progress.seconds)}:"
        f" {size(progress.bytes_read)} read, {size(rate)}/s, {progress.chunks:,} new chunks"
    )
    yield (
        f"  seen {tally.seen:,} = indexed {tally.indexed:,} + unchanged {tally.unchanged:,}"
        f" + skipped {tally.skipped:,}{_reasons(progress.skipped)} + failed {tally.failed:,}{_reasons(progress.failed)}"
        + (f" + not reached {job.not_reached:,}" if job.not_reached else "")
    )
    if tally.removed:
        yield f"  removed {tally.removed:,}"
    for warning in job.warnings:
        yield f"  warning: {printable(warning)}"
    failures = job.failures
    listed = failures if every_failure else failures[:MOST_FAILURES]
    for file in listed:
        yield f"  failed: {file.path or '.'}: {file.reason} ({printable(file.detail)})"
    if tally.failed > len(listed):
        more = tally.failed - len(listed)
        yield f"  and {more:,} more" + ("" if every_failure else "; --verbose lists all")
    if job.state == "cancelled":
        yield "  run the same command again to go on from here"


def summary_json(
    jobs: Sequence[JobSummary],
    messages: Sequence[str],
    vectors: VectorSummary | None = None,
    metrics: Metrics | None = None,
) -> dict[str, Any]:
    """Return the same for programs; times in seconds, sizes in bytes."""
    return {
        "schema": SUMMARY_SCHEMA,
        "messages": list(messages),
        "jobs": [_job_json(job) for job in jobs],
        "vectors": None if vectors is None else {"model": vectors.model, **asdict(vectors.progress)},
        "workers": [] if metrics is None else [asdict(each) for each in metrics.workers],
    }


def _job_json(job: JobSummary) -> dict[str, Any]:
    progress = job.progress
    tally = progress.tally
    return {
        "job": job.job_id,
        "repository": job.repository,
        "root": job.root,
        "state": job.state,
        "reason": job.reason,
        "seen": tally.seen,
        "indexed": tally.indexed,
        "unchanged": tally.unchanged,
        "skipped": {"total": tally.skipped, "reasons": progress.skipped},
        "failed": {"total": tally.failed, "reasons": progress.failed, "files": [asdict(file) for file in job.failures]},
        "not_reached": job.not_reached,
        "removed": tally.removed,
        "chunks": progress.chunks,
        "searchable_chunks": progress.searchable_chunks,
        "bytes": progress.bytes_read,
        "seconds": round(progress.seconds, 3),
        "warnings": list(job.warnings),
    }


def _reasons(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return f" ({', '.join(f'{reason} {count:,}' for reason, count in ordered)})" if ordered else ""
