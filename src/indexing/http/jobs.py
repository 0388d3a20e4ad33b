"""Jobs: accepting them, looking at them, and having them wait, go on or end."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from fastapi import APIRouter, Header, Path, Query, Response

from indexing.access import Principal
from indexing.http.answers import FileOutcome, FilesAnswer, JobAnswer, JobsAnswer, JobStateName
from indexing.http.bodies import KEY_PATTERN, IndexBody, Nothing, RepositoryId, path_of
from indexing.http.context import Context, ServiceContext
from indexing.http.job_view import job_view, surroundings
from indexing.http.security import needs
from indexing.http.strict_json import StrictRoute
from indexing.live_job import JobStatus, UnknownJob
from indexing.repositories import known_repositories, repository_of
from indexing.search import BadRequest
from indexing.sources import display, path_b64
from storage import UnknownRepository, job_row, job_rows, outcomes_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from storage import JobRow, OutcomeRow, Reader, Repository

MOST_JOBS: Final = 200
MOST_FILES: Final = 1000
_MOST_ROWS: Final = 10_000
"""Jobs that a filter looks through, the newest first."""

JobId: TypeAlias = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="Id of a job.")]
OutcomeName: TypeAlias = Literal["indexed", "skipped", "failed", "removed"]

router = APIRouter(tags=["jobs"], route_class=StrictRoute)


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job that the caller sees."""

    status: JobStatus
    row: JobRow
    repository: Repository

    def view(self, context: ServiceContext, caller: Principal) -> JobAnswer:
        """Return what the caller is told of it."""
        around = surroundings(context.owner, everything=caller.repositories is None)
        return job_view(self.status, self.row, self.repository.root.path, around)


async def visible_job(context: ServiceContext, caller: Principal, job_id: str) -> FoundJob:
    """Return a job; raises ``UnknownJob``, the same for one that is not there and one of a repository not seen."""
    owner = context.owner
    status = await owner.service.status(job_id)
    repository = (await known_repositories(owner.reader, caller)).get(status.repository)
    row = None if repository is None else await job_row(owner.reader, job_id)
    if repository is None or row is None:
        raise UnknownJob(f"there is no job {job_id!r} (the last ones of each repository are kept)")
    return FoundJob(status, row, repository)


@router.post("/index", status_code=202, summary="Index a repository, or some paths of it")
async def index(
    context: Context,
    caller: Annotated[Principal, needs("index")],
    body: IndexBody,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(pattern=KEY_PATTERN, description="The same key gives the same job again, however that stands by now."),
    ] = None,
) -> JobAnswer:
    """Accept a job and answer at once; while one of the repository waits to begin, the wish joins it."""
    owner = context.owner
    repository = await repository_of(
        owner.reader,
        caller,
        uuid=body.repository,
        root=None if body.repository is not None else path_of(body.root, body.root_b64),
    )
    # A key is its token's own: others may well count their requests from 1 too.
    key = f"{caller.name} {idempotency_key}" if idempotency_key else ""
    paths = body.wanted_paths()
    try:
        job_id = await owner.service.submit(repository, paths, origin="request", key=key)
    except ValueError as error:
        raise BadRequest(str(error)) from error
    response.headers["Location"] = f"/jobs/{job_id}"
    return (await visible_job(context, caller, job_id)).view(context, caller)


@router.get("/jobs", summary="The last jobs, the newest first")
async def list_jobs(
    context: Context,
    caller: Annotated[Principal, needs("read")],
    repository: Annotated[RepositoryId | None, Query()] = None,
    state: Annotated[JobStateName | None, Query(description="Only jobs in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_JOBS)] = 50,
) -> JobsAnswer:
    """Return jobs of the repositories that the caller sees; the last 20 of each are kept."""
    owner = context.owner
    known = await known_repositories(owner.reader, caller)
    if repository is not None:
        if repository not in known:
            raise UnknownRepository(f"there is no repository {repository!r}; GET /repositories lists those there are")
        known = {repository: known[repository]}
    is_narrow = repository is not None or caller.repositories is not None
    rows = await _newest(owner.reader, known.values() if is_narrow else None, limit if state is None else _MOST_ROWS)
    around = surroundings(owner, everything=caller.repositories is None)
    jobs: list[JobAnswer] = []
    for row in rows:
        where = known.get(row.repository)
        if where is None:
            continue
        view = job_view(await _status(context, row), row, where.root.path, around)
        if state in (None, view.state):
            jobs.append(view)
        if len(jobs) == limit:
            break
    return JobsAnswer(jobs=jobs)


@router.get("/jobs/{job_id}", summary="How a job stands")
async def job(context: Context, caller: Annotated[Principal, needs("read")], job_id: JobId) -> JobAnswer:
    """Return one job."""
    return (await visible_job(context, caller, job_id)).view(context, caller)


@router.get("/jobs/{job_id}/files", summary="What a job did about each file", response_model_exclude_unset=True)
async def job_files(
    context: Context,
    caller: Annotated[Principal, needs("read")],
    job_id: JobId,
    *,
    outcome: Annotated[OutcomeName | None, Query(description="Only files with this outcome.")] = None,
    after: Annotated[str, Query(max_length=6000, description="'next' of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_FILES)] = 100,
) -> FilesAnswer:
    """Return a page of outcomes in the order of their paths; unchanged files have none."""
    await visible_job(context, caller, job_id)
    start = _cursor(after)
    rows = await outcomes_of(context.owner.reader, job_id, start, limit, outcome)
    return FilesAnswer(
        files=[_file(row) for row in rows],
        next=_cursor_at(rows[-1].path) if len(rows) == limit else None,
    )


@router.post("/jobs/{job_id}/pause", summary="Begin nothing new for a job")
async def pause(
    context: Context,
    caller: Annotated[Principal, needs("index")],
    job_id: JobId,
    body: Nothing | None = None,  # noqa: ARG001 - says that there is none
) -> JobAnswer:
    """Bring what is in hand to its end and then wait; a job that is queued begins paused."""
    return await _told(context, caller, job_id, context.owner.service.pause)


@router.post("/jobs/{job_id}/resume", summary="Go on with a paused job")
async def resume(
    context: Context,
    caller: Annotated[Principal, needs("index")],
    job_id: JobId,
    body: Nothing | None = None,  # noqa: ARG001 - the same
) -> JobAnswer:
    """Go on; nothing happens to a job that is not paused."""
    return await _told(context, caller, job_id, context.owner.service.resume)


@router.post("/jobs/{job_id}/cancel", summary="End a job after what it has in hand")
async def cancel(
    context: Context,
    caller: Annotated[Principal, needs("index")],
    job_id: JobId,
    body: Nothing | None = None,  # noqa: ARG001 - the same
) -> JobAnswer:
    """End a job; one that has not begun ends at once. What it indexed by then stays."""
    return await _told(context, caller, job_id, context.owner.service.cancel)


async def _told(
    context: ServiceContext, caller: Principal, job_id: str, tell: Callable[[str], Awaitable[None]]
) -> JobAnswer:
    """Tell the service something about a job that the caller sees; returns how the job stands then."""
    await visible_job(context, caller, job_id)
    await tell(job_id)
    return (await visible_job(context, caller, job_id)).view(context, caller)


async def _newest(reader: Reader, repositories: Iterable[Repository] | None, limit: int) -> list[JobRow]:
    if repositories is None:
        return await job_rows(reader, limit=limit)
    rows = [row for each in repositories for row in await job_rows(reader, each.id, limit)]
    rows.sort(key=lambda row: row.created_at, reverse=True)
    return rows[:limit]


async def _status(context: ServiceContext, row: JobRow) -> JobStatus:
    try:
        return await context.owner.service.status(row.id)
    except UnknownJob:  # made room for newer ones since the row was read
        return JobStatus(row.id, row.repository, row.state, row.reason, None, row)


def _file(row: OutcomeRow) -> FileOutcome:
    shown = display(row.path)
    exact = {} if shown.encode() == row.path else {"path_b64": path_b64(row.path)}
    return FileOutcome(path=shown, **exact, outcome=row.outcome, reason=row.reason, detail=row.detail)


def _cursor(after: str) -> bytes:
    """Return the path behind which a page begins; raises ``BadRequest`` for what no page gave."""
    try:
        return base64.b64decode(after.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise BadRequest("'after' is not what a page gave as 'next'; leave it out to begin") from error


def _cursor_at(path: bytes) -> str:
    return base64.urlsafe_b64encode(path).decode("ascii")
