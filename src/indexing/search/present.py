"""From ranked chunks to hits: texts, snippets, freshness, printable paths."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from indexing.search.freshness import is_stale
from indexing.search.records import Hit, Scores
from indexing.search.snippet import Highlighter
from indexing.sources.paths import display, path_b64
from storage import hits

if TYPE_CHECKING:
    from indexing.search.fuse import Fused
    from indexing.search.query import Query
    from indexing.search.rank import Ranked
    from indexing.search.records import SearchRequest
    from storage import PlaceShown, Reader, ShownText

MAX_ALSO_AT: Final = 10


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, ranked, before it is shown."""

    ranked: Sequence[Ranked]
    fused: Mapping[int, Fused]
    """by chunk id"""
    places: Mapping[int, tuple[PlaceShown, ...]]
    """by cut id"""


async def present(request: SearchRequest, query: Query, found: Found, catalog: Reader) -> tuple[Hit, ...]:
    """The hits. One whose text went away since it was found is left out."""
    texts = await hits.texts_of(catalog, {each.best.chunk.cut_id for each in found.ranked})
    kept = [each for each in found.ranked if each.best.chunk.cut_id in texts]
    signatures = await hits.signatures_of(catalog, [each.best.chunk.chunk_id for each in kept])
    stale: dict[int, bool] = {}
    if request.check_disk:
        stale = await asyncio.to_thread(_stale, kept, texts)
    highlighter = Highlighter(query.words)
    return tuple(
        _hit(
            each,
            found,
            texts[each.best.chunk.cut_id],
            signature=signatures.get(each.best.chunk.chunk_id, ""),
            highlighter=highlighter,
            lines=request.snippet_lines,
            stale=stale.get(each.best.place.entry_id),
        )
        for each in kept
    )


def printable_path(path: bytes) -> tuple[str, str | None]:
    """The path for people, and its bytes in base64 where those cannot be told from what is shown."""
    shown = display(path)
    return shown, None if shown.encode("utf-8", "surrogateescape") == path else path_b64(path)


def _stale(ranked: Sequence[Ranked], texts: Mapping[int, ShownText]) -> dict[int, bool]:
    """By entry, for those that are on disk."""
    stale: dict[int, bool] = {}
    for each in ranked:
        place = each.best.place
        if place.in_worktree and place.entry_id not in stale:
            stale[place.entry_id] = is_stale(place, texts[each.best.chunk.cut_id].sha256)
    return stale


def _hit(
    ranked: Ranked,
    found: Found,
    text: ShownText,
    *,
    signature: str,
    highlighter: Highlighter,
    lines: int,
    stale: bool | None,
) -> Hit:
    chunk, place = ranked.best.chunk, ranked.best.place
    fused = found.fused[chunk.chunk_id]
    body = text.text[ranked.start_byte : ranked.end_byte].decode("utf-8", "replace")
    path, exact = printable_path(place.path)
    others = [each for each in found.places[chunk.cut_id] if each.snapshot == place.snapshot and each != place]
    return Hit(
        repository=place.repository,
        root=display(place.root),
        snapshot=place.snapshot,
        path=path,
        path_b64=exact,
        also_at=tuple(display(each.path) for each in others[:MAX_ALSO_AT]),
        start_line=ranked.start_line,
        end_line=ranked.end_line,
        symbol=chunk.symbol,
        kind=chunk.kind,
        scope=chunk.scope,
        signature=signature,
        language=place.language,
        text=body,
        snippet=highlighter.snippet(body, ranked.start_line, lines),
        scores=Scores(round(ranked.score, 6), round(fused.score, 6), dict(fused.places), _told(ranked.factors)),
        indexed_hash=text.sha256.hex(),
        stale=stale,
    )


def _told(factors: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in factors.items() if value != 1.0}
