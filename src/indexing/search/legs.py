"""The ways of searching: text, names of definitions, words of paths. Each gives chunk ids with scores, best first."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from indexing.cutting.identifiers import identifier_parts
from indexing.search.query import Query
from storage.catalog import hits
from storage.text.records import TextClause, TextField, TextHits, TextQuery

if TYPE_CHECKING:
    from indexing.search.globs import PathFilter
    from storage.catalog.reader import Reader
    from storage.text import TextIndex

MAX_FILES_BY_PATH: Final = 50
MAX_CANDIDATE_FILES: Final = 1_000
"""Files whose paths are looked at closely; those that hold the rarest words of the query come first."""

FIELD_WEIGHTS: Final[dict[TextField, float]] = {"code": 1.0, "parts": 0.7, "symbol": 1.0, "scope": 0.5}
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

    def text_query(self, clauses: tuple[TextClause, ...], cut_ids: Sequence[int] | None = None) -> TextQuery:
        """The clauses within the filters, and within ``cut_ids`` if given (which must obey them already)."""
        return TextQuery(
            clauses, self.repositories, self.languages, cut_ids=self.cut_ids if cut_ids is None else cut_ids
        )


def text_clauses(query: Query) -> tuple[TextClause, ...]:
    """What the text leg asks for: every word in every field, whole identifiers more."""
    clauses = [
        TextClause(field, word, weight * factor)
        for word, weight in query.words.items()
        for field, factor in FIELD_WEIGHTS.items()
    ]
    for compound in query.compounds:
        clauses.append(TextClause("code", compound, COMPOUND_WEIGHT))
        clauses.append(TextClause("symbol", compound, COMPOUND_WEIGHT))
    return tuple(clauses)


def name_clauses(query: Query) -> tuple[TextClause, ...]:
    """The names that may be defined somewhere: those written as names, and adjacent words run together."""
    names = dict.fromkeys(name.name for name in query.names)
    return tuple(TextClause("symbol", name) for name in (*names, *sorted(query.joined)))


async def text_leg(index: TextIndex, query: Query, filters: Filters, limit: int) -> TextHits:
    """The best chunks by BM25."""
    return await asyncio.to_thread(index.search, filters.text_query(text_clauses(query)), limit)


async def name_leg(index: TextIndex, query: Query, filters: Filters, limit: int) -> TextHits:
    """Chunks in which a queried name is defined, in any case."""
    clauses = name_clauses(query)
    if not clauses:
        return TextHits((), exhausted=True)
    return await asyncio.to_thread(index.search, filters.text_query(clauses), limit)


async def path_leg(reader: Reader, index: TextIndex, query: Query, filters: Filters) -> dict[int, float]:
    """One chunk of each file whose path holds words of the query: the best one by text, else its first."""
    scores = await _path_scores(reader, query, filters)
    if not scores:
        return {}
    best = sorted(scores, key=lambda cut_id: (-scores[cut_id], cut_id))[:MAX_FILES_BY_PATH]
    found = await asyncio.to_thread(index.search, filters.text_query(text_clauses(query), cut_ids=best), 20 * len(best))
    chosen: dict[int, tuple[int, float]] = {}
    for hit in found.hits:
        chosen.setdefault(hit.cut_id, (hit.chunk_id, hit.score))
    top = max((hit.score for hit in found.hits), default=1.0)
    firsts = await hits.first_chunks(reader, [cut_id for cut_id in best if cut_id not in chosen])
    leg = {chunk_id: scores[cut_id] for cut_id, chunk_id in firsts.items()}
    for cut_id, (chunk_id, score) in chosen.items():
        # The text decides only between files whose paths are equally good.
        leg[chunk_id] = scores[cut_id] + 1e-3 * score / top
    return leg


async def _path_scores(reader: Reader, query: Query, filters: Filters) -> dict[int, float]:
    """By cut: the sum of the rarities of the query's words that stand in a path that shows it."""
    found = await hits.entries_with_path_words(reader, query.path_words)
    if not found:
        return {}
    total = max(await hits.entry_count(reader), 1)
    rarity = {word: query.words.get(word, 1.0) * math.log(1 + total / len(ids)) for word, ids in found.items()}
    rough: dict[int, float] = {}
    for word, ids in found.items():
        for entry_id in ids:
            rough[entry_id] = rough.get(entry_id, 0.0) + rarity[word]
    considered = sorted(rough, key=lambda entry_id: (-rough[entry_id], entry_id))[:MAX_CANDIDATE_FILES]
    scores: dict[int, float] = {}
    for _, cut_id, path, language in await hits.shown_entries(reader, considered, filters.repositories):
        if filters.languages is not None and language not in filters.languages:
            continue
        if filters.paths is not None and not filters.paths.accepts(path):
            continue
        scores[cut_id] = max(scores.get(cut_id, 0.0), path_score(path, rarity, query.paths))
    return scores


def path_score(path: bytes, rarity: Mapping[str, float], paths: Sequence[str]) -> float:
    """How well a path fits: words in the file's name count whole, in directories less, and a queried path most."""
    shown = path.decode("utf-8", "replace").lower()
    directory, _, name = path.decode("utf-8", "replace").rpartition("/")
    in_name = _words(name.partition(".")[0])
    in_directory = _words(directory) - in_name
    score = sum(weight for word, weight in rarity.items() if word in in_name)
    score += DIRECTORY_WEIGHT * sum(weight for word, weight in rarity.items() if word in in_directory)
    covered = sum(1 for word in in_name if word in rarity)
    score *= 0.5 + 0.5 * covered / max(len(in_name), 1)
    if any(("/" + shown).endswith("/" + each.lstrip("/")) for each in paths):
        score += 10 * max(rarity.values(), default=1.0)
    return round(score, 6)


def _words(text: str) -> set[str]:
    return set(identifier_parts(text))
