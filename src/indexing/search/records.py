"""What is searched for and what is found. Loads nothing else: whoever shows an answer need not be able to search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

from indexing.search.errors import BadRequest

HIT_SCHEMA: Final = 1
"""Version of a hit's JSON: raised when a key changes its meaning or goes; new keys may come without."""

Mode: TypeAlias = Literal["hybrid", "text", "vector"]
"""By which legs is searched: all of them, words alone (text, names, paths), or vectors alone."""

MAX_QUERY_CHARACTERS: Final = 10_000
MAX_K: Final = 200
MAX_FILTERS: Final = 100
MAX_SNIPPET_LINES: Final = 200
MAX_HITS_A_FILE: Final = 3


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One search. Raises BadRequest when a limit is exceeded."""

    query: str
    repositories: frozenset[str]
    """uuids of the repositories that may be searched; an empty set finds nothing"""
    k: int = 10
    path_globs: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    snippet_lines: int = 8
    """lines of the snippet at most"""
    check_disk: bool = True
    """compare each hit's file with what was indexed (one lstat a file)"""
    mode: Mode = "hybrid"
    """hybrid without vectors is text"""
    max_hits_per_file: int = MAX_HITS_A_FILE
    max_allowed_ids: int = 20_000
    """Path filters that accept more cuts than this are applied after the cut of a leg, which then widens."""

    def __post_init__(self) -> None:
        if not self.query.strip():
            raise BadRequest("the query is empty")
        if len(self.query) > MAX_QUERY_CHARACTERS:
            raise BadRequest(
                f"the query has {len(self.query)} characters, the limit is {MAX_QUERY_CHARACTERS}; shorten it"
            )
        if not 1 <= self.k <= MAX_K:
            raise BadRequest(f"k is {self.k}, it must be between 1 and {MAX_K}")
        if self.max_hits_per_file < 1 or self.max_allowed_ids < 0:
            raise BadRequest(
                f"max_hits_per_file is {self.max_hits_per_file} and max_allowed_ids {self.max_allowed_ids};"
                " they must be at least 1 and 0"
            )
        if not 1 <= self.snippet_lines <= MAX_SNIPPET_LINES:
            raise BadRequest(f"snippet_lines is {self.snippet_lines}, it must be between 1 and {MAX_SNIPPET_LINES}")
        if max(len(self.path_globs), len(self.languages)) > MAX_FILTERS:
            raise BadRequest(f"more than {MAX_FILTERS} path or language filters; use fewer")


class LegPlace(NamedTuple):
    """Where a leg placed a chunk."""

    rank: int
    """1-based; equal scores share the best rank"""
    score: float


class SnippetLine(NamedTuple):
    """One line of a snippet."""

    number: int
    """1-based, of the file"""
    text: str
    matches: tuple[tuple[int, int], ...] = ()
    """character ranges of the query's words in ``text``, end exclusive"""


@dataclass(frozen=True, slots=True)
class Scores:
    """How a hit's score came about."""

    total: float
    fusion: float
    legs: dict[str, LegPlace] = field(default_factory=dict)
    factors: dict[str, float] = field(default_factory=dict)
    """by reason, those that are not 1"""

    @classmethod
    def from_json(cls, total: float, value: Mapping[str, Any]) -> Self:
        """Take back what ``Hit.to_json`` made."""
        legs = {name: LegPlace(place["rank"], place["score"]) for name, place in value["legs"].items()}
        return cls(total, value["fusion"], legs, dict(value["factors"]))


@dataclass(frozen=True, slots=True)
class Hit:
    """A found piece of a file, as it was indexed."""

    repository: str
    root: str
    snapshot: str
    path: str
    """printable; see ``path_b64`` for the exact bytes of a name that is not"""
    path_b64: str | None
    also_at: tuple[str, ...]
    """other paths with the same content"""
    start_line: int
    """1-based"""
    end_line: int
    """inclusive"""
    symbol: str
    kind: str
    scope: str
    signature: str
    language: str
    text: str
    snippet: tuple[SnippetLine, ...]
    scores: Scores
    indexed_hash: str
    """SHA-256 of the file's bytes when it was indexed"""
    stale: bool | None
    """the file has changed or gone since; None where it was not looked at"""

    def to_json(self) -> dict[str, Any]:
        """The hit as plain JSON values."""
        return {
            "schema": HIT_SCHEMA,
            "repository": self.repository,
            "root": self.root,
            "snapshot": self.snapshot,
            "path": self.path,
            **({"path_b64": self.path_b64} if self.path_b64 is not None else {}),
            "also_at": list(self.also_at),
            "start_line": self.start_line,
            "end_line": self.end_line,
            "symbol": self.symbol,
            "kind": self.kind,
            "scope": self.scope,
            "signature": self.signature,
            "language": self.language,
            "text": self.text,
            "snippet": [
                {"line": line.number, "text": line.text, "matches": [list(each) for each in line.matches]}
                for line in self.snippet
            ],
            "score": self.scores.total,
            "scores": {
                "fusion": self.scores.fusion,
                "legs": {name: {"rank": place.rank, "score": place.score} for name, place in self.scores.legs.items()},
                "factors": dict(self.scores.factors),
            },
            "indexed_hash": self.indexed_hash,
            "stale": self.stale,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Take back what ``to_json`` made; keys that are not known are passed over."""
        snippet = tuple(
            SnippetLine(line["line"], line["text"], tuple((start, end) for start, end in line["matches"]))
            for line in value["snippet"]
        )
        taken = {name: value[name] for name in _PLAIN_KEYS}
        return cls(
            **taken,
            path_b64=value.get("path_b64"),
            also_at=tuple(value["also_at"]),
            snippet=snippet,
            scores=Scores.from_json(value["score"], value["scores"]),
        )


_PLAIN_KEYS = (
    "repository", "root", "snapshot", "path", "start_line", "end_line", "symbol", "kind", "scope", "signature",
    "language", "text", "indexed_hash", "stale",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best hits, best first."""

    hits: tuple[Hit, ...]
    complete: bool
    """False when a leg reached its bound before the page was full: there may be more, or better ones"""
    degraded: tuple[str, ...] = ()
    """why a leg that was asked for gave nothing, or not all it could"""
    cut_ids: tuple[int, ...] = ()
    """cuts that the hits show: their vectors are wanted first"""

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "schema": HIT_SCHEMA,
            "complete": self.complete,
            "degraded": list(self.degraded),
            "hits": [hit.to_json() for hit in self.hits],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Take back what ``to_json`` made; keys that are not known are passed over."""
        hits = tuple(Hit.from_json(each) for each in value["hits"])
        return cls(hits, value["complete"], tuple(value["degraded"]))


@dataclass(frozen=True, slots=True)
class SimilarResult:
    """What is like a piece of code, nearest first."""

    path: str
    start_line: int
    """of the chunk that was compared; 1-based, inclusive"""
    end_line: int
    symbol: str
    found: SearchResult

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        to = {"path": self.path, "start_line": self.start_line, "end_line": self.end_line, "symbol": self.symbol}
        return {"schema": HIT_SCHEMA, "to": to, **self.found.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Take back what ``to_json`` made; keys that are not known are passed over."""
        to = value["to"]
        return cls(to["path"], to["start_line"], to["end_line"], to["symbol"], SearchResult.from_json(value))


@dataclass(frozen=True, slots=True)
class SymbolHit:
    """One definition."""

    name: str
    kind: str
    scope: str
    signature: str
    """its first line, or the signature that the cutter took from it"""
    repository: str
    root: str
    snapshot: str
    path: str
    path_b64: str | None
    start_line: int
    """1-based"""
    end_line: int
    """inclusive"""
    language: str

    def to_json(self) -> dict[str, Any]:
        """The definition as plain JSON values."""
        return {"schema": HIT_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Take back what ``to_json`` made; keys that are not known are passed over."""
        taken: dict[str, Any] = {name: value.get(name) for name in cls.__slots__}
        return cls(**taken)


@dataclass(frozen=True, slots=True)
class SymbolResult:
    """Definitions, best first."""

    definitions: tuple[SymbolHit, ...]
    complete: bool
    """False when there are too many definitions of the name to look at them all"""

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        definitions = [each.to_json() for each in self.definitions]
        return {"schema": HIT_SCHEMA, "complete": self.complete, "definitions": definitions}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Take back what ``to_json`` made; keys that are not known are passed over."""
        return cls(tuple(SymbolHit.from_json(each) for each in value["definitions"]), value["complete"])
