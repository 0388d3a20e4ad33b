"""One search from request to result: legs, join with what is shown, fusion, ranking, hits."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from indexing.search import legs
from indexing.search.freshness import is_stale
from indexing.search.fuse import Fused, Leg, fuse
from indexing.search.globs import path_filter
from indexing.search.query import Query, analyse, run_together
from indexing.search.rank import Candidate, Ranked, match_of, rank
from indexing.search.records import Hit, Scores, SearchRequest, SearchResult
from indexing.search.snippet import snippet
from indexing.sources.paths import display, path_b64
from storage.catalog import hits
from storage.catalog.hits import PlaceShown, ShownText

if TYPE_CHECKING:
    from indexing.search.legs import Filters
    from storage.catalog.reader import Reader
    from storage.text import TextIndex

MAX_ALLOWED_IDS: Final = 20_000
"""Path filters that accept more cuts than this are applied after the cut of a leg, which then widens."""

FIRST_LIMIT: Final = 200
LAST_LIMIT: Final = 6_400
"""Chunks that a leg gives at most; a search that needed more says ``complete: false``."""

LEG_WEIGHTS: Final[dict[str, float]] = {"text": 1.0, "name": 1.0, "path": 0.6}
MAX_ALSO_AT: Final = 10


async def search(request: SearchRequest, *, catalog: Reader, text_index: TextIndex) -> SearchResult:
    """Answer a request from the catalog and the text index as they are now.

    Raises the errors of both packages below, and BadRequest for a path filter that can match nothing.
    """
    query = analyse(request.query)
    filters = await _filters(request, catalog)
    if not request.repositories or filters.cut_ids == ():
        return SearchResult((), complete=True)
    limit = max(FIRST_LIMIT, 4 * request.k)
    path_scores = await legs.path_leg(catalog, text_index, query, filters)
    while True:
        text = await legs.text_leg(text_index, query, filters, limit)
        names = await legs.name_leg(text_index, query, filters, limit)
        exhausted = text.exhausted and names.exhausted
        cuts = {hit.chunk_id: hit.cut_id for hit in (*text.hits, *names.hits)}
        shown = await _shown(catalog, {*cuts, *path_scores}, filters)
        found = [
            Leg("text", _only(shown, {hit.chunk_id: hit.score for hit in text.hits}), LEG_WEIGHTS["text"]),
            Leg("path", _only(shown, path_scores), LEG_WEIGHTS["path"]),
        ]
        candidates = await _candidates(catalog, query, found, shown, [hit.chunk_id for hit in names.hits])
        ranked = rank([candidate for candidate, _ in candidates.values()], query, request.k)
        if len(ranked) >= request.k or exhausted or limit >= LAST_LIMIT:
            break
        limit = min(limit * 4, LAST_LIMIT)
    complete = len(ranked) >= request.k or exhausted
    fused = {chunk_id: each for chunk_id, (_, each) in candidates.items()}
    return SearchResult(await _hits(request, catalog, query, ranked, shown, fused), complete)


async def _filters(request: SearchRequest, catalog: Reader) -> Filters:
    languages = frozenset(request.languages) or None
    paths = path_filter(request.path_globs)
    if paths is None:
        return legs.Filters(request.repositories, languages, None, None)
    cut_ids = await hits.cuts_under(catalog, paths.prefixes, request.repositories, paths.accepts)
    allowed = tuple(cut_ids) if len(cut_ids) <= MAX_ALLOWED_IDS else None
    return legs.Filters(request.repositories, languages, paths, allowed)


class _Shown:
    """Chunks that are shown, with their places."""

    def __init__(self, chunks: Mapping[int, hits.FoundChunk], places: Mapping[int, tuple[PlaceShown, ...]]) -> None:
        self.chunks = {chunk_id: chunk for chunk_id, chunk in chunks.items() if chunk.cut_id in places}
        self.places = places

    def place(self, chunk_id: int) -> PlaceShown:
        return self.places[self.chunks[chunk_id].cut_id][0]


async def _shown(catalog: Reader, chunk_ids: Collection[int], filters: Filters) -> _Shown:
    chunks = await hits.chunks_by_id(catalog, chunk_ids)
    cut_ids = {chunk.cut_id for chunk in chunks.values()}
    accepts = None if filters.paths is None else filters.paths.accepts
    return _Shown(chunks, await hits.places_of(catalog, cut_ids, filters.repositories, accepts))


def _only(shown: _Shown, scores: Mapping[int, float]) -> dict[int, float]:
    return {chunk_id: score for chunk_id, score in scores.items() if chunk_id in shown.chunks}


async def _candidates(
    catalog: Reader, query: Query, found: Sequence[Leg], shown: _Shown, named: Sequence[int]
) -> dict[int, tuple[Candidate, Fused]]:
    """Fused candidates by chunk id; the name leg is scored here, where the definitions are known."""
    wanted = [chunk_id for chunk_id in named if chunk_id in shown.chunks]
    definitions = await hits.definitions_in(catalog, wanted) if wanted else {}
    fits = {
        chunk_id: max((match_of(each, name, 0.8) for each in defined for name in query.names), default=0.0)
        for chunk_id, defined in definitions.items()
    }
    for chunk_id, defined in definitions.items():
        if any(run_together(each.name) in query.joined for each in defined):
            fits[chunk_id] = max(fits[chunk_id], 0.5)
    by_name = Leg("name", {chunk_id: fit for chunk_id, fit in fits.items() if fit > 0}, LEG_WEIGHTS["name"])
    return {
        chunk_id: (
            Candidate(
                shown.chunks[chunk_id],
                shown.place(chunk_id),
                fused.score,
                fused.places["text"].score if "text" in fused.places else 0.0,
                definitions.get(chunk_id, ()),
            ),
            fused,
        )
        for chunk_id, fused in fuse([*found, by_name]).items()
    }


async def _hits(
    request: SearchRequest,
    catalog: Reader,
    query: Query,
    ranked: Sequence[Ranked],
    shown: _Shown,
    fused: Mapping[int, Fused],
) -> tuple[Hit, ...]:
    texts = await hits.texts_of(catalog, {each.best.chunk.cut_id for each in ranked})
    stale: dict[int, bool] = {}
    if request.check_disk:
        places = {each.best.place.entry_id: each.best.place for each in ranked if each.best.place.in_worktree}
        answers = await asyncio.to_thread(lambda: [is_stale(place) for place in places.values()])
        stale = dict(zip(places, answers, strict=True))
    return tuple(
        _hit(request, query, each, shown, fused[each.best.chunk.chunk_id], texts[each.best.chunk.cut_id], stale)
        for each in ranked
        if each.best.chunk.cut_id in texts
    )


def _hit(
    request: SearchRequest,
    query: Query,
    ranked: Ranked,
    shown: _Shown,
    fused: Fused,
    text: ShownText,
    stale: Mapping[int, bool],
) -> Hit:
    chunk, place = ranked.best.chunk, ranked.best.place
    body = text.text[ranked.start_byte : ranked.end_byte].decode("utf-8", "replace")
    printable = display(place.path)
    exact = printable.encode("utf-8", "surrogateescape") == place.path
    others = shown.places[chunk.cut_id]
    return Hit(
        repository=place.repository,
        root=display(place.root),
        snapshot=place.snapshot,
        path=printable,
        path_b64=None if exact else path_b64(place.path),
        also_at=tuple(
            display(each.path)
            for each in others[1 : MAX_ALSO_AT + 1]
            if (each.repository, each.snapshot) == (place.repository, place.snapshot)
        ),
        start_line=ranked.start_line,
        end_line=ranked.end_line,
        symbol=chunk.symbol,
        kind=chunk.kind,
        scope=chunk.scope,
        signature=chunk.signature,
        language=place.language,
        text=body,
        snippet=snippet(body, ranked.start_line, query.words, request.snippet_lines),
        scores=Scores(round(ranked.score, 6), round(fused.score, 6), dict(fused.places), dict(ranked.factors)),
        indexed_hash=text.sha256.hex(),
        stale=stale.get(place.entry_id),
    )
