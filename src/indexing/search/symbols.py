"""Definitions by name: where something is defined, without ranking by words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from indexing.search.errors import BadRequest
from indexing.search.factors import WRONG_CASE_FIT, match_of, place_penalty
from indexing.search.present import printable_path, signatures_in
from indexing.search.query import QueriedName, queried_name
from indexing.search.records import MAX_K, SymbolHit, SymbolResult
from indexing.sources.paths import display
from storage import Definition, FoundChunk, PlaceShown, TextClause, TextQuery, hits, visible

if TYPE_CHECKING:
    import sqlite3

    from storage import Reader, TextHits, TextIndex

Matching: TypeAlias = Literal["exact", "prefix"]

MAX_NAME_CHARACTERS: Final = 500
MAX_DEFINING_CHUNKS: Final = 5_000
MAX_NAMES_BY_PREFIX: Final = 200
_BREAK = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class _Found:
    definition: Definition
    chunk: FoundChunk
    place: PlaceShown
    fit: float


async def find_symbol(
    name: str,
    *,
    repositories: frozenset[str],
    catalog: Reader,
    text_index: TextIndex,
    languages: frozenset[str] | None = None,
    k: int = 20,
    matching: Matching = "exact",
) -> SymbolResult:
    """The definitions of a name: exact case first, then other cases; seldom wanted places last; by path and line.

    A qualified name (``Class.method``, ``ns::f``) finds the definitions within that scope only.
    With ``prefix`` matching, names that begin with ``name`` are found too, after those that equal it.
    """
    wanted = queried_name(name) if 0 < len(name) <= MAX_NAME_CHARACTERS else None
    if wanted is None:
        raise BadRequest(
            f"{name[:80]!r} is no name of a definition; give one of at most {MAX_NAME_CHARACTERS} characters"
        )
    if not 1 <= k <= MAX_K:
        raise BadRequest(f"k is {k}, it must be between 1 and {MAX_K}")
    names = [wanted.name]
    if matching == "prefix":
        names += await asyncio.to_thread(text_index.symbols_with_prefix, wanted.name, MAX_NAMES_BY_PREFIX)
    query = TextQuery(tuple(TextClause("symbol", each) for each in names), repositories, languages)

    def look_up(connection: sqlite3.Connection) -> tuple[tuple[SymbolHit, ...], bool]:
        chunks = text_index.search(query, MAX_DEFINING_CHUNKS)
        found = _definitions(connection, chunks, wanted, repositories, matching)
        found.sort(key=_order)
        return _shown(connection, found[:k]), chunks.exhausted

    shown, exhausted = await catalog.read(look_up)
    return SymbolResult(shown, exhausted and len(names) <= MAX_NAMES_BY_PREFIX)


def _definitions(
    connection: sqlite3.Connection,
    chunks: TextHits,
    wanted: QueriedName,
    repositories: frozenset[str],
    matching: Matching,
) -> list[_Found]:
    places = visible.places_of(connection, {hit.cut_id for hit in chunks.hits}, repositories)
    shown = [hit.chunk_id for hit in chunks.hits if hit.cut_id in places]
    rows = hits.chunks_by_id(connection, shown)
    found = []
    for chunk_id, definitions in hits.definitions_in(connection, shown).items():
        chunk = rows.get(chunk_id)
        for each in definitions:
            fit = _fit(each, wanted, matching)
            if chunk is not None and fit > 0:
                found += [_Found(each, chunk, place, fit) for place in places[chunk.cut_id]]
    return found


def _shown(connection: sqlite3.Connection, page: Sequence[_Found]) -> tuple[SymbolHit, ...]:
    files = hits.packed_files(connection, {each.chunk.cut_id for each in page})
    lines = {cut_id: _BREAK.split(file.text()) for cut_id, file in files.items()}
    signatures = signatures_in(files, (each.chunk for each in page))
    return tuple(_hit(each, lines, signatures) for each in page)


def _fit(definition: Definition, wanted: QueriedName, matching: Matching) -> float:
    fit = match_of(definition, wanted)
    if fit == 0 and matching == "prefix" and definition.name.lower().startswith(wanted.name.lower()):
        shortened = Definition(0, wanted.name, definition.kind, definition.scope, 0, 0)
        same_case = definition.name.startswith(wanted.name)
        fit = 0.5 * match_of(shortened, wanted) * (1.0 if same_case else WRONG_CASE_FIT)
        return fit if not wanted.scope or fit >= 0.5 * WRONG_CASE_FIT else 0.0
    return fit if not wanted.scope or fit >= WRONG_CASE_FIT else 0.0


def _order(found: _Found) -> tuple[float, float, str, bytes, int]:
    place = found.place
    return -found.fit, -place_penalty(place), place.repository, place.path, found.definition.start_line


def _hit(found: _Found, lines: Mapping[int, list[bytes]], signatures: Mapping[int, str]) -> SymbolHit:
    definition, place = found.definition, found.place
    text = lines.get(found.chunk.cut_id, [])
    leads = definition.name == found.chunk.symbol and definition.start_line == found.chunk.start_line
    line = text[definition.start_line - 1] if 0 < definition.start_line <= len(text) else b""
    shown, exact = printable_path(place.path)
    return SymbolHit(
        name=definition.name,
        kind=definition.kind,
        scope=definition.scope,
        signature=(leads and signatures.get(found.chunk.chunk_id)) or line.decode("utf-8", "replace").strip()[:400],
        repository=place.repository,
        root=display(place.root),
        snapshot=place.snapshot,
        path=shown,
        path_b64=exact,
        start_line=definition.start_line,
        end_line=definition.end_line,
        language=place.language,
    )
