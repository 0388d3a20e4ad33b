"""The text index: which chunks hold which words, names and definitions.

A projection of the catalog on tantivy. It stores no text: a hit is a chunk id with a score,
to be joined with the catalog.
"""

from __future__ import annotations

from storage.text.index import TextIndex
from storage.text.records import (
    TEXT_SCHEMA_VERSION,
    TextClause,
    TextDocument,
    TextField,
    TextHit,
    TextHits,
    TextQuery,
    Watermark,
)

__all__ = [
    "TEXT_SCHEMA_VERSION",
    "TextClause",
    "TextDocument",
    "TextField",
    "TextHit",
    "TextHits",
    "TextIndex",
    "TextQuery",
    "Watermark",
]
