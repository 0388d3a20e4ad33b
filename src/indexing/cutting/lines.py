"""Lines and sizes of a UTF-8 text, counted on its bytes.

A line ends at ``\\n``, ``\\r\\n`` or ``\\r`` and nowhere else.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

_BLANKS = b" \t\n\r\x0b\x0c"
_UNCOUNTED = _BLANKS + bytes(range(0x80, 0xC0))


def line_starts(text: bytes) -> list[int]:
    """Byte offsets at which lines start, ascending; the last one is the length of the text when that ends a line."""
    return list(accumulate(map(len, text.splitlines(keepends=True)), initial=0))


def line_of(starts: list[int], offset: int) -> int:
    """1-based number of the line that holds the byte at ``offset``, by the table of ``line_starts``."""
    return bisect_right(starts, offset)


def last_line_of(starts: list[int], start: int, end: int) -> int:
    """1-based number of the line that holds the last byte of ``start:end`` (of ``start`` where that is empty)."""
    return bisect_right(starts, end - 1 if end > start else start)


def char_count(piece: bytes) -> int:
    """Number of characters that are not ASCII white space: one per byte that does not continue a UTF-8 sequence."""
    return len(piece.translate(None, _UNCOUNTED))


def trimmed_end(text: bytes, start: int, end: int) -> int:
    """``end`` moved back over white space, not before ``start``."""
    while end > start and text[end - 1] in _BLANKS:
        end -= 1
    return end


def char_boundary(text: bytes, offset: int) -> int:
    """The nearest offset at or before ``offset`` that is neither inside a UTF-8 sequence nor inside a ``\\r\\n``."""
    length = len(text)
    if offset >= length:
        return length
    while offset and 0x80 <= text[offset] < 0xC0:
        offset -= 1
    if offset and text[offset] == 0x0A and text[offset - 1] == 0x0D:
        offset -= 1
    return offset
