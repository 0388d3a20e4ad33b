"""What an owner measures about its work, as one snapshot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from embeddings import resolved_from_json

if TYPE_CHECKING:
    from embeddings import EncoderCounters
    from indexing.ingest.stage_meters import FeedMeter, IngestMeter
    from indexing.ingest.worker_meter import WorkerMeter
    from indexing.runtime import Owner
    from indexing.vectorize.records import VectorProgress
    from indexing.vectorize.work_meter import VectorWork


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """What is done with one model; a switch of models has two for a time."""

    progress: VectorProgress | None
    """None where nothing fills its collection"""
    work: VectorWork
    encoder: EncoderCounters | None
    """texts, tokens and windows of all its processes, queries included; None before it is opened"""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counters since the owner's start, and how much waits now."""

    workers: tuple[WorkerMeter, ...]
    """files, chunks, bytes, seconds busy, failures, starts and deaths of each place in the pool"""
    workers_allowed: int
    workers_busy: int
    queues: dict[str, int]
    """{stage: items that wait}: files ``planned``, ``batches``, changes for ``catalog`` and ``text`` index"""
    ingest: IngestMeter
    """what the tasks that feed the workers waited for, and what they did again"""
    text: FeedMeter
    models: dict[str, ModelMetrics]
    """{name of a model: what is done with it}"""
    jobs: dict[str, int]
    """{state: jobs of this process that run, or wait behind one that does}"""
    jobs_ended: dict[str, int]
    """{state: jobs that ended in it}"""
    catalog_commits: int
    text_commits: int
    held_up: int
    """times that the event loop gave no sign of life for a second"""
    memory_percent: float | None
    """of the tightest bound; None before the first look"""
    vectors: VectorProgress | None
    """of the model that is being built, else of the one that serves"""


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
        ingest=replace(owner.pool.meter),
        text=replace(owner.feed.meter),
        models=_models(owner),
        jobs={str(state): count for state, count in owner.service.states.items()},
        jobs_ended={str(state): count for state, count in owner.service.ended.items()},
        catalog_commits=owner.writer.commits,
        text_commits=owner.feed.meter.commits,
        held_up=owner.watchdog.times_held_up,
        memory_percent=None if reading is None else reading.percent,
        vectors=None if owner.vectors is None else owner.vectors.progress,
    )


def _models(owner: Owner) -> dict[str, ModelMetrics]:
    if owner.vectors is None:
        return {}
    service = owner.vectors.service
    progress, encoders = service.progress, service.encoders
    return {
        resolved_from_json(row).spec.name: ModelMetrics(progress.get(row), work, encoders.get(row))
        for row, work in service.work.items()
    }
