"""One search from request to result: legs, join with what is shown, fusion, ranking, hits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from indexing.search.fuse import Leg, fuse
from indexing.search.globs import path_filter
from indexing.search.join import Rows, rows_of
from indexing.search.legs import NO_HITS, Filters, name_leg, path_leg, text_clauses, text_leg
from indexing.search.present import Found, Manner, present
from indexing.search.query import Query, analyse
from indexing.search.rank import Candidate, definition_fit, rank
from indexing.search.records import SearchRequest, SearchResult
from indexing.search.vector_leg import FIRST_NEIGHBOURS, LAST_NEIGHBOURS, Neighbours, VectorLeg
from storage import hits

if TYPE_CHECKING:
    import sqlite3

    from indexing.search.join import Shown
    from indexing.search.vector_leg import VectorSource
    from storage import Definition, Reader, TextHits, TextIndex

FIRST_LIMIT: Final = 200
LAST_LIMIT: Final = 6_400
"""Chunks that a leg gives at most; a search that needed more says ``complete: false``."""

LEG_WEIGHTS: Final[dict[str, float]] = {"text": 1.0, "name": 1.0, "path": 0.6, "vector": 0.5}


async def search(
    request: SearchRequest, *, catalog: Reader, text_index: TextIndex, vectors: VectorSource | None = None
) -> SearchResult:
    """Answer a request from the catalog and the indexes as they are now.

    ``vectors`` None means that none were ever made: text alone is then the whole answer. Vectors that should be there
    and cannot be had leave the answer to the other legs, with the reason in ``degraded``.
    Raises BadRequest for a path filter that can match nothing, ``VectorSearchUnavailable`` where only vectors are
    asked for and cannot be had, and the errors of ``storage`` about catalog and text index.
    """
    query = analyse(request.query)
    filters = await _filters(request, catalog)
    if not request.repositories or filters.cut_ids == ():
        return SearchResult((), complete=True)
    legs = _Legs(request, query, filters, catalog=catalog, text_index=text_index, vectors=vectors)
    await legs.begin(max(FIRST_LIMIT, 4 * request.k), max(FIRST_NEIGHBOURS, 4 * request.k))
    while True:
        result = await catalog.read(lambda connection: _page(connection, legs, query, request))
        if result is not None:
            return result
        await legs.widen()


@dataclass(frozen=True, slots=True)
class _Words:
    """What the legs found that search words."""

    text: TextHits = NO_HITS
    names: TextHits = NO_HITS
    paths: TextHits = NO_HITS


@dataclass(frozen=True, slots=True)
class _Known:
    """What the catalog says of what the legs found."""

    rows: Rows
    defined: Mapping[int, tuple[Definition, ...]]
    """by chunk, of those that the name leg found"""


class _Legs:
    """All legs of one search, each as far as it has gone."""

    def __init__(
        self,
        request: SearchRequest,
        query: Query,
        filters: Filters,
        *,
        catalog: Reader,
        text_index: TextIndex,
        vectors: VectorSource | None,
    ) -> None:
        self.words = _Words()
        self.near = Neighbours()
        self._query = query
        self._clauses = text_clauses(query)
        self._filters = filters
        self._catalog = catalog
        self._index = text_index
        self._limit = self._neighbours = 0
        self._paths_known = False
        self._by_words = request.mode != "vector"
        self._vectors: VectorLeg | None = None
        alone = request.mode == "vector"
        if alone or (vectors is not None and request.mode == "hybrid"):
            self._vectors = VectorLeg(vectors, query.text, catalog=catalog, filters=filters, alone=alone)

    @property
    def exhausted(self) -> bool:
        """No leg has more to give."""
        return self._words_exhausted and self.near.exhausted

    @property
    def degraded(self) -> Sequence[str]:
        """Why a leg gave nothing, or not all it could."""
        return self._vectors.degraded if self._vectors else ()

    def known(self, connection: sqlite3.Connection) -> _Known:
        """Ask the catalog about all that was found."""
        words = self.words
        found = {hit.chunk_id: hit.cut_id for leg in (words.text, words.names, words.paths) for hit in leg.hits}
        names = [hit.chunk_id for hit in words.names.hits]
        defined = hits.definitions_in(connection, names) if names else {}
        return _Known(rows_of(connection, found, self._filters).merged(self.near.rows), defined)

    async def begin(self, limit: int, neighbours: int) -> None:
        """Search with every leg at once."""
        self._limit, self._neighbours = limit, neighbours
        legs = [] if self._vectors is None else [self._widen_vectors(self._vectors)]
        if self._by_words:
            legs.append(self._widen_words())
        await asyncio.gather(*legs)

    @property
    def can_widen(self) -> bool:
        """Some leg has more to give and is not at its bound."""
        return self._can_widen_words or self._can_widen_vectors

    async def widen(self) -> None:
        """Let every leg that has more go further."""
        legs = []
        if self._can_widen_words:
            self._limit = min(4 * self._limit, LAST_LIMIT)
            legs.append(self._widen_words())
        if self._vectors is not None and self._can_widen_vectors:
            self._neighbours = min(4 * self._neighbours, LAST_NEIGHBOURS)
            legs.append(self._widen_vectors(self._vectors))
        await asyncio.gather(*legs)

    @property
    def _can_widen_words(self) -> bool:
        return self._limit < LAST_LIMIT and not self._words_exhausted

    @property
    def _can_widen_vectors(self) -> bool:
        return self._vectors is not None and self._neighbours < LAST_NEIGHBOURS and not self.near.exhausted

    @property
    def _words_exhausted(self) -> bool:
        return not self._by_words or (self.words.text.exhausted and self.words.names.exhausted)

    async def _widen_words(self) -> None:
        # Two threads, as most of both is spent in tantivy and SQLite; more would cost more than they gain.
        if self._paths_known:
            # The files found by their paths are the same however far the other legs go.
            self.words = await self._catalog.read(self._search_text)
            return
        words, paths = await asyncio.gather(
            self._catalog.read(self._search_text), self._catalog.read(self._search_paths)
        )
        self.words, self._paths_known = replace(words, paths=paths), True

    async def _widen_vectors(self, leg: VectorLeg) -> None:
        self.near = await leg.nearest(self._neighbours)

    def _search_text(self, _: sqlite3.Connection) -> _Words:
        # It needs no catalog, only a thread of those that answer.
        index, filters = self._index, self._filters
        text = text_leg(index, self._clauses, filters, self._limit)
        return _Words(text, name_leg(index, self._query, filters, self._limit), self.words.paths)

    def _search_paths(self, connection: sqlite3.Connection) -> TextHits:
        return path_leg(connection, self._index, self._query, self._clauses, self._filters)


async def _filters(request: SearchRequest, catalog: Reader) -> Filters:
    languages = frozenset(request.languages) or None
    if not request.path_globs:
        return Filters(request.repositories, languages, None, None)

    def look_up(connection: sqlite3.Connection) -> Filters:
        paths = path_filter(request.path_globs)
        assert paths is not None  # noqa: S101  (there are globs)
        cut_ids = hits.cuts_under(connection, paths.prefixes, request.repositories, paths.accepts)
        allowed = tuple(cut_ids) if len(cut_ids) <= request.max_allowed_ids else None
        return Filters(request.repositories, languages, paths, allowed)

    return await catalog.read(look_up)


def _page(connection: sqlite3.Connection, legs: _Legs, query: Query, request: SearchRequest) -> SearchResult | None:
    """Fuse, rank and present what the legs found; None where they found too little and can find more.

    All in one thread beside the event loop: it takes milliseconds, and each change of threads a fraction of one.
    """
    known = legs.known(connection)
    shown = known.rows.shown()
    defined = {chunk_id: found for chunk_id, found in known.defined.items() if chunk_id in shown.chunks}
    text, cosines = shown.only(legs.words.text.scores()), shown.only(legs.near.scores)
    fusion = fuse(
        (
            Leg("text", text, LEG_WEIGHTS["text"]),
            Leg("name", _name_scores(defined, query), LEG_WEIGHTS["name"]),
            Leg("path", shown.only(legs.words.paths.scores()), LEG_WEIGHTS["path"]),
            Leg("vector", cosines, LEG_WEIGHTS["vector"]),
        )
    )
    candidates = _candidates(fusion.scores, text, cosines, shown, defined)
    ranked = rank(candidates, query, request.k, max_hits_a_file=request.max_hits_per_file)
    full = len(ranked) >= request.k
    if not full and legs.can_widen:
        return None
    manner = Manner(query.words, request.snippet_lines, check_disk=request.check_disk)
    return SearchResult(
        present(Found(ranked, fusion, shown.places), connection, manner),
        complete=full or legs.exhausted,
        degraded=tuple(legs.degraded),
        cut_ids=tuple(dict.fromkeys(each.best.chunk.cut_id for each in ranked)),
    )


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
