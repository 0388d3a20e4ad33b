"""The ways of searching: text and names of definitions, which give chunks, and words of paths, which give files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from indexing.search.parts import identifier_parts
from indexing.search.query import Query
from storage import TextClause, TextField, TextHits, TextQuery, hits, visible

if TYPE_CHECKING:
    import sqlite3

    from indexing.search.globs import PathFilter
    from indexing.search.records import SearchRequest
    from storage import TextIndex

NO_HITS: Final = TextHits((), exhausted=True)
MAX_FILES_BY_PATH: Final = 40
MAX_CANDIDATE_FILES: Final = 300
"""Files whose paths are looked at closely; those that hold the rarest words of the query come first."""

FIELD_WEIGHTS: Final[dict[TextField, float]] = {"code": 1.0, "parts": 1.0, "symbol": 1.0, "scope": 0.5}
VARIANT_FIELDS: Final[tuple[TextField, ...]] = ("code", "parts")
COMPOUND_FIELDS: Final[tuple[TextField, ...]] = ("code", "symbol")
COMPOUND_WEIGHT: Final = 2.0
"""A whole identifier says more than any of its parts."""

DIRECTORY_WEIGHT: Final = 0.4
"""A word in a directory's name, beside one in the file's name."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What every leg obeys before its cut."""

    repositories: frozenset[str]
    languages: frozenset[str] | None
    paths: PathFilter | None
    cut_ids: tuple[int, ...] | None
    """the cuts that ``paths`` accepts, where they are few enough to be listed"""

    @classmethod
    def without_paths(cls, request: SearchRequest) -> Self:
        """The filters of a request but for its paths."""
        return cls(request.repositories, frozenset(request.languages) or None, None, None)

    def text_query(self, clauses: tuple[TextClause, ...]) -> TextQuery:
        """The clauses within the filters."""
        return TextQuery(clauses, self.repositories, self.languages, cut_ids=self.cut_ids)


def text_clauses(query: Query) -> tuple[TextClause, ...]:
    """What the text leg asks for: whole identifiers most, words as written in every field, other forms in the text.

    In this order, since the text index leaves out what is beyond its limit of terms.
    """
    clauses = [
        TextClause(field, compound, COMPOUND_WEIGHT) for compound in query.compounds for field in COMPOUND_FIELDS
    ]
    for word, weight in query.words.items():
        fields = FIELD_WEIGHTS if weight == 1.0 else VARIANT_FIELDS
        clauses += [TextClause(field, word, weight * FIELD_WEIGHTS[field]) for field in fields]
    return tuple(clauses)


def name_clauses(query: Query) -> tuple[TextClause, ...]:
    """The names that may be defined somewhere: those written as names, and adjacent words run together."""
    names = dict.fromkeys(name.name for name in query.names)
    return tuple(TextClause("symbol", name) for name in (*names, *sorted(query.joined)))


def text_leg(index: TextIndex, query: Query, filters: Filters, limit: int) -> TextHits:
    """The best chunks by BM25."""
    return index.search(filters.text_query(text_clauses(query)), limit)


def name_leg(index: TextIndex, query: Query, filters: Filters, limit: int) -> TextHits:
    """Chunks in which a queried name is defined, in any case."""
    clauses = name_clauses(query)
    return index.search(filters.text_query(clauses), limit) if clauses else NO_HITS


def path_leg(connection: sqlite3.Connection, query: Query, filters: Filters) -> dict[int, float]:
    """By cut, for the best ``MAX_FILES_BY_PATH``: how well the best path that shows it fits the query."""
    known = hits.entries_with_path_words(connection, query.path_words)
    found = known.entries
    if not found:
        return {}
    total = max(known.total, 1)
    rarity = {word: query.words.get(word, 1.0) * math.log(1 + total / len(ids)) for word, ids in found.items()}
    rough: dict[int, float] = {}
    for word, ids in found.items():
        weight = rarity[word]
        for entry_id in ids:
            rough[entry_id] = rough.get(entry_id, 0.0) + weight
    considered = promising(rough)
    scores: dict[int, tuple[float, str, bytes]] = {}
    for entry_id, cut_id, repository, path, language in visible.shown_entries(
        connection, considered, filters.repositories
    ):
        if filters.languages is not None and language not in filters.languages:
            continue
        if filters.paths is not None and not filters.paths.accepts(path):
            continue
        held = {word: rarity[word] for word, ids in found.items() if entry_id in ids}
        mine = (-path_score(path, held, query.paths), repository, path)
        scores[cut_id] = min(mine, scores.get(cut_id, mine))
    best = sorted(scores, key=lambda cut_id: scores[cut_id])[:MAX_FILES_BY_PATH]
    return {cut_id: -scores[cut_id][0] for cut_id in best}


def promising(rough: Mapping[int, float]) -> list[int]:
    """The best entries by a rough score, about ``MAX_CANDIDATE_FILES``.

    Those with equal scores go in or stay out together, so that no row id decides; the best of all always go in.
    """
    chosen: list[int] = []
    groups: dict[float, list[int]] = {}
    for entry_id, score in rough.items():
        groups.setdefault(score, []).append(entry_id)
    for score in sorted(groups, reverse=True):
        if chosen and len(chosen) + len(groups[score]) > MAX_CANDIDATE_FILES:
            break
        chosen += groups[score]
    return chosen


def path_score(path: bytes, rarity: Mapping[str, float], paths: Sequence[str]) -> float:
    """How well a path fits: words in the file's name count whole, in directories less, and a queried path most.

    ``rarity`` has the weights of those words of the query that the path holds somewhere.
    """
    shown = path.decode("utf-8", "replace")
    stem = shown.rpartition("/")[2].partition(".")[0]
    lower = stem.lower()
    in_name: set[str] = set()
    if any(word in lower for word in rarity):
        in_name = {lower, *identifier_parts(stem)}
    score = 0.0
    for word, weight in rarity.items():
        score += weight if word in in_name else weight * DIRECTORY_WEIGHT
    covered = len(in_name & rarity.keys()) / max(len(in_name - {lower}), 1)
    score *= 0.5 + 0.5 * min(covered, 1.0)
    if paths and any(("/" + shown.lower()).endswith("/" + each.lstrip("/")) for each in paths):
        score += 10 * max(rarity.values(), default=1.0)
    return round(score, 6)
