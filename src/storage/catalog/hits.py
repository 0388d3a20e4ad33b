"""Reading the catalog for search: what an index found, what stands in it, and which paths hold a word.

Whether anyone may see it is asked of ``visible``, so that nothing dead or foreign is served (invariant I2).

Synchronous, over one connection: ``Reader.read`` runs a function that calls several of these in one change of threads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from storage.catalog.visible import json_list
from storage.errors import CatalogDamaged
from storage.outlines import signatures_in, symbols_in
from storage.texts import expand_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from storage.catalog.reader import Reader

MAX_FILES_PER_WORD = 2_000
"""A path word found in more files than this says too little to be worth reading them."""


# Hundreds of the next two are made for one search: a struct is made four times as fast as a frozen dataclass.
class FoundChunk(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A chunk's row."""

    chunk_id: int
    cut_id: int
    start_byte: int
    end_byte: int
    start_line: int
    end_line: int
    symbol: str
    kind: str
    scope: str


class Definition(msgspec.Struct, frozen=True, gc=False):
    """A definition that begins in a chunk."""

    chunk_id: int
    name: str
    kind: str
    scope: str
    start_line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class ShownText:
    """The text behind a cut, and the SHA-256 of the file's bytes it was read from."""

    text: bytes
    sha256: bytes


@dataclass(frozen=True, slots=True)
class PackedFile:
    """Text and outline behind a cut, as they are stored: whoever unpacks them chooses the thread."""

    packed_text: bytes
    size: int
    """bytes of the text"""
    sha256: bytes
    """of the file's bytes that the text was read from"""
    first_chunk_id: int
    outline: bytes

    def text(self) -> bytes:
        """The text. Raises ``CatalogDamaged`` if it does not decompress to its recorded size."""
        return expand_text(self.packed_text, self.size)

    def signatures(self, chunk_ids: Iterable[int]) -> dict[int, str]:
        """The signatures of some of its chunks. Raises ``CatalogDamaged`` if the outline cannot be read."""
        first = self.first_chunk_id
        numbered = signatures_in(self.outline, [chunk_id - first for chunk_id in chunk_ids]) if self.outline else {}
        return {first + number: signature for number, signature in numbered.items()}


@dataclass(frozen=True, slots=True)
class PathWords:
    """Which entries have which words in their paths."""

    entries: Mapping[str, frozenset[int]]
    """by word, for those that some but not too many paths hold"""
    total: int
    """how many entries there are at most, deleted ones included (the highest id)"""


# A hundred rows come faster as one of JSON, and the interpreter's lock is given up and taken once, not for each.
_CHUNK = "chunk_id, cut_id, start_byte, end_byte, start_line, end_line, symbol, kind, scope"
_decode_chunks = msgspec.json.Decoder(list[FoundChunk]).decode
_read_ids = msgspec.json.Decoder(frozenset[int]).decode


def chunks_by_id(connection: sqlite3.Connection, chunk_ids: Collection[int]) -> dict[int, FoundChunk]:
    """The rows of chunks; those that are gone are absent."""
    ((rows,),) = connection.execute(
        f"SELECT json_group_array(json_array({_CHUNK})) FROM chunks"  # noqa: S608  (no value goes into it)
        " WHERE chunk_id IN (SELECT value FROM json_each(?))",
        (json_list(chunk_ids),),
    )
    return {chunk.chunk_id: chunk for chunk in _read_chunks(rows)}


def chunks_under(connection: sqlite3.Connection, external_ids: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
    """Chunk and cut by external id; ids that the catalog does not know are absent."""
    # One parameter however many there are: JSON has no bytes, and every number of placeholders is another statement.
    ((found,),) = connection.execute(
        "WITH RECURSIVE wanted (at) AS"
        " (SELECT 1 WHERE length(?1) > 0 UNION ALL SELECT at + 16 FROM wanted WHERE at + 16 <= length(?1))"
        " SELECT json_group_array(json_array(at / 16, chunk_id, cut_id))"
        " FROM wanted CROSS JOIN chunks ON external_id = substr(?1, at, 16)",
        (b"".join(external_ids),),
    )
    return {external_ids[place]: (chunk_id, cut_id) for place, chunk_id, cut_id in json.loads(found)}


def external_ids_of(connection: sqlite3.Connection, cut_ids: Collection[int], limit: int) -> list[bytes] | None:
    """The external ids of all chunks of some cuts; None when there are more than ``limit``."""
    rows = connection.execute(
        "SELECT external_id FROM (SELECT value FROM json_each(?)) AS wanted"
        " CROSS JOIN chunks ON cut_id = wanted.value LIMIT ?",
        (json_list(cut_ids), limit + 1),
    ).fetchall()
    return None if len(rows) > limit else [external_id for (external_id,) in rows]


def chunks_of_cut(connection: sqlite3.Connection, cut_id: int) -> list[FoundChunk]:
    """All chunks of a cut, in order."""
    rows = connection.execute(
        f"SELECT {_CHUNK} FROM chunks WHERE cut_id = ? ORDER BY start_byte",  # noqa: S608  (no value goes into it)
        (cut_id,),
    )
    return [FoundChunk(*row) for row in rows]


def first_chunks(connection: sqlite3.Connection, cut_ids: Collection[int]) -> dict[int, int]:
    """The chunk with which each cut begins."""
    sql = "SELECT cut_id, MIN(chunk_id) FROM chunks WHERE cut_id IN (SELECT value FROM json_each(?)) GROUP BY cut_id"
    return dict(connection.execute(sql, (json_list(cut_ids),)).fetchall())


def definitions_in(connection: sqlite3.Connection, chunk_ids: Collection[int]) -> dict[int, tuple[Definition, ...]]:
    """The definitions that begin in each chunk, in their order."""
    return {
        first + number: tuple(
            Definition(first + number, each.name, each.kind, each.scope, each.start_line, each.end_line)
            for each in symbols
        )
        for first, body, numbers in _outlines_of(connection, chunk_ids)
        for number, symbols in symbols_in(body, numbers).items()
        if symbols
    }


def _outlines_of(connection: sqlite3.Connection, chunk_ids: Collection[int]) -> list[tuple[int, bytes, list[int]]]:
    """For each cut with one of the chunks: its first chunk, its outline, and which of its chunks are wanted, from 0."""
    rows = connection.execute(
        "SELECT first_chunk_id, body, json_group_array(chunk_id - first_chunk_id) FROM chunks"
        " JOIN outlines USING (cut_id) WHERE chunk_id IN (SELECT value FROM json_each(?)) GROUP BY cut_id",
        (json_list(chunk_ids),),
    ).fetchall()
    return [(first, body, sorted(json.loads(numbers))) for first, body, numbers in sorted(rows)]


async def texts_of(reader: Reader, cut_ids: Collection[int]) -> dict[int, ShownText]:
    """The texts behind cuts. Raises ``CatalogDamaged`` if one does not decompress to its recorded size."""
    rows = await reader.query(
        "SELECT cuts.id, texts.size, body, sha256 FROM cuts JOIN texts ON texts.id = text_id"
        " JOIN blobs ON blobs.id = blob_id WHERE cuts.id IN (SELECT value FROM json_each(?))",
        (json_list(cut_ids),),
    )
    return {cut_id: ShownText(expand_text(body, size), sha256) for cut_id, size, body, sha256 in rows}


def packed_files(connection: sqlite3.Connection, cut_ids: Collection[int]) -> dict[int, PackedFile]:
    """Texts and outlines behind cuts, in one statement; cuts that are gone are absent."""
    rows = connection.execute(
        "SELECT cuts.id, texts.body, texts.size, sha256, COALESCE(first_chunk_id, 0), COALESCE(outlines.body, x'')"
        " FROM cuts JOIN texts ON texts.id = text_id JOIN blobs ON blobs.id = blob_id"
        " LEFT JOIN outlines ON outlines.cut_id = cuts.id WHERE cuts.id IN (SELECT value FROM json_each(?))",
        (json_list(cut_ids),),
    ).fetchall()
    return {row[0]: PackedFile(*row[1:]) for row in rows}


def entries_with_path_words(connection: sqlite3.Connection, words: Sequence[str]) -> PathWords:
    """The entries whose path holds each word; words that more than ``MAX_FILES_PER_WORD`` paths hold are absent.

    Each word is matched as one quoted string, so that nothing in it is read as FTS5 syntax.
    """
    usable = [word for word in dict.fromkeys(words) if any(char.isalnum() for char in word) and "\0" not in word]
    if not usable:
        return PathWords({}, 0)
    one = "SELECT ?, json_group_array(rowid) FROM (SELECT rowid FROM path_words WHERE words MATCH ? LIMIT ?)"
    total = " UNION ALL SELECT NULL, COALESCE(MAX(id), 0) FROM entries"
    parameters = [each for word in usable for each in (word, _quoted(word), MAX_FILES_PER_WORD + 1)]
    *found, (_, count) = connection.execute(" UNION ALL ".join([one] * len(usable)) + total, parameters).fetchall()
    entries = {word: _read_ids(ids) for word, ids in found if ids != "[]"}
    return PathWords({word: ids for word, ids in entries.items() if len(ids) <= MAX_FILES_PER_WORD}, count)


def _read_chunks(rows: str) -> list[FoundChunk]:
    try:
        return _decode_chunks(rows)
    except msgspec.MsgspecError as error:
        raise CatalogDamaged(f"rows of chunks cannot be read: {error}; run 'codetrove fsck --repair'") from error


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'
