"""Puts the HTTP application together: every router, the handlers of errors, and the layers around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.exceptions import HTTPException

from indexing.http import events, flags_route, jobs, probes, prometheus, repositories, search, status_route, sync
from indexing.http.description import PROBLEMS, TAGS, describe, operation_id
from indexing.http.problems import LastResort, on_http_exception, on_refused_request
from indexing.http.request_log import RequestLog
from indexing.http.security import Guard, needs, unguarded_routes
from indexing.http.static import mount_page
from indexing.http.strict_json import StrictRoute
from indexing.mcp.mounted import mount_mcp

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from indexing.http.context import ServiceContext


def create_app(context: ServiceContext) -> FastAPI:
    """Return the application over ``context``.

    Raises ``RuntimeError`` for a route that forgot to ask who calls, or that reads its body loosely.
    """
    app = FastAPI(
        title="codetrove",
        summary="Indexes source trees, keeps the index fresh, and answers searches.",
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        openapi_tags=TAGS,
        responses=PROBLEMS,
        generate_unique_id_function=operation_id,
        redirect_slashes=False,
        # Logs and metrics are our own.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.context = context
    for module in (search, jobs, events, repositories, sync, flags_route, status_route, probes, prometheus):
        app.include_router(module.router)
    app.include_router(_openapi_route(app))
    mount_mcp(app, context)
    mount_page(app)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_refused_request)
    app.add_middleware(LastResort)
    _check(app)
    return app


def secured(app: ASGIApp, context: ServiceContext, *, trusted: bool) -> ASGIApp:
    """Return ``app`` behind the guard and the request log; ``trusted`` for the control socket."""
    guard = Guard(
        app,
        settings=context.owner.settings.service,
        tokens=context.tokens,
        sessions=context.sessions,
        trusted=trusted,
    )
    return RequestLog(guard)


def _openapi_route(app: FastAPI) -> APIRouter:
    router = APIRouter()

    @router.get("/openapi.json", include_in_schema=False, dependencies=[needs("read")])
    async def openapi() -> JSONResponse:
        """Describe every route."""
        return JSONResponse(describe(app))

    return router


def _check(app: FastAPI) -> None:
    forgotten = unguarded_routes(app)
    if forgotten:
        raise RuntimeError(f"routes {sorted(forgotten)} do not ask who calls; have each depend on needs(scope)")
    originals = [context.original_route for context in iter_route_contexts(app.routes)]
    loose = [
        route.path
        for route in originals
        if isinstance(route, APIRoute) and route.body_field is not None and not isinstance(route, StrictRoute)
    ]
    if loose:
        raise RuntimeError(f"routes {loose} read JSON loosely; make them with APIRouter(route_class=StrictRoute)")
