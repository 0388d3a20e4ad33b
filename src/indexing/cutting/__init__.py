"""From the bytes of one file to its text, chunks, symbols and imports: pure functions, no I/O.

Importing this package is cheap; grammars and the detection of encodings are loaded on first use.
"""

from indexing.cutting.cutters import FALLBACK_CUTTER, cut, cut_windows, cutter_version, languages, warm
from indexing.cutting.decode import EXTRACTOR_VERSION, Extracted, extract
from indexing.cutting.identifiers import identifier_parts
from indexing.cutting.language import language_of
from indexing.cutting.windows import MAX_CHUNK_CHARS

__all__ = [
    "EXTRACTOR_VERSION",
    "FALLBACK_CUTTER",
    "MAX_CHUNK_CHARS",
    "Extracted",
    "cut",
    "cut_windows",
    "cutter_version",
    "extract",
    "identifier_parts",
    "language_of",
    "languages",
    "warm",
]
