"""``codetrove symbol``: where a name is defined."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import typer

from indexing.cli.invocation import invocation_of, run_async


def symbol(
    context: typer.Context,
    *,
    name: str = typer.Argument(
        metavar="NAME", help="Name of a definition; 'Class.method' asks within Class.", show_default=False
    ),
    k: int = typer.Option(20, "-k", "--limit", metavar="N", help="Most definitions."),
    prefix: bool = typer.Option(False, "--prefix", help="Also names that begin with NAME."),
    lang: list[str] = typer.Option(
        [], metavar="LANGUAGE", help="Only files of this language; repeatable.", show_default=False
    ),
    repo: list[Path] = typer.Option(
        [], metavar="DIR", help="Only this repository (default: all); repeatable.", show_default=False
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Print where NAME is defined, one definition a line: path:line, kind, full name, signature.

    The exact name comes first, other cases of it after, tests and copies of other projects last.

    Exit codes: 0 found, 1 no such definition, 2 wrong usage, 3 unavailable (nothing is indexed yet).
    """
    invocation = invocation_of(context)
    if (owner := invocation.owner()) is not None:
        from indexing.cli.ask_owner import ask_symbol  # noqa: PLC0415
        from indexing.control import OwnerGone  # noqa: PLC0415

        # An owner that ends just now leaves an index that can be read.
        with suppress(OwnerGone):
            raise typer.Exit(ask_symbol(owner, name, k=k, languages=lang, roots=repo, prefix=prefix, as_json=as_json))
    from indexing.cli.symbol_run import run_symbol  # noqa: PLC0415

    settings = invocation.settings()
    found = run_async(run_symbol(settings, name, k=k, languages=lang, roots=repo, prefix=prefix, as_json=as_json))
    raise typer.Exit(found)
