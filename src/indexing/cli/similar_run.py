"""One ``codetrove similar`` from the place that is named to the printed hits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from indexing.cli.hits_print import show_similar
from indexing.cli.place import file_and_line
from indexing.cli.search_run import choose_repositories, hits_wanted
from indexing.reading import open_for_search
from indexing.search import SimilarRequest, search_similar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from indexing.cli.exits import ExitCode
    from indexing.settings import Settings


async def run_similar(
    settings: Settings,
    place: str,
    *,
    k: int | None,
    languages: Sequence[str],
    roots: Sequence[Path],
    as_json: bool,
) -> ExitCode:
    """Search and print; returns the exit code."""
    from indexing.reading import open_vectors  # noqa: PLC0415  (numpy comes with it)

    k = hits_wanted(settings, k)
    file, line = file_and_line(place)
    async with (
        open_for_search(settings) as (reader, _),
        open_vectors(settings, reader, load_model=True) as vectors,
    ):
        known = await reader.repositories()
        (around,) = choose_repositories(known, [file.parent])
        request = SimilarRequest(
            around.uuid,
            os.fsencode(file)[len(around.root.path.rstrip(b"/")) + 1 :],
            line,
            repositories=frozenset(repository.uuid for repository in choose_repositories(known, roots)),
            k=k,
            languages=tuple(language.lower() for language in languages),
        )
        result = await search_similar(request, catalog=reader, vectors=vectors)
    return show_similar(result, as_json=as_json)
