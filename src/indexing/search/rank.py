"""Code-aware ranking of what the legs found, by the rules of ``factors``. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import msgspec

from indexing.search.factors import (
    FACTORS,
    Factors,
    definition_factor,
    file_name_factor,
    place_factors,
    symbol_words_factor,
)
from indexing.search.records import MAX_HITS_A_FILE
from storage import FoundChunk, PlaceShown

if TYPE_CHECKING:
    from indexing.search.join import Shown
    from indexing.search.query import Query
    from storage import Definition

MAX_MERGED_LINES: Final = 120
"""Adjacent hits become one up to this length; a longer one would hide where the match is."""

MERGED_SHARE: Final = 0.5
"""An adjacent chunk widens a hit when its own score is at least this share of the hit's; else it is left out."""

_ROUNDING: Final = 1e-9
"""Scores that are closer than this are equal."""


class Evidence(NamedTuple):
    """What speaks for chunks, each by chunk id."""

    fusion: Mapping[int, float]
    """fused score; the chunks that are in it are ranked"""
    text: Mapping[int, float] = {}
    """score of the text leg"""
    cosines: Mapping[int, float] = {}
    """of the vector leg"""
    definitions: Mapping[int, Sequence[Definition]] = {}
    """of those that the name leg found"""


class Contender(NamedTuple):
    """A chunk that may come onto the page, or widen a hit there: its row is worth reading."""

    chunk_id: int
    fusion: float
    file: _File
    score: float
    """but for what the symbol of the chunk adds, which its row says"""
    own: tuple[float, float, float]
    """factors of the chunk, as ``_OWN`` names them"""


class Ranked(NamedTuple):
    """A chunk, or several adjacent ones as one range, with the final score."""

    chunk_id: int
    """as the legs found it"""
    place: PlaceShown
    fusion: float
    chunk: FoundChunk
    """its row"""
    score: float
    factors: Mapping[str, float]
    start_line: int
    end_line: int
    start_byte: int
    end_byte: int


_Order: TypeAlias = tuple[float, str, bytes, int]
"""Score (negative, so that the best comes first), repository, path, line."""

_OWN: Final = ("definition", "text", "vector")


def contenders(evidence: Evidence, shown: Shown, query: Query, limit: int, rules: Factors = FACTORS) -> list[Contender]:
    """The shown chunks that can come onto a page of ``limit`` hits, or widen a hit there, whatever their rows say.

    The best chunk of every file becomes a hit, so the last hit of a full page is no worse than the ``limit``-th of
    these. A file whose best chunk stays below that, with the most that its symbol can add, has no hit there; a chunk of
    the others that stays below ``MERGED_SHARE`` of it widens none.
    """
    files = _Files(shown)
    gained = _gained(evidence, files, query, rules)
    if not gained:
        return []
    last = _best_of_files(files, query, max(evidence.fusion.values()), limit, rules)
    least_best = last / (1.0 + rules.symbol_words) - _ROUNDING
    least = MERGED_SHARE * least_best - _ROUNDING
    fusion = evidence.fusion
    return [
        Contender(chunk_id, fusion[chunk_id], file, gain * file.gain, own)
        for chunk_id, file, gain, own in gained
        if file.best >= least_best and gain * file.gain >= least
    ]


def _best_of_files(files: _Files, query: Query, top: float, limit: int, rules: Factors) -> float:
    """Give files their factors and the score of their best chunk; returns the ``limit``-th best of these, 0 if none is.

    Only files that can come near that are looked at, the most promising first; the best of the others is left at 0.
    """
    best_sum = max(file.sum for file in files.by_path.values())
    for file in files.by_path.values():
        file.coherence = 1.0 + rules.coherence * file.sum / best_sum
        file.gain = file.coherence / top
    most = rules.most_of_a_file * (1.0 + rules.symbol_words)
    page: list[float] = []
    """a heap of the ``limit`` best"""
    for file in sorted(files.by_path.values(), key=_promise, reverse=True):
        if len(page) == limit and _promise(file) * most < page[0] - _ROUNDING:
            break
        file.named = file_name_factor(file.path, query, rules)
        file.gain *= file.named * math.prod(place_factors(file.place, query, rules).values())
        file.best = file.most * file.gain
        heappush(page, file.best)
        if len(page) > limit:
            heappop(page)
    return page[0] if len(page) == limit else 0.0


def _promise(file: _File) -> float:
    return file.most * file.gain


def _gained(
    evidence: Evidence, files: _Files, query: Query, rules: Factors
) -> list[tuple[int, _File, float, tuple[float, float, float]]]:
    """Chunk, file, score but for what its file adds, its own factors; the files have what their chunks say then."""
    text, cosines, by_cut, cuts = evidence.text, evidence.cosines, files.by_cut, files.shown.cuts
    text_gain = rules.text / (max(text.values(), default=0.0) or 1.0)
    least = min(cosines.values(), default=0.0)
    vector_gain = rules.vector / ((max(cosines.values(), default=0.0) - least) or 1.0)
    gained = []
    for chunk_id, fusion in evidence.fusion.items():
        file = by_cut[cuts[chunk_id]]
        by_text = 1.0 + text_gain * text.get(chunk_id, 0.0)
        by_vector = 1.0 + vector_gain * (cosines.get(chunk_id, least) - least)
        gain = fusion * by_text * by_vector
        file.sum += gain
        defines = 1.0
        definitions = evidence.definitions.get(chunk_id)
        if definitions:
            defines = definition_factor(definitions, query, rules)
            gain *= defines
        file.most = max(file.most, gain)
        gained.append((chunk_id, file, gain, (defines, by_text, by_vector)))
    return gained


def rank(
    contending: Sequence[Contender],
    chunks: Mapping[int, FoundChunk],
    query: Query,
    limit: int,
    rules: Factors = FACTORS,
    *,
    max_hits_a_file: int = MAX_HITS_A_FILE,
) -> list[Ranked]:
    """The best ``limit`` hits of contenders with these rows, best first; ties by repository, path and line."""
    by_symbol: dict[str, float] = {}
    scored: list[_Scored] = []
    for number, each in enumerate(contending):
        chunk = chunks[each.chunk_id]
        symbol = chunk.symbol
        by_name = by_symbol.get(symbol)
        if by_name is None:
            by_name = by_symbol[symbol] = symbol_words_factor(symbol, query, rules)
        score = each.score * by_name
        file = each.file
        # Contenders are no order of their own: those with equal keys stay as they came.
        scored.append(
            (-round(score, 9), file.repository, file.path, chunk.start_line, number, score, by_name, each, chunk)
        )
    scored.sort()
    return [each.ranked(query, rules) for each in _spread(scored, limit, rules, max_hits_a_file)]


class _File(msgspec.Struct):
    """A file with chunks that were found."""

    repository: str
    path: bytes
    place: PlaceShown
    sum: float = 0.0
    """of the scores of its chunks, but for what they define"""
    most: float = 0.0
    """score of its best chunk, but for what the file adds"""
    coherence: float = 1.0
    named: float = 1.0
    gain: float = 1.0
    """these two and what its place costs, over the best fused score"""
    best: float = 0.0
    """score of its best chunk, but for what the symbol adds"""
    hits: tuple[_Hit, ...] = ()


class _Files:
    """The files of shown chunks."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.by_path: dict[tuple[str, bytes], _File] = {}
        self.by_cut: dict[int, _File] = {}
        for cut_id in dict.fromkeys(shown.cuts.values()):
            place = shown.places[cut_id][0]
            key = place.repository, place.path
            file = self.by_path.get(key)
            if file is None:
                file = self.by_path[key] = _File(*key, place)
            self.by_cut[cut_id] = file


# Hundreds are made for one search, and few of them become hits: nothing is made faster than a tuple.
_Scored: TypeAlias = tuple[float, str, bytes, int, int, float, float, Contender, FoundChunk]
"""Order (as ``_Order``), number of the contender, score, what its symbol adds, contender and its row."""


class _Hit(msgspec.Struct):
    """A contender that may come onto the page."""

    order: _Order
    contender: Contender
    chunk: FoundChunk
    by_name: float
    score: float
    span: tuple[int, int, int, int]
    """first and last line, first and last byte, also of others that have joined it"""
    repeat: float = 1.0

    def ranked(self, query: Query, rules: Factors) -> Ranked:
        chunk_id, fusion, file, _, own = self.contender
        factors = {
            **dict(zip(_OWN, own, strict=True)),
            "symbol_words": self.by_name,
            "coherence": file.coherence,
            "file_name": file.named,
            **place_factors(file.place, query, rules),
        }
        if self.repeat != 1.0:
            factors["repeat"] = self.repeat
        return Ranked(chunk_id, file.place, fusion, self.chunk, self.score, factors, *self.span)


def _spread(scored: Iterable[_Scored], limit: int, rules: Factors, max_hits_a_file: int) -> list[_Hit]:
    """At most ``max_hits_a_file`` hits a file, each after the first for less, adjacent ranges as one hit."""
    hits: list[_Hit] = []
    page: list[float] = []
    """a heap of the ``limit`` best scores"""
    for less, repository, path, line, _, score, by_name, contender, chunk in scored:
        if len(page) == limit and score < MERGED_SHARE * page[0]:
            break  # neither this one nor one after it comes onto the page, or widens a hit that is there
        file = contender.file
        span = chunk.start_line, chunk.end_line, chunk.start_byte, chunk.end_byte
        touching = next((hit for hit in file.hits if _touch(hit, chunk)), None)
        if touching is not None:
            if score >= MERGED_SHARE * touching.score:
                touching.span = _around(touching.span, span)
            continue
        if len(file.hits) >= max_hits_a_file:
            continue
        hit = _Hit((less, repository, path, line), contender, chunk, by_name, score, span)
        if file.hits:
            hit.repeat = rules.repeat ** len(file.hits)
            hit.score *= hit.repeat
            hit.order = -round(hit.score, 9), repository, path, line
        file.hits += (hit,)
        hits.append(hit)
        heappush(page, hit.score)
        if len(page) > limit:
            heappop(page)
    hits.sort(key=attrgetter("order"))
    return hits[:limit]


def _touch(hit: _Hit, other: FoundChunk) -> bool:
    """Whether the ranges overlap or meet, and one hit of both is not too long."""
    if hit.chunk.cut_id != other.cut_id:
        return False
    first_line, last_line, start, end = hit.span
    if other.start_byte > end or start > other.end_byte:
        return False
    return max(last_line, other.end_line) - min(first_line, other.start_line) < MAX_MERGED_LINES


def _around(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return min(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), max(one[3], other[3])
