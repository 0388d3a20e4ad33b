"""Search: from a query to ranked hits."""

from indexing.search.engine import search
from indexing.search.errors import BadRequest
from indexing.search.records import HIT_SCHEMA, MAX_K, Hit, Scores, SearchRequest, SearchResult, SnippetLine
from indexing.search.symbols import SymbolHit, SymbolResult, find_symbol

__all__ = [
    "HIT_SCHEMA",
    "MAX_K",
    "BadRequest",
    "Hit",
    "Scores",
    "SearchRequest",
    "SearchResult",
    "SnippetLine",
    "SymbolHit",
    "SymbolResult",
    "find_symbol",
    "search",
]
