"""Takes a request's body in, whole and bounded in kind, size and time, before the application is asked anything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from indexing.http.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Message, Receive


def declares_body(headers: Mapping[str, list[str]]) -> bool:
    """Whether a request says that bytes follow (RFC 9112, section 6)."""
    return "transfer-encoding" in headers or any(length.strip("0 ") for length in headers.get("content-length", []))


def check_kind(headers: Mapping[str, list[str]], most_bytes: int) -> None:
    """Refuse what is not JSON in UTF-8, what is compressed, and what says that it is too long.

    A form or ``text/plain`` is what a page of another site could send without asking; compressed bodies are bombs.
    """
    has_body = declares_body(headers)
    kinds = headers.get("content-type", [])
    if (has_body or kinds) and not (len(kinds) == 1 and _is_json(kinds[0])):
        given = ", ".join(kinds)[:100]
        raise Refused(415, f"the body's type is {given!r}, only 'application/json' is taken", (), has_body)
    for coding in headers.get("content-encoding", []):
        if coding.strip().lower() != "identity":
            raise Refused(415, f"the body is encoded as {coding[:100]!r}; send it as it is", (), has_body)
    for length in headers.get("content-length", []):
        if not (length.isascii() and length.isdigit()):
            raise Refused(400, f"Content-Length is {length[:100]!r}, a number is expected", (), has_body)
        if len(length) > len(str(most_bytes)) + 20 or int(length) > most_bytes:
            raise _too_long(most_bytes)


async def read_body(receive: Receive, most_bytes: int, seconds: float) -> bytes | None:
    """Return the body; None where the client left. Raises `Refused` for one that is too long or too slow."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most_bytes:
                    raise _too_long(most_bytes)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError as error:
        detail = f"the request had not come in whole after {seconds:g} s (service.read_seconds)"
        raise Refused(408, detail, ((b"connection", b"close"),)) from error


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives ``body`` first and then what the server's own gives."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


def _is_json(kind: str) -> bool:
    essence, _, rest = kind.partition(";")
    if essence.strip().lower() != "application/json":
        return False
    parameters = [each.strip().lower() for each in rest.split(";") if each.strip()]
    return all(each in {"charset=utf-8", 'charset="utf-8"'} for each in parameters)


def _too_long(most_bytes: int) -> Refused:
    detail = f"the body is longer than {most_bytes:,} bytes (service.max_body_bytes)"
    return Refused(413, detail, (), has_unread_body=True)
