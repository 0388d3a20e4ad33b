"""``codetrove index``: brings the index of a source tree up to date."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from indexing.cli.invocation import invocation_of, run_async


class Until(StrEnum):
    """How far a command goes before it ends."""

    SEARCHABLE = "searchable"
    VECTORS = "vectors"


def index(
    context: typer.Context,
    *,
    path: Path = typer.Argument(metavar="PATH", help="Directory of the source tree.", show_default=False),
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Only list what would happen to each file, and why; nothing is written."
    ),
    accept_root: bool = typer.Option(
        False, "--accept-root", help="Another directory is at PATH than before, and that is right."
    ),
    include: list[str] = typer.Option(
        [], metavar="GLOB", help="Index only files that match (discovery.include); repeatable.", show_default=False
    ),
    exclude: list[str] = typer.Option(
        [], metavar="GLOB", help="Leave files out that match (discovery.exclude); repeatable.", show_default=False
    ),
    until: Until = typer.Option(
        Until.VECTORS, "--until", help="When to end: searchable by text, or with the vectors of all chunks too."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object at the end."),
) -> None:
    """Make the source tree at PATH searchable; when it is, read only what has changed.

    Text and names can be searched within seconds; vectors follow at the speed of the model (embeddings.model).

    Ctrl-C finishes what is in hand; a second one stops at once. Either way the next run goes on from there.

    Exit codes: 0 done, 1 some files failed or stopped before the end, 2 PATH cannot be indexed, 3 unavailable.
    """
    invocation = invocation_of(context)
    globs = {"discovery.include": tuple(include) or None, "discovery.exclude": tuple(exclude) or None}
    settings = invocation.settings(globs)
    if dry_run:
        from indexing.cli.dry_run import list_decisions  # noqa: PLC0415

        code = run_async(list_decisions(settings, path, as_json=as_json))
    elif (owner := invocation.owner()) is not None:
        from indexing.cli.index_owner import run_index_of  # noqa: PLC0415
        from indexing.control import OwnerRuns  # noqa: PLC0415

        if include or exclude or accept_root:
            raise OwnerRuns(
                "--include, --exclude and --accept-root cannot be given while another process owns the data directory;"
                " 'codetrove stop' ends it, and globs can stand in the configuration file"
            )
        vectors = until is Until.VECTORS
        code = run_async(run_index_of(owner, path, with_vectors=vectors, as_json=as_json, verbose=invocation.verbose))
    else:
        from indexing.cli.index_run import run_index  # noqa: PLC0415

        code = run_async(
            run_index(
                settings,
                path,
                accept_root=accept_root,
                with_vectors=until is Until.VECTORS,
                as_json=as_json,
                verbose=invocation.verbose,
            )
        )
    raise typer.Exit(code)
