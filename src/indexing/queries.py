"""The reading side as callers see it: search, symbols, similar code, text of files, repositories, status.

One place for both edges, HTTP and MCP, with an owner behind it or a data directory that is only read. Everything is
answered within what the caller sees: a repository that is not the caller's is unknown, never forbidden.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from indexing import status as status_module
from indexing.asks import SearchAsk, SimilarAsk, SymbolAsk, TextAsk
from indexing.file_text import NotIndexed, file_text
from indexing.fresh import fresh_page
from indexing.listing import repository_json
from indexing.pending import pending_json
from indexing.query_sources import OwnerSources, VectorNeed, open_sources
from indexing.search import (
    BadRequest,
    SearchRequest,
    SimilarRequest,
    VectorSearch,
    find_symbol,
    search,
    search_similar,
)
from storage import UnknownRepository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from indexing.access import Principal
    from indexing.query_sources import Sources
    from indexing.runtime import Owner
    from indexing.search import SearchResult, VectorSource
    from indexing.settings import Settings

__all__ = ["NotIndexed", "Queries", "SearchAsk", "SimilarAsk", "SymbolAsk", "TextAsk", "open_queries", "queries_of"]

AT_ONCE_SECONDS: Final = 0.02
"""A search waits so long for a model that is not loaded; then words alone answer."""
MODEL_SECONDS: Final = 30.0
"""A question that nothing but vectors can answer waits so long for the model."""
SWITCHED_OFF: Final = "vectors: switched off by the flag hybrid_search"


class Queries:
    """Answers as plain JSON values.

    All raise ``storage.UnknownRepository`` for a repository that the caller does not see, ``BadRequest`` of
    ``indexing.search`` for what is out of bounds, and the errors of ``storage`` about catalog and text index.
    """

    def __init__(self, sources: Sources) -> None:
        """Answer from ``sources``."""
        self._sources = sources

    async def search(self, caller: Principal, ask: SearchAsk) -> dict[str, Any]:
        """``{schema, query, took_ms, complete, degraded, pending: [{repository, files}], hits}``.

        Raises ``indexing.search.VectorSearchUnavailable`` in mode ``vector`` without vectors.
        """
        began = perf_counter()
        chosen = await self._chosen(caller, ask.repositories)
        request = self._request(ask, chosen)
        if ask.consistency == "wait":
            longest = self._sources.settings.service.wait_ms_most
            await self._sources.settle(chosen, min(ask.wait_ms, longest) / 1000)
        result = await self._searched(request, caller, only_fresh=ask.consistency == "fresh")
        self._sources.want_first(result.cut_ids)
        pending = pending_json(await self._sources.pending(chosen))
        found = result.to_json()
        return {
            "schema": found["schema"],
            "query": ask.query,
            "took_ms": round(1e3 * (perf_counter() - began), 2),
            "complete": found["complete"],
            "degraded": found["degraded"],
            "pending": pending,
            "hits": found["hits"],
        }

    async def symbols(self, caller: Principal, ask: SymbolAsk) -> dict[str, Any]:
        """``{schema, name, complete, definitions}``."""
        result = await find_symbol(
            ask.name,
            repositories=await self._chosen(caller, ask.repositories),
            catalog=self._sources.reader,
            text_index=await self._sources.text_index(),
            languages=frozenset(language.lower() for language in ask.languages) or None,
            k=self._hits(ask.k),
            matching=ask.matching,
        )
        return {"name": ask.name, **result.to_json()}

    async def similar(self, caller: Principal, ask: SimilarAsk) -> dict[str, Any]:
        """``{schema, to, complete, degraded, hits}``; raises ``VectorSearchUnavailable`` without vectors."""
        await self._chosen(caller, (ask.repository,))
        request = SimilarRequest(
            ask.repository,
            ask.path,
            ask.line,
            await self._chosen(caller, ask.repositories),
            k=self._hits(ask.k),
            languages=tuple(language.lower() for language in ask.languages),
            snippet_lines=ask.snippet_lines,
        )
        async with self._sources.vectors(VectorNeed(MODEL_SECONDS, encodes_query=False)) as vectors:
            shown, notes = _told_to(caller, vectors)
            result = await search_similar(request, catalog=self._sources.reader, vectors=shown)
        return replace(result, found=_with_notes(result.found, notes)).to_json()

    async def text(self, caller: Principal, ask: TextAsk) -> dict[str, Any]:
        """``{repository, path, path_b64?, start_line, end_line, lines_total, text, language, indexed_hash, stale}``.

        Raises ``NotIndexed`` (a ``LookupError``) for a file that is not indexed.
        """
        await self._chosen(caller, (ask.repository,))
        return (await self._sources.reader.read(partial(file_text, ask=ask))).to_json()

    async def repositories(self, caller: Principal) -> dict[str, Any]:
        """``{repositories: [...]}`` as in ``GET /repositories``."""
        sources = self._sources
        found = [
            await repository_json(sources.reader, each, owned=sources.is_owned, watching=sources.watching)
            for each in await sources.reader.repositories()
            if caller.sees(each.uuid)
        ]
        return {"repositories": found}

    async def status(self, caller: Principal) -> dict[str, Any]:
        """As ``codetrove status --json``; to a caller who sees some repositories only, None for sums over all."""
        found = status_module.to_json(await status_module.status(self._sources.settings))
        if caller.repositories is None:
            return found
        seen = [each for each in found["repositories"] if caller.sees(each["uuid"])]
        told = {"schema": found["schema"], "vectors": [], "repositories": seen, "problems": []}
        return dict.fromkeys(found) | told

    async def _chosen(self, caller: Principal, uuids: Sequence[str]) -> frozenset[str]:
        """The repositories to answer from: those asked for, or all that the caller sees."""
        known = caller.visible(await self._sources.repositories())
        for uuid in uuids:
            if uuid not in known:
                raise UnknownRepository(
                    f"there is no repository {uuid[:100]!r}; GET /repositories lists those there are"
                )
        return frozenset(uuids) or known

    def _request(self, ask: SearchAsk, chosen: frozenset[str]) -> SearchRequest:
        settings = self._sources.settings.search
        return SearchRequest(
            ask.query,
            chosen,
            k=self._hits(ask.k),
            path_globs=ask.paths,
            languages=tuple(language.lower() for language in ask.languages),
            snippet_lines=ask.snippet_lines,
            mode=ask.mode,
            max_hits_per_file=settings.max_hits_per_file,
            max_allowed_ids=settings.max_allowed_ids,
        )

    def _hits(self, k: int) -> int:
        most = self._sources.settings.search.max_k
        if not 1 <= k <= most:
            raise BadRequest(f"{k} hits are asked for, it must be between 1 and {most} (search.max_k)")
        return k

    async def _searched(self, request: SearchRequest, caller: Principal, *, only_fresh: bool) -> SearchResult:
        by_words = request.mode == "text" or (request.mode == "hybrid" and not self._sources.hybrid_search)
        if by_words:
            off = () if request.mode == "text" else (SWITCHED_OFF,)
            return _with_notes(await self._page(request, None, only_fresh=only_fresh), off)
        patience = MODEL_SECONDS if request.mode == "vector" else AT_ONCE_SECONDS
        async with self._sources.vectors(VectorNeed(patience)) as vectors:
            shown, notes = _told_to(caller, vectors)
            return _with_notes(await self._page(request, shown, only_fresh=only_fresh), notes)

    async def _page(self, request: SearchRequest, vectors: VectorSource | None, *, only_fresh: bool) -> SearchResult:
        index = await self._sources.text_index()

        async def ask(wanted: SearchRequest) -> SearchResult:
            return await search(
                wanted,
                catalog=self._sources.reader,
                text_index=index,
                vectors=vectors,
                pages=self._sources.pages,
            )

        return await (fresh_page(request, ask) if only_fresh else ask(request))


def queries_of(owner: Owner) -> Queries:
    """The reading side of an owner; its answers are as of now."""
    return Queries(OwnerSources(owner))


@asynccontextmanager
async def open_queries(settings: Settings) -> AsyncIterator[Queries]:
    """Open a data directory for reading only, beside an owner or without one. Raises the errors of ``storage``."""
    async with open_sources(settings) as sources:
        yield Queries(sources)


def _told_to(caller: Principal, vectors: VectorSource | None) -> tuple[VectorSource | None, tuple[str, ...]]:
    """The vectors, and notes about them that say nothing of repositories which the caller does not see."""
    if caller.repositories is None or not isinstance(vectors, VectorSearch) or not vectors.waiting:
        return vectors, ()
    return replace(vectors, waiting=0), ("vectors: some chunks of the index have none yet",)


def _with_notes(result: SearchResult, notes: Sequence[str]) -> SearchResult:
    return replace(result, degraded=(*result.degraded, *notes)) if notes else result
