"""Reading the catalog for search: which chunks are shown where, what stands in them, and which paths match.

A chunk is *shown* when an entry of a visible snapshot of an allowed repository points at its cut. Whatever an index
found is joined here before anyone sees it, so that nothing dead or foreign is served (invariant I2).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storage.outlines import unpack_outline
from storage.records import Stat
from storage.texts import expand_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from storage.catalog.reader import Reader
    from storage.outlines import ChunkOutline

MAX_PLACES = 64
"""Paths looked at for one cut; a licence text can lie in thousands of places."""

MAX_FILES_PER_WORD = 2_000
"""A path word found in more files than this says too little to be worth reading them."""


@dataclass(frozen=True, slots=True)
class PlaceShown:
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


@dataclass(frozen=True, slots=True)
class FoundChunk:
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


@dataclass(frozen=True, slots=True)
class Definition:
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


async def places_of(
    reader: Reader,
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
    rows = await reader.query(
        "SELECT cut_id, id, uuid, root, name, kind, path, language, flags, size, mtime_ns, ctime_ns, inode FROM ("
        " SELECT cut_id, entries.id, uuid, root, snapshots.name, snapshots.kind, entries.path, language, flags, size,"
        " mtime_ns, ctime_ns, inode, ROW_NUMBER() OVER"
        " (PARTITION BY cut_id ORDER BY snapshots.kind DESC, uuid, snapshots.name, entries.path) AS number"
        " FROM (SELECT value FROM json_each(?)) AS wanted CROSS JOIN entries ON entries.cut_id = wanted.value"
        " JOIN snapshots ON snapshots.id = snapshot_id JOIN repositories ON repositories.id = repository_id"
        " WHERE (snapshots.kind = 'worktree' OR snapshots.complete) AND uuid IN (SELECT value FROM json_each(?))"
        ") WHERE number <= ? ORDER BY cut_id, number",
        (_json(cut_ids), _json(repositories), MAX_PLACES if accepts is None else 1 << 40),
    )
    places: dict[int, list[PlaceShown]] = {}
    for row in rows:
        if accepts is None or accepts(row[6]):
            places.setdefault(row[0], []).append(_place(row[1:]))
    return {cut_id: tuple(found) for cut_id, found in places.items()}


async def chunks_by_id(reader: Reader, chunk_ids: Collection[int]) -> dict[int, FoundChunk]:
    """The rows of chunks; those that are gone are absent."""
    rows = await reader.query(
        "SELECT chunk_id, cut_id, start_byte, end_byte, start_line, end_line, symbol, kind, scope"
        " FROM chunks WHERE chunk_id IN (SELECT value FROM json_each(?))",
        (_json(chunk_ids),),
    )
    return {row[0]: FoundChunk(*row) for row in rows}


async def signatures_of(reader: Reader, chunk_ids: Collection[int]) -> dict[int, str]:
    """The signatures of chunks, for the few that are shown: each file's outline is unpacked for it."""
    return {chunk_id: outline.signature for chunk_id, outline in (await _outlines_of(reader, chunk_ids)).items()}


async def first_chunks(reader: Reader, cut_ids: Collection[int]) -> dict[int, int]:
    """The chunk with which each cut begins."""
    rows = await reader.query(
        "SELECT cut_id, MIN(chunk_id) FROM chunks WHERE cut_id IN (SELECT value FROM json_each(?)) GROUP BY cut_id",
        (_json(cut_ids),),
    )
    return dict(rows)


async def definitions_in(reader: Reader, chunk_ids: Collection[int]) -> dict[int, tuple[Definition, ...]]:
    """The definitions that begin in each chunk, in their order."""
    return {
        chunk_id: tuple(
            Definition(chunk_id, each.name, each.kind, each.scope, each.start_line, each.end_line)
            for each in outline.symbols
        )
        for chunk_id, outline in (await _outlines_of(reader, chunk_ids)).items()
        if outline.symbols
    }


async def _outlines_of(reader: Reader, chunk_ids: Collection[int]) -> dict[int, ChunkOutline]:
    rows = await reader.query(
        "SELECT DISTINCT first_chunk_id, body FROM chunks JOIN outlines USING (cut_id)"
        " WHERE chunk_id IN (SELECT value FROM json_each(?))",
        (_json(chunk_ids),),
    )
    wanted = frozenset(chunk_ids)
    return {
        chunk_id: outline
        for first, body in rows
        for chunk_id, outline in enumerate(unpack_outline(body), first)
        if chunk_id in wanted
    }


async def texts_of(reader: Reader, cut_ids: Collection[int]) -> dict[int, ShownText]:
    """The texts behind cuts. Raises ``CatalogDamaged`` if one does not decompress to its recorded size."""
    rows = await reader.query(
        "SELECT cuts.id, texts.size, body, sha256 FROM cuts JOIN texts ON texts.id = text_id"
        " JOIN blobs ON blobs.id = blob_id WHERE cuts.id IN (SELECT value FROM json_each(?))",
        (_json(cut_ids),),
    )
    return {cut_id: ShownText(expand_text(body, size), sha256) for cut_id, size, body, sha256 in rows}


async def entries_with_path_words(reader: Reader, words: Sequence[str]) -> dict[str, frozenset[int]]:
    """The entries whose path holds each word; words that more than ``MAX_FILES_PER_WORD`` paths hold are absent.

    Each word is matched as one quoted string, so that nothing in it is read as FTS5 syntax.
    """
    usable = [word for word in dict.fromkeys(words) if any(char.isalnum() for char in word) and "\0" not in word]
    if not usable:
        return {}
    one = "SELECT ?, json_group_array(rowid) FROM (SELECT rowid FROM path_words WHERE words MATCH ? LIMIT ?)"
    parameters = [each for word in usable for each in (word, _quoted(word), MAX_FILES_PER_WORD + 1)]
    found = await reader.query(" UNION ALL ".join([one] * len(usable)), parameters)
    entries = {word: frozenset(json.loads(ids)) for word, ids in found}
    return {word: ids for word, ids in entries.items() if 0 < len(ids) <= MAX_FILES_PER_WORD}


async def entry_count(reader: Reader) -> int:
    """How many entries there are at most, deleted ones included (cheap: the highest id)."""
    return int((await reader.query("SELECT COALESCE(MAX(id), 0) FROM entries"))[0][0])


async def shown_entries(
    reader: Reader, entry_ids: Collection[int], repositories: Collection[str]
) -> list[tuple[int, int, str, bytes, str]]:
    """``(entry id, cut id, repository, path, language)`` of those entries that are shown in the repositories."""
    return await reader.query(
        "SELECT entries.id, cut_id, uuid, entries.path, language FROM (SELECT value FROM json_each(?)) AS wanted"
        " CROSS JOIN entries ON entries.id = wanted.value JOIN snapshots ON snapshots.id = snapshot_id"
        " JOIN repositories ON repositories.id = repository_id"
        " WHERE (snapshots.kind = 'worktree' OR snapshots.complete)"
        " AND uuid IN (SELECT value FROM json_each(?))",
        (_json(entry_ids), _json(repositories)),
    )


async def cuts_under(
    reader: Reader, prefixes: Collection[bytes], repositories: Collection[str], accepts: Callable[[bytes], bool]
) -> list[int]:
    """Cuts shown at a path that ``accepts`` takes, ascending; only paths with one of the prefixes are asked for."""
    found: set[int] = set()
    for prefix in sorted(set(prefixes)):
        end = prefix[:-1] + bytes([prefix[-1] + 1]) if prefix and prefix[-1] < 255 else b"\xff" * 8
        rows = await reader.query(
            "SELECT path, cut_id FROM snapshots JOIN repositories ON repositories.id = repository_id"
            " CROSS JOIN entries ON snapshot_id = snapshots.id"
            " WHERE (snapshots.kind = 'worktree' OR snapshots.complete)"
            " AND uuid IN (SELECT value FROM json_each(?)) AND path >= ? AND path < ?",
            (_json(repositories), prefix, end),
        )
        found.update(cut_id for path, cut_id in rows if accepts(path))
    return sorted(found)


async def roots_of(reader: Reader, repositories: Collection[str]) -> dict[str, bytes]:
    """The roots of repositories by uuid; those that do not exist are absent."""
    rows = await reader.query(
        "SELECT uuid, root FROM repositories WHERE uuid IN (SELECT value FROM json_each(?))", (_json(repositories),)
    )
    return dict(rows)


def _place(row: Sequence[Any]) -> PlaceShown:
    entry_id, repository, root, snapshot, kind, path, language, flags, size, mtime_ns, ctime_ns, inode = row
    return PlaceShown(
        entry_id=entry_id,
        repository=repository,
        root=root,
        snapshot=snapshot,
        in_worktree=kind == "worktree",
        path=path,
        language=language,
        flags=frozenset(filter(None, flags.split(","))),
        stat=Stat(size, mtime_ns, ctime_ns, inode),
    )


def _json(values: Iterable[int] | Iterable[str]) -> str:
    return json.dumps(list(values))


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'
