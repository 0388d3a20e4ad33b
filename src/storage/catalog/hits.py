"""Reading the catalog for search: which chunks are shown where, what stands in them, and which paths match.

A chunk is *shown* when an entry of a visible snapshot of an allowed repository points at its cut. Whatever an index
found is joined here before anyone sees it, so that nothing dead or foreign is served (invariant I2).

Synchronous, over one connection: ``Reader.read`` runs a function that calls several of these in one change of threads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from storage.errors import CatalogDamaged
from storage.outlines import signatures_in, symbols_in
from storage.records import Stat
from storage.texts import expand_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from storage.catalog.reader import Reader

MAX_PLACES = 64
"""Paths looked at for one cut; a licence text can lie in thousands of places."""

MAX_FILES_PER_WORD = 2_000
"""A path word found in more files than this says too little to be worth reading them."""


# Hundreds of the next three are made for one search: a struct is made four times as fast as a frozen dataclass.
class PlaceShown(msgspec.Struct, frozen=True, gc=False):
    """A path at which a cut is shown."""

    entry_id: int
    repository: str
    root: bytes
    snapshot: str
    in_worktree: bool
    """or in a commit, which is not on disk"""
    path: bytes
    language: str
    flags: frozenset[str]
    stat: Stat


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


_PLACES = (
    "SELECT cut_id, entries.id, uuid, root, snapshots.name, snapshots.kind, entries.path, language, flags, size,"
    " mtime_ns, ctime_ns, inode FROM (SELECT value FROM json_each(?)) AS wanted"
    " CROSS JOIN entries ON entries.cut_id = wanted.value"
    " JOIN snapshots ON snapshots.id = snapshot_id JOIN repositories ON repositories.id = repository_id"
    " WHERE (snapshots.kind = 'worktree' OR snapshots.complete) AND uuid IN (SELECT value FROM json_each(?))"
)
_FIRST_PLACES = (
    "SELECT * FROM (SELECT *, ROW_NUMBER() OVER"  # noqa: S608  (no value goes into it)
    f" (PARTITION BY cut_id ORDER BY kind DESC, uuid, name, path) AS number FROM ({_PLACES})) WHERE number <= ?"
)
_MANY_PLACES = 4_096
# A hundred rows come faster as one of JSON, and the interpreter's lock is given up and taken once, not for each.
_CHUNK = "chunk_id, cut_id, start_byte, end_byte, start_line, end_line, symbol, kind, scope"
_decode_chunks = msgspec.json.Decoder(list[FoundChunk]).decode
_read_ids = msgspec.json.Decoder(frozenset[int]).decode


def places_of(
    connection: sqlite3.Connection,
    cut_ids: Collection[int],
    repositories: Collection[str],
    accepts: Callable[[bytes], bool] | None = None,
) -> dict[int, tuple[PlaceShown, ...]]:
    """Where cuts are shown in the allowed repositories: work trees first, then by repository, snapshot and path.

    With ``accepts`` only paths that it takes count, all of them; without, at most ``MAX_PLACES`` for a cut.
    Cuts that are shown nowhere are absent.
    """
    if not cut_ids or not repositories:
        return {}
    limit = _MANY_PLACES if accepts is None else -1
    rows = connection.execute(f"{_PLACES} LIMIT ?", (_json(cut_ids), _json(repositories), limit)).fetchall()
    if len(rows) == limit:
        # Somewhere a cut lies in thousands of places: numbering them costs less than fetching them all.
        rows = connection.execute(_FIRST_PLACES, (_json(cut_ids), _json(repositories), MAX_PLACES)).fetchall()
    by_cut: dict[int, list[tuple[Any, ...]]] = {}
    for row in rows:
        if accepts is None or accepts(row[6]):
            by_cut.setdefault(row[0], []).append(row)
    places: dict[int, tuple[PlaceShown, ...]] = {}
    for cut_id, found in by_cut.items():
        if len(found) > 1:
            found.sort(key=_by_place)
            del found[MAX_PLACES if accepts is None else len(found) :]
        places[cut_id] = tuple(map(_place, found))
    return places


def chunks_by_id(connection: sqlite3.Connection, chunk_ids: Collection[int]) -> dict[int, FoundChunk]:
    """The rows of chunks; those that are gone are absent."""
    ((rows,),) = connection.execute(
        f"SELECT json_group_array(json_array({_CHUNK})) FROM chunks"  # noqa: S608  (no value goes into it)
        " WHERE chunk_id IN (SELECT value FROM json_each(?))",
        (_json(chunk_ids),),
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
        (_json(cut_ids), limit + 1),
    ).fetchall()
    return None if len(rows) > limit else [external_id for (external_id,) in rows]


def cut_in_worktree(connection: sqlite3.Connection, repository: str, path: bytes) -> int | None:
    """The cut that a path of a repository's work tree shows; None where nothing is indexed at it."""
    rows = connection.execute(
        "SELECT cut_id FROM repositories JOIN snapshots ON repository_id = repositories.id AND kind = 'worktree'"
        " CROSS JOIN entries ON snapshot_id = snapshots.id WHERE uuid = ? AND path = ? ORDER BY snapshots.name LIMIT 1",
        (repository, path),
    ).fetchall()
    return rows[0][0] if rows else None


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
    return dict(connection.execute(sql, (_json(cut_ids),)).fetchall())


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
        (_json(chunk_ids),),
    ).fetchall()
    return [(first, body, sorted(json.loads(numbers))) for first, body, numbers in sorted(rows)]


async def texts_of(reader: Reader, cut_ids: Collection[int]) -> dict[int, ShownText]:
    """The texts behind cuts. Raises ``CatalogDamaged`` if one does not decompress to its recorded size."""
    rows = await reader.query(
        "SELECT cuts.id, texts.size, body, sha256 FROM cuts JOIN texts ON texts.id = text_id"
        " JOIN blobs ON blobs.id = blob_id WHERE cuts.id IN (SELECT value FROM json_each(?))",
        (_json(cut_ids),),
    )
    return {cut_id: ShownText(expand_text(body, size), sha256) for cut_id, size, body, sha256 in rows}


def packed_files(connection: sqlite3.Connection, cut_ids: Collection[int]) -> dict[int, PackedFile]:
    """Texts and outlines behind cuts, in one statement; cuts that are gone are absent."""
    rows = connection.execute(
        "SELECT cuts.id, texts.body, texts.size, sha256, COALESCE(first_chunk_id, 0), COALESCE(outlines.body, x'')"
        " FROM cuts JOIN texts ON texts.id = text_id JOIN blobs ON blobs.id = blob_id"
        " LEFT JOIN outlines ON outlines.cut_id = cuts.id WHERE cuts.id IN (SELECT value FROM json_each(?))",
        (_json(cut_ids),),
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


def shown_entries(
    connection: sqlite3.Connection, entry_ids: Collection[int], repositories: Collection[str]
) -> list[tuple[int, int, str, bytes, str]]:
    """``(entry id, cut id, repository, path, language)`` of those entries that are shown in the repositories."""
    return connection.execute(
        "SELECT entries.id, cut_id, uuid, entries.path, language FROM (SELECT value FROM json_each(?)) AS wanted"
        " CROSS JOIN entries ON entries.id = wanted.value JOIN snapshots ON snapshots.id = snapshot_id"
        " JOIN repositories ON repositories.id = repository_id"
        " WHERE (snapshots.kind = 'worktree' OR snapshots.complete)"
        " AND uuid IN (SELECT value FROM json_each(?))",
        (_json(entry_ids), _json(repositories)),
    ).fetchall()


def cuts_under(
    connection: sqlite3.Connection,
    prefixes: Collection[bytes],
    repositories: Collection[str],
    accepts: Callable[[bytes], bool],
) -> list[int]:
    """Cuts shown at a path that ``accepts`` takes, ascending; only paths with one of the prefixes are asked for."""
    found: set[int] = set()
    for prefix in sorted(set(prefixes)):
        end = prefix[:-1] + bytes([prefix[-1] + 1]) if prefix and prefix[-1] < 255 else b"\xff" * 8
        rows = connection.execute(
            "SELECT path, cut_id FROM snapshots JOIN repositories ON repositories.id = repository_id"
            " CROSS JOIN entries ON snapshot_id = snapshots.id"
            " WHERE (snapshots.kind = 'worktree' OR snapshots.complete)"
            " AND uuid IN (SELECT value FROM json_each(?)) AND path >= ? AND path < ?",
            (_json(repositories), prefix, end),
        ).fetchall()
        found.update(cut_id for path, cut_id in rows if accepts(path))
    return sorted(found)


def _read_chunks(rows: str) -> list[FoundChunk]:
    try:
        return _decode_chunks(rows)
    except msgspec.MsgspecError as error:
        raise CatalogDamaged(f"rows of chunks cannot be read: {error}; run 'codetrove fsck --repair'") from error


def _place(row: Sequence[Any]) -> PlaceShown:
    _, entry_id, repository, root, snapshot, kind, path, language, flags = row[:9]
    return PlaceShown(
        entry_id, repository, root, snapshot, kind == "worktree", path, language, _flags(flags), Stat(*row[9:13])
    )


def _by_place(row: Sequence[Any]) -> tuple[bool, str, str, bytes]:
    return row[5] != "worktree", row[2], row[4], row[6]


@lru_cache(maxsize=1024)
def _flags(joined: str) -> frozenset[str]:
    return frozenset(filter(None, joined.split(",")))


def _json(values: Iterable[int] | Iterable[str]) -> str:
    return json.dumps(list(values))


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'
