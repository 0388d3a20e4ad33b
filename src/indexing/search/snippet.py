"""The lines of a hit that show best why it was found. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from indexing.search.parts import identifier_parts
from indexing.search.records import SnippetLine

LONGEST_LINE: Final = 400
"""characters shown of a line"""

SIGNATURE_BONUS: Final = 0.5
"""A chunk's first line is its signature more often than not: it is shown where that costs less than half a word."""

_BREAK = re.compile(r"\r\n|\n|\r")
_WORD = re.compile(r"\w+")
_Match = tuple[int, int, str]
_NOTHING: Final[frozenset[str]] = frozenset()


class Highlighter:
    """Finds the words of one query in lines of text; it remembers the identifiers that it has seen."""

    def __init__(self, words: Mapping[str, float]) -> None:
        """``words`` are lower case, with their weights."""
        self._words = words
        self._seen: dict[str, tuple[_Match, ...]] = {}
        self._any = re.compile("|".join(map(re.escape, words))) if words else None

    def snippet(self, text: str, start_line: int, limit: int) -> tuple[SnippetLine, ...]:
        """The run of at most ``limit`` lines with the most different words of the query, the earliest of equal ones.

        ``text`` begins at ``start_line`` (1-based).
        """
        lines = [line[:LONGEST_LINE] for line in _BREAK.split(text)]
        if not lines[-1]:
            lines.pop()
        begin = self._best_run([self._words_in(line) for line in lines], limit)
        return tuple(
            SnippetLine(start_line + at, lines[at], self._matches(lines[at]))
            for at in range(begin, min(begin + limit, len(lines)))
        )

    def _best_run(self, words_by_line: list[AbstractSet[str]], limit: int) -> int:
        best_at, best = 0, -1.0
        # A run that begins with a line without a match is never the only best one, but for the first.
        begins = [at for at, words in enumerate(words_by_line[: len(words_by_line) - limit + 1]) if words or at == 0]
        for at in begins or [0]:
            inside = _NOTHING.union(*words_by_line[at : at + limit])
            value = sum(self._words[word] for word in inside) + (SIGNATURE_BONUS if at == 0 else 0.0)
            if value > best + 1e-9:
                best_at, best = at, value
        return best_at

    def _words_in(self, line: str) -> AbstractSet[str]:
        # Most lines hold none of the words; one search in C tells.
        if self._any is None or not self._any.search(line.lower()):
            return _NOTHING
        return {word for token in _WORD.findall(line) for _, _, word in self._inside(token)}

    def _matches(self, line: str) -> tuple[tuple[int, int], ...]:
        return tuple(
            (match.start() + first, match.start() + end)
            for match in _WORD.finditer(line)
            for first, end, _ in self._inside(match[0])
        )

    def _inside(self, token: str) -> tuple[_Match, ...]:
        inside = self._seen.get(token)
        if inside is None:
            inside = self._seen[token] = self._look_inside(token)
        return inside

    def _look_inside(self, token: str) -> tuple[_Match, ...]:
        """Where words of the query stand in an identifier: the whole of it, or parts."""
        lower = token.lower()
        if self._any is None or not self._any.search(lower):
            return ()
        if lower in self._words:
            return ((0, len(token), lower),)
        found = []
        at = 0
        for part in identifier_parts(token):
            begin = lower.find(part, at)
            if begin < 0:
                continue
            at = begin + len(part)
            if part in self._words and at <= len(token):
                found.append((begin, at, part))
        return tuple(found)
