"""One search from request to result: legs, join with what is shown, fusion, ranking, hits."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from indexing.search.fuse import Fused, Leg, fuse
from indexing.search.globs import path_filter
from indexing.search.legs import Filters, name_leg, path_leg, text_leg
from indexing.search.present import Found, present
from indexing.search.query import Query, analyse
from indexing.search.rank import Candidate, Ranked, definition_fit, rank
from indexing.search.records import SearchRequest, SearchResult
from storage import hits

if TYPE_CHECKING:
    from storage import Definition, FoundChunk, PlaceShown, Reader, TextHits, TextIndex

MAX_ALLOWED_IDS: Final = 20_000
"""Path filters that accept more cuts than this are applied after the cut of a leg, which then widens."""

FIRST_LIMIT: Final = 200
LAST_LIMIT: Final = 6_400
"""Chunks that a leg gives at most; a search that needed more says ``complete: false``."""

LEG_WEIGHTS: Final[dict[str, float]] = {"text": 1.0, "name": 1.0, "path": 0.6}


async def search(request: SearchRequest, *, catalog: Reader, text_index: TextIndex) -> SearchResult:
    """Answer a request from the catalog and the text index as they are now.

    Raises BadRequest for a path filter that can match nothing, and the errors of ``storage``.
    """
    query = analyse(request.query)
    filters = await _filters(request, catalog)
    if not request.repositories or filters.cut_ids == ():
        return SearchResult((), complete=True)
    limit = max(FIRST_LIMIT, 4 * request.k)
    (by_path, (text, names)) = await asyncio.gather(
        path_leg(catalog, text_index, query, filters), _words_and_names(text_index, query, filters, limit)
    )
    while True:
        shown = await _shown(catalog, (text, names), by_path, filters)
        defined = await hits.definitions_in(catalog, shown.only(names.scores()))
        legs = (
            Leg("text", shown.only(text.scores()), LEG_WEIGHTS["text"]),
            Leg("name", _name_scores(defined, query), LEG_WEIGHTS["name"]),
            Leg("path", shown.only(by_path), LEG_WEIGHTS["path"]),
        )
        fused = fuse(legs)
        ranked = _ranked(fused, shown, defined, query, request.k)
        exhausted = text.exhausted and names.exhausted
        if len(ranked) >= request.k or exhausted or limit >= LAST_LIMIT:
            break
        limit = min(limit * 4, LAST_LIMIT)
        text, names = await _words_and_names(text_index, query, filters, limit)
    found = await present(request, query, Found(ranked, fused, shown.places), catalog)
    return SearchResult(found, complete=len(ranked) >= request.k or exhausted)


async def _words_and_names(
    text_index: TextIndex, query: Query, filters: Filters, limit: int
) -> tuple[TextHits, TextHits]:
    return await asyncio.gather(
        text_leg(text_index, query, filters, limit), name_leg(text_index, query, filters, limit)
    )


async def _filters(request: SearchRequest, catalog: Reader) -> Filters:
    languages = frozenset(request.languages) or None
    paths = path_filter(request.path_globs)
    if paths is None:
        return Filters(request.repositories, languages, None, None)
    cut_ids = await hits.cuts_under(catalog, paths.prefixes, request.repositories, paths.accepts)
    allowed = tuple(cut_ids) if len(cut_ids) <= MAX_ALLOWED_IDS else None
    return Filters(request.repositories, languages, paths, allowed)


@dataclass(frozen=True, slots=True)
class _Shown:
    """The chunks among those found that are shown, and where."""

    chunks: Mapping[int, FoundChunk]
    places: Mapping[int, tuple[PlaceShown, ...]]
    """by cut id"""

    def only(self, scores: Mapping[int, float]) -> dict[int, float]:
        return {chunk_id: score for chunk_id, score in scores.items() if chunk_id in self.chunks}


async def _shown(catalog: Reader, found: Sequence[TextHits], others: Collection[int], filters: Filters) -> _Shown:
    chunks = await hits.chunks_by_id(catalog, {*others, *(hit.chunk_id for each in found for hit in each.hits)})
    cut_ids = {chunk.cut_id for chunk in chunks.values()}
    accepts = None if filters.paths is None else filters.paths.accepts
    places = await hits.places_of(catalog, cut_ids, filters.repositories, accepts)
    return _Shown({chunk_id: chunk for chunk_id, chunk in chunks.items() if chunk.cut_id in places}, places)


def _name_scores(defined: Mapping[int, Sequence[Definition]], query: Query) -> dict[int, float]:
    fits = {chunk_id: definition_fit(definitions, query) for chunk_id, definitions in defined.items()}
    return {chunk_id: fit for chunk_id, fit in fits.items() if fit > 0}


def _ranked(
    fused: Mapping[int, Fused],
    shown: _Shown,
    defined: Mapping[int, tuple[Definition, ...]],
    query: Query,
    k: int,
) -> list[Ranked]:
    candidates = []
    for chunk_id, each in fused.items():
        chunk = shown.chunks[chunk_id]
        text = each.places["text"].score if "text" in each.places else 0.0
        place = shown.places[chunk.cut_id][0]
        candidates.append(Candidate(chunk, place, each.score, text, defined.get(chunk_id, ())))
    return rank(candidates, query, k)
