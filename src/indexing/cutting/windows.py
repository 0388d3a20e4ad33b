"""Cutting without syntax: windows of whole lines, and forced splits inside lines that are too long for one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

from indexing.cutting.lines import char_boundary, char_count

MAX_CHUNK_CHARS: Final = 1500
"""characters that are not white space, the bound of every chunk of every cutter"""
MAX_WINDOW_LINES: Final = 40

_NICE_BREAKS = b" \t;,})]>"
_BREAK_SEARCH_BYTES = 120


def window_starts(
    text: bytes, starts: list[int], begin: int, end: int, max_lines: int | None = MAX_WINDOW_LINES
) -> list[int]:
    """Offsets in ``begin:end`` at which windows start: whole lines up to the bound, ``begin`` always the first.

    ``starts`` is the table of the whole text's line starts. A line that is over the bound by itself is split
    between characters.
    """
    windows: list[int] = []
    size = lines = 0
    inside = starts[bisect_right(starts, begin) : bisect_left(starts, end)]
    for line_start, line_end in zip([begin, *inside], [*inside, end], strict=True):
        if line_end <= line_start:
            continue
        chars = char_count(text[line_start:line_end])
        if chars > MAX_CHUNK_CHARS:
            parts = split_line(text, line_start, line_end)
            windows += parts
            size, lines = char_count(text[parts[-1] : line_end]), 1
        elif not windows or size + chars > MAX_CHUNK_CHARS or lines == max_lines:
            windows.append(line_start)
            size, lines = chars, 1
        else:
            size += chars
            lines += 1
    return windows


def split_line(text: bytes, begin: int, end: int) -> list[int]:
    """Offsets at which the pieces of a too long line start, each within the bound.

    They lie between characters and, where one is near, behind a separator.
    """
    pieces = [begin]
    while True:
        at = _piece_end(text, pieces[-1], end)
        if at >= end:
            return pieces
        pieces.append(at)


def _piece_end(text: bytes, begin: int, end: int) -> int:
    reached, room = begin, MAX_CHUNK_CHARS
    while room > 0 and reached < end:
        step = min(reached + room, end)
        room -= char_count(text[reached:step])
        reached = step
    if reached >= end:
        return end
    floor = max(begin + 1, reached - _BREAK_SEARCH_BYTES)
    for at in range(reached, floor, -1):
        if text[at - 1] in _NICE_BREAKS and char_boundary(text, at) == at:
            return at
    return max(char_boundary(text, reached), begin + 1)
