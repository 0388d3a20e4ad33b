"""One search from request to result: legs, join with what is shown, fusion, ranking, hits."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from indexing.search.globs import path_filter
from indexing.search.join import places_of
from indexing.search.legs import Filters, name_leg, path_leg, text_leg
from indexing.search.page import NOTHING, LegsFound, Words, page
from indexing.search.query import Query, analyse
from indexing.search.records import SearchRequest, SearchResult
from indexing.search.vector_leg import FIRST_NEIGHBOURS, LAST_NEIGHBOURS, Neighbours, VectorLeg
from storage import visible

if TYPE_CHECKING:
    import sqlite3

    from indexing.search.vector_leg import VectorSource
    from storage import Reader, TextIndex


class Pages(Protocol):
    """Makes pages as ``page`` does, some of them elsewhere."""

    async def __call__(
        self, query: Query, found: LegsFound, request: SearchRequest, filters: Filters
    ) -> SearchResult | None:
        """See ``page``."""
        ...

    def takes(self, filters: Filters) -> bool:
        """Whether a page would be made elsewhere now."""
        ...

    def counted(self) -> AbstractContextManager[None]:
        """To be entered by whoever makes a page without it."""
        ...


FIRST_LIMIT: Final = 150
LAST_LIMIT: Final = 6_400
"""Chunks that a leg gives at most; a search that needed more says ``complete: false``."""
PATIENCE_SECONDS: Final = 0.005
"""That the thread which found the words waits for the vectors, to go on at once instead of in another thread."""


async def search(
    request: SearchRequest,
    *,
    catalog: Reader,
    text_index: TextIndex,
    vectors: VectorSource | None = None,
    pages: Pages | None = None,
) -> SearchResult:
    """Answer a request from the catalog and the indexes as they are now.

    ``vectors`` None means that none were ever made: text alone is then the whole answer. Vectors that should be there
    and cannot be had leave the answer to the other legs, with the reason in ``degraded``. ``pages`` None: the page is
    made in this process.
    Raises BadRequest for a path filter that can match nothing, ``VectorSearchUnavailable`` where only vectors are
    asked for and cannot be had, and the errors of ``storage`` about catalog and text index.
    """
    query = analyse(request.query)
    filters = await _filters(request, catalog)
    if not request.repositories or filters.cut_ids == ():
        return SearchResult((), complete=True)
    is_made_here = pages is None or not pages.takes(filters)
    legs = _Legs(
        request, query, filters, catalog=catalog, text_index=text_index, vectors=vectors, is_made_here=is_made_here
    )
    limit, neighbours = max(FIRST_LIMIT, 4 * request.k), max(FIRST_NEIGHBOURS, 4 * request.k)
    if is_made_here and request.mode != "vector":
        counted = nullcontext() if pages is None else pages.counted()
        result, is_made = await legs.first_page(limit, neighbours, counted)
        if result is not None:
            return result
        if is_made:
            await legs.widen()
    else:
        await legs.begin(limit, neighbours)
    while True:
        if pages is None:
            result = await catalog.read(legs.page)
        else:
            result = await pages(query, legs.found(), request, filters)
        if result is not None:
            return result
        await legs.widen()


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
        is_made_here: bool,
    ) -> None:
        self.words = NOTHING
        self._is_made_here = is_made_here
        self.near = Neighbours()
        self._request = request
        self._query = query
        self._filters = filters
        self._catalog = catalog
        self._index = text_index
        self._limit = self._neighbours = 0
        self._by_words = request.mode != "vector"
        self._vectors: VectorLeg | None = None
        alone = request.mode == "vector"
        if alone or (vectors is not None and request.mode == "hybrid"):
            self._vectors = VectorLeg(vectors, query.text, catalog=catalog, filters=filters, alone=alone)

    def found(self) -> LegsFound:
        """What all of them found so far."""
        return LegsFound(
            self.words,
            self.near.scores,
            exhausted=self._words_exhausted and self.near.exhausted,
            can_widen=self._can_widen_words or self._can_widen_vectors,
            degraded=tuple(self._vectors.degraded) if self._vectors else (),
        )

    def page(self, connection: sqlite3.Connection) -> SearchResult | None:
        """The page of what they found so far; None where that is too little and they can find more."""
        return page(connection, self._query, self.found(), self._request, self._filters)

    async def first_page(
        self, limit: int, neighbours: int, counted: AbstractContextManager[None]
    ) -> tuple[SearchResult | None, bool]:
        """Begin, and make the page where the words were found, which saves a change of threads; ``counted`` meanwhile.

        Returns the page (None: too little was found) and whether it was made: not if the vectors took longer.
        """
        if self._vectors is None:
            self._limit = limit
            with counted:
                return await self._catalog.read_both(self._search_chunks, self._search_files, self._page_of), True
        self._limit, self._neighbours = limit, neighbours
        is_near = threading.Event()

        async def search_vectors() -> None:
            await self._widen_vectors()
            is_near.set()

        def search_words(connection: sqlite3.Connection) -> tuple[SearchResult | None, bool]:
            self.words = self._search_words(connection)
            return (self.page(connection), True) if is_near.wait(PATIENCE_SECONDS) else (None, False)

        near = asyncio.create_task(search_vectors())
        try:
            with counted:
                made = await self._catalog.read(search_words)
            await near
        finally:
            if not near.done():
                near.cancel()
                await asyncio.wait([near])
        return made

    async def begin(self, limit: int, neighbours: int) -> None:
        """Search with every leg at once."""
        self._limit, self._neighbours = limit, neighbours
        # The vectors first: they take longest, and let the words have the interpreter meanwhile.
        await self._widen_all(vectors=self._vectors is not None, words=self._by_words)

    async def widen(self) -> None:
        """Let every leg that has more go further."""
        words, vectors = self._can_widen_words, self._can_widen_vectors
        if words:
            self._limit = min(4 * self._limit, LAST_LIMIT)
        if vectors:
            self._neighbours = min(4 * self._neighbours, LAST_NEIGHBOURS)
        await self._widen_all(vectors=vectors, words=words)

    @property
    def _can_widen_words(self) -> bool:
        return self._limit < LAST_LIMIT and not self._words_exhausted

    @property
    def _can_widen_vectors(self) -> bool:
        return self._vectors is not None and self._neighbours < LAST_NEIGHBOURS and not self.near.exhausted

    @property
    def _words_exhausted(self) -> bool:
        return not self._by_words or (self.words.text.exhausted and self.words.names.exhausted)

    def _page_of(self, connection: sqlite3.Connection, words: Words, files: dict[int, float]) -> SearchResult | None:
        self.words = replace(words, files=files)
        return self.page(connection)

    async def _widen_all(self, *, vectors: bool, words: bool) -> None:
        if vectors and words:
            await asyncio.gather(self._widen_vectors(), self._widen_words())
        elif vectors:
            await self._widen_vectors()
        elif words:
            await self._widen_words()

    async def _widen_words(self) -> None:
        if self._vectors is not None or self.words is not NOTHING:
            # Beside the vectors a third thread would cost more than it gains.
            self.words = await self._catalog.read(self._search_words)
            return
        self.words = await self._catalog.read_both(
            self._search_chunks, self._search_files, lambda _, words, files: replace(words, files=files)
        )

    async def _widen_vectors(self) -> None:
        if self._vectors is not None:
            self.near = await self._vectors.nearest(self._neighbours)

    def _search_words(self, connection: sqlite3.Connection) -> Words:
        # The files found by their paths are the same however far the other legs go.
        files = self._search_files(connection) if self.words is NOTHING else self.words.files
        words = replace(self._search_chunks(connection), files=files)
        if not self._is_made_here:
            return words
        # The vectors are not there yet: what the page will ask for first can be had meanwhile.
        cuts = {hit.cut_id for leg in (words.text, words.names) for hit in leg.hits}.union(files)
        return replace(words, places=places_of(connection, cuts, self._filters))

    def _search_chunks(self, _: sqlite3.Connection) -> Words:
        # It needs no catalog, only a thread of those that answer.
        index, query, filters = self._index, self._query, self._filters
        return Words(text_leg(index, query, filters, self._limit), name_leg(index, query, filters, self._limit))

    def _search_files(self, connection: sqlite3.Connection) -> dict[int, float]:
        return path_leg(connection, self._query, self._filters)


async def _filters(request: SearchRequest, catalog: Reader) -> Filters:
    plain = Filters.without_paths(request)
    if not request.path_globs:
        return plain

    def look_up(connection: sqlite3.Connection) -> Filters:
        paths = path_filter(request.path_globs)
        assert paths is not None  # noqa: S101  (there are globs)
        cut_ids = visible.cuts_under(connection, paths.prefixes, request.repositories, paths.accepts)
        allowed = tuple(cut_ids) if len(cut_ids) <= request.max_allowed_ids else None
        return replace(plain, paths=paths, cut_ids=allowed)

    return await catalog.read(look_up)
