"""What the routes of search take and give, for checking requests and for the OpenAPI description."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from indexing.asks import LONGEST_WAIT_MS, MAX_ASKED_REPOSITORIES, MAX_TEXT_LINES, Consistency, Matching, Mode
from indexing.http.answers import Answer
from indexing.http.bodies import Body, RepositoryId

MOST_QUERY_CHARACTERS: Final = 10_000
MOST_HITS: Final = 200
MOST_FILTERS: Final = 100
MOST_PATH_CHARACTERS: Final = 8_192
MOST_LINE: Final = 2**31 - 1

QueryText: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=MOST_QUERY_CHARACTERS, description="Words, names, paths, or a question.")
]
Hits: TypeAlias = Annotated[int, Field(ge=1, le=MOST_HITS, description="Most hits.")]
Repositories: TypeAlias = Annotated[
    list[RepositoryId],
    Field(max_length=MAX_ASKED_REPOSITORIES, description="uuids; none: all that the token sees."),
]
Globs: TypeAlias = Annotated[
    list[Annotated[str, Field(max_length=1_000)]],
    Field(max_length=MOST_FILTERS, description="Globs as in a gitignore file; a path has to match one."),
]
Languages: TypeAlias = Annotated[
    list[Annotated[str, Field(max_length=100)]],
    Field(max_length=MOST_FILTERS, description="Names of languages, such as python; a file has to be in one."),
]
WaitMs: TypeAlias = Annotated[
    int,
    Field(
        ge=0,
        le=LONGEST_WAIT_MS,
        description="Most milliseconds that consistency=wait takes; more than service.wait_ms_most counts as that.",
    ),
]
WantedMode: TypeAlias = Annotated[Mode, Field(description="All ways of searching, words alone, or vectors alone.")]
WantedConsistency: TypeAlias = Annotated[
    Consistency,
    Field(description="Answer now, wait for changes that are not indexed yet, or drop hits that are stale."),
]
SnippetLines: TypeAlias = Annotated[int, Field(ge=1, le=200, description="Most lines of a hit's snippet.")]
PathText: TypeAlias = Annotated[
    str | None, Field(max_length=MOST_PATH_CHARACTERS, description="Relative to the root; or give path_b64.")
]
PathBase64: TypeAlias = Annotated[
    str | None,
    Field(max_length=2 * MOST_PATH_CHARACTERS, description="The bytes of a path that is no UTF-8, in base64."),
]


class _Parameters(BaseModel):
    # As for bodies: what is misspelled must not be taken for the default. In an address every value is text.
    model_config = ConfigDict(extra="forbid", frozen=True)


class SearchBody(Body):
    """A search."""

    query: QueryText
    k: Hits = 10
    repositories: Repositories = Field(default_factory=list)
    paths: Globs = Field(default_factory=list)
    languages: Languages = Field(default_factory=list)
    mode: WantedMode = "hybrid"
    consistency: WantedConsistency = "now"
    wait_ms: WaitMs = 1_000
    snippet_lines: SnippetLines = 8


class SearchParameters(_Parameters):
    """A search, in the address."""

    q: QueryText
    limit: Hits = 10
    repository: Repositories = Field(default_factory=list)
    path: Globs = Field(default_factory=list)
    language: Languages = Field(default_factory=list)
    mode: WantedMode = "hybrid"
    consistency: WantedConsistency = "now"
    wait_ms: WaitMs = 1_000


class SymbolParameters(_Parameters):
    """A name whose definitions are wanted."""

    name: Annotated[str, Field(min_length=1, max_length=500, description="A name, or a qualified one: Class.method.")]
    limit: Hits = 20
    matching: Annotated[Matching, Field(description="The whole name, or names that begin with it.")] = "exact"
    repository: Repositories = Field(default_factory=list)
    language: Languages = Field(default_factory=list)


class SimilarBody(Body):
    """A line of an indexed file."""

    repository: RepositoryId
    path: PathText = None
    path_b64: PathBase64 = None
    line: Annotated[int, Field(ge=1, le=MOST_LINE, description="1-based.")]
    k: Hits = 10
    repositories: Repositories = Field(default_factory=list)
    languages: Languages = Field(default_factory=list)
    snippet_lines: SnippetLines = 8


class TextParameters(_Parameters):
    """Lines of an indexed file."""

    path: PathText = None
    path_b64: PathBase64 = None
    start: Annotated[int, Field(ge=1, le=MOST_LINE, description="First line, 1-based.")] = 1
    end: Annotated[
        int | None,
        Field(ge=1, le=MOST_LINE, description=f"Last line, inclusive; at most {MAX_TEXT_LINES} lines are given."),
    ] = None


class SnippetLine(Answer):
    """One line of a snippet."""

    line: int
    text: str
    matches: list[list[int]] = Field(description="[start, end) of the query's words, in characters.")


class LegScore(Answer):
    """How one way of searching ranked a hit."""

    rank: int
    score: float


class Scores(Answer):
    """How a hit's score came about."""

    fusion: float
    legs: dict[str, LegScore]
    factors: dict[str, float]


class Hit(Answer):
    """A found piece of a file, as it was indexed."""

    schema_: int = Field(alias="schema")
    repository: str = Field(description="uuid")
    root: str
    snapshot: str
    path: str = Field(description="Printable.")
    path_b64: str | None = Field(None, description="The exact bytes, where they cannot be told from path.")
    also_at: list[str] = Field(description="Other paths with the same content.")
    start_line: int
    end_line: int = Field(description="Inclusive.")
    symbol: str
    kind: str
    scope: str
    signature: str
    language: str
    text: str
    snippet: list[SnippetLine]
    score: float
    scores: Scores
    indexed_hash: str = Field(description="SHA-256 of the file's bytes when it was indexed.")
    stale: bool | None = Field(description="The file has changed since; null where it is not on disk.")


class PendingFiles(Answer):
    """Changes of a repository that are not searchable yet."""

    repository: str
    files: int = Field(description="As far as is known; 0 where only that there are some is known.")


class SearchAnswer(Answer):
    """The best hits."""

    schema_: int = Field(alias="schema")
    query: str
    took_ms: float
    complete: bool = Field(description="false: there may be more, or better ones.")
    degraded: list[str] = Field(description="Why a way of searching gave nothing, or not all it could.")
    pending: list[PendingFiles]
    hits: list[Hit]


class SimilarTo(Answer):
    """The piece of code that was compared."""

    path: str
    start_line: int
    end_line: int
    symbol: str


class SimilarAnswer(Answer):
    """The nearest pieces of code."""

    schema_: int = Field(alias="schema")
    to: SimilarTo
    complete: bool
    degraded: list[str]
    hits: list[Hit]


class Definition(Answer):
    """Where a name is defined."""

    schema_: int = Field(alias="schema")
    name: str
    kind: str
    scope: str
    signature: str
    repository: str
    root: str
    snapshot: str
    path: str
    path_b64: str | None = None
    start_line: int
    end_line: int
    language: str


class SymbolAnswer(Answer):
    """The definitions of a name."""

    schema_: int = Field(alias="schema")
    name: str
    complete: bool
    definitions: list[Definition]


class FileText(Answer):
    """Lines of a file as it was indexed."""

    repository: str
    path: str
    path_b64: str | None = None
    start_line: int
    end_line: int
    lines_total: int
    text: str
    language: str
    indexed_hash: str
    stale: bool
