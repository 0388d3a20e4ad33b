"""``codetrove similar``: asks for what is like a piece of code."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import typer

from indexing.cli.invocation import invocation_of, run_async


def similar(
    context: typer.Context,
    *,
    place: str = typer.Argument(metavar="FILE:LINE", help="A line of an indexed file.", show_default=False),
    k: int | None = typer.Option(
        None, "-k", "--limit", metavar="N", help="Most hits (search.default_k).", show_default=False
    ),
    lang: list[str] = typer.Option(
        [], metavar="LANGUAGE", help="Only files of this language; repeatable.", show_default=False
    ),
    repo: list[Path] = typer.Option(
        [], metavar="DIR", help="Only this repository (default: all); repeatable.", show_default=False
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Print the pieces of code that are most like the one at FILE:LINE, nearest first.

    Compared are vectors, as the file was indexed. Each hit shows its cosine similarity, 1 for the same text.

    Exit codes: 0 hits, 1 no hit, 2 wrong usage, 3 unavailable (nothing is indexed yet, no vectors, no model).
    """
    invocation = invocation_of(context)
    if (owner := invocation.owner()) is not None:
        from indexing.cli.ask_owner import ask_similar  # noqa: PLC0415
        from indexing.control import OwnerGone  # noqa: PLC0415

        # An owner that ends just now leaves an index that can be read.
        with suppress(OwnerGone):
            raise typer.Exit(ask_similar(owner, place, k=k, languages=lang, roots=repo, as_json=as_json))
    from indexing.cli.similar_run import run_similar  # noqa: PLC0415

    settings = invocation.settings()
    raise typer.Exit(run_async(run_similar(settings, place, k=k, languages=lang, roots=repo, as_json=as_json)))
