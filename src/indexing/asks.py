"""What a caller may ask of the reading side: plain records, the same for HTTP, for MCP and over the control socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from indexing.search.errors import BadRequest

Mode: TypeAlias = Literal["hybrid", "text", "vector"]
Matching: TypeAlias = Literal["exact", "prefix"]
Consistency: TypeAlias = Literal["now", "wait", "fresh"]
"""``now``: what is searchable; ``wait``: first wait for what is pending; ``fresh``: without hits that are stale."""

MAX_TEXT_LINES: Final = 2_000
MAX_ASKED_REPOSITORIES: Final = 1_000
LONGEST_WAIT_MS: Final = 600_000
"""Beyond any limit of a service; its own setting is lower."""


@dataclass(frozen=True, slots=True)
class SearchAsk:
    """A search; ``BadRequest`` is raised where the search itself finds a value out of bounds."""

    query: str
    k: int = 10
    repositories: tuple[str, ...] = ()
    """uuids; none: all that the caller sees"""
    paths: tuple[str, ...] = ()
    """globs as in a gitignore file; a hit's path matches one of them"""
    languages: tuple[str, ...] = ()
    mode: Mode = "hybrid"
    consistency: Consistency = "now"
    wait_ms: int = 1000
    """most milliseconds that ``wait`` takes before it searches"""
    snippet_lines: int = 8

    def __post_init__(self) -> None:
        _check_repositories(self.repositories)
        if not 0 <= self.wait_ms <= LONGEST_WAIT_MS:
            raise _bad(f"wait_ms is {self.wait_ms}, it must be between 0 and {LONGEST_WAIT_MS}")


@dataclass(frozen=True, slots=True)
class SymbolAsk:
    """Definitions of a name."""

    name: str
    k: int = 20
    matching: Matching = "exact"
    repositories: tuple[str, ...] = ()
    """uuids; none: all that the caller sees"""
    languages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_repositories(self.repositories)


@dataclass(frozen=True, slots=True)
class SimilarAsk:
    """What is like the piece of code that holds a line."""

    repository: str
    """uuid of the one in which the line is"""
    path: bytes
    """relative to the root"""
    line: int
    """1-based"""
    k: int = 10
    repositories: tuple[str, ...] = ()
    """uuids of those to look in; none: all that the caller sees"""
    languages: tuple[str, ...] = ()
    snippet_lines: int = 8

    def __post_init__(self) -> None:
        _check_repositories(self.repositories)


@dataclass(frozen=True, slots=True)
class TextAsk:
    """Lines of a file as it was indexed."""

    repository: str
    """uuid"""
    path: bytes
    """relative to the root"""
    start: int = 1
    """1-based"""
    end: int | None = None
    """inclusive; None: as many as there are, within the limit"""

    def __post_init__(self) -> None:
        if self.start < 1:
            raise _bad(f"start is {self.start}, lines begin at 1")
        if self.end is not None and self.end < self.start:
            raise _bad(f"end is {self.end}, before the start at {self.start}")
        if self.end is not None and self.end - self.start >= MAX_TEXT_LINES:
            raise _bad(f"lines {self.start} to {self.end} are more than {MAX_TEXT_LINES}; ask for fewer at once")


def _check_repositories(uuids: tuple[str, ...]) -> None:
    if len(uuids) > MAX_ASKED_REPOSITORIES:
        raise _bad(f"{len(uuids)} repositories are named, the limit is {MAX_ASKED_REPOSITORIES}; name none for all")


def _bad(message: str) -> BadRequest:
    # The search packages come with it, and whoever hands an ask on to a daemon needs none of them.
    from indexing.search.errors import BadRequest  # noqa: PLC0415

    return BadRequest(message)
