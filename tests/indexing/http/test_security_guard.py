"""Who gets through the guard, and what every answer carries."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from indexing.http.security import scopes_of, unguarded_routes
from indexing.tokens import LOOK_SECONDS, create_token, revoke_token
from tests.indexing.http.guarded import BASE, REPOSITORY, call, edge, http_scope

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def test_a_token_lets_its_holder_through_and_says_who_it_is(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        assert (await made.get()).json() == "all"
        assert (await made.client.get("/who", headers={"authorization": f"bearer   {made.token}"})).json() == "all"


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer {}x", "Bearer x{}", "Bearer {} {}", "Token {}", "\x80"],
)
async def test_f076_anything_else_is_refused_before_the_application(data_dir: Path, authorization: str | None) -> None:
    async with edge(data_dir) as made:
        given = {} if authorization is None else {b"authorization": authorization.format(made.token, "x").encode()}
        for method, path in (("GET", "/who"), ("POST", "/change"), ("GET", "/openapi.json"), ("GET", "/no/such")):
            answer = await made.client.request(method, path, headers=given)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert problem["status"] == 401
            assert problem["correlation_id"] == answer.headers["x-correlation-id"]
            assert set(problem) == {"type", "title", "status", "detail", "correlation_id"}
            assert made.token not in answer.text
        assert made.reached == []


async def test_f076_two_tokens_in_one_request_are_refused(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        twice = [("authorization", f"Bearer {made.token}")] * 2
        assert (await made.client.get("/who", headers=twice)).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/static/app.js", "/"])
async def test_public_paths_need_no_token_and_only_for_reading(data_dir: Path, path: str) -> None:
    async with edge(data_dir) as made:
        assert (await made.client.get(path)).status_code == 200
        assert (await made.client.post(path)).status_code == 401
        assert (await made.client.delete(path)).status_code == 401


@pytest.mark.parametrize(
    "path", ["/static", "/staticx", "/healthz/x", "/readyzz", "/sign-in/x", "/jobs", "/mcp", "/metrics"]
)
async def test_f076_what_only_looks_public_is_not(data_dir: Path, path: str) -> None:
    async with edge(data_dir) as made:
        assert (await made.client.get(path)).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/static/%2e%2e/who",
        "/static/..%2fwho",
        "/static/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/static/x%00.js",
        "/static//app.js",
        "//who",
        "/static/..%5cwho",
        "/who%0d%0aX-Evil:%201",
    ],
)
@pytest.mark.parametrize("trusted", [False, True])
async def test_f075_a_path_that_leads_elsewhere_is_refused(data_dir: Path, path: str, *, trusted: bool) -> None:
    async with edge(data_dir, trusted=trusted) as made:
        answer = await made.client.get(f"{BASE}{path}", headers=made.bearer)
        assert answer.status_code == 400
        assert made.reached == []


@pytest.mark.parametrize("name", ["token", "access_token", "API_KEY", "authorization", "%74oken", "auth"])
async def test_f076_a_token_in_the_query_is_refused_even_with_a_good_header(data_dir: Path, name: str) -> None:
    async with edge(data_dir) as made:
        for value in (made.token, "of-another-shape", ""):
            for path in ("/who", "/healthz", "/"):
                answer = await made.client.get(f"{path}?q=x&{name}={value}", headers=made.bearer)
                assert answer.status_code == 401
                assert made.token not in answer.text
        assert made.reached == []


async def test_f076_a_token_anywhere_in_the_url_is_refused_and_a_search_for_the_word_is_not(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        for path in (f"/who?q={made.token}", f"/who?{made.token}", f"/who/{made.token}", f"/who?q=%63{made.token[1:]}"):
            assert (await made.get(path)).status_code == 401, path
        for path in ("/who?q=token", "/who?q=codetrove_index", "/who?tokens=1"):
            assert (await made.get(path)).status_code == 200, path


async def test_f078_another_host_name_is_misdirected(data_dir: Path) -> None:
    async with edge(data_dir, allowed_hosts=("trove.example",)) as made:
        for host in ("evil.example", "evil.example:7878", "127.0.0.1.nip.io", ""):
            for path in ("/who", "/healthz", "/", f"/sign-in?code={made.sessions.new_code(made.token_id)}"):
                assert (await made.get(path, host=host)).status_code == 421, (host, path)
        assert made.reached == []
        for host in ("localhost:7878", "trove.example"):
            assert (await made.get(host=host)).status_code == 200


@pytest.mark.parametrize("hosts", [[], [b"127.0.0.1", b"evil.example"], [b"127.0.0.1", b"127.0.0.1"]])
async def test_f078_no_host_or_two_are_misdirected(data_dir: Path, hosts: list[bytes]) -> None:
    async with edge(data_dir) as made:
        scope = http_scope("/healthz", "GET")
        scope["headers"] = [(b"host", host) for host in hosts]
        sent = await call(made.guard, scope, _no_body)
        assert sent[0]["status"] == 421


async def test_f078_a_page_of_another_origin_is_refused_with_a_good_token_too(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        for headers in (
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:3000"},
            {"sec_fetch_site": "cross-site"},
            {"sec_fetch_site": "same-site"},
        ):
            assert (await made.get(**headers)).status_code == 403
            assert (await made.post(**headers)).status_code == 403
        assert made.reached == []
        assert (await made.post(origin=BASE)).status_code == 200


async def test_f079_no_answer_opens_anything_to_another_origin(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        preflight = await made.client.options("/change", headers={"origin": "http://evil.example"} | asked)
        own = await made.client.options("/change", headers={"origin": BASE} | asked)
        reflecting = await made.get("/reflecting", origin=BASE)
        assert (preflight.status_code, own.status_code, reflecting.status_code) == (403, 401, 200)
        for answer in (preflight, own, reflecting):
            assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_every_answer_carries_the_security_headers(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        answers = [
            await made.get(),
            await made.get("/reflecting"),
            await made.get("/no/such"),
            await made.client.get("/who"),
            await made.client.get("/"),
            await made.get(host="evil.example"),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 404, 401, 200, 421]
        for answer in answers:
            assert answer.headers["content-security-policy"] == CSP
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["x-correlation-id"]
        kept = [answer.headers.get_list("cache-control") for answer in answers]
        assert kept == [["no-store"], ["no-store"], ["no-store"], ["no-store"], ["no-cache"], ["no-store"]]
        assert len({answer.headers["x-correlation-id"] for answer in answers}) == len(answers)


async def test_scopes_and_repositories_are_asked_for_by_the_routes(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        reader = (await asyncio.to_thread(create_token, data_dir, "reader", "read"))[1]
        limited = (await asyncio.to_thread(create_token, data_dir, "limited", "admin", [REPOSITORY]))[1]
        expected = {"/change": {reader: 403, limited: 200}, "/everywhere": {reader: 200, limited: 403}}
        for path, by_token in expected.items():
            for token, status in by_token.items():
                answer = await made.client.post(path, headers={"authorization": f"Bearer {token}"})
                assert answer.status_code == status, path


async def test_a_token_made_or_revoked_beside_the_service_counts(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        assert (await made.get()).status_code == 200
        record, token = await asyncio.to_thread(create_token, data_dir, "late", "read")
        late = {"authorization": f"Bearer {token}"}
        assert (await made.client.get("/who", headers=late)).json() == "late"
        await asyncio.to_thread(revoke_token, data_dir, record.id)
        made.clock.now += LOOK_SECONDS
        assert (await made.client.get("/who", headers=late)).status_code == 401
        assert (await made.get()).status_code == 200


async def test_whoever_came_over_the_control_socket_is_the_local_user(data_dir: Path) -> None:
    async with edge(data_dir, trusted=True) as made:
        answer = await made.client.get("/who", headers={"host": "codetrove", "authorization": "Bearer wrong"})
        assert (answer.status_code, answer.json()) == (200, "local")
        plain = {"content-type": "text/plain"}
        assert (await made.client.post("/echo", content=b"x", headers=plain)).status_code == 415, "limits hold"


async def test_a_route_that_asks_nothing_of_its_caller_is_found(data_dir: Path) -> None:
    from fastapi import APIRouter, FastAPI
    from starlette.applications import Starlette

    from indexing.http.security import needs

    inner, outer, app = APIRouter(), APIRouter(), FastAPI(docs_url=None, redoc_url=None)

    async def endpoint() -> str:
        return "x"

    inner.add_api_route("/forgotten", endpoint)
    inner.add_api_route("/guarded", endpoint, dependencies=[needs("index")])
    outer.include_router(inner, prefix="/inner")
    app.include_router(outer)
    app.include_router(inner, prefix="/all", dependencies=[needs("admin")])
    app.mount("/static/other", Starlette())
    app.add_api_route("/healthz", endpoint)
    assert sorted(unguarded_routes(app)) == ["/inner/forgotten", "/openapi.json", "/static/other"]
    found = {(method, path): scope for method, path, scope in scopes_of(app)}
    assert found["GET", "/inner/guarded"] == "index"
    assert found["GET", "/all/forgotten"] == "admin"
    assert found["GET", "/inner/forgotten"] is None


async def test_a_websocket_is_closed_before_it_opens(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        scope = http_scope("/mcp", "GET")
        scope["type"] = "websocket"
        sent = await call(made.guard, scope, _no_body)
        assert [message["type"] for message in sent] == ["websocket.close"]
        assert made.reached == []


async def _no_body() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}
