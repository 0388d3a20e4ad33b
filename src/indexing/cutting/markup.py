"""Markdown and reStructuredText: cut by heading, long sections at blank lines; headings are the symbols."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from indexing.cutting.chunks import build_chunks
from indexing.cutting.definitions import Definition
from indexing.cutting.lines import line_starts
from indexing.cutting.packing import Units, pack
from storage import Cut

if TYPE_CHECKING:
    from collections.abc import Iterator

_ATX = re.compile(rb" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(rb" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(rb" {0,3}(`{3,}|~{3,})([^\n]*)$")
_ADORNMENT = re.compile(rb"([!-/:-@\[-`{-~])\1+[ \t]*$")
_INLINE_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[`*]+|<[^>]+>")

_Heading = tuple[int, int, str]
"""start (byte), level (1 is the highest), title"""


def cut_markdown(text: bytes, language: str, cutter: str) -> Cut:
    """Cuts by ATX and setext headings (CommonMark 0.31, §4.2 and §4.3), those inside fenced code left alone."""
    lines = line_starts(text)
    return _cut(text, lines, list(_markdown_headings(text, lines)), Cut(language, cutter, ()))


def cut_rst(text: bytes, language: str, cutter: str) -> Cut:
    """Cuts by section titles; levels follow the order in which the styles of underlining appear (docutils' rule)."""
    lines = line_starts(text)
    return _cut(text, lines, list(_rst_headings(text, lines)), Cut(language, cutter, ()))


def _cut(text: bytes, lines: list[int], headings: list[_Heading], empty: Cut) -> Cut:
    sections = _sections(headings, len(text))
    units = Units([0])
    heading_starts = {section.start for section in sections}
    was_blank = False
    for start, end in zip(lines, [*lines[1:], len(text)], strict=True):
        blank = text[start:end].isspace()
        if start and end > start and (start in heading_starts or (was_blank and not blank)):
            units.starts.append(start)
        was_blank = blank
    starts = pack(text, lines, units, [section.start for section in sections])
    return Cut(empty.language, empty.cutter, build_chunks(text, lines, starts, sections))


def _sections(headings: list[_Heading], end: int) -> list[Definition]:
    sections: list[Definition] = []
    open_ones: list[tuple[int, Definition]] = []
    for start, level, title in headings:
        while open_ones and open_ones[-1][0] >= level:
            open_ones.pop()[1].end = start
        scope = ".".join(section.name for _, section in open_ones)
        section = Definition(title, "section", start, end, scope)
        sections.append(section)
        open_ones.append((level, section))
    return sections


def _markdown_headings(text: bytes, lines: list[int]) -> Iterator[_Heading]:
    fence = b""
    paragraph: int | None = None
    front_matter = text.startswith((b"---\n", b"---\r"))
    for number, (start, end) in enumerate(zip(lines, [*lines[1:], len(text)], strict=True)):
        line = text[start:end].rstrip(b"\r\n")
        if front_matter:
            front_matter = number == 0 or line.rstrip() not in {b"---", b"..."}
            continue
        first = line.lstrip(b" ")[:1]
        mark = _FENCE.match(line) if first in {b"`", b"~"} else None
        if fence:
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                fence = b""
            continue
        if mark and not (first == b"`" and b"`" in mark[2]):
            fence, paragraph = mark[1], None
        elif first == b"#" and (atx := _ATX.match(line)):
            yield start, len(atx[1]), _title(atx[2] or b"")
            paragraph = None
        elif first in {b"=", b"-"} and paragraph is not None and (underline := _SETEXT.match(line)):
            yield paragraph, 1 if underline[1][:1] == b"=" else 2, _title(text[paragraph:start])
            paragraph = None
        elif not line.strip() or first in {b">", b"|"} or line.startswith((b"    ", b"\t", b"- ", b"* ", b"+ ")):
            paragraph = None
        elif paragraph is None:
            paragraph = start


def _rst_headings(text: bytes, lines: list[int]) -> Iterator[_Heading]:
    styles: list[tuple[bytes, bool]] = []
    rows = [text[start:end].rstrip() for start, end in zip(lines, [*lines[1:], len(text)], strict=True)]
    for number in range(1, len(rows)):
        row, title = rows[number], rows[number - 1]
        if not row or not title or not _ADORNMENT.match(row) or _ADORNMENT.match(title):
            continue
        above = rows[number - 2] if number > 1 else b""
        overlined = above[:1] == row[:1] and _ADORNMENT.match(above) is not None
        width = len(title.strip().decode("utf-8", "replace"))
        if (title[:1] in b" \t" and not overlined) or (above and not overlined) or len(row) < min(width, 4):
            continue
        style = (row[:1], overlined)
        if style not in styles:
            styles.append(style)
        yield lines[number - 2 if overlined else number - 1], styles.index(style) + 1, _title(title)


def _title(raw: bytes) -> str:
    plain = _INLINE_MARKUP.sub(lambda match: match[1] or "", raw.decode("utf-8", "replace"))
    return " ".join(plain.split())[:200]
