"""``/mcp`` of a running service: its own sockets, guard and tokens, spoken to by the SDK's client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from indexing.access import LOCAL, Principal, Scope
from indexing.asks import SearchAsk, SimilarAsk, SymbolAsk, TextAsk
from indexing.control import ControlClient, OwnerRefused
from indexing.http.serving import serving
from indexing.remote_queries import RemoteQueries
from indexing.runtime import Owner, open_owner
from indexing.settings import Settings
from indexing.tokens import create_token
from tests.conftest import TreeFactory
from tests.indexing.mcp.conftest import Indexed, Stdio, index, settings_for, text_of

LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    owner: Owner
    url: str
    control: Path

    async def bearer(self, scope: Scope, repositories: Sequence[str] | None = None) -> dict[str, str]:
        """Headers with a token of its own."""
        data_dir = self.owner.directory.path
        _, token = await asyncio.to_thread(create_token, data_dir, uuid4().hex, scope, repositories)
        return {"Authorization": f"Bearer {token}"}

    @asynccontextmanager
    async def client(self, scope: Scope = "read", repositories: Sequence[str] | None = None) -> AsyncIterator[Client]:
        """The SDK's client with a token of its own."""
        async with (
            httpx2.AsyncClient(headers=await self.bearer(scope, repositories)) as http,
            Client(streamable_http_client(self.url, http_client=http)) as client,
        ):
            yield client


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Service]:
    async with open_owner(settings) as owner, serving(owner, tcp=True) as served:
        yield Service(owner, f"{served.url.rstrip('/')}/mcp", served.control)


async def test_every_reading_tool_answers_over_http(indexed: Indexed) -> None:
    async with running(indexed.settings) as service, service.client() as client:
        offered = [tool.name for tool in (await client.list_tools()).tools]
        assert "index_repository" not in offered
        calls: dict[str, dict[str, Any]] = {
            "search_code": {"query": "session cookie", "consistency": "wait"},
            "find_symbol": {"name": "SessionStore"},
            "read_chunk": {"repository": "alpha", "path": "docs/guide.md"},
            "list_repositories": {},
            "index_status": {},
        }
        assert set(offered) == set(calls)
        for name, arguments in calls.items():
            answer = await client.call_tool(name, arguments)
            assert not answer.is_error, text_of(answer)
            assert "session" in text_of(answer).lower() or str(indexed.beta) in text_of(answer)


async def test_a_token_of_one_repository_learns_nothing_of_another_through_any_tool(indexed: Indexed) -> None:
    async with running(indexed.settings) as service, service.client("index", [indexed.alpha_uuid]) as client:
        calls: list[tuple[str, dict[str, Any]]] = [
            ("search_code", {"query": "open_vault vault.py"}),
            ("search_code", {"query": "open_vault", "repository": indexed.beta_uuid}),
            ("search_code", {"query": "open_vault", "repository": "beta"}),
            ("find_symbol", {"name": "open_vault"}),
            ("find_symbol", {"name": "open_vault", "repository": indexed.beta_uuid}),
            ("read_chunk", {"repository": indexed.beta_uuid, "path": "vault.py"}),
            ("index_repository", {"repository": indexed.beta_uuid}),
            ("index_repository", {"repository": indexed.beta_uuid, "paths": ["vault.py"]}),
            ("list_repositories", {}),
            ("index_status", {}),
        ]
        for name, arguments in calls:
            answer = await client.call_tool(name, arguments)
            shown = answer.model_dump_json()
            for secret in ("betasecretword", "passphrase", f'{indexed.beta}"', "vault.py:"):
                assert secret not in shown, (name, arguments)
            assert answer.is_error == (arguments.get("repository") is not None)
        assert service.owner.service.states.total() == 0


async def test_indexing_is_offered_to_a_token_that_may_and_makes_a_changed_file_findable(
    data_dir: Path, tree: TreeFactory
) -> None:
    root = tree({"a.py": "def before():\n    return 1\n"})
    async with running(settings_for(data_dir)) as service:
        await index(service.owner, root)
        (root / "a.py").write_text("def afterwards():\n    return 2\n")
        async with service.client("index") as client:
            assert "index_repository" in [tool.name for tool in (await client.list_tools()).tools]
            answer = await client.call_tool("index_repository", {"repository": "tree", "paths": ["./a.py"]})
            assert not answer.is_error, text_of(answer)
            await service.owner.service.wait(answer.structured_content["job"]["id"])
            found = await client.call_tool("find_symbol", {"name": "afterwards"})
            assert len(found.structured_content["definitions"]) == 1
            outside = await client.call_tool("index_repository", {"repository": "tree", "paths": ["../etc"]})
            assert outside.is_error
            assert "../etc" in text_of(outside)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer codetrove_" + "x" * 43}, 401),
        ({}, 401),
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
async def test_the_guard_stands_before_the_tools(indexed: Indexed, headers: dict[str, str], status: int) -> None:
    async with running(indexed.settings) as service, httpx2.AsyncClient(headers=ACCEPT) as http:
        bearer = await service.bearer("read") if "Host" in headers or "Origin" in headers else {}
        refused = await http.post(service.url, json=LIST, headers=bearer | headers)
        assert refused.status_code == status


async def test_a_name_of_the_settings_is_a_good_host_for_the_tools_too(indexed: Indexed) -> None:
    values = indexed.settings.model_dump()
    values["service"]["allowed_hosts"] = ("trove.example",)
    async with running(Settings(**values)) as service, httpx2.AsyncClient(headers=ACCEPT) as http:
        bearer = await service.bearer("read")
        answer = await http.post(service.url, json=LIST, headers={**bearer, "Host": "trove.example"})
        assert answer.status_code == 200
        assert len(answer.json()["result"]["tools"]) == 5


async def test_what_is_no_message_is_refused_and_the_service_goes_on(indexed: Indexed) -> None:
    async with running(indexed.settings) as service:
        headers = {**ACCEPT, **await service.bearer("read"), "Content-Type": "application/json"}
        async with httpx2.AsyncClient(headers=headers) as http:
            for content in (b"", b"{", b"[]", b"null", b'"x"', b"[" * 50_000, b'{"jsonrpc": "2.0", "id": 1}', b"\xff"):
                answer = await http.post(service.url, content=content)
                assert 400 <= answer.status_code < 500, content[:20]
            for method in ("GET", "DELETE", "PUT"):
                assert (await http.request(method, service.url)).status_code == 405
            assert (await http.post(service.url, json=LIST)).status_code == 200


async def test_the_same_questions_are_answered_over_the_control_socket(indexed: Indexed) -> None:
    async with running(indexed.settings) as service:
        remote = RemoteQueries(ControlClient(service.control))
        found = await remote.search(
            LOCAL, SearchAsk("session cookie", paths=("src/**",), consistency="wait", wait_ms=1)
        )
        assert {hit["path"] for hit in found["hits"]} == {"src/session.py"}
        named = await remote.symbols(LOCAL, SymbolAsk("open_", matching="prefix", repositories=(indexed.beta_uuid,)))
        assert [each["name"] for each in named["definitions"]] == ["open_vault"]
        read = await remote.text(LOCAL, TextAsk(indexed.alpha_uuid, b"caf\xe9.py", 2, 2))
        assert "espresso" in read["text"]
        assert len((await remote.repositories(LOCAL))["repositories"]) == 2
        assert (await remote.status(LOCAL))["owner"]
        with pytest.raises(OwnerRefused, match="vectors"):
            await remote.similar(LOCAL, SimilarAsk(indexed.beta_uuid, b"vault.py", 1))
        with pytest.raises(OwnerRefused, match="no repository"):
            await remote.text(LOCAL, TextAsk(str(uuid4()), b"vault.py"))
        with pytest.raises(PermissionError, match="'guest'"):
            await remote.status(Principal("guest", frozenset({"read"})))


async def test_a_process_on_stdio_follows_the_owner_as_it_goes_and_comes_back(indexed: Indexed, stdio: Stdio) -> None:
    def hits(answer: Any) -> int:
        return len(answer.structured_content["hits"])

    async with stdio(indexed.settings.storage.data_dir, "--allow-index") as client:
        asked = "search_code", {"query": "session cookie"}
        alone = hits(await client.call_tool(*asked))
        for _ in range(2):
            async with running(indexed.settings) as service:
                assert hits(await client.call_tool(*asked)) == alone
                assert "no owner runs" not in text_of(await client.call_tool("index_status", {}))
                begun = await client.call_tool("index_repository", {"repository": "alpha"})
                assert not begun.is_error, text_of(begun)
                await service.owner.service.wait(begun.structured_content["job"]["id"])
            assert hits(await client.call_tool(*asked)) == alone
            assert "no owner runs" in text_of(await client.call_tool("index_status", {}))
