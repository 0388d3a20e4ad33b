"""What ``/metrics`` says, read back by Prometheus' own parser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest, parser
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics import parser as openmetrics_parser

from embeddings import EncoderCounters
from indexing.http.metric_families import Snapshot, families_of
from indexing.http.prometheus import SnapshotCollector
from indexing.http.request_meter import BOUNDS, RequestKind, RequestMeter
from indexing.ingest.stage_meters import FeedMeter, IngestMeter
from indexing.ingest.worker_meter import WorkerMeter
from indexing.metrics import Metrics, ModelMetrics
from indexing.vectorize.records import VectorProgress
from indexing.vectorize.work_meter import VectorWork
from indexing.watch import WatchState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.metrics_core import Metric

parse_openmetrics = cast("Callable[[str], Iterable[Metric]]", openmetrics_parser.text_string_to_metric_families)
parse = cast("Callable[[str], Iterable[Metric]]", parser.text_string_to_metric_families)
written_openmetrics = cast("Callable[[CollectorRegistry], bytes]", openmetrics_exposition.generate_latest)
written = cast("Callable[[CollectorRegistry], bytes]", generate_latest)
NASTY = 'a"b\\c\nd\u202e'
"""A name of a model is a path that a user gave."""


def snapshot(*, busy: bool = True) -> Snapshot:
    """All that can be told, or the little of a service that has just begun."""
    requests = RequestMeter()
    if busy:
        for seconds in (0.0005, 0.001, 0.004, 70.0):
            requests.count(RequestKind("GET", "/jobs/{job_id}", 200), seconds, 100)
        requests.count(RequestKind("BREW", "unmatched", 404), 0.2, 7)
    progress = VectorProgress("working", "", 3, 5, 1, 6, 2, 9.0, 0.5)
    work = VectorWork(encode_seconds=2.5, encoded=6, encode_retries=1, store_seconds=0.5, stored=5, store_retries=4)
    model = ModelMetrics(progress, work, EncoderCounters(loads=1, texts=6, tokens=700, padded_tokens=900))
    workers = (WorkerMeter(0, files=4, chunks=9, bytes=100, busy_seconds=1.5, starts=1), WorkerMeter(1, failures=2))
    return Snapshot(
        version="0.1.0",
        uptime_seconds=12.5,
        work=Metrics(
            workers=workers if busy else (),
            workers_allowed=2,
            workers_busy=1,
            queues={"planned": 7, "batches": 1, "catalog": 0, "text": 0},
            ingest=IngestMeter(work_wait_seconds=0.25, retries=1, read_again=2),
            text=FeedMeter(apply_seconds=0.5, commit_seconds=0.25, commits=3, chunks=9),
            models={NASTY: model, "closed": ModelMetrics(None, VectorWork(), None)} if busy else {},
            jobs={"running": 1} if busy else {},
            jobs_ended={"failed": 2, "succeeded": 3} if busy else {},
            catalog_commits=11,
            text_commits=3,
            held_up=1,
            memory_percent=40.0 if busy else None,
            vectors=progress if busy else None,
        ),
        watching={"r1": WatchState("events", dirty=3, events=40, overflows=1), "r2": WatchState("scan", problem="full")}
        if busy
        else {},
        requests=requests,
    )


def read(told: Snapshot) -> dict[str, Metric]:
    """The families as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(told))
    return {family.name: family for family in parse(written(registry).decode())}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float:
    """The one sample of that name and labels."""
    (found,) = [
        each.value for family in families.values() for each in family.samples
        if each.name == sample and each.labels == labels
    ]  # fmt: skip
    return float(found)


@pytest.mark.parametrize("busy", [True, False])
def test_what_is_told_is_what_prometheus_reads(busy: bool) -> None:
    told = snapshot(busy=busy)
    expected = {family.name: family for family in families_of(told)}
    found = read(told)
    assert set(found) == set(expected)
    for name, family in found.items():
        assert family.type == expected[name].type
        assert family.documentation == expected[name].documentation
        samples = [(each.name, each.labels, each.value) for each in family.samples]
        assert samples == [(each.name, each.labels, each.value) for each in expected[name].samples]


def test_openmetrics_takes_it_as_well() -> None:
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(snapshot()))
    assert len(list(parse_openmetrics(written_openmetrics(registry).decode()))) > 30


@pytest.mark.parametrize("busy", [True, False])
def test_names_follow_the_conventions_and_no_sample_is_there_twice(busy: bool) -> None:
    units = ("_total", "_seconds", "_bytes", "_ratio", "_info")
    for family in families_of(snapshot(busy=busy)):
        assert re.fullmatch(r"codetrove_[a-z_]+", family.name)
        assert len(family.documentation) > 10
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram"}
        assert "percent" not in family.name
        assert "millisecond" not in family.name
        if family.type == "counter":
            assert all(each.name.endswith("_total") for each in family.samples)
        elif "second" in family.name:
            assert family.name.endswith(units)
        keys = [(each.name, tuple(sorted(each.labels.items()))) for each in family.samples]
        assert len(keys) == len(set(keys))


def test_each_value_is_under_the_name_that_an_alert_looks_for() -> None:
    found = read(snapshot())
    assert value(found, "codetrove_jobs", state="running") == 1
    assert value(found, "codetrove_jobs", state="queued") == 0
    assert value(found, "codetrove_jobs_ended_total", state="failed") == 2
    assert value(found, "codetrove_worker_busy_seconds_total", worker="0") == 1.5
    assert value(found, "codetrove_stage_chunks_total", stage="ingest", model="") == 9
    assert value(found, "codetrove_stage_busy_seconds_total", stage="text", model="") == 0.75
    assert value(found, "codetrove_stage_busy_seconds_total", stage="encode", model=NASTY) == 2.5
    assert value(found, "codetrove_stage_retries_total", stage="ingest", model="") == 3
    assert value(found, "codetrove_stage_retries_total", stage="store", model=NASTY) == 4
    assert value(found, "codetrove_stage_errors_total", stage="ingest", model="") == 2
    assert value(found, "codetrove_encoder_tokens_total", model=NASTY) == 700
    assert value(found, "codetrove_vectors", model=NASTY, state="pending") == 3
    assert value(found, "codetrove_memory_used_ratio") == 0.4
    assert value(found, "codetrove_watch_mode", repository="r2", mode="scan") == 1
    assert value(found, "codetrove_watch_mode", repository="r2", mode="events") == 0
    assert value(found, "codetrove_watch_problem", repository="r2") == 1
    assert value(found, "codetrove_watch_dirty_paths", repository="r1") == 3
    assert value(found, "codetrove_http_requests_total", method="other", route="unmatched", status="404") == 1


def test_the_histogram_counts_each_request_in_every_bucket_above_it() -> None:
    found = read(snapshot())
    kind = {"method": "GET", "route": "/jobs/{job_id}"}
    name = "codetrove_http_request_duration_seconds"
    assert value(found, f"{name}_bucket", **kind, le="0.001") == 2
    assert value(found, f"{name}_bucket", **kind, le="0.005") == 3
    assert value(found, f"{name}_bucket", **kind, le=f"{BOUNDS[-1]}") == 3
    assert value(found, f"{name}_bucket", **kind, le="+Inf") == 4
    assert value(found, f"{name}_count", **kind) == 4
    assert value(found, f"{name}_sum", **kind) == pytest.approx(70.0055)


def test_a_snapshot_stays_as_it_was_while_requests_go_on() -> None:
    told = snapshot()
    collector = SnapshotCollector(told)
    told.requests.count(RequestKind("GET", "/later", 200), 0.1, 1)
    registry = CollectorRegistry()
    registry.register(collector)
    assert b"/later" not in written(registry)
