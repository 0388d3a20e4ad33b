"""``codetrove search``: asks the index."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

import typer

from indexing.cli.invocation import invocation_of, run_async

ModeName: TypeAlias = Literal["hybrid", "text", "vector"]


def search(
    context: typer.Context,
    *,
    query: list[str] = typer.Argument(metavar="QUERY...", help="Words, names or paths.", show_default=False),
    k: int | None = typer.Option(
        None, "-k", "--limit", metavar="N", help="Most hits (search.default_k).", show_default=False
    ),
    path: list[str] = typer.Option(
        [], metavar="GLOB", help="Only files that match, in .gitignore syntax; repeatable.", show_default=False
    ),
    lang: list[str] = typer.Option(
        [], metavar="LANGUAGE", help="Only files of this language; repeatable.", show_default=False
    ),
    repo: list[Path] = typer.Option(
        [], metavar="DIR", help="Only this repository (default: all); repeatable.", show_default=False
    ),
    mode: ModeName = typer.Option(
        "hybrid", help="By words and by meaning, by words alone, or by meaning alone (vectors)."
    ),
    wait_model: bool = typer.Option(
        False, "--wait-model", help="Load the model if need be, which takes seconds; vector mode always does."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Print the pieces of code that answer QUERY best, best first.

    Each hit: path:line-line, the definition it belongs to, why it was found, and the lines that fit best. A hit is
    stale when its file has changed since it was indexed. Works beside a running owner and without one.

    Where a model would have to be loaded first, words alone answer at once, and a line on standard error says so.

    Exit codes: 0 hits, 1 no hit, 2 wrong usage, 3 unavailable (nothing is indexed yet).
    """
    invocation = invocation_of(context)
    if (owner := invocation.owner()) is not None:
        from indexing.cli.ask_owner import ask_search  # noqa: PLC0415
        from indexing.control import OwnerGone  # noqa: PLC0415

        # An owner that ends just now leaves an index that can be read.
        with suppress(OwnerGone):
            code = ask_search(
                owner,
                " ".join(query),
                k=k,
                path_globs=path,
                languages=lang,
                roots=repo,
                mode=mode,
                as_json=as_json,
            )
            raise typer.Exit(code)
    from indexing.cli.search_run import run_search  # noqa: PLC0415

    settings = invocation.settings()
    found = run_async(
        run_search(
            settings,
            " ".join(query),
            k=k,
            path_globs=path,
            languages=lang,
            roots=repo,
            mode=mode,
            wait_model=wait_model,
            as_json=as_json,
        )
    )
    raise typer.Exit(found)
