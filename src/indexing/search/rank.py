"""Code-aware ranking: what a reader of code knows beyond the scores of the legs. Pure.

Every rule is a factor on the fused score with a name, shown with the hit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from indexing.search.parts import identifier_parts
from indexing.search.query import QueriedName, Query, run_together
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
MAX_HITS_A_FILE: Final = 3
WRONG_CASE_FIT: Final = 0.8
"""How well a definition fits a queried name that is written in another case."""
JOINED_FIT: Final = 0.5
"""The same for one that was only guessed from adjacent words."""
MAX_MERGED_LINES: Final = 120
"""Adjacent hits become one up to this length; a longer one would hide where the match is."""

MERGED_SHARE: Final = 0.5
"""An adjacent chunk widens a hit when its own score is at least this share of the hit's; else it is left out."""

_ASIDE_DIRECTORIES: Final = frozenset(
    {b"example", b"examples", b"demo", b"demos", b"sample", b"samples", b"benchmark", b"benchmarks", b"bench"}
)
_PROSE_LANGUAGES: Final = frozenset({"markdown", "rst", "text", "asciidoc", "org"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A shown chunk with its fused score."""

    chunk: FoundChunk
    place: PlaceShown
    fusion: float
    text: float = 0.0
    """score of the text leg; 0 if that did not find it"""
    definitions: tuple[Definition, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate, or several adjacent ones as one range, with the final score."""

    best: Candidate
    score: float
    factors: Mapping[str, float]
    start_line: int
    end_line: int
    start_byte: int
    end_byte: int


def rank(candidates: Sequence[Candidate], query: Query, limit: int, rules: Factors = FACTORS) -> list[Ranked]:
    """The best ``limit`` hits, best first; ties by repository, path and line."""
    if not candidates:
        return []
    top = max(each.fusion for each in candidates)
    best_text = max(each.text for each in candidates) or 1.0
    files: dict[tuple[str, bytes], float] = {}
    for each in candidates:
        files[_file(each)] = files.get(_file(each), 0.0) + each.fusion * (1.0 + rules.text * each.text / best_text)
    best_file = max(files.values())
    by_file: dict[tuple[str, bytes], dict[str, float]] = {}
    scored = []
    for each in candidates:
        file = _file(each)
        if file not in by_file:
            by_file[file] = {
                "coherence": 1.0 + rules.coherence * files[file] / best_file,
                "file_name": file_name_factor(each.place.path, query, rules),
                **place_factors(
                    each.place, wants_tests=query.wants_tests, wants_asides=query.wants_asides, rules=rules
                ),
            }
        factors = {
            "definition": definition_factor(each.definitions, query, rules),
            "text": 1.0 + rules.text * each.text / best_text,
            "symbol_words": symbol_words_factor(each.chunk.symbol, query, rules),
            **by_file[file],
        }
        scored.append((each, each.fusion / top * math.prod(factors.values()), factors))
    scored.sort(key=lambda item: _order(item[0], item[1]))
    return _spread(scored, limit, rules)


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
    return 1.0 + rules.symbol_words * _covered(identifier_parts(symbol), query)


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
    return 1.0 + rules.file_name * _covered(identifier_parts(name), query)


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
    if not wants_asides and _ASIDE_DIRECTORIES & set(place.path.lower().split(b"/")[:-1]):
        factors["aside"] = rules.aside
    if place.language in _PROSE_LANGUAGES:
        factors["prose"] = rules.prose
    return factors


def _named_fit(definitions: Sequence[Definition], query: Query) -> float:
    return max((match_of(each, name) for each in definitions for name in query.names), default=0.0)


def _defines_joined(definitions: Sequence[Definition], query: Query) -> bool:
    return any(run_together(each.name) in query.joined for each in definitions)


def _covered(parts: Iterable[str], query: Query) -> float:
    """The share of the words of a name that the query holds, as they are or in another form."""
    words = [word for word in parts if not word.isdigit()]
    return sum(word in query.words for word in words) / len(words) if words else 0.0


def _spread(scored: Sequence[tuple[Candidate, float, dict[str, float]]], limit: int, rules: Factors) -> list[Ranked]:
    """At most ``MAX_HITS_A_FILE`` hits a file, each after the first for less, adjacent ranges as one hit."""
    by_file: dict[tuple[str, bytes], list[Ranked]] = {}
    for candidate, score, factors in scored:
        mine = by_file.setdefault(_file(candidate), [])
        chunk = candidate.chunk
        touching = next((at for at, each in enumerate(mine) if _touch(each, chunk)), None)
        if touching is not None:
            if score >= MERGED_SHARE * mine[touching].score:
                mine[touching] = _merged(mine[touching], chunk)
        elif len(mine) < MAX_HITS_A_FILE:
            mine.append(_hit(candidate, score, factors, rules.repeat ** len(mine)))
    flat = [each for found in by_file.values() for each in found]
    flat.sort(key=lambda each: _order(each.best, each.score))
    return flat[:limit]


def _hit(candidate: Candidate, score: float, factors: dict[str, float], repeat: float) -> Ranked:
    chunk = candidate.chunk
    if repeat != 1.0:
        factors = {**factors, "repeat": repeat}
    return Ranked(
        candidate, score * repeat, factors, chunk.start_line, chunk.end_line, chunk.start_byte, chunk.end_byte
    )


def _touch(hit: Ranked, chunk: FoundChunk) -> bool:
    """Whether the ranges overlap or meet, and one hit of both is not too long."""
    if hit.best.chunk.cut_id != chunk.cut_id:
        return False
    lines = max(hit.end_line, chunk.end_line) - min(hit.start_line, chunk.start_line) + 1
    meets = chunk.start_byte <= hit.end_byte and hit.start_byte <= chunk.end_byte
    return meets and lines <= MAX_MERGED_LINES


def _merged(hit: Ranked, chunk: FoundChunk) -> Ranked:
    return Ranked(
        hit.best,
        hit.score,
        hit.factors,
        min(hit.start_line, chunk.start_line),
        max(hit.end_line, chunk.end_line),
        min(hit.start_byte, chunk.start_byte),
        max(hit.end_byte, chunk.end_byte),
    )


def _file(candidate: Candidate) -> tuple[str, bytes]:
    return candidate.place.repository, candidate.place.path


def _order(candidate: Candidate, score: float) -> tuple[float, str, bytes, int]:
    return -round(score, 9), candidate.place.repository, candidate.place.path, candidate.chunk.start_line
