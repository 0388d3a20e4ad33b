"""The tools over an index that is read: what they refuse, and in which words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import Client

from indexing.access import LOCAL, Principal
from indexing.mcp.caller import Caller
from indexing.mcp.errors import ToolFailed
from indexing.mcp.server import build_server, call
from indexing.mcp.tools import TOOLS
from indexing.queries import open_queries
from tests.indexing.mcp.conftest import Indexed, text_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted({name for tool in TOOLS.values() for name in tool.takes.model_fields})


@asynccontextmanager
async def local_client(indexed: Indexed) -> AsyncIterator[Client]:
    async with (
        open_queries(indexed.settings) as queries,
        Client(build_server(lambda _: Caller(LOCAL, queries))) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("search_code", {}, "query: Field required"),
        ("search_code", {"query": ""}, "query: "),
        ("search_code", {"query": "   "}, "the query is empty"),
        ("search_code", {"query": "x" * 10_001}, "query: "),
        ("search_code", {"query": "x", "limit": 51}, "limit: "),
        ("search_code", {"query": "x", "repo": "alpha"}, "repo: Extra inputs are not permitted"),
        ("search_code", {"query": "x", "mode": "magic"}, "mode: "),
        ("search_code", {"query": "x", "mode": "vector"}, "vectors"),
        ("search_code", {"query": "x", "paths": [["a"]]}, "paths.0: "),
        ("search_code", {"query": "x", "repository": "gamma"}, "no repository 'gamma' is indexed"),
        ("search_code", {"query": "x", "repository": "0" * 32}, "no repository '00000000-0000"),
        ("find_symbol", {"name": "two words"}, "'two words'"),
        ("read_chunk", {"repository": "alpha", "path": "src/nothing.py"}, "src/nothing.py"),
        ("read_chunk", {"repository": "alpha", "path": "../beta/vault.py"}, "../beta/vault.py"),
        ("read_chunk", {"repository": "alpha", "path": "/etc/passwd"}, "/etc/passwd"),
        ("read_chunk", {"repository": "alpha", "path": "a", "start_line": 0}, "start_line: "),
        ("read_chunk", {"repository": "alpha", "path": "a", "start_line": 9, "end_line": 3}, "end_line 3 is before"),
        ("read_chunk", {"repository": "alpha", "path": "a", "end_line": 5_000}, "more than 1000"),
        ("read_chunk", {"repository": "alpha", "path": "a", "path_b64": "%%%"}, "is no base64"),
        ("list_repositories", {"x": 1}, "x: Extra inputs are not permitted"),
        ("index_repository", {"repository": "alpha"}, "there is no tool 'index_repository'"),
        ("no_such_tool", {}, "there is no tool 'no_such_tool'; there are: search_code"),
    ],
)
async def test_what_a_tool_cannot_do_is_an_error_result_that_says_why(
    indexed: Indexed, tool: str, arguments: dict[str, Any], said: str
) -> None:
    async with local_client(indexed) as client:
        answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    assert said in text_of(answer)
    assert "defect" not in text_of(answer)


async def test_lists_in_the_ways_that_agents_send_them_and_null_for_what_is_left_out_are_understood(
    indexed: Indexed,
) -> None:
    async with local_client(indexed) as client:
        for paths in (["docs/**"], "docs/**", '["docs/**"]'):
            arguments = {"query": "session", "paths": paths, "repository": None, "limit": "5"}
            found = await client.call_tool("search_code", arguments)
            assert {hit["path"] for hit in found.structured_content["hits"]} == {"docs/guide.md"}, text_of(found)


async def test_a_repository_is_found_by_uuid_root_name_and_a_path_inside_it(indexed: Indexed) -> None:
    names = (
        indexed.beta_uuid,
        indexed.beta_uuid.replace("-", "").upper(),
        str(indexed.beta),
        f"{indexed.beta}/",
        "beta",
        f"{indexed.beta}/vault.py",
    )
    async with local_client(indexed) as client:
        for named in names:
            found = await client.call_tool("find_symbol", {"name": "open_vault", "repository": named})
            assert len(found.structured_content["definitions"]) == 1, text_of(found)


async def test_a_caller_of_one_repository_learns_nothing_of_another_through_any_tool(indexed: Indexed) -> None:
    only_alpha = Principal("alpha", frozenset({"read"}), frozenset({indexed.alpha_uuid}))
    calls: list[tuple[str, dict[str, Any]]] = [
        ("search_code", {"query": "open_vault vault.py"}),
        ("search_code", {"query": "open_vault", "repository": indexed.beta_uuid}),
        ("search_code", {"query": "open_vault", "repository": "beta"}),
        ("search_code", {"query": "open_vault", "repository": str(indexed.beta)}),
        ("find_symbol", {"name": "open_vault"}),
        ("find_symbol", {"name": "open_vault", "repository": indexed.beta_uuid}),
        ("read_chunk", {"repository": indexed.beta_uuid, "path": "vault.py"}),
        ("read_chunk", {"repository": "beta", "path": "vault.py"}),
        ("read_chunk", {"repository": "alpha", "path": "../beta/vault.py"}),
        ("list_repositories", {}),
        ("index_status", {}),
    ]
    async with open_queries(indexed.settings) as queries:
        caller = Caller(only_alpha, queries)
        unknown = await call(caller, "read_chunk", {"repository": str(UUID(int=0)), "path": "vault.py"})
        for tool, arguments in calls:
            answer = await call(caller, tool, arguments)
            shown = answer.model_dump_json()
            for secret in ("betasecretword", "passphrase", f'{indexed.beta}"', "vault.py:"):
                assert secret not in shown, (tool, arguments)
            if arguments.get("repository") == indexed.beta_uuid:
                assert answer.is_error
                # One that is not the caller's and one that does not exist are refused in the same words.
                if tool == "read_chunk":
                    assert text_of(answer).replace(indexed.beta_uuid, str(UUID(int=0))) == text_of(unknown)


@settings(max_examples=60)
@given(tool=st.sampled_from(sorted(TOOLS)), arguments=st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5))
def test_no_arguments_whatsoever_crash_the_check_of_a_tool(tool: str, arguments: dict[str, Any]) -> None:
    with suppress(ToolFailed):
        TOOLS[tool].checked(arguments)
