"""Every error is a problem with a correlation id; none tells what is ours."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from indexing.http.app import create_app
from indexing.http.context import ServiceContext
from indexing.http.strict_json import StrictRoute, strict_loads
from indexing.live_job import ServiceClosed
from storage import CatalogBusy, DiskFull, StorageError, TextIndexError
from tests.indexing.http.conftest import ADMIN, INDEXER, ClientFor

JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"


BROKEN = (
    b"{",
    b"",
    b"nul",
    b'{"root": "/x",}',
    b'{"root": "/x", "root": "/y"}',
    b'{"root": "\\ud800"}',
    b'{"\\ud800": 1}',
    b'{"root": "/x", "paths": ["\\udfff"]}',
    b'{"root": NaN}',
    b'{"root": 1e999}',
    b'{"root": ' + b"9" * 5000 + b"}",
    b'{"root": -' + b"9" * 31 + b"}",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"root": "\xff\xfe"}',
    b"\xef\xbb\xbf{}",
    b'{"root": "/\xed\xa0\x80"}',
)


async def test_f082_broken_deep_huge_doubled_and_lone_is_422_and_never_500(client_for: ClientFor) -> None:
    for body in BROKEN:
        for path in ("/index", "/search", "/repositories", "/sync"):
            answer = await client_for(ADMIN).post(path, content=body, headers=JSON)
            assert answer.status_code == 422, (path, body[:40], answer.text)
            assert answer.headers["content-type"] == PROBLEM
            assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"]
            answer.text.encode()


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**29), 10**29)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(_VALUES)
@example("\U0001f600")
@example({"": []})
def test_what_is_json_is_read_as_it_was_written(value: object) -> None:
    assert strict_loads(json.dumps(value).encode()) == value
    assert strict_loads(json.dumps(value, ensure_ascii=False).encode()) == value


@settings(max_examples=50)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ud8019e+-', max_size=40).map(str.encode))
def test_f082_whatever_is_sent_is_read_or_refused(body: bytes) -> None:
    try:
        value = strict_loads(body)
    except json.JSONDecodeError:
        return
    json.dumps(value, ensure_ascii=False).encode()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=_VALUES)
async def test_f082_no_value_makes_a_route_fail(client_for: ClientFor, body: object) -> None:
    for method, path in (("POST", "/index"), ("PATCH", "/flags"), ("POST", "/repositories")):
        answer = await client_for(INDEXER).request(method, path, json=body)
        assert 400 <= answer.status_code < 500


SECRET = "/home/somebody/secret"


OURS = (
    (CatalogBusy(SECRET), 503, "busy"),
    (DiskFull(SECRET), 503, "disk-full"),
    (TextIndexError(SECRET), 503, "text-index"),
    (StorageError(SECRET), 503, "storage"),
    (ServiceClosed(SECRET), 503, "shutting-down"),
    (RuntimeError(SECRET), 500, "internal"),
    (KeyError(SECRET), 500, "internal"),
    (OSError(5, "broken", SECRET), 500, "internal"),
    (RecursionError(SECRET), 500, "internal"),
    (ExceptionGroup(SECRET, [ExceptionGroup(SECRET, [CatalogBusy(SECRET)])]), 503, "busy"),
)


async def test_f099_what_is_ours_is_told_in_fixed_words_and_logged_under_its_id(
    client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, status, name in OURS:

        async def failing(*_: Any, raised: Exception = error) -> Any:
            raise raised

        monkeypatch.setattr("indexing.http.repositories.known_repositories", failing)
        with capture_logs() as logged:
            answer = await client_for(ADMIN).get("/repositories")
        assert answer.status_code == status
        problem = answer.json()
        assert problem["type"] == f"urn:codetrove:{name}"
        assert SECRET not in answer.text
        assert "Traceback" not in answer.text
        assert answer.headers["x-correlation-id"] == problem["correlation_id"]
        assert (status == 503) == ("retry-after" in answer.headers)
        (told,) = [each for each in logged if each.get("correlation_id") == problem["correlation_id"]]
        assert told["event"] == ("request.failed" if status == 500 else "request.unavailable")
        assert (told.get("exc_info") is error) == (status == 500)


async def test_no_route_no_method_and_no_such_thing_are_problems(client_for: ClientFor) -> None:
    client = client_for(ADMIN)
    for method, path, status in [
        ("GET", "/no/such", 404),
        ("PUT", "/jobs", 405),
        ("GET", "/jobs/", 404),
        ("GET", "/docs", 404),
        ("GET", f"/jobs/{'0' * 32}", 404),
        ("GET", "/jobs/%00", 422),
        ("GET", "/jobs?limit=1e3", 422),
        ("DELETE", "/repositories/not-a-uuid", 422),
    ]:
        answer = await client.request(method, path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == PROBLEM
        assert set(answer.json()) >= {"type", "title", "status", "detail", "correlation_id"}
    assert "GET" in (await client.put("/jobs")).headers["allow"]


async def test_the_openapi_document_is_complete_and_takes_a_token(client_for: ClientFor, app: Any) -> None:
    assert (await client_for(None).get("/openapi.json")).status_code == 401
    document = (await client_for(ADMIN).get("/openapi.json")).json()
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert {path for path, _, _ in operations} >= {
        "/index", "/jobs", "/jobs/{job_id}", "/jobs/{job_id}/files", "/jobs/{job_id}/events",
        "/jobs/{job_id}/pause",
        "/jobs/{job_id}/resume", "/jobs/{job_id}/cancel", "/repositories", "/repositories/{uuid}", "/search",
        "/symbols", "/similar", "/repositories/{uuid}/text", "/flags", "/sync", "/status", "/metrics", "/healthz",
        "/readyz",
    }  # fmt: skip
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)
    for path, method, operation in operations:
        assert operation["tags"], (path, method)
        assert operation["summary"]
        assert PROBLEM in operation["responses"]["422"]["content"], path
        assert PROBLEM in operation["responses"]["401"]["content"]
        assert any(status.startswith("2") for status in operation["responses"])
        if path not in {"/healthz", "/readyz"}:
            assert "security" not in operation
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert document["security"] == [{"token": []}, {"session": []}]


async def test_a_route_that_forgets_to_ask_who_calls_or_reads_loosely_stops_the_start(
    context: ServiceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastapi import APIRouter

    from indexing.http import sync
    from indexing.http.security import needs

    open_to_all, loose = APIRouter(route_class=StrictRoute), APIRouter()

    @open_to_all.get("/open")
    async def everything() -> None: ...

    @loose.post("/loose", dependencies=[needs("admin")])
    async def anything(body: dict[str, int]) -> None: ...

    for router, words in ((open_to_all, "do not ask who calls"), (loose, "read JSON loosely")):
        monkeypatch.setattr(sync, "router", router)
        with pytest.raises(RuntimeError, match=words):
            await asyncio.to_thread(create_app, context)
