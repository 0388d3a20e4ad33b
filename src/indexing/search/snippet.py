"""The lines of a hit that show best why it was found. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from indexing.cutting.identifiers import identifier_parts
from indexing.search.records import SnippetLine

_BREAK = re.compile(r"\r\n|\n|\r")
_WORD = re.compile(r"\w+")
_LONGEST_LINE = 400
"""characters shown of a line"""


def snippet(text: str, start_line: int, words: Mapping[str, float], limit: int) -> tuple[SnippetLine, ...]:
    """The run of at most ``limit`` lines with the most different words of the query, the earliest of equal ones.

    ``text`` begins at ``start_line`` (1-based); ``words`` are lower case with their weights.
    """
    lines = _BREAK.split(text)
    if lines and not lines[-1]:
        lines.pop()
    found = [_matches(line[:_LONGEST_LINE], words) for line in lines]
    best_at, best = 0, -1.0
    for at in range(max(1, len(lines) - limit + 1)):
        inside: dict[str, float] = {}
        for matches in found[at : at + limit]:
            inside.update((word, words[word]) for _, _, word in matches)
        # The first line of a chunk is its signature more often than not.
        value = sum(inside.values()) + (0.5 if at == 0 else 0.0)
        if value > best:
            best_at, best = at, value
    return tuple(
        SnippetLine(start_line + at, lines[at][:_LONGEST_LINE], tuple((begin, end) for begin, end, _ in found[at]))
        for at in range(best_at, min(best_at + limit, len(lines)))
    )


def _matches(line: str, words: Mapping[str, float]) -> list[tuple[int, int, str]]:
    """Where words of the query stand in a line, also inside compound identifiers."""
    found: list[tuple[int, int, str]] = []
    for match in _WORD.finditer(line):
        token = match[0]
        lower = token.lower()
        if lower in words:
            found.append((match.start(), match.end(), lower))
            continue
        at = 0
        for part in identifier_parts(token):
            begin = lower.find(part, at)
            if begin < 0:
                continue
            at = begin + len(part)
            if part in words:
                found.append((match.start() + begin, match.start() + at, part))
    return found
