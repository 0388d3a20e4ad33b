"""``codetrove mcp`` as an agent starts it: a process of its own, spoken to by the SDK's client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.indexing.mcp.conftest import Indexed, Stdio, program, text_of

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
READING = ["search_code", "find_symbol", "read_chunk", "list_repositories", "index_status"]


async def test_every_reading_tool_answers_without_an_owner(indexed: Indexed, stdio: Stdio) -> None:
    async with stdio(indexed.settings.storage.data_dir) as client:
        offered = (await client.list_tools()).tools
        assert [tool.name for tool in offered] == READING
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in offered)

        listed = await client.call_tool("list_repositories", {})
        assert {row["root"] for row in listed.structured_content["repositories"]} == {
            str(indexed.alpha),
            str(indexed.beta),
        }

        found = await client.call_tool("search_code", {"query": "session cookie", "repository": "alpha"})
        assert not found.is_error
        assert "SessionStore" in text_of(found)
        hits = found.structured_content["hits"]
        assert {hit["repository"] for hit in hits} == {indexed.alpha_uuid}

        defined = await client.call_tool("find_symbol", {"name": "open_session"})
        (definition,) = defined.structured_content["definitions"]
        assert (definition["path"], definition["start_line"]) == ("src/session.py", 4)

        read = await client.call_tool(
            "read_chunk", {"repository": str(indexed.alpha), "path": "src/session.py", "start_line": 4, "end_line": 5}
        )
        assert read.structured_content["text"].splitlines() == [
            "4|     def open_session(self, request):",
            "5|         return request.cookies.get('session')",
        ]

        status = await client.call_tool("index_status", {})
        assert len(status.structured_content["status"]["repositories"]) == 2
        assert "no owner runs" in text_of(status)


async def test_a_file_whose_name_is_no_utf8_is_read_by_its_bytes(indexed: Indexed, stdio: Stdio) -> None:
    async with stdio(indexed.settings.storage.data_dir) as client:
        found = await client.call_tool("search_code", {"query": "brew_coffee"})
        hit = found.structured_content["hits"][0]
        place = {"repository": hit["repository"], "path": hit["path"], "path_b64": hit["path_b64"]}
        assert "espresso" in text_of(await client.call_tool("read_chunk", place))


async def test_indexing_is_offered_only_where_it_was_allowed_and_says_that_an_owner_is_missing(
    indexed: Indexed, stdio: Stdio
) -> None:
    async with stdio(indexed.settings.storage.data_dir, "--allow-index") as client:
        offered = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert offered["index_repository"].annotations
        assert offered["index_repository"].annotations.read_only_hint is False
        refused = await client.call_tool("index_repository", {"repository": "alpha"})
        assert refused.is_error
        assert "codetrove serve" in text_of(refused)


async def test_without_an_index_every_tool_says_what_to_run(data_dir: Path, stdio: Stdio) -> None:
    async with stdio(data_dir) as client:
        for name, arguments in (("search_code", {"query": "x"}), ("list_repositories", {}), ("index_status", {})):
            answer = await client.call_tool(name, arguments)
            assert answer.is_error
            assert "codetrove index" in text_of(answer)


def test_standard_output_carries_nothing_but_protocol_messages_whatever_comes_in(
    indexed: Indexed, tmp_path: Path
) -> None:
    sent: list[Any] = [
        _request(
            1, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "t", "version": "1"}
        ),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        "this is no JSON",
        '{"jsonrpc": "2.0", "id": 7, "method": 5}',
        "[" * 100_000,
        "\udcff",
        _request(2, "tools/call", name="search_code", arguments={"query": "session"}),
        _request(3, "tools/call", name="search_code", arguments={"query": {"$ne": 1}, "limit": -1}),
        _request(4, "tools/call", name="search_code", arguments=[1]),
        _request(5, "tools/call", name="../../etc/passwd", arguments={}),
        _request(6, "no/such/method"),
        _request(8, "tools/list"),
    ]
    lines = [each if isinstance(each, str) else json.dumps(each) for each in sent]
    environment = {**os.environ, "CODETROVE_LOG__LEVEL": "debug", "XDG_CONFIG_HOME": str(tmp_path)}
    ran = subprocess.Popen(
        program(indexed.settings.storage.data_dir, "--verbose", "mcp"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    with ran:
        assert ran.stdin is not None
        assert ran.stdout is not None
        ran.stdin.write("\n".join(lines).encode("utf-8", "surrogateescape") + b"\n")
        ran.stdin.flush()
        answers: dict[int, Any] = {}
        while set(answers) < {1, 2, 3, 4, 5, 6, 8}:
            message = json.loads(ran.stdout.readline())
            assert message["jsonrpc"] == "2.0"
            if isinstance(message.get("id"), int):
                answers[message["id"]] = message
        ran.stdin.close()
        rest = ran.stdout.read()
        assert ran.wait(timeout=20) == 0
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in rest.splitlines())
    assert "SessionStore" in answers[2]["result"]["content"][0]["text"]
    assert answers[3]["result"]["isError"]
    assert "error" in answers[4]
    assert answers[5]["result"]["isError"]
    assert "error" in answers[6]
    assert len(answers[8]["result"]["tools"]) == len(READING)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_though_it_waits_for_input(indexed: Indexed, number: signal.Signals) -> None:
    command = program(indexed.settings.storage.data_dir, "mcp")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ran:
        assert ran.stdin is not None
        assert ran.stdout is not None
        ran.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        ran.stdin.flush()
        assert json.loads(ran.stdout.readline())["id"] == 1
        ran.send_signal(number)
        assert ran.wait(timeout=20) == -number


def _request(number: int, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
