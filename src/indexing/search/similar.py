"""What is like a given piece of code: the neighbours of the chunk that holds a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from indexing.search.errors import BadRequest, NoVectorsMade, VectorSearchUnavailable
from indexing.search.fuse import Leg, fuse
from indexing.search.join import known_of, rows_of, shown_of
from indexing.search.legs import Filters
from indexing.search.present import Found, Manner, present, printable_path
from indexing.search.rank import Ranked
from indexing.search.records import MAX_FILTERS, MAX_K, SearchResult, SimilarResult
from indexing.search.vector_leg import LAST_NEIGHBOURS, Neighbours, VectorSearch, VectorSource, neighbours_of
from storage import VectorStoreError, hits, visible

if TYPE_CHECKING:
    import sqlite3

    from indexing.search.join import Shown
    from storage import FoundChunk, Reader, Vectors

FIRST_LIMIT: Final = 50


@dataclass(frozen=True, slots=True)
class SimilarRequest:
    """One search for what is like a piece of code. Raises BadRequest when a limit is exceeded."""

    repository: str
    """uuid of the one in whose work tree the file lies; whoever asks may read it"""
    path: bytes
    """of the file, relative to the root"""
    line: int
    """1-based"""
    repositories: frozenset[str]
    """uuids of the repositories that may be searched; an empty set finds nothing"""
    k: int = 10
    languages: tuple[str, ...] = ()
    snippet_lines: int = 8
    check_disk: bool = True

    def __post_init__(self) -> None:
        if self.line < 1:
            raise BadRequest(f"the line is {self.line}, lines begin at 1")
        if not 1 <= self.k <= MAX_K:
            raise BadRequest(f"k is {self.k}, it must be between 1 and {MAX_K}")
        if len(self.languages) > MAX_FILTERS:
            raise BadRequest(f"more than {MAX_FILTERS} language filters; use fewer")


async def search_similar(request: SimilarRequest, *, catalog: Reader, vectors: VectorSource | None) -> SimilarResult:
    """The chunks nearest to the one that holds a line, without itself; ordered by cosine similarity alone.

    Raises BadRequest for a file or line that is not indexed, ``VectorSearchUnavailable`` where there are no vectors or
    the chunk's own cannot be had, and the errors of ``storage`` about the catalog.
    """
    source, piece = await catalog.read(lambda connection: _source(connection, request))
    if vectors is None:
        raise NoVectorsMade("there are no vectors in this index; 'codetrove index PATH --until vectors' makes them")
    if not isinstance(vectors, VectorSearch):
        raise VectorSearchUnavailable(f"vectors: {vectors.reason}")
    vector = await _vector_of(vectors, source, piece)
    filters = Filters(request.repositories, frozenset(request.languages) or None, None, None)
    limit = max(FIRST_LIMIT, 2 * request.k)
    while True:
        near = await _nearest(vectors, vector, limit, filters)
        last = near.exhausted or limit >= LAST_NEIGHBOURS
        show = partial(_shown, near=near, source=source.chunk_id, request=request, filters=filters, last=last)
        found = await catalog.read(show)
        if found is not None:
            break
        limit = min(4 * limit, LAST_NEIGHBOURS)
    waiting = (f"vectors: {vectors.waiting:,} of {vectors.chunks:,} chunks have none yet",) if vectors.waiting else ()
    return SimilarResult(
        printable_path(request.path)[0],
        source.start_line,
        source.end_line,
        source.symbol,
        replace(found, degraded=waiting),
    )


def _source(connection: sqlite3.Connection, request: SimilarRequest) -> tuple[FoundChunk, bytes]:
    """The chunk that holds the line (the first of several), and its text."""
    shown = printable_path(request.path)[0]
    cut_id = visible.cut_in_worktree(connection, request.repository, request.path)
    if cut_id is None:
        raise BadRequest(f"{shown!r} is not indexed; 'codetrove index' takes it in unless it is left out")
    chunks = hits.chunks_of_cut(connection, cut_id)
    held = next((each for each in chunks if each.start_line <= request.line <= each.end_line), None)
    file = hits.packed_files(connection, [cut_id]).get(cut_id)
    if held is None or file is None:
        lines = max((each.end_line for each in chunks), default=0)
        raise BadRequest(f"line {request.line} is not in {shown!r}, which was indexed with {lines} lines")
    return held, file.text()[held.start_byte : held.end_byte]


async def _vector_of(vectors: VectorSearch, chunk: FoundChunk, piece: bytes) -> Vectors:
    from embeddings import EmbeddingsError  # noqa: PLC0415  (numpy comes with it)

    if vectors.vector_of is None:
        raise VectorSearchUnavailable(f"vectors: {vectors.no_encoder}")
    try:
        vector = await vectors.vector_of(chunk, piece)
    except (EmbeddingsError, VectorStoreError) as error:
        raise VectorSearchUnavailable(f"vectors: the piece of code cannot be encoded: {error}") from error
    if vector is None:
        raise VectorSearchUnavailable(
            f"vectors: the model gives no usable vector for lines {chunk.start_line}-{chunk.end_line}; try other lines"
        )
    return vector


async def _nearest(vectors: VectorSearch, vector: Vectors, limit: int, filters: Filters) -> Neighbours:
    try:
        return await neighbours_of(vectors.collection, vector, limit, filters)
    except VectorStoreError as error:
        raise VectorSearchUnavailable(f"vectors: store unavailable: {error}") from error


def _shown(
    connection: sqlite3.Connection,
    near: Neighbours,
    source: int,
    request: SimilarRequest,
    filters: Filters,
    *,
    last: bool,
) -> SearchResult | None:
    """The best ``k`` neighbours of the chunk ``source``; None where they are too few, unless these are the ``last``."""
    known, cuts = known_of(connection, near.scores)
    shown = shown_of(connection, cuts, filters).without({source})
    rows, wrong = rows_of(connection, shown, shown.cuts)
    shown = shown.without(wrong)
    cosines = shown.only(known)
    full = len(cosines) >= request.k
    if not full and not last:
        return None
    manner = Manner({}, request.snippet_lines, check_disk=request.check_disk)
    page = Found(_ranked(cosines, rows, shown, request.k), fuse([Leg("vector", cosines)]), shown.places)
    return SearchResult(present(page, connection, manner), complete=full or near.exhausted)


def _ranked(cosines: Mapping[int, float], rows: Mapping[int, FoundChunk], shown: Shown, k: int) -> list[Ranked]:
    """The best ``k``; ties by repository, path and line, never by row id."""
    ranked = []
    for chunk_id, cosine in cosines.items():
        chunk = rows[chunk_id]
        span = chunk.start_line, chunk.end_line, chunk.start_byte, chunk.end_byte
        ranked.append(Ranked(chunk_id, shown.place(chunk_id), cosine, chunk, cosine, {}, *span))
    ranked.sort(key=lambda each: (-each.score, each.place.repository, each.place.path, each.start_line))
    return ranked[:k]
