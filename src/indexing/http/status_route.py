"""``GET /status``: what is indexed, how old it is, what is wrong, and how the process is."""

from __future__ import annotations

from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter

from indexing.access import Principal
from indexing.http.answers import RepositoryStatusAnswer, ServiceAnswer, StatusAnswer, WorkersAnswer
from indexing.http.context import Context, ServiceContext
from indexing.http.job_view import vectors_view
from indexing.http.security import needs
from indexing.http.strict_json import StrictRoute
from indexing.metrics import metrics_of
from indexing.status import STATUS_SCHEMA

if TYPE_CHECKING:
    from indexing.status import Status

router = APIRouter(tags=["status"], route_class=StrictRoute)


@router.get("/status", summary="What is indexed, how old it is, and what is wrong")
async def service_status(context: Context, caller: Annotated[Principal, needs("read")]) -> StatusAnswer:
    """Return the status of what the caller sees; sums over everything are for who sees everything."""
    found = await context.looking.status()
    return _answer(found, caller, _service(context, caller))


def _answer(found: Status, caller: Principal, service: ServiceAnswer) -> StatusAnswer:
    everything = caller.repositories is None
    return StatusAnswer.model_validate(
        {
            "schema": STATUS_SCHEMA,
            "data_dir": found.data_dir if everything else None,
            "owner": found.owner if everything else None,
            "catalog_bytes": found.catalog_bytes if everything else None,
            "text_bytes": found.text_bytes if everything else None,
            "vector_bytes": found.vector_bytes if everything else None,
            "other_bytes": found.other_bytes if everything else None,
            "pending_chunks": found.pending_chunks if everything else None,
            "vectors": [asdict(each) for each in found.vectors] if everything else [],
            "repositories": [
                RepositoryStatusAnswer.model_validate(asdict(each))
                for each in found.repositories
                if caller.sees(each.uuid)
            ],
            "problems": list(found.problems) if everything else [],
            "service": service,
        }
    )


def _service(context: ServiceContext, caller: Principal) -> ServiceAnswer:
    metrics = metrics_of(context.owner)
    return ServiceAnswer(
        uptime_seconds=round(monotonic() - context.started, 3),
        workers=WorkersAnswer(allowed=metrics.workers_allowed, busy=metrics.workers_busy),
        memory_percent=metrics.memory_percent,
        queues=metrics.queues,
        held_up=metrics.held_up,
        vectors=vectors_view(context.owner) if caller.repositories is None else None,
    )
