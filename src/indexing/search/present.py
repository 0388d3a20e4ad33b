"""From ranked chunks to hits: texts, snippets, freshness, printable paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from indexing.search.freshness import is_stale
from indexing.search.records import Hit, Scores
from indexing.search.snippet import Highlighter
from indexing.sources.paths import display, path_b64
from storage import hits, visible

if TYPE_CHECKING:
    import sqlite3

    from indexing.search.fuse import Fusion
    from indexing.search.rank import Ranked
    from indexing.search.records import SnippetLine
    from storage import FoundChunk, PlaceShown

MAX_ALSO_AT: Final = 10


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, ranked, before it is shown."""

    ranked: Sequence[Ranked]
    fusion: Fusion
    places: Mapping[int, tuple[PlaceShown, ...]]
    """by cut id"""


@dataclass(frozen=True, slots=True)
class Manner:
    """How hits are shown."""

    words: Mapping[str, float]
    """to be marked, with their weights"""
    snippet_lines: int
    check_disk: bool


def present(found: Found, connection: sqlite3.Connection, manner: Manner) -> tuple[Hit, ...]:
    """The hits. One whose text went away since it was found is left out. Reads catalog and disk."""
    if not found.ranked:
        return ()
    files = hits.packed_files(connection, {each.chunk.cut_id for each in found.ranked})
    texts = {cut_id: file.text() for cut_id, file in files.items()}
    kept = [
        _at_its_words(each, texts[each.chunk.cut_id], connection, manner.words)
        if found.fusion.places(each.chunk_id).keys() == {"path"}
        else each
        for each in found.ranked
        if each.chunk.cut_id in files
    ]
    signatures = signatures_in(files, (each.chunk for each in kept))
    stale = _stale(kept, files, connection) if manner.check_disk else {}
    highlighter = Highlighter(manner.words)
    bodies = [texts[each.chunk.cut_id][each.start_byte : each.end_byte].decode("utf-8", "replace") for each in kept]
    snippets = highlighter.snippets(
        [(body, each.start_line) for body, each in zip(bodies, kept, strict=True)], manner.snippet_lines
    )
    return tuple(
        _hit(
            each,
            found,
            text=body,
            snippet=snippet,
            signature=signatures.get(each.chunk.chunk_id, ""),
            sha256=files[each.chunk.cut_id].sha256,
            stale=stale.get(each.place.entry_id),
        )
        for each, body, snippet in zip(kept, bodies, snippets, strict=True)
    )


def printable_path(path: bytes) -> tuple[str, str | None]:
    """The path for people, and its bytes in base64 where those cannot be told from what is shown."""
    shown = display(path)
    return shown, None if shown.encode("utf-8", "surrogateescape") == path else path_b64(path)


def signatures_in(files: Mapping[int, hits.PackedFile], chunks: Iterable[FoundChunk]) -> dict[int, str]:
    """The signatures of chunks; each file's outline is unpacked once. Raises ``CatalogDamaged``."""
    wanted: dict[int, list[int]] = {}
    for chunk in chunks:
        if chunk.cut_id in files:
            wanted.setdefault(chunk.cut_id, []).append(chunk.chunk_id)
    signatures: dict[int, str] = {}
    for cut_id, chunk_ids in wanted.items():
        signatures |= files[cut_id].signatures(chunk_ids)
    return signatures


def _at_its_words(ranked: Ranked, text: bytes, connection: sqlite3.Connection, words: Mapping[str, float]) -> Ranked:
    """A hit that was found by its path alone, shown at the chunk of the file that holds most of the words."""
    lower = text.lower()
    wanted = [(word.encode("utf-8", "replace"), weight) for word, weight in words.items()]

    def held(chunk: FoundChunk) -> float:
        return sum(weight for word, weight in wanted if lower.find(word, chunk.start_byte, chunk.end_byte) >= 0)

    best = max(hits.chunks_of_cut(connection, ranked.chunk.cut_id), key=held, default=ranked.chunk)
    return ranked._replace(
        chunk=best,
        start_line=best.start_line,
        end_line=best.end_line,
        start_byte=best.start_byte,
        end_byte=best.end_byte,
    )


def _stale(
    ranked: Sequence[Ranked], files: Mapping[int, hits.PackedFile], connection: sqlite3.Connection
) -> dict[int, bool]:
    """By entry, for those that are on disk."""
    places = {each.place.entry_id: (each.place, each.chunk.cut_id) for each in ranked if each.place.in_worktree}
    known = visible.stats_of(connection, {entry_id: cut_id for entry_id, (_, cut_id) in places.items()})
    return {
        entry_id: is_stale(place, known.get(entry_id), files[cut_id].sha256)
        for entry_id, (place, cut_id) in places.items()
    }


def _hit(
    ranked: Ranked,
    found: Found,
    *,
    text: str,
    snippet: tuple[SnippetLine, ...],
    signature: str,
    sha256: bytes,
    stale: bool | None,
) -> Hit:
    chunk, place = ranked.chunk, ranked.place
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
        text=text,
        snippet=snippet,
        scores=Scores(
            round(ranked.score, 6),
            round(ranked.fusion, 6),
            found.fusion.places(ranked.chunk_id),
            _told(ranked.factors),
        ),
        indexed_hash=sha256.hex(),
        stale=stale,
    )


def _told(factors: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in factors.items() if value != 1.0}
