"""What goes into the text index and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import msgspec

TEXT_SCHEMA_VERSION = 2
"""Version of the index layout: fields, tokenizers, what is fed to them. A watermark with another one means rebuild."""

TextField: TypeAlias = Literal["code", "parts", "symbol", "scope"]


class TextDocument(msgspec.Struct, frozen=True, gc=False):
    """One chunk, as the text index sees it."""

    chunk_id: int
    cut_id: int
    repository: str
    """uuid"""
    language: str
    kind: str
    code: bytes
    """The text of the chunk, as it stands in the file, in UTF-8."""
    words: str
    """Parts of the compound identifiers in it: lower case, joined by spaces."""
    symbols: tuple[str, ...] = ()
    """Names of the definitions that begin in the chunk."""
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Watermark:
    """How much of which catalog a commit of the text index holds."""

    catalog: str
    """uuid of the catalog"""
    incarnation: str
    """uuid of the owner's run that wrote it"""
    chunk_id: int
    """every chunk up to this id was added, unless deleted"""
    deletion: int
    """every row of ``deletions`` up to this id was applied"""
    schema: int = TEXT_SCHEMA_VERSION


class TextClause(NamedTuple):
    """One wanted term: it raises the score of chunks that hold it, and is never parsed as a query.

    The text goes through the tokenizer of its field, so that one clause of several words becomes several terms.
    """

    field: TextField
    text: str
    weight: float = 1.0
    """factor on the BM25 score of the term in that field"""


@dataclass(frozen=True, slots=True)
class TextQuery:
    """Chunks that hold at least one of the clauses, within the filters. Filters leave scores as they are."""

    clauses: tuple[TextClause, ...]
    repositories: frozenset[str]
    """uuids of the repositories that may be searched; an empty set finds nothing"""
    languages: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    cut_ids: Sequence[int] | None = None
    """if given, only chunks of these cuts"""


# Hundreds are made for one search: a struct is made four times as fast as a frozen dataclass.
class TextHit(msgspec.Struct, frozen=True, gc=False):
    """A chunk that matched."""

    chunk_id: int
    cut_id: int
    score: float


@dataclass(frozen=True, slots=True)
class TextHits:
    """The best chunks, by descending score and then ascending chunk id."""

    hits: tuple[TextHit, ...]
    exhausted: bool
    """True when nothing else matches the query."""

    def scores(self) -> dict[int, float]:
        """Score by chunk id."""
        return {hit.chunk_id: hit.score for hit in self.hits}
