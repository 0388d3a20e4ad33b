"""Every route of the real service, taken from its router: who gets in, and what a token for one repository sees."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from indexing.access import SCOPES
from indexing.http.security import is_public, scopes_of
from indexing.tokens import create_token
from storage import load_registry

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from indexing.access import Scope
    from tests.conftest import TreeFactory
    from tests.indexing.http.conftest import ClientFor, Indexed

NOWHERE = "00000000-0000-4000-8000-000000000000"
WORD, MARK = "porcupine", "quillfeather"
"""What the secret repository is asked for, and what stands beside it and is never asked for."""
READING = {("POST", "/search"), ("POST", "/similar"), ("POST", "/mcp")}
"""They have a body because their questions do not fit into a URL."""


def _routes(app: Any) -> list[tuple[str, str, Scope | None]]:
    found = [each for each in scopes_of(app) if each[0] != "HEAD"]
    assert len(found) > 20
    return found


def _filled(path: str, uuid: str = NOWHERE, job: str = NOWHERE) -> str:
    return path.replace("{uuid}", uuid).replace("{job_id}", job).replace("{name:path}", "x.js")


async def _ask(client: httpx2.AsyncClient, method: str, path: str, **options: Any) -> httpx2.Response:
    body = {"json": options.pop("json", {})} if method in {"POST", "PATCH"} else {}
    return await client.request(method, path, **body, **options)


async def test_f076_no_route_answers_without_a_good_token_but_the_public_ones(app: Any, client_for: ClientFor) -> None:
    for client in (client_for(None), client_for("wrong")):
        for method, path, scope in [*_routes(app), ("GET", "/docs", "read"), ("GET", "/no/such", "read")]:
            answer = await _ask(client, method, _filled(path))
            public = is_public(path)
            assert public == (scope is None), path
            assert (answer.status_code == 401) != public, (method, path)
            assert answer.status_code < 500, (method, path)
            refused = await _ask(client, method, _filled(path), params={"token": "wrong"})
            assert refused.status_code == 401, (method, path)


async def test_f078_no_route_answers_another_host_or_origin(app: Any, client_for: ClientFor, data_dir: Path) -> None:
    client = client_for((await asyncio.to_thread(create_token, data_dir, "all", "admin"))[1])
    for method, path, _ in _routes(app):
        for headers, status in (({"host": "evil.example"}, 421), ({"origin": "http://evil.example"}, 403)):
            assert (await _ask(client, method, _filled(path), headers=headers)).status_code == status, (method, path)


async def test_every_route_takes_its_scope_and_none_below_it(app: Any, client_for: ClientFor, data_dir: Path) -> None:
    clients = {
        scope: client_for((await asyncio.to_thread(create_token, data_dir, f"of-{scope}", scope))[1])
        for scope in SCOPES
    }
    for method, path, needed in _routes(app):
        if needed is None:
            continue
        for scope in SCOPES:
            answer = await _ask(clients[scope], method, _filled(path))
            is_enough = SCOPES.index(scope) >= SCOPES.index(needed)
            assert (answer.status_code != 403) == is_enough, (method, path, scope)
            assert answer.status_code != 401
            assert answer.status_code < 500, (method, path, answer.text)


def test_what_changes_something_needs_more_than_reading(app: Any) -> None:
    for method, path, needed in _routes(app):
        if method == "GET" or (method, path) in READING:
            assert needed in {"read", None}, (method, path)
        else:
            assert needed == ("admin" if method in {"DELETE", "PATCH"} else "index"), (method, path)


def _asks(uuid: str, job: str, file: str, root: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """{(method, route): ways to ask it for the secret repository}."""
    named: list[dict[str, Any]] = [{}, {"repositories": [uuid]}]
    return {
        ("POST", "/search"): [{"json": {"query": WORD, **each}} for each in named],
        ("GET", "/search"): [{"params": {"q": WORD}}, {"params": {"q": WORD, "repository": uuid}}],
        ("GET", "/symbols"): [
            {"params": {"name": WORD[:4], "matching": "prefix"}},
            {"params": {"name": WORD, "repository": uuid}},
        ],
        ("POST", "/similar"): [{"json": {"repository": uuid, "path": file, "line": 1}}],
        ("GET", "/repositories/{uuid}/text"): [{"params": {"path": file}}],
        ("POST", "/index"): [{"json": {"repository": uuid}}, {"json": {"root": root}}],
        ("GET", "/jobs"): [{}, {"params": {"repository": uuid}}],
        ("GET", "/jobs/{job_id}"): [{}],
        ("GET", "/jobs/{job_id}/files"): [{}],
        ("POST", "/jobs/{job_id}/pause"): [{}],
        ("POST", "/jobs/{job_id}/resume"): [{}],
        ("POST", "/jobs/{job_id}/cancel"): [{}],
        ("GET", "/jobs/{job_id}/events"): [{}],
        ("GET", "/repositories"): [{}],
        ("POST", "/repositories"): [{"json": {"root": root}}],
        ("DELETE", "/repositories/{uuid}"): [{}],
        ("POST", "/sync"): [{}, {"json": {"repositories": [uuid]}}],
        ("GET", "/flags"): [{}],
        ("PATCH", "/flags"): [{}],
        ("GET", "/status"): [{}],
        ("GET", "/healthz"): [{}],
        ("GET", "/readyz"): [{}],
        ("GET", "/metrics"): [{}],
        ("GET", "/openapi.json"): [{}],
        ("GET", "/"): [{}],
        ("GET", "/static/{name:path}"): [{}],
        ("POST", "/mcp"): [
            {"json": _tool("search_code", {"query": WORD})},
            {"json": _tool("search_code", {"query": WORD, "repositories": [uuid]})},
            {"json": _tool("find_symbol", {"name": WORD})},
            {"json": _tool("list_repositories", {})},
            {"json": _tool("index_status", {})},
            {"json": _tool("read_chunk", {"repository": uuid, "path": file})},
        ],
    }


def _tool(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


@pytest.fixture
async def repositories(tree: TreeFactory, indexed: Indexed) -> tuple[str, str, Path]:
    """The uuids of the one that the token is for and of the secret one, and the root of that."""
    mine = tree({"mine.py": f"def hedgehog():\n    return '{WORD}'\n"}, name="mine")
    secret = tree({"secret.py": f"def {WORD}():\n    return '{MARK}'\n"}, name="hidden")
    return await indexed(mine), await indexed(secret), secret


async def test_f096_f093_a_token_for_one_repository_sees_nothing_of_another_on_any_route(
    app: Any, client_for: ClientFor, data_dir: Path, repositories: tuple[str, str, Path]
) -> None:
    mine, secret, root = repositories
    limited = client_for((await asyncio.to_thread(create_token, data_dir, "limited", "admin", [mine]))[1])
    reader = client_for((await asyncio.to_thread(create_token, data_dir, "all", "read"))[1])
    job = next(each["id"] for each in (await reader.get("/jobs")).json()["jobs"] if each["repository"] == secret)
    marks = [MARK, "secret.py", secret, job, str(root)]
    asks = _asks(secret, job, "secret.py", str(root))
    assert {(method, path) for method, path, _ in _routes(app)} == set(asks), "each route has to be asked"
    shown = set()
    for (method, route), ways in asks.items():
        path = _filled(route, secret, job)
        for way in ways:
            sent = f"{method} {path} {way}"
            answer = await _ask(limited, method, path, headers=MCP, **way)
            assert [mark for mark in marks if mark in answer.text and mark not in sent] == [], (sent, answer.text)
            if secret in path or job in path:
                assert answer.status_code == 404, (sent, answer.text)
            if (method, route) in READING or method == "GET":
                seen = await _ask(reader, method, path, headers=MCP, **way)
                shown |= {route for mark in marks if mark in seen.text and mark not in sent}
    assert shown >= {"/search", "/symbols", "/repositories/{uuid}/text", "/jobs", "/repositories", "/status", "/mcp"}
    registry = await asyncio.to_thread(load_registry, data_dir)
    assert set(registry.repositories) == {mine, secret}, "nothing was forgotten either"


MCP = {"accept": "application/json, text/event-stream"}
