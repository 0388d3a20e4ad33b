"""The layer around every HTTP edge: ids, log lines and counts, and what must never be among them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse, StreamingResponse
from structlog.testing import capture_logs

from indexing.access import LOCAL, Principal
from indexing.http.request_log import CLIENT_CLOSED, UNMATCHED, RequestLog
from indexing.http.request_meter import BOUNDS, RequestKind, RequestMeter

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

SECRET = "codetrove_" + "s3cr" * 11


def application() -> FastAPI:
    """A few routes, with a guard of the simplest kind before them."""
    app = FastAPI()

    @app.get("/jobs/{job_id}")
    async def job(job_id: str) -> dict[str, str]:
        return {"id": job_id}

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @app.get("/breaks")
    async def breaks() -> None:
        raise RuntimeError(SECRET)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one"
            raise RuntimeError("in the middle")

        return StreamingResponse(parts())

    inner = FastAPI()
    inner.add_api_route("/{name}", lambda name: {"name": name})
    app.mount("/static", inner)
    return app


def guarded(app: FastAPI) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["principal"] = Principal("ada", frozenset({"read"}))
        await app(scope, receive, send)

    return call


@pytest.fixture
def meter() -> RequestMeter:
    """Counts of one test."""
    return RequestMeter()


@pytest.fixture
async def client(meter: RequestMeter) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application behind the log."""
    transport = httpx2.ASGITransport(app=RequestLog(guarded(application()), meter), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
        yield client


async def test_each_answer_has_an_id_of_its_own_that_its_log_line_has_too(client: httpx2.AsyncClient) -> None:
    with capture_logs(processors=[_with_bound_ids]) as logs:
        answers = [await client.get(path) for path in ("/jobs/7", "/jobs/7", "/nowhere", "/breaks")]
    ids = [answer.headers["x-correlation-id"] for answer in answers]
    assert len(set(ids)) == 4
    assert [line["request_id"] for line in logs if line["event"] == "request.done"] == ids


async def test_the_line_says_who_asked_for_what_and_how_it_went(client: httpx2.AsyncClient) -> None:
    with capture_logs() as logs:
        answer = await client.get("/jobs/7?token=x")
    (line,) = logs
    assert line.pop("ms") >= 0
    assert line == {
        "event": "request.done",
        "log_level": "info",
        "method": "GET",
        "path": "/jobs/7",
        "route": "/jobs/{job_id}",
        "status": 200,
        "principal": "ada",
        "bytes": len(answer.content),
    }


async def test_f076_nothing_secret_of_a_request_is_logged(client: httpx2.AsyncClient) -> None:
    headers = {"authorization": f"Bearer {SECRET}", "cookie": f"codetrove_session={SECRET}", "referer": SECRET}
    with capture_logs() as logs:
        for path in ("/jobs/7", "/nowhere", "/healthz", "/static/x"):
            await client.request("POST", f"{path}?token={SECRET}&code={SECRET}", headers=headers, content=SECRET)
            await client.get(f"{path}?token={SECRET}", headers=headers)
    assert len(logs) == 8
    assert SECRET not in repr(logs)


@pytest.mark.parametrize(
    ("given", "logged"),
    [
        ("build-17.a_b", "build-17.a_b"),
        ("x" * 64, "x" * 64),
        ("x" * 65, None),
        ("a b", None),
        ("a\x1b[31m", None),
        ("", None),
        ("caf\xe9", None),
    ],
)
async def test_the_id_of_a_client_is_logged_only_where_it_is_short_and_plain(
    meter: RequestMeter, given: str, logged: str | None
) -> None:
    with capture_logs() as logs:
        sent = await called(
            RequestLog(guarded(application()), meter), "/jobs/7", [(b"x-request-id", given.encode("latin-1"))]
        )
    assert logs[0].get("client_request_id") == logged
    # It never becomes ours: two clients may give the same.
    assert dict(sent[0]["headers"])[b"x-correlation-id"] != given.encode("latin-1")


async def test_probes_and_static_files_are_quiet_while_they_are_well(client: httpx2.AsyncClient) -> None:
    with capture_logs() as logs:
        for path in ("/healthz", "/static/app.js", "/jobs/7", "/static/a/b"):
            await client.get(path)
    levels = {line["path"]: line["log_level"] for line in logs}
    assert levels == {"/healthz": "debug", "/static/app.js": "debug", "/jobs/7": "info", "/static/a/b": "info"}


@pytest.mark.parametrize(("path", "level"), [("/jobs/7", "debug"), ("/nowhere", "info")])
async def test_requests_of_the_command_line_are_quiet_while_they_are_well(
    meter: RequestMeter, path: str, level: str
) -> None:
    async def trusted(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["principal"] = LOCAL
        await application()(scope, receive, send)

    with capture_logs() as logs:
        await called(RequestLog(trusted, meter), path)
    assert [line["log_level"] for line in logs] == [level]


async def test_requests_are_counted_by_few_names_whatever_is_asked_for(
    client: httpx2.AsyncClient, meter: RequestMeter
) -> None:
    for number in range(5):
        await client.get(f"/jobs/{number}")
        await client.get(f"/nowhere/{number}")
        await client.get(f"/static/{number}")
        await client.request(f"BREW{number}", "/jobs/1")
    assert meter.requests == {
        RequestKind("GET", "/jobs/{job_id}", 200): 5,
        RequestKind("GET", UNMATCHED, 404): 5,
        RequestKind("GET", "/static/**", 200): 5,
        RequestKind("other", "/jobs/{job_id}", 405): 5,
    }
    latency = meter.latencies["GET", "/jobs/{job_id}"]
    assert sum(latency.buckets) == 5
    assert len(latency.buckets) == len(BOUNDS) + 1
    assert latency.seconds > 0
    assert meter.in_progress == 0


async def test_a_failure_is_answered_without_a_word_of_why(client: httpx2.AsyncClient, meter: RequestMeter) -> None:
    with capture_logs() as logs:
        answer = await client.get("/breaks")
    assert answer.status_code == 500
    assert "s3cr" not in answer.text
    if answer.headers["content-type"] == "application/problem+json":
        assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"]
    failed, done = logs
    assert (failed["event"], failed["log_level"]) == ("request.failed", "error")
    assert failed["exc_info"]
    assert done["status"] == 500
    assert meter.requests == {RequestKind("GET", "/breaks", 500): 1}


async def test_an_application_that_dies_before_its_answer_gets_one_from_here(meter: RequestMeter) -> None:
    async def dies(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError(SECRET)

    with capture_logs() as logs:
        sent = await called(RequestLog(dies, meter), "/")
    assert [line["event"] for line in logs] == ["request.failed", "request.done"]
    assert sent[0]["status"] == 500
    assert (b"content-type", b"application/problem+json") in sent[0]["headers"]
    assert SECRET.encode() not in sent[1]["body"]


async def test_an_answer_that_breaks_off_is_not_passed_off_as_whole(meter: RequestMeter) -> None:
    with capture_logs() as logs, pytest.raises(Exception, match="in the middle"):
        await called(RequestLog(guarded(application()), meter), "/stream")
    assert [line["event"] for line in logs] == ["request.broken_off", "request.done"]
    assert meter.in_progress == 0


async def test_a_client_that_leaves_before_its_answer_is_counted_as_such(meter: RequestMeter) -> None:
    started = asyncio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(called(RequestLog(waits, meter), "/jobs/1"))
    await started.wait()
    assert meter.in_progress == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert meter.in_progress == 0
    assert [kind.status for kind in meter.requests] == [CLIENT_CLOSED]


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_what_is_no_request_passes_through_untouched(meter: RequestMeter, kind: str) -> None:
    seen: list[Scope] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    scope: Scope = {"type": kind}
    await RequestLog(inner, meter)(scope, _nothing, _nowhere)
    assert seen[0] is scope
    assert scope == {"type": kind}
    assert not meter.requests


async def test_the_state_that_a_server_shares_between_requests_is_not_written_to(meter: RequestMeter) -> None:
    shared: dict[str, Any] = {"of": "the lifespan"}
    seen: list[dict[str, Any]] = []

    async def looks(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"])

    for _ in range(2):
        await called(RequestLog(looks, meter), "/jobs/1", state=shared)
    assert shared == {"of": "the lifespan"}
    assert [state["of"] for state in seen] == ["the lifespan", "the lifespan"]
    assert seen[0]["correlation_id"] != seen[1]["correlation_id"]


async def called(
    app: Callable[[Scope, Receive, Send], Awaitable[None]],
    path: str,
    headers: list[tuple[bytes, bytes]] | None = None,
    state: dict[str, Any] | None = None,
) -> list[Message]:
    """Call an application as a server does; returns what it sent."""
    sent: list[Message] = []
    body = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        return next(body, None) or await _nothing()

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers or [],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "state": {} if state is None else state,
    }  # fmt: skip
    await app(scope, receive, send)
    return sent


async def _nothing() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def _nowhere(_: Message) -> None:
    return None


def _with_bound_ids(logger: object, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    import structlog

    return dict(structlog.contextvars.merge_contextvars(logger, method, event))
