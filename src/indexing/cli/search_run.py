"""One ``codetrove search`` from opening the index to the printed hits."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from indexing.cli.exits import UsageError
from indexing.cli.hits_print import show_found
from indexing.cli.terminal import say
from indexing.reading import open_for_search
from indexing.search import NoVectors, SearchRequest, search
from indexing.sources import display
from storage import CatalogMissing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from indexing.cli.exits import ExitCode
    from indexing.search import Mode, VectorSource
    from indexing.settings import Settings
    from storage import Reader, Repository


async def run_search(
    settings: Settings,
    query: str,
    *,
    k: int | None,
    path_globs: Sequence[str],
    languages: Sequence[str],
    roots: Sequence[Path],
    mode: Mode,
    wait_model: bool,
    as_json: bool,
) -> ExitCode:
    """Search and print; returns the exit code."""
    k = hits_wanted(settings, k)
    load_model = wait_model or mode == "vector"
    async with (
        open_for_search(settings) as (reader, index),
        _vectors(settings, reader, mode, load_model=load_model) as vectors,
    ):
        chosen = choose_repositories(await reader.repositories(), roots)
        request = SearchRequest(
            query,
            repositories=frozenset(repository.uuid for repository in chosen),
            k=k,
            path_globs=tuple(path_globs),
            languages=tuple(language.lower() for language in languages),
            mode=mode,
            max_hits_per_file=settings.search.max_hits_per_file,
            max_allowed_ids=settings.search.max_allowed_ids,
        )
        result = await search(request, catalog=reader, text_index=index, vectors=vectors)
    cold = isinstance(vectors, NoVectors) and vectors.cold
    for reason in result.degraded:
        say(f"codetrove: {reason}{'; words alone answered, --wait-model waits for it' if cold else ''}")
    return show_found(query, result, len(chosen), as_json=as_json)


def hits_wanted(settings: Settings, k: int | None) -> int:
    """Return how many hits are asked for at most; raises ``UsageError`` beyond what the settings allow."""
    wanted = settings.search.default_k if k is None else k
    if not 1 <= wanted <= settings.search.max_k:
        raise UsageError(f"-k {wanted} is outside 1 to {settings.search.max_k} (search.max_k)")
    return wanted


def choose_repositories(repositories: Sequence[Repository], roots: Sequence[Path]) -> list[Repository]:
    """Return the repositories that the given directories are (or lie in), all of them when none is given.

    Raises ``CatalogMissing`` when there is none at all, ``UsageError`` for a directory that is in none.
    """
    if not repositories:
        raise CatalogMissing("nothing is indexed yet; run 'codetrove index PATH' first")
    if not roots:
        return list(repositories)
    chosen: dict[str, Repository] = {}
    for root in roots:
        path = os.fsencode(root.expanduser().resolve())
        around = [each for each in repositories if _contains(each.root.path, path)]
        if not around:
            known = ", ".join(display(each.root.path) for each in repositories[:5])
            raise UsageError(f"--repo {str(root)!r} is not indexed; indexed are: {known}")
        innermost = max(around, key=lambda each: len(each.root.path))
        chosen[innermost.uuid] = innermost
    return list(chosen.values())


@asynccontextmanager
async def _vectors(
    settings: Settings, reader: Reader, mode: Mode, *, load_model: bool
) -> AsyncIterator[VectorSource | None]:
    """The vectors to search; words alone open none."""
    if mode == "text":
        yield None
        return
    from indexing.reading import open_vectors  # noqa: PLC0415  (numpy comes with it)

    async with open_vectors(settings, reader, load_model=load_model) as vectors:
        yield vectors


def _contains(root: bytes, path: bytes) -> bool:
    return path == root or path.startswith(root.rstrip(b"/") + b"/")
