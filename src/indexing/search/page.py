"""From what the legs found to the hits of one page: join with the catalog, fusion, ranking, presentation.

Synchronous and all in one place: it takes milliseconds of Python, and runs in a thread beside the event loop or in a
process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from indexing.search.fuse import Leg, fuse
from indexing.search.join import Rows, rows_of
from indexing.search.legs import NO_HITS
from indexing.search.present import Found, Manner, present
from indexing.search.rank import Candidate, definition_fit, rank
from indexing.search.records import SearchResult
from storage import TextHits, hits

if TYPE_CHECKING:
    import sqlite3

    from indexing.search.join import Shown
    from indexing.search.legs import Filters
    from indexing.search.query import Query
    from indexing.search.records import SearchRequest
    from storage import Definition

LEG_WEIGHTS: Final[dict[str, float]] = {"text": 1.0, "name": 1.0, "path": 0.6, "vector": 0.5}


@dataclass(frozen=True, slots=True)
class Words:
    """What the legs found that search words."""

    text: TextHits = NO_HITS
    names: TextHits = NO_HITS
    paths: TextHits = NO_HITS


@dataclass(frozen=True, slots=True)
class LegsFound:
    """What all legs found so far."""

    words: Words
    cosines: Mapping[int, float]
    """by chunk id, of the vector leg"""
    near: Rows
    """rows of the same chunks, as far as they were read already"""
    exhausted: bool
    """no leg has more to give"""
    can_widen: bool
    """some leg has more to give, and is not at its bound"""
    degraded: tuple[str, ...] = ()
    """why a leg gave nothing, or not all it could"""
    near_cuts: Mapping[int, int] = field(default_factory=dict)
    """``{chunk id: cut id}`` of what the vector leg found and nobody has read yet"""


def page(
    connection: sqlite3.Connection, query: Query, found: LegsFound, request: SearchRequest, filters: Filters
) -> SearchResult | None:
    """Fuse, rank and present what the legs found; None where they found too little and can find more."""
    shown = _rows(connection, found, filters).shown()
    defined = _defined(connection, found.words.names, shown)
    text, cosines = shown.only(found.words.text.scores()), shown.only(found.cosines)
    fusion = fuse(
        (
            Leg("text", text, LEG_WEIGHTS["text"]),
            Leg("name", _name_scores(defined, query), LEG_WEIGHTS["name"]),
            Leg("path", shown.only(found.words.paths.scores()), LEG_WEIGHTS["path"]),
            Leg("vector", cosines, LEG_WEIGHTS["vector"]),
        )
    )
    candidates = _candidates(fusion.scores, text, cosines, shown, defined)
    ranked = rank(candidates, query, request.k, max_hits_a_file=request.max_hits_per_file)
    full = len(ranked) >= request.k
    if not full and found.can_widen:
        return None
    manner = Manner(query.words, request.snippet_lines, check_disk=request.check_disk)
    return SearchResult(
        present(Found(ranked, fusion, shown.places), connection, manner),
        complete=full or found.exhausted,
        degraded=found.degraded,
        cut_ids=tuple(dict.fromkeys(each.best.chunk.cut_id for each in ranked)),
    )


def _rows(connection: sqlite3.Connection, found: LegsFound, filters: Filters) -> Rows:
    words = found.words
    unread = {hit.chunk_id: hit.cut_id for leg in (words.text, words.names, words.paths) for hit in leg.hits}
    return rows_of(connection, unread | dict(found.near_cuts), filters).merged(found.near)


def _defined(connection: sqlite3.Connection, names: TextHits, shown: Shown) -> dict[int, tuple[Definition, ...]]:
    """The definitions in the chunks that the name leg found, of those that are shown."""
    wanted = [hit.chunk_id for hit in names.hits if hit.chunk_id in shown.chunks]
    return hits.definitions_in(connection, wanted) if wanted else {}


def _name_scores(defined: Mapping[int, Sequence[Definition]], query: Query) -> dict[int, float]:
    fits = {chunk_id: definition_fit(definitions, query) for chunk_id, definitions in defined.items()}
    return {chunk_id: fit for chunk_id, fit in fits.items() if fit > 0}


def _candidates(
    fused: Mapping[int, float],
    text: Mapping[int, float],
    cosines: Mapping[int, float],
    shown: Shown,
    defined: Mapping[int, tuple[Definition, ...]],
) -> list[Candidate]:
    least = min(cosines.values(), default=0.0)
    spread = (max(cosines.values(), default=0.0) - least) or 1.0
    chunks, places = shown.chunks, shown.places
    return [
        Candidate(
            chunk := chunks[chunk_id],
            places[chunk.cut_id][0],
            score,
            text.get(chunk_id, 0.0),
            defined.get(chunk_id, ()),
            (cosines[chunk_id] - least) / spread if chunk_id in cosines else 0.0,
        )
        for chunk_id, score in fused.items()
    ]
