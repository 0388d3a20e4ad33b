"""Code-aware ranking: what a reader of code knows beyond the scores of the legs. Pure.

Every rule is a factor on the fused score with a name, shown with the hit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias

import msgspec

from indexing.search.parts import identifier_words
from indexing.search.query import QueriedName, Query, run_together
from indexing.search.records import MAX_HITS_A_FILE
from storage import Definition, FoundChunk, PlaceShown


@dataclass(frozen=True, slots=True)
class Factors:
    """The strength of each rule; 1 switches a factor off."""

    definition: float = 3.0
    """the chunk defines a name that is the whole query"""
    mentioned_definition: float = 1.3
    """the chunk defines a name that stands among other words of the query"""
    joined_definition: float = 1.3
    """the chunk defines a name that is made of adjacent words of the query"""
    symbol_words: float = 0.2
    """gain when all words of the name that leads the chunk are in the query"""
    text: float = 1.0
    """gain of the chunk with the best text score, others in proportion: ranks forget by how much one was better"""
    vector: float = 0.25
    """gain of the chunk with the best cosine similarity, down to none for the least similar that was looked at"""
    coherence: float = 0.5
    """gain of the file whose chunks together score best; others in proportion"""
    file_name: float = 0.4
    """gain when all words of the file's name are in the query"""
    test: float = 0.6
    vendored: float = 0.5
    generated: float = 0.5
    aside: float = 0.6
    """examples, demos, benchmarks"""
    prose: float = 0.7
    """documentation"""
    repeat: float = 0.5
    """for each better hit in the same file"""


FACTORS: Final = Factors()
WRONG_CASE_FIT: Final = 0.8
"""How well a definition fits a queried name that is written in another case."""
JOINED_FIT: Final = 0.5
"""The same for one that was only guessed from adjacent words."""
MAX_MERGED_LINES: Final = 120
"""Adjacent hits become one up to this length; a longer one would hide where the match is."""

MERGED_SHARE: Final = 0.5
"""An adjacent chunk widens a hit when its own score is at least this share of the hit's; else it is left out."""

REMEMBERED_DIRECTORIES: Final = 16_384

_ASIDE_DIRECTORIES: Final = frozenset(
    {b"example", b"examples", b"demo", b"demos", b"sample", b"samples", b"benchmark", b"benchmarks", b"bench"}
)
_PROSE_LANGUAGES: Final = frozenset({"markdown", "rst", "text", "asciidoc", "org"})


class Candidate(NamedTuple):
    """A shown chunk with its fused score."""

    chunk: FoundChunk
    place: PlaceShown
    fusion: float
    text: float = 0.0
    """score of the text leg; 0 if that did not find it"""
    definitions: tuple[Definition, ...] = ()
    vector: float = 0.0
    """how its cosine similarity lies between the least and the best that the vector leg found, 0 to 1"""


class Ranked(NamedTuple):
    """A candidate, or several adjacent ones as one range, with the final score."""

    best: Candidate
    score: float
    factors: Mapping[str, float]
    start_line: int
    end_line: int
    start_byte: int
    end_byte: int


_Order: TypeAlias = tuple[float, str, bytes, int]
"""Score (negative, so that the best comes first), repository, path, line."""

_OWN: Final = ("definition", "text", "vector", "symbol_words")


def rank(
    candidates: Sequence[Candidate],
    query: Query,
    limit: int,
    rules: Factors = FACTORS,
    *,
    max_hits_a_file: int = MAX_HITS_A_FILE,
) -> list[Ranked]:
    """The best ``limit`` hits, best first; ties by repository, path and line."""
    if not candidates:
        return []
    top = max(each.fusion for each in candidates)
    best_text = max(each.text for each in candidates) or 1.0
    files: dict[tuple[str, bytes], _File] = {}
    gained = []
    for each in candidates:
        place = each.place
        key = place.repository, place.path
        file = files.get(key)
        if file is None:
            file = files[key] = _File(*key, place)
        by_text = 1.0 + rules.text * each.text / best_text
        by_vector = 1.0 + rules.vector * each.vector
        file.score += each.fusion * by_text * by_vector
        gained.append((each, file, by_text, by_vector))
    best_file = max(file.score for file in files.values())
    for file in files.values():
        file.factors = {
            "coherence": 1.0 + rules.coherence * file.score / best_file,
            "file_name": file_name_factor(file.path, query, rules),
            **place_factors(file.place, wants_tests=query.wants_tests, wants_asides=query.wants_asides, rules=rules),
        }
    by_symbol: dict[str, float] = {}
    scored: list[_Scored] = []
    for number, (each, file, by_text, by_vector) in enumerate(gained):
        symbol = each.chunk.symbol
        by_name = by_symbol.get(symbol)
        if by_name is None:
            by_name = by_symbol[symbol] = symbol_words_factor(symbol, query, rules)
        defines = definition_factor(each.definitions, query, rules) if each.definitions else 1.0
        own = defines, by_text, by_vector, by_name
        of_file = file.factors.values()
        score = each.fusion / top * math.prod(of_file, start=defines * by_text * by_vector * by_name)
        # Candidates are no order of their own: those with equal keys stay as they came.
        scored.append(
            (-round(score, 9), file.repository, file.path, each.chunk.start_line, number, score, own, each, file)
        )
    scored.sort()
    return [each.ranked() for each in _spread(scored, limit, rules, max_hits_a_file)]


def definition_factor(definitions: Sequence[Definition], query: Query, rules: Factors = FACTORS) -> float:
    """More for a chunk in which a queried name is defined; exact case counts more than another."""
    if not definitions:
        return 1.0
    gain = (rules.definition if query.only_name else rules.mentioned_definition) - 1.0
    named = 1.0 + gain * _named_fit(definitions, query)
    return max(named, rules.joined_definition) if _defines_joined(definitions, query) else named


def definition_fit(definitions: Sequence[Definition], query: Query) -> float:
    """How well the best of some definitions fits a name in the query, 0 to 1: the score of the name leg."""
    return max(_named_fit(definitions, query), JOINED_FIT if _defines_joined(definitions, query) else 0.0)


def symbol_words_factor(symbol: str, query: Query, rules: Factors = FACTORS) -> float:
    """More for a chunk led by a name that is made of the query's words."""
    return 1.0 + rules.symbol_words * _covered(symbol, query)


def match_of(definition: Definition, name: QueriedName) -> float:
    """How well a definition fits a queried name, 0 to 1; without the scope that was given it fits half."""
    if definition.name == name.name:
        fit = 1.0
    elif definition.name.lower() == name.name.lower():
        fit = WRONG_CASE_FIT
    else:
        return 0.0
    if not name.scope:
        return fit
    within = {part.lower() for part in definition.scope.replace("::", ".").split(".")}
    return fit if name.scope[-1].lower() in within else fit * 0.5


def file_name_factor(path: bytes, query: Query, rules: Factors = FACTORS) -> float:
    """More for a file whose name is made of the query's words."""
    name = path.rpartition(b"/")[2].partition(b".")[0].decode("utf-8", "replace")
    return 1.0 + rules.file_name * _covered(name, query)


def place_penalty(place: PlaceShown, rules: Factors = FACTORS) -> float:
    """The product of what a place costs when nothing is said about tests or examples."""
    return math.prod(place_factors(place, rules=rules).values())


def place_factors(
    place: PlaceShown, *, wants_tests: bool = False, wants_asides: bool = False, rules: Factors = FACTORS
) -> dict[str, float]:
    """Less for files that are seldom what is looked for, unless the query asks for them."""
    factors: dict[str, float] = {}
    if "test" in place.flags and not wants_tests:
        factors["test"] = rules.test
    if "vendored" in place.flags:
        factors["vendored"] = rules.vendored
    if "generated" in place.flags:
        factors["generated"] = rules.generated
    if not wants_asides and _lies_aside(place.path.rpartition(b"/")[0]):
        factors["aside"] = rules.aside
    if place.language in _PROSE_LANGUAGES:
        factors["prose"] = rules.prose
    return factors


@lru_cache(maxsize=REMEMBERED_DIRECTORIES)
def _lies_aside(directory: bytes) -> bool:
    return not _ASIDE_DIRECTORIES.isdisjoint(directory.lower().split(b"/"))


def _named_fit(definitions: Sequence[Definition], query: Query) -> float:
    if not query.names:
        return 0.0
    return max((match_of(each, name) for each in definitions for name in query.names), default=0.0)


def _defines_joined(definitions: Sequence[Definition], query: Query) -> bool:
    return any(run_together(each.name) in query.joined for each in definitions)


def _covered(name: str, query: Query) -> float:
    """The share of the words of a name that the query holds, as they are or in another form."""
    words = identifier_words(name)
    if query.words.keys().isdisjoint(words):
        return 0.0
    return len([word for word in words if word in query.words]) / len(words)


class _File(msgspec.Struct):
    """A file with candidates."""

    repository: str
    path: bytes
    place: PlaceShown
    score: float = 0.0
    """of its candidates together"""
    factors: dict[str, float] = {}
    hits: list[_Hit] = []


_Own: TypeAlias = tuple[float, float, float, float]
"""Factors of a chunk, as ``_OWN`` names them."""

# Hundreds are made for one search, and few of them become hits: nothing is made faster than a tuple.
_Scored: TypeAlias = tuple[float, str, bytes, int, int, float, _Own, Candidate, _File]
"""Order (as ``_Order``), number of the candidate, score, factors, candidate and its file."""


class _Hit(msgspec.Struct):
    """A candidate that may come onto the page."""

    order: _Order
    candidate: Candidate
    file: _File
    score: float
    own: _Own
    span: tuple[int, int, int, int]
    """first and last line, first and last byte, also of others that have joined it"""
    repeat: float = 1.0

    def ranked(self) -> Ranked:
        factors = {**dict(zip(_OWN, self.own, strict=True)), **self.file.factors}
        if self.repeat != 1.0:
            factors["repeat"] = self.repeat
        return Ranked(self.candidate, self.score, factors, *self.span)


def _spread(scored: Iterable[_Scored], limit: int, rules: Factors, max_hits_a_file: int) -> list[_Hit]:
    """At most ``max_hits_a_file`` hits a file, each after the first for less, adjacent ranges as one hit."""
    hits: list[_Hit] = []
    page: list[float] = []
    """a heap of the ``limit`` best scores"""
    for less, repository, path, line, _, score, own, candidate, file in scored:
        if len(page) == limit and score < MERGED_SHARE * page[0]:
            break  # neither this one nor one after it comes onto the page, or widens a hit that is there
        chunk = candidate.chunk
        span = chunk.start_line, chunk.end_line, chunk.start_byte, chunk.end_byte
        touching = next((hit for hit in file.hits if _touch(hit, candidate)), None)
        if touching is not None:
            if score >= MERGED_SHARE * touching.score:
                touching.span = _around(touching.span, span)
            continue
        if len(file.hits) >= max_hits_a_file:
            continue
        hit = _Hit((less, repository, path, line), candidate, file, score, own, span)
        if file.hits:
            hit.repeat = rules.repeat ** len(file.hits)
            hit.score *= hit.repeat
            hit.order = -round(hit.score, 9), repository, path, line
        file.hits.append(hit)
        hits.append(hit)
        heappush(page, hit.score)
        if len(page) > limit:
            heappop(page)
    hits.sort(key=attrgetter("order"))
    return hits[:limit]


def _touch(hit: _Hit, other: Candidate) -> bool:
    """Whether the ranges overlap or meet, and one hit of both is not too long."""
    chunk = other.chunk
    if hit.candidate.chunk.cut_id != chunk.cut_id:
        return False
    first_line, last_line, start, end = hit.span
    if chunk.start_byte > end or start > chunk.end_byte:
        return False
    return max(last_line, chunk.end_line) - min(first_line, chunk.start_line) < MAX_MERGED_LINES


def _around(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return min(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), max(one[3], other[3])
