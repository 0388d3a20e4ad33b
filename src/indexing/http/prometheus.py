"""``GET /metrics``: what the service measures, in the text format of Prometheus or as OpenMetrics."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Header, Request, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from indexing.access import Principal
from indexing.http.context import Context
from indexing.http.metric_families import Snapshot, families_of
from indexing.http.request_meter import PROCESS_METER
from indexing.http.rights import needs
from indexing.metrics import metrics_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric

    from indexing.http.context import ServiceContext
    from indexing.http.request_meter import RequestMeter

_VERSION: Final = version("codetrove")
router = APIRouter(tags=["status"])


class SnapshotCollector(Collector):
    """Gives one snapshot to a registry of its own: nothing is added to the one that all libraries share."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Collect ``snapshot``, whose counters may go on as soon as this returns."""
        self._families = tuple(families_of(snapshot))

    def collect(self) -> Iterable[Metric]:
        """Return the families of the snapshot."""
        return self._families

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are not looked at before there are values."""
        return ()


@router.get("/metrics", response_class=Response, summary="Metrics for Prometheus")
async def metrics(
    request: Request,
    context: Context,
    _caller: Annotated[Principal, needs("read", all_repositories=True)],
    accept: Annotated[str, Header()] = "",
) -> Response:
    """Tell what was done and what waits since the start of the service; names and meanings are in the manual."""
    snapshot = await snapshot_of(context, getattr(request.state, "request_meter", PROCESS_METER))
    body, media_type = await asyncio.to_thread(_written, SnapshotCollector(snapshot), accept)
    return Response(body, headers={"content-type": media_type, "cache-control": "no-store"})


async def snapshot_of(context: ServiceContext, requests: RequestMeter) -> Snapshot:
    """Return what one scrape tells. Raises the errors of the catalog."""
    watching = context.watching
    repositories = [] if watching is None else await context.owner.reader.repositories()
    return Snapshot(
        version=_VERSION,
        uptime_seconds=monotonic() - context.started,
        work=metrics_of(context.owner),
        watching={} if watching is None else {each.uuid: watching.state_of(each.uuid) for each in repositories},
        requests=requests,
    )


def _written(collector: SnapshotCollector, accept: str) -> tuple[bytes, str]:
    registry = CollectorRegistry()
    registry.register(collector)
    # Memory, CPU time and open files of the owner itself, as every exporter names them; read from /proc.
    ProcessCollector(registry=registry)
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type
