"""``search``, ``symbol`` and ``similar`` as questions to the owner of the data directory: nothing is opened here."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

from indexing.cli.hits_print import show_definitions, show_found, show_similar
from indexing.cli.owner_repositories import chosen_by, known_to, root_of
from indexing.cli.place import file_and_line
from indexing.cli.terminal import say
from indexing.search.records import SearchResult, SimilarResult, SymbolResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from indexing.cli.exits import ExitCode
    from indexing.control import ControlClient
    from indexing.search import Mode


def ask_search(
    owner: ControlClient,
    query: str,
    *,
    k: int | None,
    path_globs: Sequence[str],
    languages: Sequence[str],
    roots: Sequence[Path],
    mode: Mode,
    as_json: bool,
) -> ExitCode:
    """Let the owner search, and print what it found; returns the exit code. Raises the errors of ``control``."""
    chosen = _uuids(owner, roots)
    asked = {
        "query": query,
        "k": k,
        "repositories": chosen,
        "paths": list(path_globs),
        "languages": [language.lower() for language in languages],
        "mode": mode,
    }
    answer = owner.post("/search", _given(asked))
    result = SearchResult.from_json(answer)
    for reason in result.degraded:
        say(f"codetrove: {reason}")
    for each in answer.get("pending", ()):
        if each.get("files"):
            say(f"codetrove: {each['files']:,} files of repository {each['repository']} are being indexed")
    return show_found(query, result, _searched(owner, chosen, result.hits), as_json=as_json)


def ask_symbol(
    owner: ControlClient,
    name: str,
    *,
    k: int,
    languages: Sequence[str],
    roots: Sequence[Path],
    prefix: bool,
    as_json: bool,
) -> ExitCode:
    """Let the owner look a name up, and print its definitions; returns the exit code."""
    chosen = _uuids(owner, roots)
    answer = owner.get(
        "/symbols",
        name=name,
        limit=k,
        matching="prefix" if prefix else "exact",
        language=[language.lower() for language in languages] or None,
        repository=chosen or None,
    )
    result = SymbolResult.from_json(answer)
    return show_definitions(name, result, _searched(owner, chosen, result.definitions), as_json=as_json)


def ask_similar(
    owner: ControlClient, place: str, *, k: int | None, languages: Sequence[str], roots: Sequence[Path], as_json: bool
) -> ExitCode:
    """Let the owner compare a piece of code with all others, and print what is like it; returns the exit code."""
    file, line = file_and_line(place)
    known = known_to(owner)
    (around,) = chosen_by(known, [file.parent])
    path = os.fsencode(file)[len(root_of(around).rstrip(b"/")) + 1 :]
    asked = {
        "repository": around["uuid"],
        **_path(path),
        "line": line,
        "k": k,
        "repositories": [each["uuid"] for each in chosen_by(known, roots)] if roots else [],
        "languages": [language.lower() for language in languages],
    }
    return show_similar(SimilarResult.from_json(owner.post("/similar", _given(asked))), as_json=as_json)


def _uuids(owner: ControlClient, roots: Sequence[Path]) -> list[str]:
    """The repositories that are asked for; none means all."""
    return [each["uuid"] for each in chosen_by(known_to(owner), roots)] if roots else []


def _searched(owner: ControlClient, chosen: Sequence[str], found: Sequence[object]) -> int:
    """In how many repositories was searched; asked for only where nothing was found.

    Raises ``UsageError`` where nothing is indexed at all.
    """
    if found or chosen:
        return len(chosen)
    return len(chosen_by(known_to(owner), ()))


def _given(asked: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the owner has a default for."""
    return {name: value for name, value in asked.items() if value is not None and value != []}


def _path(path: bytes) -> dict[str, str]:
    try:
        return {"path": path.decode("utf-8")}
    except UnicodeDecodeError:
        return {"path_b64": base64.b64encode(path).decode("ascii")}
