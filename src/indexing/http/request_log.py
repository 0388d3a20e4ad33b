"""The outermost layer of every HTTP edge: a correlation id for each answer, a log line and a count for each request.

What is never logged: the query string, ``Authorization``, cookies, any other header but a plain ``X-Request-Id``, and
bodies.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import structlog

from indexing.http.request_meter import PROCESS_METER, RequestKind, RequestMeter

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from indexing.access import Principal

log = structlog.get_logger(__name__)

CORRELATION_HEADER: Final = b"x-correlation-id"
UNMATCHED: Final = "unmatched"
"""Stands for the path of whatever no route was found for: paths are for the asker to make up."""
CLIENT_CLOSED: Final = 499
"""Status in log and counts of a request whose client left before an answer began (as nginx has it)."""
_QUIET_ROUTES: Final = ("/healthz", "/readyz", "/static/")
_ROUTES_OF_THE_GUARD: Final = frozenset({"/sign-in"})
"""Answered before there is a router."""
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(slots=True)
class _Exchange:
    """One request and what has been sent of its answer."""

    correlation_id: str
    began: float = field(default_factory=perf_counter)
    status: int = 0
    """0 before the answer begins"""
    first_seconds: float = 0.0
    sent_bytes: int = 0
    is_complete: bool = False


class RequestLog:
    """ASGI middleware around everything else; websockets and the lifespan pass through untouched."""

    def __init__(self, app: ASGIApp, meter: RequestMeter | None = None) -> None:
        """Wrap ``app``; requests are counted in ``meter``, by default the one of the process."""
        self._app = app
        self._meter = PROCESS_METER if meter is None else meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the wrapped application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(uuid4().hex)
        # Not the dictionary of the server's own: it may be one for all requests.
        scope["state"] = {
            **scope.get("state", {}),
            "correlation_id": exchange.correlation_id,
            "request_meter": self._meter,
        }
        self._meter.in_progress += 1
        try:
            with structlog.contextvars.bound_contextvars(request_id=exchange.correlation_id):
                try:
                    await self._answer(scope, receive, send, exchange)
                finally:
                    self._tell(scope, exchange)
        finally:
            self._meter.in_progress -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send, exchange: _Exchange) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                exchange.first_seconds = perf_counter() - exchange.began
                headers = [pair for pair in message.get("headers", ()) if pair[0].lower() != CORRELATION_HEADER]
                message["headers"] = [*headers, (CORRELATION_HEADER, exchange.correlation_id.encode())]
            elif message["type"] == "http.response.body":
                exchange.sent_bytes += len(message.get("body", b""))
                exchange.is_complete = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except Exception as error:
            if exchange.status and not exchange.is_complete:
                log.warning("request.broken_off", method=scope["method"], path=scope["path"], error=repr(error))
                # The server has to break the connection: the client must not take the part for the whole.
                raise
            log.exception("request.failed", method=scope["method"], path=scope["path"])
            if not exchange.status:
                await _send_problem(send_on, exchange.correlation_id)

    def _tell(self, scope: Scope, exchange: _Exchange) -> None:
        seconds = perf_counter() - exchange.began
        route = route_of(scope)
        status = exchange.status or CLIENT_CLOSED
        kind = RequestKind(scope["method"], route, status)
        self._meter.count(kind, exchange.first_seconds if exchange.status else seconds, exchange.sent_bytes)
        principal: Principal | None = scope["state"].get("principal")
        # Those of the command line would come between the progress bars of a `codetrove index` that it asks.
        is_ours = principal is not None and principal.is_local
        is_quiet = status < 400 and (is_ours or route.startswith(_QUIET_ROUTES))
        values: dict[str, Any] = {} if (given := _given_id(scope)) is None else {"client_request_id": given}
        log.log(
            logging.DEBUG if is_quiet else logging.INFO,
            "request.done",
            method=scope["method"],
            path=scope["path"],
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            principal=None if principal is None else principal.name,
            bytes=exchange.sent_bytes,
            **values,
        )


def route_of(scope: Scope) -> str:
    """Return the template of the route that took a request: one of few, whatever was asked for."""
    outer = scope.get("app_root_path")
    if outer is not None and scope["root_path"] != outer:
        # A mounted application: its own routes are its own affair.
        return f"{scope['root_path'].removeprefix(outer)}/**"
    template = getattr(scope.get("route"), "path", None)
    if template:
        return str(template)
    return str(scope["path"]) if scope["path"] in _ROUTES_OF_THE_GUARD else UNMATCHED


def _given_id(scope: Scope) -> str | None:
    """Return the id that the client gave the request, where it is short and plain."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if _PLAIN_ID.fullmatch(text) else None
    return None


async def _send_problem(send: Send, correlation_id: str) -> None:
    """Answer for an application that failed without a word; says nothing of why (RFC 9457)."""
    problem = {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "the service failed to answer; its log says why under the correlation id",
        "correlation_id": correlation_id,
    }
    body = json.dumps(problem).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
