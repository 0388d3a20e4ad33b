"""An owner's job, as it stands in the JSON of its API, as this program's own records. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from indexing.cli.index_summary import FailedFile, JobSummary, VectorSummary
from indexing.ingest.progress import Progress
from indexing.vectorize.records import VectorProgress
from storage import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ENDED: Final = frozenset({"succeeded", "partial", "failed", "cancelled"})


def is_over(job: Mapping[str, Any]) -> bool:
    """Return whether a job has ended."""
    return job["state"] in ENDED


def progress_of(job: Mapping[str, Any]) -> Progress:
    """Return how far a job is; nothing is done yet where it has not begun."""
    tally = Tally(**{name: job["tally"][name] for name in Tally.__slots__})
    found = job["progress"]
    if found is None:
        stage = "done" if is_over(job) else "indexing"
        return Progress(stage, tally, {}, {}, 0, 0, False, 0, 0, 0, 0.0, job["reason"], vectors_of(job))  # type: ignore[arg-type]
    return Progress(
        stage=found["stage"],
        tally=tally,
        skipped=found["skipped"],
        failed=found["failed"],
        to_read=found["to_read"],
        read=found["read"],
        scanned=found["scanned"],
        chunks=found["chunks"],
        bytes_read=found["bytes_read"],
        searchable_chunks=found["searchable_chunks"],
        seconds=found["seconds"],
        waiting=found["waiting"],
        vectors=vectors_of(job),
    )


def vectors_of(job: Mapping[str, Any]) -> VectorProgress | None:
    """Return how far the vectors of the whole index are; None where none are made."""
    found = job["vectors"]
    if found is None:
        return None
    return VectorProgress(
        found["state"],
        found["detail"],
        found["pending"],
        found["stored"],
        found["failed"],
        found["encoded"],
        found["from_cache"],
        found["seconds"],
        found.get("per_second"),  # an owner that was started before an upgrade does not tell
    )


def vector_summary_of(job: Mapping[str, Any]) -> VectorSummary | None:
    """Return the same with the model's name, for the end of a command."""
    progress = vectors_of(job)
    return None if progress is None else VectorSummary(job["vectors"]["model"], progress)


def summary_of(job: Mapping[str, Any], failed: Iterable[Mapping[str, Any]]) -> JobSummary:
    """Return the summary of a job that has ended; ``failed`` are the outcomes of its failed files."""
    return JobSummary(
        job["id"],
        job["repository"],
        job["root"],
        job["state"],
        job["reason"],
        tuple(job["warnings"]),
        tuple(FailedFile.from_json(each) for each in failed),
        progress_of(job),
    )
