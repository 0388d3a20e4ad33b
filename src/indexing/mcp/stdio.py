"""The tools over standard input and output, for an agent that starts ``codetrove mcp`` itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.server.stdio import stdio_server

from indexing.access import LOCAL
from indexing.mcp.caller import Caller
from indexing.mcp.owner_or_alone import OwnerOrAlone
from indexing.mcp.server import build_server

if TYPE_CHECKING:
    from indexing.settings import Settings


async def serve_stdio(settings: Settings, *, allow_index: bool) -> None:
    """Serve until standard input ends.

    Standard output carries protocol messages alone: while serving, the SDK points descriptor 1 at standard error, so
    that neither a library nor a child process can write between them.
    """
    async with OwnerOrAlone(settings) as answers:
        caller = Caller(LOCAL, answers, answers.index if allow_index else None)
        server = build_server(lambda _: caller)
        async with stdio_server() as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())
