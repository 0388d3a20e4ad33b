"""Answers of the guard itself: problems of RFC 9457, as the routes give them, and the headers of every answer."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from uuid import uuid4

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

SECURITY_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""On every answer; the application may set its own value, which is then a stricter one."""

CHALLENGE: Final = (b"www-authenticate", b'Bearer realm="codetrove"')
_CORRELATION: Final = b"x-correlation-id"
_LINGER_SECONDS: Final = 1.0
_LINGER_BYTES: Final = 16 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Refused(Exception):
    """A request that does not get as far as the application."""

    status: int
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    has_unread_body: bool = False

    @classmethod
    def until(cls, seconds: float, detail: str) -> Refused:
        """Too many: come back after so many seconds."""
        return cls(429, detail, ((b"retry-after", str(max(1, math.ceil(seconds))).encode()),))


async def send_refusal(refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a problem; what is still coming of the request is not kept.

    A connection that is closed over unread bytes is reset, and the client may never see why: a moment is given to it.
    """
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": refused.detail,
        "correlation_id": correlation_of(scope),
    }
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        *refused.headers,
    ]
    if refused.has_unread_body:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    if not refused.has_unread_body:
        await send({"type": "http.response.body", "body": body})
        return
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await _linger(receive)
    await send({"type": "http.response.body", "body": b""})


async def send_empty(status: int, headers: tuple[tuple[bytes, bytes], ...], send: Send) -> None:
    """Answer without a body."""
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def with_security_headers(scope: Scope, send: Send, *, may_be_kept: bool) -> Send:
    """Return a ``send`` that adds the headers of every answer, and lets none through that opens it to other origins."""

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = [pair for pair in message.get("headers", ()) if not pair[0].lower().startswith(b"access-control-")]
            if not may_be_kept:
                given = [pair for pair in given if pair[0].lower() != b"cache-control"]
                given.append((b"cache-control", b"no-store"))
            names = {name.lower() for name, _ in given}
            if _CORRELATION not in names:
                given.append((_CORRELATION, correlation_of(scope).encode()))
            message = {**message, "headers": given + [pair for pair in SECURITY_HEADERS if pair[0] not in names]}
        await send(message)

    return send_on


def correlation_of(scope: Scope) -> str:
    """Return the correlation id of a request; the log gave it one, unless it is not there."""
    identifier: str = scope["state"].setdefault("correlation_id", uuid4().hex)
    return identifier


async def _linger(receive: Receive) -> None:
    """Throw away what still comes, for a moment."""
    left = _LINGER_BYTES
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return
