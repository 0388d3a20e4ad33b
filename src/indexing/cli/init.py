"""``codetrove init``: makes other programs know of codetrove."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import typer

from indexing.cli.invocation import invocation_of

ClientName: TypeAlias = Literal["claude", "cursor", "vscode", "codex", "generic"]


def init(
    context: typer.Context,
    *,
    mcp: ClientName = typer.Option(..., "--mcp", help="The agent that shall use the index.", show_default=False),
    write: bool = typer.Option(False, "--write", help="Write the agent's file instead of printing what belongs in it."),
    file: Path | None = typer.Option(
        None, "--file", metavar="FILE", help="The file to write, where it is not the usual one.", show_default=False
    ),
    allow_index: bool = typer.Option(False, "--allow-index", help="Let the agent start indexing too."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Print the configuration with which an agent starts 'codetrove mcp', or write it into the agent's file.

    Written are .mcp.json (claude), .cursor/mcp.json (cursor) and .vscode/mcp.json (vscode) below the current directory,
    and config.toml of Codex (codex). What else such a file holds is kept. Nothing is asked.

    Exit codes: 0 done, 2 wrong usage or a file that cannot be understood, 3 the file cannot be written.
    """
    from indexing.cli.init_run import run_init  # noqa: PLC0415

    run_init(invocation_of(context), mcp, write=write, file=file, allow_index=allow_index, as_json=as_json)
