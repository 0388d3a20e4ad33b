"""``POST /sync``: a barrier, behind which every change made before the call is searchable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter

from indexing.access import Principal
from indexing.http.answers import PendingRepository, SyncAnswer
from indexing.http.bodies import SyncBody
from indexing.http.context import Context
from indexing.http.security import needs
from indexing.http.strict_json import StrictRoute
from indexing.ingest.job import NothingToIndex
from indexing.live_job import UnknownJob
from indexing.repositories import known_repositories
from storage import UnknownRepository

if TYPE_CHECKING:
    from indexing.runtime import Owner
    from storage import Repository

router = APIRouter(tags=["jobs"], route_class=StrictRoute)


@router.post("/sync", summary="Wait until every change is searchable")
async def sync(context: Context, caller: Annotated[Principal, needs("index")], body: SyncBody) -> SyncAnswer:
    """Scan each tree anew, a scan that has begun already does not count, and wait until what it found is searchable.

    At the deadline, or where a file failed, it says what is pending; the jobs go on.
    """
    owner = context.owner
    known = await known_repositories(owner.reader, caller)
    unknown = [uuid for uuid in body.repositories if uuid not in known]
    if unknown:
        raise UnknownRepository(f"there is no repository {unknown[0]!r}; GET /repositories lists those there are")
    wanted = [known[uuid] for uuid in dict.fromkeys(body.repositories or known)]
    jobs = {each.uuid: await owner.service.submit(each, origin="request") for each in wanted}
    seconds = min(body.timeout_ms, owner.settings.service.wait_ms_most) / 1000
    tasks = {uuid: asyncio.create_task(_searchable(owner, job_id)) for uuid, job_id in jobs.items()}
    try:
        if tasks:
            await asyncio.wait(tasks.values(), timeout=seconds)
        done = {uuid for uuid, task in tasks.items() if task.done() and task.result()}
    finally:
        for task in tasks.values():
            task.cancel()
    pending = [await _pending(owner, each, jobs[each.uuid]) for each in wanted if each.uuid not in done]
    return SyncAnswer(synced=not pending, pending=pending)


async def _searchable(owner: Owner, job_id: str) -> bool:
    """Wait for a job's end; returns whether all that it found is searchable."""
    try:
        report = await owner.service.wait(job_id)
    except NothingToIndex:
        return True
    except Exception:  # noqa: BLE001  (task boundary: the job's own record says why)
        return False
    if report.state != "succeeded":
        return False
    await owner.feed.settled()
    return True


async def _pending(owner: Owner, repository: Repository, job_id: str) -> PendingRepository:
    try:
        state = (await owner.service.status(job_id)).state
    except UnknownJob:  # the repository was forgotten meanwhile
        state = "cancelled"
    return PendingRepository(repository=repository.uuid, job=job_id, state=state)
