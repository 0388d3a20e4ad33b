"""Search: from a query to ranked hits."""

from indexing.search.engine import search
from indexing.search.errors import BadRequest, VectorSearchUnavailable
from indexing.search.records import HIT_SCHEMA, MAX_K, Hit, Mode, Scores, SearchRequest, SearchResult, SnippetLine
from indexing.search.similar import SimilarRequest, SimilarResult, search_similar
from indexing.search.symbols import SymbolHit, SymbolResult, find_symbol
from indexing.search.vector_leg import NoVectors, VectorOf, VectorSearch, VectorSource, encoded_again

__all__ = [
    "HIT_SCHEMA",
    "MAX_K",
    "BadRequest",
    "Hit",
    "Mode",
    "NoVectors",
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
]
