"""The structured content of the tools' results; every one carries the notice that its content is untrusted."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12


class Located(TypedDict):
    """Where something is."""

    repository: str
    root: str
    path: str
    path_b64: NotRequired[str]
    start_line: int
    end_line: int
    language: str


class FoundCode(Located):
    """One hit."""

    symbol: str
    kind: str
    scope: str
    signature: str
    score: float
    stale: bool | None
    also_at: list[str]
    snippet: str


class SearchCodeOutput(TypedDict):
    """Result of ``search_code``."""

    notice: str
    query: str
    complete: bool
    degraded: list[str]
    pending: list[dict[str, Any]]
    hits: list[FoundCode]


class FoundDefinition(Located):
    """One definition."""

    name: str
    kind: str
    scope: str
    signature: str


class FindSymbolOutput(TypedDict):
    """Result of ``find_symbol``."""

    notice: str
    name: str
    complete: bool
    definitions: list[FoundDefinition]


class ReadChunkOutput(TypedDict):
    """Result of ``read_chunk``."""

    notice: str
    repository: str
    path: str
    path_b64: NotRequired[str]
    start_line: int
    end_line: int
    lines_total: int
    language: str
    indexed_hash: str
    stale: bool | None
    truncated: bool
    text: str


class ListedRepository(TypedDict):
    """One repository."""

    uuid: str
    root: str
    name: str
    files: int
    chunks: int
    scanned_at: str | None
    job: dict[str, Any] | None
    problems: list[str]


class ListRepositoriesOutput(TypedDict):
    """Result of ``list_repositories``."""

    notice: str
    repositories: list[ListedRepository]


class IndexStatusOutput(TypedDict):
    """Result of ``index_status``: as ``codetrove status --json``."""

    notice: str
    status: dict[str, Any]


class IndexRepositoryOutput(TypedDict):
    """Result of ``index_repository``."""

    notice: str
    job: dict[str, Any]
