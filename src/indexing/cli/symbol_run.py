"""One ``codetrove symbol`` from opening the index to the printed definitions."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from indexing.cli.exits import ExitCode
from indexing.cli.hits_view import definition_line
from indexing.cli.search_run import choose_repositories, hits_wanted
from indexing.cli.terminal import say, say_json, say_result, style_for
from indexing.reading import open_for_search
from indexing.search import find_symbol
from indexing.sources import display

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    if as_json:
        say_json({"name": name, **result.to_json()})
        return ExitCode.OK if result.definitions else ExitCode.FINDINGS
    style, here = style_for(sys.stdout), display(os.fsencode(Path.cwd()))
    for definition in result.definitions:
        say_result(definition_line(definition, style, here))
    if not result.definitions:
        say(f"codetrove: no definition of {name!r} in {len(chosen)} repositories")
    if not result.complete:
        say("codetrove: there are more definitions of this name; --repo or --lang narrows them down")
    return ExitCode.OK if result.definitions else ExitCode.FINDINGS
