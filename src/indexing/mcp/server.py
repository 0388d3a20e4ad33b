"""The server of the tools, for any transport.

It is built on the SDK's ``Server`` rather than on its ``MCPServer``: that one drops arguments it does not know, so that
a misspelt filter would search everything, sets up the root logger, and offers every caller the same tools.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final, TypeAlias
from uuid import uuid4

import structlog
from mcp.server import Server, ServerRequestContext
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams, TextContent

from indexing.mcp.caller import Caller
from indexing.mcp.descriptions import INSTRUCTIONS, NOTICE
from indexing.mcp.errors import told as told_locally
from indexing.mcp.shown import visible
from indexing.mcp.tools import described, tools_for

Request: TypeAlias = ServerRequestContext[Any, Any]
Told: TypeAlias = Callable[[BaseException], str | None]
"""Gives the line for an error that was to be expected, None for a defect."""

MAX_ERROR_CHARACTERS: Final = 2_000
VERSION: Final = version("codetrove")
_log = structlog.get_logger("indexing.mcp")


def build_server(caller_of: Callable[[Request], Caller], told: Told = told_locally) -> Server[Any]:
    """Return a server whose tools work for whom ``caller_of`` names, and tell them of errors what ``told`` lets out."""

    async def list_tools(request: Request, _: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[described(tool.name) for tool in tools_for(caller_of(request))])

    async def call_tool(request: Request, params: CallToolRequestParams) -> CallToolResult:
        return await call(caller_of(request), params.name, params.arguments or {}, told)

    return Server(
        "codetrove",
        title="codetrove",
        version=VERSION,
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def call(caller: Caller, name: str, arguments: dict[str, Any], told: Told = told_locally) -> CallToolResult:
    """Run a tool; whatever goes wrong becomes a result that says so, and what a defect knows stays in the log."""
    tool = next((each for each in tools_for(caller) if each.name == name), None)
    if tool is None:
        known = ", ".join(each.name for each in tools_for(caller))
        return _failed(f"there is no tool {name[:100]!r}; there are: {known}")
    try:
        answer = await tool.run(caller, tool.checked(arguments))
    except Exception as error:  # noqa: BLE001 - task boundary: one call of a tool
        message = told(error)
        if message is None:
            correlation_id = uuid4().hex
            _log.exception("mcp.tool_crashed", tool=name, correlation_id=correlation_id)
            message = f"{name} failed by a defect of codetrove; its log tells more under {correlation_id}"
        return _failed(message)
    text = "\n".join((NOTICE, *answer.lines))
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content={"notice": NOTICE, **answer.content}
    )


def _failed(message: str) -> CallToolResult:
    shown = "\n".join(visible(line) for line in message[:MAX_ERROR_CHARACTERS].split("\n"))
    return CallToolResult(content=[TextContent(type="text", text=shown)], is_error=True)
