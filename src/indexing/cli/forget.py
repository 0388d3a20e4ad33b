"""``codetrove forget``: takes a repository out of the index."""

from __future__ import annotations

from pathlib import Path

import typer

from indexing.cli.invocation import invocation_of, run_async


def forget(
    context: typer.Context,
    path: Path = typer.Argument(
        metavar="PATH", help="Root of the repository; it need not exist any more.", show_default=False
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Remove a repository and everything that only it holds from the index; its files are not touched.

    Exit codes: 0 done, 1 you said no, 2 PATH is not indexed, 3 unavailable.
    """
    from indexing.cli.forget_run import run_forget, run_forget_of  # noqa: PLC0415

    invocation = invocation_of(context)
    if (owner := invocation.owner()) is not None:
        raise typer.Exit(run_forget_of(owner, path.expanduser().resolve(), yes=yes, as_json=as_json))
    settings = invocation.settings()
    raise typer.Exit(run_async(run_forget(settings, path.expanduser().resolve(), yes=yes, as_json=as_json)))
