"""``codetrove sync``: waits until every change made before it is searchable."""

from __future__ import annotations

from pathlib import Path

import typer

from indexing.cli.invocation import invocation_of


def sync(
    context: typer.Context,
    repo: list[Path] = typer.Option(
        [], metavar="DIR", help="Only this repository (default: all); repeatable.", show_default=False
    ),
    timeout: float = typer.Option(10.0, metavar="SECONDS", min=0, help="Longest wait."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Return when everything that was written before the call can be found, or say what is pending.

    Needs a running owner, such as 'codetrove serve'; without one, 'codetrove index PATH' does the same.

    Exit codes: 0 all of it is searchable, 1 some is pending, 2 wrong usage, 3 unavailable (nobody owns the directory).
    """
    from indexing.cli.sync_run import run_sync  # noqa: PLC0415

    raise typer.Exit(run_sync(invocation_of(context).owner(), repo, timeout, as_json=as_json))
