"""One ``codetrove similar`` from the place that is named to the printed hits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from indexing.cli.exits import ExitCode, UsageError
from indexing.cli.search_run import choose_repositories, hits_wanted, print_hits, say_reservations
from indexing.cli.terminal import say, say_json
from indexing.reading import open_for_search
from indexing.search import SimilarRequest, search_similar

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    for reason in result.found.degraded:
        say(f"codetrove: {reason}")
    if as_json:
        say_json(result.to_json())
    else:
        print_hits(result.found.hits)
        if not result.found.hits:
            say(f"codetrove: nothing is like lines {result.start_line}-{result.end_line} of {result.path}")
        say_reservations(result.found)
    return ExitCode.OK if result.found.hits else ExitCode.FINDINGS


def file_and_line(place: str) -> tuple[Path, int]:
    """Take ``FILE:LINE`` apart; the file's directory with its symbolic links followed, as roots are.

    Raises ``UsageError`` if it is something else.
    """
    name, colon, number = place.rpartition(":")
    if not (colon and name and number.isdecimal() and len(number) < 10 and int(number) > 0):
        raise UsageError(f"{place!r} is not FILE:LINE, such as src/app.py:120; lines begin at 1")
    path = Path(name).expanduser()
    return path.parent.resolve() / path.name, int(number)
