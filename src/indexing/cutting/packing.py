"""Units of a text (statements, definitions, paragraphs) packed into chunks within the bound.

Units that follow each other are merged greedily, as in cAST (Zhang et al. 2025, arXiv 2506.15655): what is small
shares a chunk with its neighbours, what is too large was split before it comes here, or is split by lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from indexing.cutting.lines import char_count
from indexing.cutting.windows import MAX_CHUNK_CHARS, window_starts

MAX_MERGED_CHARS: Final = 800
"""bound of a chunk that holds several definitions with a body: two long functions in one chunk blur each other"""


@dataclass(slots=True)
class Units:
    """Consecutive units of a text: each reaches to the start of the next, the last one to the end of the text."""

    starts: list[int] = field(default_factory=list)
    tight: set[int] = field(default_factory=set)
    """starts of units that stay with the one before, if both fit: a closing bracket, the rest of a line"""
    barriers: set[int] = field(default_factory=set)
    """starts of units before which a chunk must end"""


def pack(text: bytes, lines: list[int], units: Units, definition_starts: list[int]) -> list[int]:
    """Offsets at which chunks start, ascending from 0.

    ``lines`` is the table of line starts; ``definition_starts`` (ascending) are the starts of definitions with a body.
    """
    packed: list[int] = []
    region: list[tuple[int, int, bool]] = []
    for start, size, defines in _sized(text, units, definition_starts):
        if start in units.barriers and region:
            _pack_region(text, lines, region, start, packed)
            region = []
        region.append((start, size, defines))
    if region:
        _pack_region(text, lines, region, len(text), packed)
    return packed


def _sized(text: bytes, units: Units, definition_starts: list[int]) -> list[tuple[int, int, bool]]:
    """Units as (start, characters, whether a definition begins in it), tight ones joined where they fit."""
    sized: list[tuple[int, int, bool]] = []
    definitions = iter([*definition_starts, len(text) + 1])
    definition = next(definitions)
    for start, end in pairwise([*units.starts, len(text)]):
        size = char_count(text[start:end])
        defines = definition < end
        while definition < end:
            definition = next(definitions)
        if sized and start in units.tight and start not in units.barriers:
            before, before_size, before_defines = sized[-1]
            if before_size + size <= MAX_CHUNK_CHARS:
                sized[-1] = (before, before_size + size, before_defines or defines)
                continue
        sized.append((start, size, defines))
    return sized


def _pack_region(
    text: bytes, lines: list[int], region: list[tuple[int, int, bool]], end: int, packed: list[int]
) -> None:
    total = sum(size for _, size, _ in region)
    count = -(-total // MAX_CHUNK_CHARS)
    # With few chunks an even share leaves no crumb at the end.
    limit = min(MAX_CHUNK_CHARS, total * 23 // (count * 20) + 50) if count > 1 else MAX_CHUNK_CHARS
    chunk_size = 0
    chunk_defines = False
    is_first = True
    ends = [start for start, _, _ in region[1:]] + [end]
    for (start, size, defines), unit_end in zip(region, ends, strict=True):
        merged = chunk_size + size
        bound = min(limit, MAX_MERGED_CHARS) if defines and chunk_defines else limit
        if not is_first and merged <= bound:
            chunk_size = merged
            chunk_defines = chunk_defines or defines
        elif size > MAX_CHUNK_CHARS:
            pieces = window_starts(text, lines, start, unit_end, max_lines=None)
            packed += pieces
            chunk_size, chunk_defines = char_count(text[pieces[-1] : unit_end]), defines
        else:
            packed.append(start)
            chunk_size, chunk_defines = size, defines
        is_first = False
