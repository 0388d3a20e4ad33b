"""What an owner measures about its work, as one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexing.ingest.worker_meter import WorkerMeter
    from indexing.runtime import Owner
    from indexing.vectorize.records import VectorProgress


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counters since the owner's start, and how much waits now."""

    workers: tuple[WorkerMeter, ...]
    """files, chunks, bytes, seconds busy, failures, starts and deaths of each place in the pool"""
    workers_allowed: int
    workers_busy: int
    queues: dict[str, int]
    """{stage: items that wait}: files ``planned``, ``batches``, changes for ``catalog`` and ``text`` index"""
    catalog_commits: int
    text_commits: int
    held_up: int
    """times that the event loop gave no sign of life for a second"""
    memory_percent: float | None
    """of the tightest bound; None before the first look"""
    vectors: VectorProgress | None


def metrics_of(owner: Owner) -> Metrics:
    """Return how an owner's work stands. Cheap; call it on the event loop."""
    queues = {"planned": 0, "batches": 0, "catalog": owner.writer.waiting, "text": owner.feed.waiting}
    for job in owner.jobs.values():
        for stage, waiting in job.waiting.items():
            queues[stage] += waiting
    reading = owner.guard.reading
    return Metrics(
        workers=owner.pool.meters,
        workers_allowed=owner.pool.permits.limit,
        workers_busy=owner.pool.busy,
        queues=queues,
        catalog_commits=owner.writer.commits,
        text_commits=owner.feed.commits,
        held_up=owner.watchdog.times_held_up,
        memory_percent=None if reading is None else reading.percent,
        vectors=None if owner.vectors is None else owner.vectors.progress,
    )
