"""``TextIndex``: tantivy on disk, with one writer and any number of reading processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Self, TypeAlias

import tantivy

from storage.errors import TextIndexError
from storage.text.errors import translated
from storage.text.layout import register_tokenizers, schema, words_of_code
from storage.text.merging import let_merges_yield
from storage.text.queries import build_query
from storage.text.records import TextDocument, TextHit, TextHits, TextQuery, Watermark
from storage.text.segments import published_segments, settle_merges

MIN_HEAP_BYTES_PER_THREAD = 15_000_000
"""tantivy refuses less."""

MAX_WIDENED = 20_000
"""How many hits one search looks at to have all ties at its cut."""

_MARKS_KEPT = 1_000
"""Former watermarks that may lie about: deleting them writes a file for every segment, and takes 0.2 to 0.4 s."""

_SCORE_DIGITS = 5
_PAGE = 20_000

_Hit: TypeAlias = tuple[float, int, int]
"""Score (negative, so that the best comes first), chunk, cut."""


class TextIndex:
    """The text index in one directory. Synchronous: callers run it in a thread; tantivy lets go of the GIL.

    Writing methods belong to one thread at a time; searching may happen beside them. After an error in a writing method
    the index must be closed and opened again: tantivy ends a writer that failed, and the last commit stands.
    """

    def __init__(self, index: tantivy.Index, writer: tantivy.IndexWriter | None, path: Path) -> None:
        self._index = index
        self._writer = writer
        self._path = path
        self._highest = self._mark = 0
        self._merges_yield = False
        self._repositories: frozenset[str] = frozenset()
        self._refresh()

    @classmethod
    def open(cls, path: Path, *, heap_bytes: int, threads: int) -> Self:
        """Open for writing; a directory that is missing or empty becomes an empty index.

        ``heap_bytes`` is what all ``threads`` together collect before they write a segment.
        Raises TextIndexError when another writer holds the index, or it is damaged or of another layout (then ``wipe``
        it, open again and feed it from the catalog).
        """
        with translated(f"to open {str(path)!r} for writing"):
            path.mkdir(parents=True, exist_ok=True)
            index = tantivy.Index(schema(), str(path), reuse=True)
            register_tokenizers(index)
            index.config_reader(reload_policy="manual")
            writer = index.writer(max(heap_bytes, threads * MIN_HEAP_BYTES_PER_THREAD), threads)
            try:
                # A kill inside a commit leaves files whose names the next commit wants to give again.
                writer.garbage_collect_files()
                opened = cls(index, writer, path)
                opened._highest = opened._highest_chunk_id()
                newest = _newest_mark(index.searcher())
                opened._mark = newest[0] if newest is not None else 0
            except BaseException:
                # Without this the merging threads and the lock live until the garbage collector comes by.
                writer.wait_merging_threads()
                raise
        return opened

    @classmethod
    def open_for_reading(cls, path: Path) -> Self:
        """Open beside a writer in this or another process. Raises TextIndexError when there is no readable index."""
        with translated(f"to open {str(path)!r} for reading"):
            index = tantivy.Index.open(str(path))
            if not _same_layout(index):
                raise TextIndexError(f"the text index in {str(path)!r} has the layout of another version: rebuild it")
            register_tokenizers(index)
            index.config_reader(reload_policy="manual")
            return cls(index, None, path)

    @staticmethod
    def wipe(path: Path) -> None:
        """Remove the index, whatever its state. No one may have it open for writing."""
        with translated(f"to remove {str(path)!r}"):
            shutil.rmtree(path, ignore_errors=True)
            if path.exists():
                shutil.rmtree(path)

    def watermark(self) -> Watermark | None:
        """What the last commit holds; None in an index that was never committed or whose watermark cannot be read."""
        with translated("to read its watermark"):
            searcher = self._index.searcher()
            newest = _newest_mark(searcher)
            if newest is None:
                return None
            stored = searcher.doc(newest[1]).get_first("watermark")
            try:
                return Watermark(**json.loads(bytes(stored or b"")))
            except (ValueError, TypeError):
                return None

    def add(self, documents: Sequence[TextDocument]) -> None:
        """Add chunks in the order of their ids; one that is already there is replaced: replays change nothing."""
        writer = self._writing()
        with translated("to add chunks"):
            for each in documents:
                if each.chunk_id <= self._highest:
                    writer.delete_documents_by_query(_with_ids([each.chunk_id]))
                else:
                    self._highest = each.chunk_id
                writer.add_document(_document(each))

    def delete(self, chunk_ids: Iterable[int]) -> None:
        """Delete chunks; those that are not there are passed over."""
        writer = self._writing()
        with translated("to delete chunks"):
            remaining = list(chunk_ids)
            for start in range(0, len(remaining), _PAGE):
                writer.delete_documents_by_query(_with_ids(remaining[start : start + _PAGE]))

    def clear(self) -> None:
        """Delete everything, also the watermark, with the next commit; until then searches see the last one.

        ``clear``, ``add`` of all chunks and one ``commit`` rewrite the index in place. That is also its optimisation:
        deleted chunks keep counting in BM25 until then, and a merge of segments with deletions only estimates lengths.
        """
        writer = self._writing()
        with translated("to clear itself"):
            writer.delete_all_documents()
        self._highest = 0

    def commit(self, watermark: Watermark) -> None:
        """Make all changes since the last commit visible and durable at once, together with the watermark."""
        writer = self._writing()
        with translated("to commit"):
            self._mark += 1
            if self._mark % _MARKS_KEPT == 0:
                writer.delete_documents_by_query(_watermarks())
            mark = tantivy.Document()
            mark.add_unsigned("mark", self._mark)
            mark.add_bytes("watermark", json.dumps(asdict(watermark)).encode())
            writer.add_document(mark)
            writer.commit()
            if not self._merges_yield:
                let_merges_yield()
                self._merges_yield = True
            self._refresh()

    def reload(self) -> None:
        """Make the last commit of another process visible here."""
        with translated("to read its last commit"):
            self._refresh()

    def search(self, query: TextQuery, limit: int) -> TextHits:
        """The best ``limit`` chunks and all that tie with the last of them.

        Where the ties would need more than ``MAX_WIDENED`` hits, the smallest chunk ids among those seen are kept.
        """
        if limit < 1:
            return TextHits((), exhausted=False)
        with translated("to search"):
            built = build_query(query, self._repositories)
            if built is None:
                return TextHits((), exhausted=True)
            searcher = self._index.searcher()
            asked = min(limit + 16, max(MAX_WIDENED, limit))
            while True:
                # tantivy breaks ties by place in the segments, which differs from one index to the next.
                hits = _hits(searcher, built, asked)
                everything = len(hits) < asked
                if everything or hits[-1][0] > hits[limit - 1][0] or asked >= MAX_WIDENED:
                    break
                asked = min(asked * 4, max(MAX_WIDENED, limit))
        if everything and len(hits) <= limit:
            return TextHits(_kept(hits), exhausted=True)
        last = hits[limit - 1][0]
        complete = everything or hits[-1][0] > last
        kept = [hit for hit in hits if hit[0] <= last] if complete else hits[:limit]
        return TextHits(_kept(kept), exhausted=everything and len(kept) == len(hits))

    def symbols_with_prefix(self, prefix: str, limit: int) -> list[str]:
        """Names of definitions (lower case) that begin with the prefix in any case, at most ``limit``, in order."""
        with translated("to look up names"):
            found = self._index.searcher().terms_with_prefix("symbol", prefix.lower(), limit=limit)
            return [name for name, _ in found]

    def chunk_ids(self) -> Iterator[int]:
        """The ids of all chunks in the last commit, ascending, duplicates included."""
        searcher = self._index.searcher()
        after = -1
        while True:
            with translated("to list its chunks"):
                page = _ids_after(searcher, after, _PAGE)
            if not page:
                return
            # A run of equal ids must not be torn apart by the end of a page.
            whole = page if len(page) < _PAGE else [each for each in page if each < page[-1]] or page
            yield from whole
            after = whole[-1]

    @property
    def document_count(self) -> int:
        """Chunks in the last commit."""
        with translated("to count its chunks"):
            searcher = self._index.searcher()
            return searcher.num_docs - len(searcher.search(_watermarks(), _MARKS_KEPT + 1, count=False).hits)

    @property
    def deleted_count(self) -> int:
        """Deleted chunks that still take room and count in scores."""
        with translated("to count its deleted chunks"):
            segments = published_segments(self._path)
            return sum((each.get("deletes") or {}).get("num_deleted_docs", 0) for each in segments)

    def close(self) -> None:
        """Give up what was not committed, stop merging, and let go of the lock. May be called again."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with translated("to close"):
                try:
                    # A merge that ends after the roll-back publishes nothing (``segment_updater.rs``).
                    writer.garbage_collect_files()
                    writer.rollback()
                    settle_merges(self._path)
                    writer.wait_merging_threads()
                except RuntimeError:
                    return  # the writer died of an earlier error, and its threads with it

    def _writing(self) -> tantivy.IndexWriter:
        if self._writer is None:
            raise TextIndexError(f"the text index in {str(self._path)!r} is closed or open for reading only")
        return self._writer

    def _refresh(self) -> None:
        self._index.reload()
        self._repositories = frozenset(
            name for name, _ in self._index.searcher().terms_with_prefix("repository", "", limit=None)
        )

    def _highest_chunk_id(self) -> int:
        hits = (
            self._index.searcher()
            .search(
                _ids_from(0),
                1,
                count=False,
                order_by_field="chunk_id",
                order=tantivy.Order.Desc,
            )
            .hits
        )
        return int(hits[0][0]) if hits else 0


def _document(source: TextDocument) -> tantivy.Document:
    document = tantivy.Document()
    document.add_unsigned("chunk_id", source.chunk_id)
    document.add_unsigned("cut_id", source.cut_id)
    document.add_text("repository", source.repository)
    document.add_text("language", source.language)
    if source.kind:
        document.add_text("kind", source.kind)
    document.add_text("code", words_of_code(source.code))
    if source.words:
        document.add_text("parts", source.words)
    for name in source.symbols:
        document.add_text("symbol", name)
    if source.scope:
        document.add_text("scope", words_of_code(source.scope.encode()))
    return document


def _hits(searcher: tantivy.Searcher, query: tantivy.Query, limit: int) -> list[_Hit]:
    """Hits by score and id. Sums of 32-bit floats depend on their order, so scores keep five digits."""
    found = searcher.search(query, limit, count=False).hits
    places = [place for _, place in found]
    chunk_ids = searcher.fast_field_values("chunk_id", places)
    cut_ids = searcher.fast_field_values("cut_id", places)
    # Written as one text they are rounded in half the time.
    rounded = map(float, (f"%.{_SCORE_DIGITS}g " * len(found) % tuple([score for score, _ in found])).split())
    hits = [
        (-score, int(chunk_id or 0), int(cut_id or 0))
        for score, chunk_id, cut_id in zip(rounded, chunk_ids, cut_ids, strict=True)
    ]
    hits.sort()
    return hits


def _kept(hits: Iterable[_Hit]) -> tuple[TextHit, ...]:
    return tuple(TextHit(chunk_id, cut_id, -less) for less, chunk_id, cut_id in hits)


def _ids_after(searcher: tantivy.Searcher, after: int, limit: int) -> list[int]:
    query = _ids_from(after + 1)
    hits = searcher.search(query, limit, count=False, order_by_field="chunk_id", order=tantivy.Order.Asc).hits
    return [int(chunk_id) for chunk_id, _ in hits]


def _with_ids(chunk_ids: Sequence[int]) -> tantivy.Query:
    # delete_documents_by_term makes a signed term of an int, which matches nothing in an unsigned field.
    return tantivy.Query.term_set_query(schema(), "chunk_id", chunk_ids)


def _watermarks() -> tantivy.Query:
    return tantivy.Query.range_query(schema(), "mark", tantivy.FieldType.Unsigned, lower_bound=1)


def _newest_mark(searcher: tantivy.Searcher) -> tuple[int, tantivy.DocAddress] | None:
    hits = searcher.search(_watermarks(), 1, count=False, order_by_field="mark", order=tantivy.Order.Desc).hits
    return (int(hits[0][0]), hits[0][1]) if hits else None


def _ids_from(lowest: int) -> tantivy.Query:
    return tantivy.Query.range_query(schema(), "chunk_id", tantivy.FieldType.Unsigned, lower_bound=lowest)


def _same_layout(index: tantivy.Index) -> bool:
    return bool(index.schema == schema())
