"""``/healthz`` and ``/readyz``: whether to restart the process, and whether to send it requests. Public, and terse."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Response

from indexing.http.answers import ProbeAnswer
from indexing.http.context import Context
from storage import unfinished_jobs

if TYPE_CHECKING:
    from indexing.http.context import ServiceContext

router = APIRouter(tags=["probes"])
_UNAVAILABLE: Final[dict[int | str, dict[str, Any]]] = {503: {"model": ProbeAnswer, "description": "It is not"}}


@router.get("/healthz", summary="Whether the process works", responses=_UNAVAILABLE)
async def healthz(context: Context, response: Response) -> ProbeAnswer:
    """Fail once the event loop has been held up in three windows of five seconds in a row."""
    watchdog = context.owner.watchdog
    if context.health.look(watchdog.times_held_up, monotonic()) and not watchdog.is_stuck:
        return ProbeAnswer(status="ok")
    response.status_code = 503
    return ProbeAnswer(status="held up")


@router.get("/readyz", summary="Whether requests are welcome", responses=_UNAVAILABLE)
async def readyz(context: Context, response: Response) -> ProbeAnswer:
    """Fail while what a lost catalog held is still being brought back, and while the service shuts down."""
    status = "shutting down" if context.closing.is_set() else "recovering" if await _recovers(context) else "ok"
    if status != "ok":
        response.status_code = 503
    return ProbeAnswer(status=status)


async def _recovers(context: ServiceContext) -> bool:
    """Whether a repository that has to be indexed again, at this start, has a job that is not over."""
    owner = context.owner
    if not owner.to_index_again:
        return False
    returning = {repository.uuid for repository in owner.to_index_again}
    scanned = {each.uuid for each in await owner.reader.repositories() if each.scanned_at is not None}
    unfinished = {row.repository for row in await unfinished_jobs(owner.reader)}
    return bool(returning & unfinished - scanned)
