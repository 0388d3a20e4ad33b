"""Prints what was found, whoever found it: this process or the owner of the data directory."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from indexing.cli.exits import ExitCode
from indexing.cli.hits_view import definition_line, hit_lines
from indexing.cli.terminal import say, say_json, say_result, style_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexing.search import Hit, SearchResult, SimilarResult, SymbolResult


def show_found(query: str, result: SearchResult, searched: int, *, as_json: bool) -> ExitCode:
    """Print the hits of a search in so many repositories; returns the exit code."""
    if as_json:
        say_json({"query": query, **result.to_json()})
        return _code(result.hits)
    print_hits(result.hits)
    if not result.hits:
        say(f"codetrove: nothing found for {query!r} in {searched} repositories")
    _say_reservations(result)
    return _code(result.hits)


def show_definitions(name: str, result: SymbolResult, searched: int, *, as_json: bool) -> ExitCode:
    """Print the definitions of a name in so many repositories; returns the exit code."""
    if as_json:
        say_json({"name": name, **result.to_json()})
        return _code(result.definitions)
    style, here = style_for(sys.stdout), working_directory()
    for definition in result.definitions:
        say_result(definition_line(definition, style, here))
    if not result.definitions:
        say(f"codetrove: no definition of {name!r} in {searched} repositories")
    if not result.complete:
        say("codetrove: there are more definitions of this name; --repo or --lang narrows them down")
    return _code(result.definitions)


def show_similar(result: SimilarResult, *, as_json: bool) -> ExitCode:
    """Print what is like a piece of code; returns the exit code."""
    for reason in result.found.degraded:
        say(f"codetrove: {reason}")
    if as_json:
        say_json(result.to_json())
        return _code(result.found.hits)
    print_hits(result.found.hits)
    if not result.found.hits:
        say(f"codetrove: nothing is like lines {result.start_line}-{result.end_line} of {result.path}")
    _say_reservations(result.found)
    return _code(result.found.hits)


def print_hits(found: Sequence[Hit]) -> None:
    """Print hits as lines for people, an empty one between two."""
    style, here = style_for(sys.stdout), working_directory()
    for number, hit in enumerate(found):
        if number:
            say_result("")
        for line in hit_lines(hit, style, here):
            say_result(line)


def working_directory() -> str:
    """Return the working directory as roots are shown."""
    try:
        path = os.getcwd()  # noqa: PTH109 - pathlib would only turn it into text again
    except FileNotFoundError:  # it was removed: nothing lies below it
        return ""
    if "\\" not in path and path.isprintable():
        return path
    from indexing.sources import display  # noqa: PLC0415 - loads more than all else here, for a rare name

    return display(os.fsencode(path))


def _say_reservations(result: SearchResult) -> None:
    if not result.complete:
        say("codetrove: the search reached its bound; a narrower query may find more")
    stale = sorted({hit.root for hit in result.hits if hit.stale})
    if stale:
        say(f"codetrove: some files have changed since they were indexed; run: codetrove index {' '.join(stale)}")


def _code(found: Sequence[object]) -> ExitCode:
    return ExitCode.OK if found else ExitCode.FINDINGS
