"""Search: from a query to ranked hits."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from indexing.search.errors import BadRequest, NoVectorsMade, VectorSearchUnavailable
from indexing.search.records import (
    HIT_SCHEMA,
    MAX_K,
    Hit,
    Mode,
    Scores,
    SearchRequest,
    SearchResult,
    SimilarResult,
    SnippetLine,
    SymbolHit,
    SymbolResult,
)

if TYPE_CHECKING:
    from indexing.search.engine import Pages, search
    from indexing.search.similar import SimilarRequest, search_similar
    from indexing.search.symbols import find_symbol
    from indexing.search.vector_leg import NoVectors, VectorOf, VectorSearch, VectorSource, encoded_again, usable

__all__ = [
    "HIT_SCHEMA",
    "MAX_K",
    "BadRequest",
    "Hit",
    "Mode",
    "NoVectors",
    "NoVectorsMade",
    "Pages",
    "Scores",
    "SearchRequest",
    "SearchResult",
    "SimilarRequest",
    "SimilarResult",
    "SnippetLine",
    "SymbolHit",
    "SymbolResult",
    "VectorOf",
    "VectorSearch",
    "VectorSearchUnavailable",
    "VectorSource",
    "encoded_again",
    "find_symbol",
    "search",
    "search_similar",
    "usable",
]

_LATER = {
    "search": "engine",
    "Pages": "engine",
    "SimilarRequest": "similar",
    "search_similar": "similar",
    "find_symbol": "symbols",
    "NoVectors": "vector_leg",
    "VectorOf": "vector_leg",
    "VectorSearch": "vector_leg",
    "VectorSource": "vector_leg",
    "encoded_again": "vector_leg",
    "usable": "vector_leg",
}
"""What can search, by module: whoever only shows answers (a client of an owner) loads none of it."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"indexing.search.{_LATER[name]}"), name)
