"""The lines of a hit that show best why it was found. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import accumulate
from operator import or_
from typing import Final

from indexing.search.parts import identifier_parts
from indexing.search.records import SnippetLine

LONGEST_LINE: Final = 400
"""characters shown of a line"""

SIGNATURE_BONUS: Final = 0.5
"""A chunk's first line is its signature more often than not: it is shown where that costs less than half a word."""

_BREAK = re.compile(r"\r\n|\n|\r")
_WORD = re.compile(r"\w+")
_OTHER = re.compile(r"\W")
_BLANK_OTHERS = bytes(byte if chr(byte).isalnum() or byte == 0x5F else 0x20 for byte in range(128)) + b" " * 128
_Match = tuple[int, int, str]


class Highlighter:
    """Finds the words of one query in lines of text; it remembers the identifiers that it has seen."""

    def __init__(self, words: Mapping[str, float]) -> None:
        """``words`` are lower case, with their weights."""
        self._words = words
        # Sets of words are numbers with a bit for each: a hundred are joined for a snippet.
        self._bits = {word: 1 << number for number, word in enumerate(words)}
        self._shortest = _without_longer(words)
        self._values: dict[int, float] = {}
        self._sets: dict[str, int] = {}
        """the words in each identifier around one of them"""
        self._seen: dict[str, tuple[_Match, ...]] = {}
        """where they stand in it; identifiers that hold none are absent"""

    def snippets(self, pieces: Sequence[tuple[str, int]], limit: int) -> list[tuple[SnippetLine, ...]]:
        """Of each piece the run of at most ``limit`` lines with the most different words of the query.

        Of equal runs it is the earliest. A piece is its text and the number (1-based) of the line with which it begins.
        """
        lines_of = [self._lines(text) for text, _ in pieces]
        # Words are looked for in all pieces at once: a search in C costs less than to begin it.
        sets = self._sets_by_line([line for lines in lines_of for line in lines])
        snippets = []
        first = 0
        for (_, start_line), lines in zip(pieces, lines_of, strict=True):
            mine = sets[first : first + len(lines)]
            first += len(lines)
            begin = self._best_run(mine, limit)
            snippets.append(
                tuple(
                    SnippetLine(start_line + at, lines[at], self._matches(lines[at]) if mine[at] else ())
                    for at in range(begin, min(begin + limit, len(lines)))
                )
            )
        return snippets

    def _lines(self, text: str) -> list[str]:
        split = _BREAK.split(text) if "\r" in text else text.split("\n")
        lines = [line[:LONGEST_LINE] for line in split]
        if not lines[-1]:
            lines.pop()
        return lines

    def _best_run(self, sets_by_line: Sequence[int], limit: int) -> int:
        best_at, best = 0, -1.0
        last = len(sets_by_line) - limit
        for at, mine in enumerate(sets_by_line):
            # A run that begins with a line without a match is never the only best one, but for the first.
            if at and (at > last or not mine):
                continue
            inside = reduce(or_, sets_by_line[at : at + limit], 0)
            value = self._value(inside) + (SIGNATURE_BONUS if at == 0 else 0.0)
            if value > best + 1e-9:
                best_at, best = at, value
        return best_at

    def _value(self, words: int) -> float:
        value = self._values.get(words)
        if value is None:
            weights = self._words.values()
            value = self._values[words] = sum(weight for bit, weight in enumerate(weights) if words >> bit & 1)
        return value

    def _sets_by_line(self, lines: Sequence[str]) -> list[int]:
        """The words in each line.

        All lines are searched as one text for one word after the other, and only the identifiers around what is found
        are looked at: most hold none.
        """
        whole = "\n".join(lines)
        lower, spaced = _lower(whole), _spaced(whole)
        begins = [0, *accumulate(len(line) + 1 for line in lines)]
        sets_by_line = [0] * len(lines)
        for word in self._shortest:
            at = lower.find(word)
            while at >= 0:
                first, end = spaced.rfind(" ", 0, at) + 1, spaced.find(" ", at)
                mine = self._words_in(whole[first:end])
                if mine:
                    sets_by_line[bisect_right(begins, at) - 1] |= mine
                at = lower.find(word, max(end, at + 1))
        return sets_by_line

    def _words_in(self, identifier: str) -> int:
        mine = self._sets.get(identifier)
        if mine is None:
            found = self._look_inside(identifier)
            if found:
                self._seen[identifier] = found
            mine = self._sets[identifier] = reduce(or_, [self._bits[word] for _, _, word in found], 0)
        return mine

    def _matches(self, line: str) -> tuple[tuple[int, int], ...]:
        return tuple(
            [
                (match.start() + first, match.start() + end)
                for match in _WORD.finditer(line)
                for first, end, _ in self._seen.get(match[0], ())
            ]
        )

    def _look_inside(self, token: str) -> tuple[_Match, ...]:
        """Where words of the query stand in an identifier: the whole of it, or parts."""
        whole = token.lower()
        if whole in self._words:
            return ((0, len(token), whole),)
        lower = _lower(token)
        found = []
        at = 0
        for part in identifier_parts(token):
            begin = lower.find(part, at)
            if begin < 0:
                continue
            at = begin + len(part)
            if part in self._words:
                found.append((begin, at, part))
        return tuple(found)


def _lower(text: str) -> str:
    """The text in lower case, each character by itself and at its place."""
    lower = text.replace("\N{GREEK CAPITAL LETTER SIGMA}", "\N{GREEK SMALL LETTER SIGMA}").lower()
    if len(lower) != len(text):
        lower = "".join([each if len(each.lower()) > 1 else each.lower() for each in text])
    return lower


def _spaced(text: str) -> str:
    """The text with a space for all that belongs to no identifier, word or number, and one more at the end."""
    if text.isascii():
        # Much faster than the regular expression.
        return text.encode("ascii").translate(_BLANK_OTHERS).decode("ascii") + " "
    return _OTHER.sub(" ", text) + " "


def _without_longer(words: Iterable[str]) -> list[str]:
    """The words that hold no other one: where they do not stand, none of the others does."""
    shortest: list[str] = []
    for word in sorted(words, key=len):
        if not any(other in word for other in shortest):
            shortest.append(word)
    return shortest
