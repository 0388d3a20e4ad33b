"""Repositories: which there are, taking one in, forgetting one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Response
from fastapi import Path as InPath

from indexing.access import Principal
from indexing.http.answers import AddedRepository, LastJob, RepositoriesAnswer, RepositoryAnswer, WatchAnswer
from indexing.http.bodies import NewRepository, RepositoryId, path_of
from indexing.http.context import Context, ServiceContext
from indexing.http.jobs import visible_job
from indexing.http.security import needs
from indexing.http.strict_json import StrictRoute
from indexing.http.times import rfc3339
from indexing.live_job import UnknownJob
from indexing.repositories import add_repository, forget_repository, known_repositories, repository_of
from indexing.sources import display, path_b64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexing.runtime import Owner
    from indexing.status import RepositoryStatus
    from storage import JobOverview, Repository

router = APIRouter(tags=["repositories"], route_class=StrictRoute)


@router.get("/repositories", summary="The source trees that are indexed", response_model_exclude_unset=True)
async def list_repositories(context: Context, caller: Annotated[Principal, needs("read")]) -> RepositoriesAnswer:
    """Return the repositories that the caller sees, by root."""
    known = await known_repositories(context.owner.reader, caller)
    return RepositoriesAnswer(repositories=await _views(context, list(known.values())))


@router.post(
    "/repositories",
    status_code=201,
    summary="Take a source tree in",
    response_model_exclude_unset=True,
    responses={200: {"model": AddedRepository, "description": "It was there already"}},
)
async def add(
    context: Context,
    caller: Annotated[Principal, needs("index", all_repositories=True)],
    body: NewRepository,
    response: Response,
) -> AddedRepository:
    """Register a directory below one of ``service.allowed_roots``, and begin to index it."""
    owner = context.owner
    allowed = None if caller.is_local else _allowed_roots(owner)
    repository, is_new = await add_repository(owner, path_of(body.root, body.root_b64), allowed=allowed)
    context.looking.forget()
    job = None
    if body.index:
        job_id = await owner.service.submit(repository, origin="request")
        job = (await visible_job(context, caller, job_id)).view(context, caller)
    if is_new:
        # After the job, so that the caller gets the one that reads the tree, and not one behind the watcher's.
        await context.repositories_changed()
    else:
        response.status_code = 200
    (view,) = await _views(context, [repository])
    return AddedRepository(repository=view, job=job)


@router.delete("/repositories/{uuid}", status_code=204, summary="Forget a source tree")
async def remove(
    context: Context, caller: Annotated[Principal, needs("admin")], uuid: Annotated[RepositoryId, InPath()]
) -> None:
    """End the repository's jobs, and take it and what only it held out of the index. Its files stay as they are."""
    repository = await repository_of(context.owner.reader, caller, uuid=uuid)
    try:
        await forget_repository(context.owner, repository)
    finally:
        context.looking.forget()
        await context.repositories_changed()


def _allowed_roots(owner: Owner) -> tuple[Path, ...]:
    return owner.settings.service.allowed_roots or (Path.home(),)


async def _views(context: ServiceContext, repositories: Sequence[Repository]) -> list[RepositoryAnswer]:
    found = {each.uuid: each for each in (await context.looking.status()).repositories}
    return [await _view(context, each, found.get(each.uuid)) for each in repositories]


async def _view(context: ServiceContext, repository: Repository, found: RepositoryStatus | None) -> RepositoryAnswer:
    path = repository.root.path
    root = display(path)
    exact = {} if root.encode() == path else {"root_b64": path_b64(path)}
    return RepositoryAnswer(
        uuid=repository.uuid,
        root=root,
        **exact,
        name=display(path.rpartition(b"/")[2]) or root,
        files=0 if found is None else found.files,
        chunks=0 if found is None else found.chunks,
        source_bytes=0 if found is None else found.source_bytes,
        scanned_at=rfc3339(repository.scanned_at),
        job=None if found is None or found.job is None else await _last_job(context, found.job),
        watching=_watching(context, repository.uuid),
        problems=[] if found is None else list(found.problems),
    )


async def _last_job(context: ServiceContext, job: JobOverview) -> LastJob:
    try:
        status = await context.owner.service.status(job.id)
    except UnknownJob:
        return LastJob(id=job.id, state=job.state, reason=job.reason)
    return LastJob(id=job.id, state=status.state, reason=status.reason)


def _watching(context: ServiceContext, uuid: str) -> WatchAnswer:
    if context.watching is None:
        return WatchAnswer(mode="off", dirty=0, problem="")
    state = context.watching.state_of(uuid)
    return WatchAnswer(mode=state.mode, dirty=state.dirty, problem=state.problem)
