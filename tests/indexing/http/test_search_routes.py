"""``/search``, ``/symbols``, ``/similar`` and ``/repositories/{uuid}/text``: their answers, and what they refuse."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import validate  # type: ignore[import-untyped]

from indexing.access import Principal
from indexing.settings import Settings
from tests.faults.driver import WITH_VECTORS, settings_for
from tests.indexing.http.conftest import READER, only

if TYPE_CHECKING:
    from indexing.runtime import Owner
    from tests.conftest import TreeFactory
    from tests.indexing.http.conftest import ClientFor, Indexed

FRUIT = {
    "src/fruit.py": "def peel_banana(banana):\n    return banana.skin\n\n\nclass Orchard:\n    pass\n",
    "src/tools.py": "def sharpen_knife(knife):\n    return knife\n",
    "notes.md": "# Bananas\n\nA banana is yellow.\n",
}
SECRET = {"vault.py": "def open_vault(banana_secret):\n    return 'xyzzy' + banana_secret\n"}
NASTY = [
    "' OR '1'='1",
    "x'; DROP TABLE chunks; --",
    '" OR "1"="1',
    "NEAR(banana peel, 5)",
    "banana*",
    "code:banana OR symbol:*",
    "banana OR NOT AND",
    '"',
    "'",
    "*",
    "(((((",
    "^banana~2",
    "{a TO z}",
    "\\",
    "\0banana\0",
    "%' --",
    "../../etc/passwd",
]


@pytest.fixture
def service_settings(data_dir: Path) -> Settings:
    return settings_for(data_dir, WITH_VECTORS)


@pytest.fixture
async def fruit(tree: TreeFactory, indexed: Indexed, owner: Owner) -> str:
    uuid = await indexed(tree(FRUIT, name="fruit"))
    assert owner.vectors is not None
    assert await owner.vectors.drained()
    return uuid


async def test_both_forms_of_search_answer_the_same(fruit: str, client_for: ClientFor) -> None:
    client = client_for(READER)
    posted = await client.post("/search", json={"query": "peel banana", "k": 2, "repositories": [fruit]})
    got = await client.get("/search", params={"q": "peel banana", "limit": 2, "repository": fruit})
    assert (posted.status_code, got.status_code) == (200, 200)
    assert posted.headers["content-type"] == "application/json"
    first, second = posted.json(), got.json()
    assert {**first, "took_ms": 0} == {**second, "took_ms": 0}
    assert first["hits"][0]["path"] == "src/fruit.py"
    assert (first["degraded"], first["pending"], first["complete"]) == ([], [], True)


async def test_answers_are_as_openapi_describes_them(fruit: str, client_for: ClientFor) -> None:
    client = client_for(READER)
    document = (await client.get("/openapi.json")).json()
    asked: dict[tuple[str, str], dict[str, Any]] = {
        ("post", "/search"): {"json": {"query": "peel banana"}},
        ("get", "/search"): {"params": {"q": "banana"}},
        ("get", "/symbols"): {"params": {"name": "Orchard"}},
        ("post", "/similar"): {"json": {"repository": fruit, "path": "src/fruit.py", "line": 1}},
        ("get", "/repositories/{uuid}/text"): {"params": {"path": "notes.md"}},
    }
    for (method, route), request in asked.items():
        answer = await client.request(method, route.format(uuid=fruit), **request)
        assert answer.status_code == 200, answer.text
        described = document["paths"][route][method]["responses"]["200"]["content"]["application/json"]["schema"]
        validate(answer.json(), {**described, "components": document["components"]})
        assert not answer.json().keys() - _named(document, described)


def _named(document: dict[str, Any], schema: dict[str, Any]) -> set[str]:
    return set(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"])


async def test_symbols_and_similar_and_text(fruit: str, client_for: ClientFor) -> None:
    client = client_for(READER)
    (definition,) = (await client.get("/symbols", params={"name": "Orch", "matching": "prefix"})).json()["definitions"]
    assert (definition["name"], definition["start_line"]) == ("Orchard", 5)
    body = {"repository": fruit, "path_b64": "c3JjL2ZydWl0LnB5", "line": 1}
    similar = (await client.post("/similar", json=body)).json()
    assert similar["to"]["path"] == "src/fruit.py"
    assert similar["hits"]
    text = await client.get(f"/repositories/{fruit}/text", params={"path": "notes.md", "start": 3})
    assert text.json()["text"] == "A banana is yellow.\n"


BAD_BODIES: list[tuple[dict[str, Any], int]] = [
    ({}, 422),
    ({"query": ""}, 422),
    ({"query": "  "}, 422),
    ({"query": "x", "k": 0}, 422),
    ({"query": "x", "k": 10**9}, 422),
    ({"query": "x", "k": "5"}, 422),
    ({"query": "x" * 10_001}, 422),
    ({"query": "x" * 1_000_000}, 422),
    ({"query": "x", "mode": "magic"}, 422),
    ({"query": "x", "consistency": "never"}, 422),
    ({"query": "x", "wait_ms": -1}, 422),
    ({"query": "x", "paths": ["\0"]}, 422),
    ({"query": "x", "paths": [""]}, 422),
    ({"query": "x", "paths": ["a"] * 101}, 422),
    ({"query": "x", "offset": 5}, 422),
    ({"query": "x", "repositories": ["' OR 1=1"]}, 422),
    ({"query": "x", "repositories": ["00000000-0000-0000-0000-000000000000"]}, 404),
]


async def test_f094_a_search_out_of_bounds_is_refused(fruit: str, client_for: ClientFor) -> None:
    client = client_for(READER)
    for body, status in BAD_BODIES:
        answer = await client.post("/search", json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), str(body)[
            :99
        ]
        assert len(answer.content) < 2_000


BAD_ADDRESSES: list[tuple[str, dict[str, Any]]] = [
    ("/search", {}),
    ("/search", {"q": "x", "limit": 201}),
    ("/search", {"q": "x", "offset": 1}),
    ("/symbols", {"name": "x" * 501}),
    ("/symbols", {"name": "no name at all"}),
    ("/symbols", {"name": "x", "matching": "regex"}),
    ("/repositories/UUID/text", {}),
    ("/repositories/UUID/text", {"path": "a", "path_b64": "YQ=="}),
    ("/repositories/UUID/text", {"path": "notes.md", "start": 0}),
    ("/repositories/UUID/text", {"path": "notes.md", "start": 5, "end": 4}),
    ("/repositories/UUID/text", {"path": "notes.md", "end": 2_001}),
    ("/repositories/UUID/text", {"path": "notes.md", "start": 99}),
    ("/repositories/UUID/text", {"path_b64": "?"}),
]


async def test_an_address_out_of_bounds_is_refused(fruit: str, client_for: ClientFor) -> None:
    client = client_for(READER)
    for route, params in BAD_ADDRESSES:
        answer = await client.get(route.replace("UUID", fruit), params=params)
        assert answer.status_code == 422, (route, params, answer.text)


async def test_what_is_not_indexed_is_not_found(fruit: str, client_for: ClientFor) -> None:
    client = client_for(READER)
    for path in ("nothing.py", "../vault/vault.py", "/etc/passwd", "src"):
        assert (await client.get(f"/repositories/{fruit}/text", params={"path": path})).status_code == 404
    assert (await client.get("/repositories/nobody/text", params={"path": "notes.md"})).status_code == 404
    body = {"repository": fruit, "path": "nothing.py", "line": 1}
    assert (await client.post("/similar", json=body)).status_code in {404, 422}


@pytest.mark.parametrize("scopes", [frozenset(), None])
async def test_search_needs_the_right_to_read(fruit: str, client_for: ClientFor, scopes: frozenset[Any] | None) -> None:
    client = client_for(None if scopes is None else Principal("nobody", scopes))
    expected = 401 if scopes is None else 403
    assert (await client.post("/search", json={"query": "x"})).status_code == expected
    assert (await client.get("/search", params={"q": "x"})).status_code == expected
    assert (await client.get("/symbols", params={"name": "x"})).status_code == expected
    assert (await client.get(f"/repositories/{fruit}/text", params={"path": "notes.md"})).status_code == expected


async def test_a_caller_sees_no_byte_of_another_repository(
    fruit: str, tree: TreeFactory, indexed: Indexed, client_for: ClientFor
) -> None:
    other = await indexed(tree(SECRET, name="vault"))
    client = client_for(only(fruit, scope="read"))
    answers = [
        await client.post("/search", json={"query": query, "mode": mode, "consistency": consistency, "k": 200})
        for query in ("banana_secret", "open vault", "vault.py xyzzy")
        for mode in ("hybrid", "text", "vector")
        for consistency in ("now", "wait", "fresh")
    ]
    answers += [await client.get("/search", params={"q": "banana secret", "path": "v*"})]
    answers += [await client.get("/symbols", params={"name": "open", "matching": "prefix"})]
    answers += [await client.post("/similar", json={"repository": fruit, "path": "src/fruit.py", "line": 1, "k": 99})]
    for answer in answers:
        assert answer.status_code == 200
        told = json.dumps({key: value for key, value in answer.json().items() if key != "query"})
        assert not any(word in told for word in ("vault", "xyzzy", "secret", other))
    details = set()
    for uuid in (other, "00000000-0000-0000-0000-000000000000"):
        refused = [
            await client.post("/search", json={"query": "x", "repositories": [uuid]}),
            await client.get("/symbols", params={"name": "open_vault", "repository": uuid}),
            await client.post("/similar", json={"repository": uuid, "path": "vault.py", "line": 1}),
            await client.get(f"/repositories/{uuid}/text", params={"path": "vault.py"}),
        ]
        for answer in refused:
            assert answer.status_code == 404
            details.add(answer.json()["detail"].replace(uuid, "UUID"))
    assert len(details) == 1


async def test_f083_what_is_asked_is_never_a_language(
    fruit: str, tree: TreeFactory, indexed: Indexed, client_for: ClientFor
) -> None:
    other = await indexed(tree(SECRET, name="vault"))
    client = client_for(only(fruit, scope="read"))
    for nasty in NASTY:
        answers = [
            await client.post("/search", json={"query": nasty}),
            await client.post("/search", json={"query": f"banana {nasty}", "languages": [nasty]}),
            await client.post("/search", json={"query": "banana", "paths": [nasty]}),
            await client.get("/search", params={"q": nasty, "language": nasty}),
            await client.get("/symbols", params={"name": nasty}),
            await client.get("/symbols", params={"name": nasty, "matching": "prefix", "language": nasty}),
            await client.post("/similar", json={"repository": fruit, "path": nasty, "line": 1}),
            await client.post("/similar", json={"repository": nasty, "path": "notes.md", "line": 1}),
            await client.get(f"/repositories/{fruit}/text", params={"path": nasty}),
        ]
        for answer in answers:
            assert answer.status_code in {200, 404, 422}, answer.text
            assert other not in answer.text
            assert "xyzzy" not in answer.text
    # All of it is still there.
    assert (await client.get("/search", params={"q": "peel_banana"})).json()["hits"][0]["path"] == "src/fruit.py"
    assert (await client_for(READER).get("/symbols", params={"name": "open_vault"})).json()["definitions"]


async def test_f097_markup_in_a_file_goes_out_as_json_and_nothing_else(
    tree: TreeFactory, indexed: Indexed, client_for: ClientFor
) -> None:
    evil = "<script>alert('banana')</script>"
    uuid = await indexed(tree({f"{evil.replace('/', '_')}.py": f"def banana():\n    return {evil!r}\n"}, name="evil"))
    client = client_for(READER)
    answer = await client.get("/search", params={"q": "banana"})
    assert answer.headers["content-type"] == "application/json"
    hit = answer.json()["hits"][0]
    assert evil in hit["text"]
    text = await client.get(f"/repositories/{uuid}/text", params={"path": hit["path"]})
    assert text.headers["content-type"] == "application/json"
    assert evil in text.json()["text"]


async def test_f097_browsers_are_told_not_to_guess_the_type(fruit: str, client_for: ClientFor, owner: Owner) -> None:
    from indexing.tokens import first_token

    token = (await asyncio.to_thread(first_token, owner.directory.path)).path.read_text().strip()
    answer = await client_for(token).get("/search", params={"q": "banana"})
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=()), min_size=1, max_size=60))
async def test_no_query_is_an_error_of_ours(text: str, searchers: Any) -> None:
    body = json.dumps({"query": text, "paths": [text[:5]], "languages": [text[:5]]})
    answer = await searchers.post("/search", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {200, 422}
    assert (
        await searchers.get("/symbols", params={"name": text.encode("utf-8", "replace").decode()})
    ).status_code < 500


@pytest.fixture
async def searchers(fruit: str, client_for: ClientFor) -> Any:
    return client_for(READER)


async def test_vectors_that_were_never_made_are_a_409_that_says_what_to_do(tmp_path: Path, tree: TreeFactory) -> None:
    import httpx2

    from indexing.http.app import create_app
    from indexing.http.context import ServiceContext
    from indexing.http.sessions import Sessions
    from indexing.queries import queries_of
    from indexing.runtime import open_owner
    from indexing.tokens import Tokens
    from tests.indexing.http.conftest import as_principal

    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(open_owner(settings_for(tmp_path / "plain")))
        repository = await owner.register(tree(FRUIT, name="fruit"))
        await owner.service.wait(await owner.service.submit(repository))
        sessions, tokens = Sessions(), Tokens(owner.directory.path)
        context = ServiceContext(owner, queries_of(owner), None, asyncio.Event(), sessions, tokens)
        transport = httpx2.ASGITransport(app=as_principal(await asyncio.to_thread(create_app, context), READER))
        client = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1"))
        answer = await client.post("/search", json={"query": "banana", "mode": "vector"})
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:codetrove:no-vectors")
        assert str(tmp_path) not in answer.text
        assert (await client.post("/search", json={"query": "banana"})).json()["degraded"] == []
