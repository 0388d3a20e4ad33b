"""Notebooks: every cell is a chunk, long ones several, small neighbours one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexing.cutting.chunks import build_chunks
from indexing.cutting.lines import line_starts
from indexing.cutting.packing import Units, pack
from storage import Cut

if TYPE_CHECKING:
    from storage import Section


def cut_cells(text: bytes, language: str, cutter: str, sections: tuple[Section, ...]) -> Cut:
    """Cuts where the sections start; what comes before the first belongs to it."""
    lines = line_starts(text)
    begins = [lines[section.start_line - 1] for section in sections if 1 < section.start_line <= len(lines)]
    units = Units([0])
    for begin in begins:
        if units.starts[-1] < begin < len(text):
            units.starts.append(begin)
            units.barriers.add(begin)
    return Cut(language, cutter, build_chunks(text, lines, pack(text, lines, units, []), []))
