"""``codetrove backup`` and ``codetrove restore``."""

from __future__ import annotations

from pathlib import Path

import typer

from indexing.cli.invocation import invocation_of, run_async


def backup(
    context: typer.Context,
    file: Path = typer.Argument(metavar="FILE", help="File to write; it must not exist.", show_default=False),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Write one consistent copy of the catalog and the registry to FILE, also while an owner is writing.

    It holds the text of everything that is indexed. Indexes are left out: they are made again from the catalog.

    Exit codes: 0 done, 2 FILE cannot be written, 3 unavailable.
    """
    from indexing.cli.backup_run import run_backup  # noqa: PLC0415

    raise typer.Exit(run_backup(invocation_of(context).settings(), file.expanduser().absolute(), as_json=as_json))


def restore(
    context: typer.Context,
    file: Path = typer.Argument(metavar="FILE", help="What 'codetrove backup' wrote.", show_default=False),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Verify FILE and put its catalog in the place of the present one, which is moved aside.

    Beside a running owner it is only laid ready, and taken in when an owner starts the next time.

    Exit codes: 0 done or laid ready, 2 FILE is damaged, foreign or too new, 3 unavailable.
    """
    from indexing.cli.backup_run import run_restore  # noqa: PLC0415

    settings = invocation_of(context).settings()
    raise typer.Exit(run_async(run_restore(settings, file.expanduser().absolute(), as_json=as_json)))
