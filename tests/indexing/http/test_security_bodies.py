"""What of a request's body is taken in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.indexing.http.guarded import call, edge, http_scope

if TYPE_CHECKING:
    from starlette.types import Message

JSON = "application/json"


async def test_json_is_taken_and_so_is_no_body_at_all(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        for kind in (JSON, "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'):
            assert (await made.post(content=b'{"a": 1}', content_type=kind)).json() == 8
        assert (await made.post(content=b"", content_type="")).json() == 0


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/json; charset=utf-16",
        "application/jsonx",
        "application/json, text/plain",
        "application/merge-patch+json",
    ],
)
async def test_f079_what_is_not_json_is_refused(data_dir: Path, kind: str) -> None:
    async with edge(data_dir) as made:
        for path in ("/echo", "/mcp"):
            answer = await made.post(path, content_type=kind)
            assert answer.status_code == 415
            assert answer.headers["content-type"] == "application/problem+json"
        if kind:
            assert (await made.post(content=b"", content_type=kind)).status_code == 415, "a simple POST without a body"
        assert made.reached == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "x"])
async def test_f081_compressed_bodies_are_refused(data_dir: Path, coding: str) -> None:
    async with edge(data_dir) as made:
        assert (await made.post(content_encoding=coding)).status_code == 415
        assert made.reached == []
        assert (await made.post(content_encoding="identity")).status_code == 200


async def test_f080_a_body_that_says_it_is_too_long_is_refused_unread(data_dir: Path) -> None:
    async with edge(data_dir, max_body_bytes=1000) as made:
        assert (await made.post(content=b" " * 1000)).json() == 1000
        answer = await made.post(content=b" " * 1001)
        assert (answer.status_code, answer.headers["connection"]) == (413, "close")
        assert "1,000 bytes (service.max_body_bytes)" in answer.json()["detail"]
        assert made.reached == ["/echo"]


@pytest.mark.parametrize("length", ["9" * 30, "9" * 5000, "1e9", "-1", "+1", "0x1", "\u0661"])
async def test_f082_a_length_that_is_no_number_or_a_huge_one_is_refused(data_dir: Path, length: str) -> None:
    async with edge(data_dir) as made:
        scope = http_scope(content_type=JSON, **made.bearer)
        scope["headers"].append((b"content-length", length.encode()))
        sent = await call(made.guard, scope, _endless())
        assert sent[0]["status"] in {400, 413}
        assert made.reached == []


async def test_f080_the_answer_to_a_body_that_says_it_is_too_long_does_not_wait_for_it(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        order: list[str] = []

        async def receive() -> Message:
            order.append("read")
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            order.append(message["type"])

        await made.guard(http_scope(content_type=JSON, content_length="1000000000", **made.bearer), receive, send)
        assert order == ["http.response.start", "http.response.body", "read", "http.response.body"]


async def test_f080_a_body_that_never_ends_is_refused_at_the_limit(data_dir: Path) -> None:
    taken, chunk = 0, b"x" * 1_000_000

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += len(chunk)
            yield chunk

    async with edge(data_dir, max_body_bytes=10_000) as made:
        answer = await made.post(content=endless())
        assert answer.status_code == 413
        assert made.reached == []
    assert taken <= 20_000_000, "what comes after the limit is thrown away, and not for ever"


async def test_f080_a_request_that_does_not_come_to_an_end_is_given_up(data_dir: Path) -> None:
    async with edge(data_dir, read_seconds=0.01) as made:
        scope = http_scope(content_type=JSON, content_length="10", **made.bearer)
        came = [{"type": "http.request", "body": b"{", "more_body": True}]

        async def stalls() -> Message:
            if came:
                return came.pop()
            return await asyncio.Future[dict[str, object]]()

        sent = await call(made.guard, scope, stalls)
        assert sent[0]["status"] == 408
        assert (b"connection", b"close") in sent[0]["headers"]
        assert made.reached == []


async def test_a_client_that_leaves_while_it_sends_is_no_request(data_dir: Path) -> None:
    async with edge(data_dir) as made:

        async def left() -> Message:
            return {"type": "http.disconnect"}

        assert await call(made.guard, http_scope(content_type=JSON, content_length="10", **made.bearer), left) == []
        assert made.reached == []


async def test_f076_nothing_is_read_of_a_body_without_a_token(data_dir: Path) -> None:
    async with edge(data_dir) as made:

        async def never() -> Message:
            raise AssertionError("the body was asked for")

        sent = await call(made.guard, http_scope(content_type=JSON, content_length="10"), never)
        assert sent[0]["status"] == 401


def _endless() -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 100_000, "more_body": True}

    return receive


if TYPE_CHECKING:
    from starlette.types import Receive
