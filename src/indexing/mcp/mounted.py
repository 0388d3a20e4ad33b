"""The tools over streamable HTTP, at ``POST /mcp`` of the service, for whoever the guard let in.

The SDK is loaded at the first request: it takes most of a second, and most daemons are never asked. What runs from
then on ends with the app's lifespan, which whoever serves the app has to run (``app.router.lifespan_context``).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import structlog
from starlette.responses import Response

from indexing.access import Principal
from indexing.http.problems import problem_of
from indexing.http.security import needs
from indexing.mcp.caller import Caller
from indexing.mcp.errors import ToolFailed
from storage import UnknownRepository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from fastapi import FastAPI
    from mcp.server import ServerRequestContext
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.requests import Request as HttpRequest
    from starlette.types import Receive, Scope, Send

    from indexing.http.context import ServiceContext

PATH: Final = "/mcp"
_log = structlog.get_logger("indexing.mcp")


def mount_mcp(app: FastAPI, context: ServiceContext) -> None:
    """Add the endpoint to the app, and its end to the app's lifespan."""
    endpoint = McpEndpoint(context)
    # GET and DELETE are for sessions, which there are none of. It is no REST, so OpenAPI does not tell of it.
    app.add_api_route(PATH, endpoint.answer, methods=["POST"], include_in_schema=False, response_model=None)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(of: Any) -> AsyncIterator[Any]:
        async with inner(of) as state:
            try:
                yield state
            finally:
                await endpoint.aclose()

    app.router.lifespan_context = lifespan


class McpEndpoint:
    """Stateless, with JSON answers only, so that nothing is kept between two requests.

    Host, Origin, token and size are checked by the guard before a request gets here; the SDK's own check of Host and
    Origin is off, as its list of hosts knows nothing of the settings.
    """

    def __init__(self, context: ServiceContext) -> None:
        """Answer from the service's context."""
        self.max_body_bytes = context.owner.settings.service.max_body_bytes
        self._context = context
        self._starting: asyncio.Future[StreamableHTTPSessionManager] | None = None
        self._runner: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def answer(self, _: Annotated[Principal, needs("read")]) -> Response:
        """Answer one JSON-RPC message."""
        return _HandedOn(await self._manager())

    async def aclose(self) -> None:
        """End what runs."""
        self._closing.set()
        if self._runner is not None:
            await self._runner

    def caller_of(self, principal: Principal) -> Caller:
        """Return a principal as the tools know it."""
        return Caller(
            principal,
            self._context.queries,
            self._index if principal.may("index") else None,
        )

    async def _manager(self) -> StreamableHTTPSessionManager:
        if self._starting is None or (self._starting.done() and self._starting.exception() is not None):
            self._starting = asyncio.get_running_loop().create_future()
            self._runner = asyncio.create_task(self._run(self._starting), name="mcp")
        return await asyncio.shield(self._starting)

    async def _run(self, started: asyncio.Future[StreamableHTTPSessionManager]) -> None:
        """Hold the SDK's task group, which the task that entered it must leave."""
        try:
            manager = await asyncio.to_thread(_manager_for, self)
            async with manager.run():
                started.set_result(manager)
                await self._closing.wait()
        except Exception as error:  # noqa: BLE001 - task boundary: handed to the one who waits
            if started.done():
                _log.exception("mcp.closing_failed")
            else:
                started.set_exception(error)

    async def _index(self, principal: Principal, uuid: str, paths: Sequence[str]) -> dict[str, Any]:
        owner = self._context.owner
        known = await owner.reader.repositories()
        repository = next((each for each in known if each.uuid == uuid and principal.sees(uuid)), None)
        if repository is None:
            raise UnknownRepository(f"no repository {uuid!r} is indexed")
        wanted = tuple(path.encode("utf-8", "replace") for path in paths) or None
        try:
            job_id = await owner.service.submit(repository, wanted, origin="request")
        except ValueError as error:
            raise ToolFailed(str(error)) from error
        status = await owner.service.status(job_id)
        return {"id": job_id, "repository": uuid, "state": status.state, "reason": status.reason}


class _HandedOn(Response):
    """What the SDK answers: it reads the request and writes the response itself."""

    def __init__(self, manager: StreamableHTTPSessionManager) -> None:
        super().__init__()
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._manager.handle_request(scope, receive, send)


def told(error: BaseException) -> str | None:
    """Return what a remote caller may know of an error: what is ours is told in fixed words, without paths."""
    if isinstance(error, ToolFailed):
        return str(error)
    problem = problem_of(error)
    return None if problem is None else problem.detail


def _manager_for(endpoint: McpEndpoint) -> StreamableHTTPSessionManager:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # noqa: PLC0415 - see the module

    from indexing.mcp.server import build_server  # noqa: PLC0415 - it loads the SDK too

    def caller_of(request: ServerRequestContext[Any, Any]) -> Caller:
        # Not by a context variable: the SDK answers in a task of its own.
        asked = cast("HttpRequest", request.request)
        return endpoint.caller_of(asked.scope["state"]["principal"])

    server = build_server(caller_of, told)
    return StreamableHTTPSessionManager(
        server,
        json_response=True,
        stateless=True,
        max_request_body_size=endpoint.max_body_bytes,
    )
