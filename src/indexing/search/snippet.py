"""The lines of a hit that show best why it was found. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import accumulate, chain
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
_BLANK_OTHERS = bytes(byte if chr(byte).isalnum() or chr(byte) in "_\n" else 0x20 for byte in range(128)) + b" " * 128
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
        """the words in each identifier of a line that holds one"""
        self._seen: dict[str, tuple[_Match, ...]] = {}
        """where they stand in it; identifiers without any are absent"""

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
        """The words in each line. Most lines hold none, and most identifiers in the others neither."""
        holding = sorted(self._holding(lines))
        identifiers = _identifiers([lines[number] for number in holding])
        self._look_at([each for each in dict.fromkeys(chain(*identifiers)) if each not in self._sets])
        sets_by_line = [0] * len(lines)
        for number, mine in zip(holding, identifiers, strict=True):
            sets_by_line[number] = reduce(or_, map(self._sets.__getitem__, mine), 0)
        return sets_by_line

    def _look_at(self, tokens: Sequence[str]) -> None:
        """Remember what is in identifiers that were not seen before."""
        self._sets.update(dict.fromkeys(tokens, 0))
        for number in self._holding(tokens):
            token = tokens[number]
            found = self._seen[token] = self._look_inside(token)
            self._sets[token] = reduce(or_, [self._bits[word] for _, _, word in found], 0)

    def _holding(self, texts: Sequence[str]) -> set[int]:
        """Which of the texts, none of several lines, hold one of the words in any case.

        All of them are searched as one text for one word after the other: in C, and few words are there at all.
        """
        whole = "\n".join(texts).lower()
        begins: list[int] = []
        numbers = set()
        for word in self._shortest:
            at = whole.find(word)
            if at >= 0 and not begins:
                begins = [0, *accumulate(len(text) + 1 for text in whole.split("\n"))]
            while at >= 0:
                number = bisect_right(begins, at) - 1
                numbers.add(number)
                at = whole.find(word, begins[number + 1])
        return numbers

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
        lower = token.lower()
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


def _identifiers(lines: Sequence[str]) -> list[list[str]]:
    """Identifiers, words and numbers in each line."""
    whole = "\n".join(lines)
    if not whole.isascii():
        return [_WORD.findall(line) for line in lines]
    # Four times faster than the regular expression.
    words = whole.encode("ascii").translate(_BLANK_OTHERS).decode("ascii")
    return [line.split() for line in words.split("\n")] if lines else []


def _without_longer(words: Iterable[str]) -> list[str]:
    """The words that hold no other one: where they do not stand, none of the others does."""
    shortest: list[str] = []
    for word in sorted(words, key=len):
        if not any(other in word for other in shortest):
            shortest.append(word)
    return shortest
