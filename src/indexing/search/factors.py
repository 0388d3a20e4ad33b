"""What a reader of code knows beyond the scores of the legs, as factors on a fused score. Pure.

Every rule has a name, which is shown with the hit, and a strength in ``Factors``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from indexing.search.parts import identifier_words
from indexing.search.query import QueriedName, Query, run_together
from storage import Definition, PlaceShown


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

    @property
    def most_of_a_file(self) -> float:
        """The most that a file's name and place can make of a score."""
        places = (self.test, self.vendored, self.generated, self.aside, self.prose)
        return math.prod([max(1.0, factor) for factor in (1.0 + self.file_name, *places)])


FACTORS: Final = Factors()
WRONG_CASE_FIT: Final = 0.8
"""How well a definition fits a queried name that is written in another case."""
JOINED_FIT: Final = 0.5
"""The same for one that was only guessed from adjacent words."""

REMEMBERED_DIRECTORIES: Final = 16_384

_ASIDE_DIRECTORIES: Final = frozenset(
    {b"example", b"examples", b"demo", b"demos", b"sample", b"samples", b"benchmark", b"benchmarks", b"bench"}
)
_PROSE_LANGUAGES: Final = frozenset({"markdown", "rst", "text", "asciidoc", "org"})


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


def place_factors(place: PlaceShown, query: Query | None = None, rules: Factors = FACTORS) -> dict[str, float]:
    """Less for files that are seldom what is looked for, unless the query asks for them."""
    wants_tests, wants_asides = (False, False) if query is None else (query.wants_tests, query.wants_asides)
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
