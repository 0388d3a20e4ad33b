"""``codetrove mcp``: the tools for an agent, over standard input and output."""

from __future__ import annotations

import typer

from indexing.cli.invocation import invocation_of


def mcp(
    context: typer.Context,
    allow_index: bool = typer.Option(
        False, "--allow-index", help="Offer index_repository too; without it every tool only reads."
    ),
) -> None:
    """Serve the index to an agent as Model Context Protocol tools, over standard input and output.

    An agent starts this command itself; 'codetrove init --mcp CLIENT' writes its configuration. Asks the owner of the
    index where one runs, such as 'codetrove serve', and reads the index itself otherwise. Ends with its input. There is
    no --json: all that it prints is JSON-RPC.

    Exit codes: 0 the input ended, 2 wrong usage, 130 interrupted.
    """
    from indexing.cli.mcp_run import run_mcp  # noqa: PLC0415

    run_mcp(invocation_of(context).settings(), allow_index=allow_index)
