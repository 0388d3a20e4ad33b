"""A job as its readers see it: what the catalog says of it, and what the process that runs it knows better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexing.http.answers import (
    FlagsInForce,
    JobAnswer,
    ProgressAnswer,
    TallyAnswer,
    VectorsAnswer,
    WorkersAnswer,
)
from indexing.http.times import rfc3339
from indexing.sources import display
from storage import ENDED_STATES, Tally

if TYPE_CHECKING:
    from indexing.ingest.progress import Progress
    from indexing.live_job import JobStatus
    from indexing.runtime import Owner
    from indexing.vectorize.records import VectorProgress
    from storage import JobRow

SHOWN_PATHS = 100
"""Of a job. An answer with all of them would be megabytes, several times a second."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a job's view says of the process as a whole."""

    flags: FlagsInForce
    workers: WorkersAnswer
    vectors: VectorsAnswer | None


def surroundings(owner: Owner, *, everything: bool) -> Surroundings:
    """Return how the process stands; ``everything`` for a caller that sees every repository.

    Numbers of vectors are of all repositories together, so others are not told them.
    """
    return Surroundings(
        FlagsInForce(enable_parallel=owner.flags.enable_parallel),
        WorkersAnswer(allowed=owner.pool.permits.limit, busy=owner.pool.busy),
        vectors_view(owner) if everything else None,
    )


def vectors_view(owner: Owner) -> VectorsAnswer | None:
    """Return how far the vectors are; None where none are made."""
    progress: VectorProgress | None = None if owner.vectors is None else owner.vectors.progress
    if owner.vectors is None or progress is None:
        return None
    return VectorsAnswer(
        model=owner.vectors.model,
        state=progress.state,
        detail=progress.detail,
        pending=progress.pending,
        stored=progress.stored,
        failed=progress.failed,
        encoded=progress.encoded,
        from_cache=progress.from_cache,
        seconds=round(progress.seconds, 3),
        per_second=None if progress.per_second is None else round(progress.per_second, 3),
    )


def job_view(status: JobStatus, row: JobRow, root: bytes, around: Surroundings) -> JobAnswer:
    """Return a job's view; ``row`` is read after ``status``, so that an end it tells of is the latest there is."""
    is_ended = row.is_ended
    state, reason = (row.state, row.reason) if is_ended else (status.state, status.reason)
    progress = status.progress
    tally = progress.tally if progress is not None and not is_ended else row.tally
    seconds = None
    if is_ended and row.ended_at is not None and row.started_at is not None:
        seconds = max(0, row.ended_at - row.started_at) / 1000
    return JobAnswer(
        id=row.id,
        repository=row.repository,
        root=display(root),
        state=state,
        reason=reason,
        origin=row.origin,
        paths=None if row.paths is None else [display(path) for path in row.paths[:SHOWN_PATHS]],
        paths_total=None if row.paths is None else len(row.paths),
        created_at=rfc3339(row.created_at),
        started_at=rfc3339(row.started_at),
        ended_at=rfc3339(row.ended_at),
        tally=_tally(tally),
        unreached=row.unreached,
        warnings=list(row.warnings),
        progress=None if progress is None else _progress(progress, seconds),
        vectors=around.vectors if progress is not None else None,
        flags=around.flags,
        workers=around.workers,
    )


def is_over(view: JobAnswer) -> bool:
    """Whether nothing more becomes of a job."""
    return view.state in ENDED_STATES


def _tally(tally: Tally) -> TallyAnswer:
    return TallyAnswer(
        seen=tally.seen,
        indexed=tally.indexed,
        unchanged=tally.unchanged,
        skipped=tally.skipped,
        failed=tally.failed,
        removed=tally.removed,
    )


def _progress(progress: Progress, seconds: float | None) -> ProgressAnswer:
    return ProgressAnswer(
        stage=progress.stage,
        to_read=progress.to_read,
        read=progress.read,
        scanned=progress.scanned,
        chunks=progress.chunks,
        bytes_read=progress.bytes_read,
        searchable_chunks=progress.searchable_chunks,
        seconds=round(progress.seconds if seconds is None else seconds, 3),
        waiting=progress.waiting,
        skipped=progress.skipped,
        failed=progress.failed,
    )
