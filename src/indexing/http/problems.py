"""Errors as ``application/problem+json`` (RFC 9457), each with the correlation id under which it is logged.

What is the caller's doing is told to the caller. What is ours is told in fixed words: no stack, path or setting leaves
the process with a 5xx.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from embeddings import EmbeddingsError
from indexing.flags import UnknownFlag
from indexing.live_job import JobOver, ServiceClosed, UnknownJob
from indexing.queries import NotIndexed
from indexing.repositories import RootNotAllowed
from indexing.search import BadRequest, NoVectorsMade, VectorSearchUnavailable
from indexing.sources import RootError
from storage import (
    CatalogBusy,
    CatalogMissing,
    DiskFull,
    KeyReused,
    NestedRepository,
    StorageError,
    TextIndexError,
    UnknownRepository,
    VectorStoreError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

PROBLEM_JSON: Final = "application/problem+json"
CORRELATION_HEADER: Final = "X-Correlation-Id"
MOST_ERRORS: Final = 20
"""Of a refused request, that are named."""
_MOST_CHARACTERS: Final = 300
_RETRY: Final = {"Retry-After": "2"}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a request, or with us."""

    status: int
    detail: str
    name: str = ""
    """of the kind of problem, for programs; the status alone says it where this is empty"""
    errors: tuple[Mapping[str, object], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


def correlation_id_of(scope: MutableMapping[str, Any]) -> str:
    """Return the id of a request, giving it one where nobody has."""
    state = scope.setdefault("state", {})
    found = state.get("correlation_id")
    if not isinstance(found, str):
        found = state["correlation_id"] = uuid4().hex
    return found


def problem_response(scope: MutableMapping[str, Any], problem: Problem) -> Response:
    """Return the answer to a request that a problem ends."""
    correlation_id = correlation_id_of(scope)
    content: dict[str, object] = {
        "type": f"urn:codetrove:{problem.name}" if problem.name else "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": _clean(problem.detail, 10 * _MOST_CHARACTERS),
        "correlation_id": correlation_id,
    }
    if problem.errors:
        content["errors"] = problem.errors
    headers = {**problem.headers, CORRELATION_HEADER: correlation_id, "Cache-Control": "no-store"}
    return Response(json.dumps(content), problem.status, headers, PROBLEM_JSON)


def problem_of(error: BaseException) -> Problem | None:
    """Return what an error means to a caller, None for a defect of ours."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, HTTPException):
        return Problem(error.status_code, str(error.detail), headers=error.headers or {})
    for kind, status, name, words in _KNOWN:
        if isinstance(error, kind):
            headers = _RETRY if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
            return Problem(status, words or str(error), name, headers=headers)
    return None


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what a route or the router refused."""
    problem = problem_of(error)
    return problem_response(request.scope, problem if problem is not None else _DEFECT)


async def on_refused_request(request: Request, error: Exception) -> Response:
    """Answer a request that is not what its route takes."""
    found: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else ()
    errors = tuple(_named(each) for each in found[:MOST_ERRORS])
    more = f", the first {MOST_ERRORS} of them are named" if len(found) > MOST_ERRORS else ""
    detail = f"the request is not what this route takes: {len(found)} errors{more}"
    return problem_response(request.scope, Problem(422, detail, "refused-request", errors))


class LastResort:
    """ASGI middleware around the routes: turns what they raise into an answer, and logs what nobody expected."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; raises what an answer that has begun cannot tell any more."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:  # task boundary: the answer to this request
            problem = problem_of(error)
            # A traceback is written with its lines of source, which are read from disk.
            await asyncio.to_thread(_note, scope, error, problem)
            if has_begun:
                raise
            await problem_response(scope, problem or _DEFECT)(scope, receive, send)


def _note(scope: Scope, error: Exception, problem: Problem | None) -> None:
    known = {"correlation_id": correlation_id_of(scope), "method": scope["method"], "error": type(error).__name__}
    if problem is None:
        log.error("request.failed", **known, exc_info=error)
    elif problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request.unavailable", **known, reason=str(error))


def _named(error: Mapping[str, Any]) -> dict[str, object]:
    """Return one error without the value that was refused: it may be huge, secret, or no text at all."""
    where = [part if isinstance(part, int) else _clean(str(part), 100) for part in error.get("loc", ())]
    message = _clean(str(error.get("msg", "")), _MOST_CHARACTERS)
    reason = error.get("ctx", {}).get("error") if error.get("type") == "json_invalid" else None
    return {"where": where, "message": f"{message}: {_clean(str(reason), 100)}" if reason else message}


def _clean(text: str, most: int) -> str:
    # A lone surrogate has no place in UTF-8, and readers of JSON trip over it.
    return text[:most].encode("utf-8", "backslashreplace").decode("utf-8")


_DEFECT: Final = Problem(500, "an error in codetrove itself; its log says more under the correlation id", "internal")

_KNOWN: Final[tuple[tuple[type[BaseException], int, str, str], ...]] = (
    (UnknownJob, 404, "unknown-job", ""),
    (JobOver, 409, "job-over", ""),
    (KeyReused, 409, "key-reused", ""),
    (ServiceClosed, 503, "shutting-down", "the service is shutting down; ask again when it is back"),
    (UnknownRepository, 404, "unknown-repository", ""),
    (NotIndexed, 404, "not-indexed", ""),
    (UnknownFlag, 422, "unknown-flag", ""),
    (BadRequest, 422, "bad-request", ""),
    (RootNotAllowed, 403, "root-not-allowed", ""),
    (RootError, 422, "root-unusable", ""),
    (NestedRepository, 409, "nested-repository", ""),
    (NoVectorsMade, 409, "no-vectors", "this index has no vectors; search in mode hybrid or text"),
    (VectorSearchUnavailable, 503, "no-vectors", "no vectors can answer now; search in mode hybrid or text"),
    (DiskFull, 503, "disk-full", "the disk of the data directory is full; nothing of the change was kept"),
    (CatalogBusy, 503, "busy", "the catalog is locked by another process; ask again in a moment"),
    (CatalogMissing, 503, "nothing-indexed", "nothing is indexed yet"),
    (TextIndexError, 503, "text-index", "the text index cannot answer now; the log says why"),
    (VectorStoreError, 503, "vector-store", "the vector store cannot answer now; the log says why"),
    (EmbeddingsError, 503, "no-model", "the model cannot answer now; the log says why"),
    (StorageError, 503, "storage", "the data directory cannot do that now; the log says why"),
)
"""(error, status, name of the problem, words instead of the error's own): of two that fit the first one counts."""
