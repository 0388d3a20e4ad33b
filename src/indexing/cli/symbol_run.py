"""One ``codetrove symbol`` from opening the index to the printed definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexing.cli.hits_print import show_definitions
from indexing.cli.search_run import choose_repositories, hits_wanted
from indexing.reading import open_for_search
from indexing.search import find_symbol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from indexing.cli.exits import ExitCode
    from indexing.settings import Settings


async def run_symbol(
    settings: Settings,
    name: str,
    *,
    k: int,
    languages: Sequence[str],
    roots: Sequence[Path],
    prefix: bool,
    as_json: bool,
) -> ExitCode:
    """Look a name up and print its definitions; returns the exit code."""
    k = hits_wanted(settings, k)
    async with open_for_search(settings) as (reader, index):
        chosen = choose_repositories(await reader.repositories(), roots)
        result = await find_symbol(
            name,
            repositories=frozenset(repository.uuid for repository in chosen),
            catalog=reader,
            text_index=index,
            languages=frozenset(language.lower() for language in languages) or None,
            k=k,
            matching="prefix" if prefix else "exact",
        )
    return show_definitions(name, result, len(chosen), as_json=as_json)
