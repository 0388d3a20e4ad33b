"""What is measured, as families of the Prometheus data model; a pure function of snapshots.

Names follow https://prometheus.io/docs/practices/naming/: base units, ``_total`` for what only grows, ratios from 0 to
1. Every label has few values: states, stages, models, places in the pool, repositories, route templates.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from indexing.http.request_meter import BOUNDS, RequestMeter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from indexing.metrics import Metrics
    from indexing.watch import WatchState

_Row: TypeAlias = tuple[list[str], float]
"""(values of the labels, value)"""
_LIVE_STATES = ("queued", "running", "paused", "cancelling")
_ENDED_STATES = ("succeeded", "partial", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that one scrape tells."""

    version: str
    uptime_seconds: float
    work: Metrics
    watching: Mapping[str, WatchState]
    """{repository: how it is watched}"""
    requests: RequestMeter


def families_of(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield every family, also those without a value yet: an alert about a metric that is not there never fires."""
    yield _gauge("codetrove_info", "1, with the version of the program.", ["version"], [([snapshot.version], 1)])
    yield _gauge("codetrove_uptime_seconds", "Since the service began.", [], [([], snapshot.uptime_seconds)])
    yield from _jobs(snapshot.work)
    yield from _workers(snapshot.work)
    yield from _stages(snapshot.work)
    yield from _machine(snapshot.work)
    yield from _models(snapshot.work)
    yield from _watching(snapshot.watching)
    yield from _requests(snapshot.requests)


def _jobs(work: Metrics) -> Iterator[Metric]:
    live = [([state], work.jobs.get(state, 0)) for state in _LIVE_STATES]
    yield _gauge("codetrove_jobs", "Jobs that are not over, by state.", ["state"], live)
    ended = [([state], work.jobs_ended.get(state, 0)) for state in _ENDED_STATES]
    yield _counter("codetrove_jobs_ended_total", "Jobs that ended, by the state they ended in.", ["state"], ended)


def _workers(work: Metrics) -> Iterator[Metric]:
    yield _gauge(
        "codetrove_workers_allowed", "Worker processes that may run at once.", [], [([], work.workers_allowed)]
    )
    yield _gauge("codetrove_workers_busy", "Worker processes with a batch in hand.", [], [([], work.workers_busy)])
    for name, attribute, text in (
        ("files_total", "files", "Files that a worker process answered for."),
        ("chunks_total", "chunks", "Chunks that it cut."),
        ("bytes_total", "bytes", "Bytes of the files that it read and cut."),
        ("busy_seconds_total", "busy_seconds", "Seconds that its processes spent on files."),
        ("errors_total", "failures", "Files that failed in it."),
        ("starts_total", "starts", "Processes that were started in its place."),
        ("deaths_total", "deaths", "Processes that died, or had to be ended, with a file in hand."),
    ):
        values = [([str(each.number)], getattr(each, attribute)) for each in work.workers]
        yield _counter(f"codetrove_worker_{name}", f"By place in the pool. {text}", ["worker"], values)


def _stages(work: Metrics) -> Iterator[Metric]:
    ingest, text = work.ingest, work.text
    models = [(name, each.work) for name, each in work.models.items()]
    busy = [(["ingest", ""], sum(each.busy_seconds for each in work.workers))]
    busy += [(["text", ""], text.apply_seconds + text.commit_seconds)]
    busy += [(["encode", name], each.encode_seconds) for name, each in models]
    busy += [(["store", name], each.store_seconds) for name, each in models]
    help_busy = "Seconds that a stage worked, all its processes and parallel batches added up."
    yield _counter("codetrove_stage_busy_seconds_total", help_busy, ["stage", "model"], busy)

    waits = [(["ingest", "batch", ""], ingest.work_wait_seconds)]
    waits += [(["ingest", "worker", ""], ingest.worker_wait_seconds)]
    waits += [(["ingest", "writer", ""], ingest.writer_wait_seconds)]
    waits += [(["catalog", "text", ""], text.hand_in_wait_seconds)]
    waits += [(["encode", "store", name], each.handing_on_seconds) for name, each in models]
    waits += [(["store", "answer", name], each.store_wait_seconds) for name, each in models]
    help_waits = "Seconds that a stage waited, by what for."
    yield _counter("codetrove_stage_wait_seconds_total", help_waits, ["stage", "for", "model"], waits)

    done = [(["ingest", ""], sum(each.chunks for each in work.workers)), (["text", ""], text.chunks)]
    done += [(["encode", name], each.encoded) for name, each in models]
    done += [(["cache", name], each.from_cache) for name, each in models]
    done += [(["store", name], each.stored) for name, each in models]
    yield _counter("codetrove_stage_chunks_total", "Chunks that a stage is done with.", ["stage", "model"], done)

    retries = [(["ingest", ""], ingest.retries + ingest.read_again), (["text", ""], text.retries)]
    retries += [(["encode", name], each.encode_retries) for name, each in models]
    retries += [(["store", name], each.store_retries) for name, each in models]
    yield _counter("codetrove_stage_retries_total", "Attempts that were repeated.", ["stage", "model"], retries)

    errors = [(["ingest", ""], sum(each.failures for each in work.workers)), (["text", ""], text.errors)]
    errors += [(["encode", name], each.encode_errors) for name, each in models]
    errors += [(["store", name], each.store_errors) for name, each in models]
    help_errors = "What failed for good: files, texts, vectors; of the text index, failures that it recovered from."
    yield _counter("codetrove_stage_errors_total", help_errors, ["stage", "model"], errors)


def _machine(work: Metrics) -> Iterator[Metric]:
    queues = [([stage], waiting) for stage, waiting in work.queues.items()]
    yield _gauge("codetrove_queue_items", "Items that wait for a stage.", ["stage"], queues)
    commits = [(["catalog"], work.catalog_commits), (["text"], work.text_commits)]
    yield _counter("codetrove_commits_total", "Commits, by index.", ["index"], commits)
    memory: list[_Row] = [] if work.memory_percent is None else [([], work.memory_percent / 100)]
    yield _gauge("codetrove_memory_used_ratio", "Of the tightest bound on memory (host, cgroup, rlimit).", [], memory)
    held_up: list[_Row] = [([], work.held_up)]
    yield _counter("codetrove_event_loop_held_up_total", "Times without a sign of life for a second.", [], held_up)


def _models(work: Metrics) -> Iterator[Metric]:
    found = {name: each.progress for name, each in work.models.items() if each.progress is not None}
    vectors = [
        ([name, state], getattr(progress, state))
        for name, progress in found.items()
        for state in ("pending", "stored", "failed")
    ]
    yield _gauge("codetrove_vectors", "Vectors of kept chunks, by state.", ["model", "state"], vectors)
    encoders = {name: each.encoder for name, each in work.models.items() if each.encoder is not None}
    for attribute, text in (
        ("loads", "Times that a model was loaded."),
        ("texts", "Texts that were encoded, queries included."),
        ("tokens", "Tokens of those texts."),
        ("windows", "Windows that they were encoded in."),
        ("padded_tokens", "Positions that the model computed, padding included."),
        ("halvings", "Batches that did not fit in memory and were halved."),
        ("cpu_windows", "Windows that did not fit on the device and were computed on the CPU."),
        ("refused_windows", "Windows that fitted nowhere."),
    ):
        values = [([name], getattr(each, attribute)) for name, each in encoders.items()]
        yield _counter(f"codetrove_encoder_{attribute}_total", f"All processes together. {text}", ["model"], values)


def _watching(states: Mapping[str, WatchState]) -> Iterator[Metric]:
    rows = list(states.items())
    modes = [([uuid, mode], each.mode == mode) for uuid, each in rows for mode in ("events", "scan", "off")]
    yield _gauge("codetrove_watch_mode", "1 for how a repository is watched, else 0.", ["repository", "mode"], modes)
    dirty = [([uuid], each.dirty) for uuid, each in rows]
    help_dirty = "Changed paths that no job has been handed in for."
    yield _gauge("codetrove_watch_dirty_paths", help_dirty, ["repository"], dirty)
    problems = [([uuid], bool(each.problem)) for uuid, each in rows]
    yield _gauge("codetrove_watch_problem", "1 where something is in the way of watching.", ["repository"], problems)
    events = [([uuid], each.events) for uuid, each in rows]
    yield _counter("codetrove_watch_events_total", "Changes that were heard of.", ["repository"], events)
    overflows = [([uuid], each.overflows) for uuid, each in rows]
    yield _counter("codetrove_watch_overflows_total", "Times that events were lost.", ["repository"], overflows)


def _requests(meter: RequestMeter) -> Iterator[Metric]:
    counts = [([kind.method, kind.route, str(kind.status)], count) for kind, count in sorted(meter.requests.items())]
    labels = ["method", "route", "status"]
    yield _counter("codetrove_http_requests_total", "Requests that were answered.", labels, counts)
    latency = HistogramMetricFamily(
        "codetrove_http_request_duration_seconds",
        "Until the answer began; that of a stream of events has no end.",
        labels=["method", "route"],
    )
    for (method, route), each in sorted(meter.latencies.items()):
        bounds = [*map(str, BOUNDS), "+Inf"]
        latency.add_metric([method, route], list(zip(bounds, accumulate(each.buckets), strict=True)), each.seconds)
    yield latency
    yield _counter("codetrove_http_sent_bytes_total", "Bytes of answers' bodies.", [], [([], meter.sent_bytes)])
    yield _gauge("codetrove_http_requests_in_progress", "Requests being answered.", [], [([], meter.in_progress)])


def _counter(name: str, text: str, labels: list[str], rows: Iterable[_Row]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _gauge(name: str, text: str, labels: list[str], rows: Iterable[_Row]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, float(value))
    return family
