"""``codetrove stop``: ends the process that owns the data directory."""

from __future__ import annotations

import typer

from indexing.cli.invocation import invocation_of


def stop(
    context: typer.Context,
    timeout: float = typer.Option(20.0, metavar="SECONDS", min=0, help="Longest wait for its end; 0 does not wait."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Ask the owner of the data directory to finish what is in hand and to end (SIGTERM), and wait for that.

    Exit codes: 0 it has ended, 1 nobody owns the directory or it still runs, 3 it is another user's.
    """
    from indexing.cli.stop_run import run_stop  # noqa: PLC0415

    raise typer.Exit(run_stop(invocation_of(context).data_directory(), timeout, as_json=as_json))
