"""What one file's turn changes in the catalog. Each function runs inside a transaction of the writer.

All of them replay: done twice, they change nothing the second time (invariant I4).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from storage.identity import cut_key, external_id
from storage.outlines import pack_outline

# msgspec reads the annotations of these records when the program runs.
from storage.records import Chunk, Cut, FailReason, Section, SkipReason, Stat

if TYPE_CHECKING:
    import sqlite3

POISON_DEATHS = 3
"""A file that has killed its worker this often is set aside."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file belongs, and what its entry looked like before the file was opened."""

    snapshot_id: int
    path: bytes
    expected_seq: int | None
    """The entry's ``seq`` when the read was planned; None: there was no entry."""


@dataclass(frozen=True, slots=True)
class NewText:
    """A text the catalog may lack."""

    encoding: str
    size: int
    body: bytes
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One version of a file, read and cut; ``text`` and ``cut`` are None where the catalog is said to know them."""

    place: Place
    stat: Stat
    read_at_ns: int
    sha256: bytes
    language: str
    cutter: str
    extractor: int
    flags: tuple[str, ...]
    path_words: str
    text: NewText | None
    cut: Cut | None
    outline: bytes = b""
    """of the cut's chunks, packed by ``pack_outline``"""
    words: tuple[str, ...] = ()
    """of each chunk, for the text index: see ``NewChunks``"""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A file that was looked into and is left out for what it contains."""

    place: Place
    stat: Stat
    read_at_ns: int
    reason: SkipReason
    detail: str
    rules: str


@dataclass(frozen=True, slots=True)
class Removal:
    """A path that is gone from the tree or from the plan."""

    place: Place
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be read or cut this time; what was indexed of it stays."""

    place: Place
    reason: FailReason
    detail: str


@dataclass(frozen=True, slots=True)
class NewChunks:
    """Chunks that a commit added, for the text index."""

    repository: str
    cut_id: int
    language: str
    first_chunk_id: int
    chunks: tuple[Chunk, ...]
    body: bytes
    """The text, compressed as kept."""
    text_size: int
    words: tuple[str, ...] = ()
    """Parts of the compound identifiers in each chunk; empty where they are yet to be found."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The entry is in place; ``added`` are the chunks that are new, ``changed`` says whether it shows another cut."""

    place: Place
    seq: int
    added: NewChunks | None
    changed: bool


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """The entry changed since the read was planned, or what was said to be known is gone: read the file again."""

    place: Place
    seq: int | None
    """The entry's ``seq`` now."""


FileChange: TypeAlias = FileVersion | Exclusion | Removal | Failure
FileResult: TypeAlias = Committed | ReadAgain | Literal["excluded", "removed", "failed"]


def commit_file(connection: sqlite3.Connection, version: FileVersion, *, repository: str, now_ms: int) -> FileResult:
    """Point the entry at its cut, adding blob, text, cut and chunks where they are new (design §3, step 3)."""
    place = version.place
    found = connection.execute(
        "SELECT id, seq, cut_id FROM entries WHERE snapshot_id = ? AND path = ?", (place.snapshot_id, place.path)
    ).fetchone()
    current = None if found is None else found[1]
    if current != place.expected_seq:
        return ReadAgain(place, current)
    stored = _ensure_cut(connection, version, repository, place.snapshot_id)
    if stored is None:
        return ReadAgain(place, current)
    blob_id, cut_id, added = stored
    seq = next_seq(connection)
    values = (
        blob_id, cut_id, version.language, *_stat_values(version.stat), version.read_at_ns,
        ",".join(version.flags), seq,
    )  # fmt: skip
    if found is None:
        cursor = connection.execute(
            "INSERT INTO entries (blob_id, cut_id, language, size, mtime_ns, ctime_ns, inode, read_at_ns, flags, seq,"
            " snapshot_id, path) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (*values, place.snapshot_id, place.path),
        )
        connection.execute(
            "INSERT INTO path_words (rowid, words) VALUES (?, ?)", (cursor.lastrowid, version.path_words)
        )
    else:
        connection.execute(
            "UPDATE entries SET blob_id=?, cut_id=?, language=?, size=?, mtime_ns=?, ctime_ns=?, inode=?, read_at_ns=?,"
            " flags=?, seq=? WHERE id = ?",
            (*values, found[0]),
        )
        if found[2] != cut_id:
            _unshow_if_last(connection, found[2], now_ms)
    _forget_verdicts(connection, place)
    _want_points(connection, cut_id, seq)
    return Committed(place, seq, added, changed=found is None or found[2] != cut_id)


def exclude_file(connection: sqlite3.Connection, exclusion: Exclusion, *, now_ms: int) -> FileResult:
    """Remember why a file is left out, and remove what was indexed of it."""
    removed = remove_file(connection, Removal(exclusion.place, exclusion.reason), now_ms=now_ms)
    if isinstance(removed, ReadAgain):
        return removed
    connection.execute(
        "INSERT OR REPLACE INTO exclusions (snapshot_id, path, reason, rules, size, mtime_ns, ctime_ns, inode,"
        " read_at_ns) VALUES (?,?,?,?,?,?,?,?,?)",
        (
            exclusion.place.snapshot_id, exclusion.place.path, exclusion.reason, exclusion.rules,
            *_stat_values(exclusion.stat), exclusion.read_at_ns,
        ),
    )  # fmt: skip
    return "excluded"


def remove_file(connection: sqlite3.Connection, removal: Removal, *, now_ms: int) -> FileResult:
    """Remove an entry; its cut stays until its grace period is over."""
    place = removal.place
    found = connection.execute(
        "SELECT id, seq, cut_id FROM entries WHERE snapshot_id = ? AND path = ?", (place.snapshot_id, place.path)
    ).fetchone()
    current = None if found is None else found[1]
    if current != place.expected_seq:
        return ReadAgain(place, current)
    _forget_verdicts(connection, place)
    if found is not None:
        connection.execute("DELETE FROM entries WHERE id = ?", (found[0],))
        connection.execute("DELETE FROM path_words WHERE rowid = ?", (found[0],))
        next_seq(connection)
        _unshow_if_last(connection, found[2], now_ms)
    return "removed"


def count_death(connection: sqlite3.Connection, place: Place, stat: Stat) -> int:
    """Count that a file killed its worker while it was there alone; return how often it has, for this content."""
    row = connection.execute(
        "SELECT deaths FROM suspects WHERE snapshot_id = ? AND path = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?"
        " AND inode = ?",
        (place.snapshot_id, place.path, *_stat_values(stat)),
    ).fetchone()
    deaths = 1 + (0 if row is None else row[0])
    connection.execute(
        "INSERT OR REPLACE INTO suspects (snapshot_id, path, deaths, size, mtime_ns, ctime_ns, inode)"
        " VALUES (?,?,?,?,?,?,?)",
        (place.snapshot_id, place.path, deaths, *_stat_values(stat)),
    )
    return int(deaths)


def next_seq(connection: sqlite3.Connection) -> int:
    """Take the next number of the catalog's one sequence."""
    (value,) = connection.execute("UPDATE sequence SET value = value + 1 RETURNING value").fetchone()
    return int(value)


def _ensure_cut(
    connection: sqlite3.Connection, version: FileVersion, repository: str, snapshot_id: int
) -> tuple[int, int, NewChunks | None] | None:
    """Return (blob, cut, new chunks), adding what is missing.

    None, and nothing added, if something is missing that was not brought.
    """
    (repository_id,) = connection.execute("SELECT repository_id FROM snapshots WHERE id = ?", (snapshot_id,)).fetchone()
    known = connection.execute(
        "SELECT blobs.id, cuts.id, unshown_since FROM blobs JOIN texts ON blob_id = blobs.id"
        " JOIN cuts ON text_id = texts.id WHERE sha256 = ? AND extractor = ? AND repository_id = ?"
        " AND cuts.language = ? AND cutter = ?",
        (version.sha256, version.extractor, repository_id, version.language, version.cutter),
    ).fetchone()
    if known is not None:
        if known[2] is not None:
            connection.execute("UPDATE cuts SET unshown_since = NULL WHERE id = ?", (known[1],))
        return known[0], known[1], None
    if version.text is None or version.cut is None:
        return None
    blob_id, text_id, body, size = _ensure_text(connection, version, version.text)
    (cut_id,) = connection.execute(
        "INSERT INTO cuts (repository_id, text_id, language, cutter, imports) VALUES (?,?,?,?,?) RETURNING id",
        (repository_id, text_id, version.language, version.cutter, "\n".join(version.cut.imports)),
    ).fetchone()
    key = cut_key(repository, version.sha256, version.extractor, version.language, version.cutter)
    first = _add_chunks(connection, cut_id, key, version)
    chunks, words = version.cut.chunks, version.words
    return blob_id, cut_id, NewChunks(repository, cut_id, version.language, first, chunks, body, size, words)


def _ensure_text(connection: sqlite3.Connection, version: FileVersion, new: NewText) -> tuple[int, int, bytes, int]:
    """Return (blob, text, compressed text as kept, its size), adding what is missing."""
    blob = connection.execute("SELECT id FROM blobs WHERE sha256 = ?", (version.sha256,)).fetchone()
    if blob is None:
        blob = connection.execute(
            "INSERT INTO blobs (sha256, size) VALUES (?, ?) RETURNING id", (version.sha256, version.stat.size)
        ).fetchone()
    text = connection.execute(
        "SELECT id, body, size FROM texts WHERE blob_id = ? AND extractor = ?", (blob[0], version.extractor)
    ).fetchone()
    if text is None:
        sections = json.dumps([[part.label, part.start_line] for part in new.sections]) if new.sections else ""
        cursor = connection.execute(
            "INSERT INTO texts (blob_id, extractor, encoding, size, body, sections) VALUES (?,?,?,?,?,?)",
            (blob[0], version.extractor, new.encoding, new.size, new.body, sections),
        )
        text = (cursor.lastrowid, new.body, new.size)
    return blob[0], *text


def _add_chunks(connection: sqlite3.Connection, cut_id: int, key: bytes, version: FileVersion) -> int:
    first = last_chunk_id(connection) + 1
    chunks = version.cut.chunks if version.cut is not None else ()
    if not chunks:
        return first
    connection.executemany(
        "INSERT INTO chunks (chunk_id, cut_id, external_id, start_byte, end_byte, start_line, end_line, symbol, kind,"
        " scope) VALUES (?,?,?,?,?,?,?,?,?,?)",
        [
            (
                chunk_id, cut_id, external_id(key, chunk.start_byte, chunk.end_byte), chunk.start_byte, chunk.end_byte,
                chunk.start_line, chunk.end_line, chunk.symbol, chunk.kind, chunk.scope,
            )
            for chunk_id, chunk in enumerate(chunks, first)
        ],
    )  # fmt: skip
    connection.execute(
        "INSERT INTO outlines (cut_id, first_chunk_id, body) VALUES (?, ?, ?)",
        (cut_id, first, version.outline or pack_outline(chunks)),
    )
    return first


def last_chunk_id(connection: sqlite3.Connection) -> int:
    """Return the highest chunk id ever given out."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchone()
    return 0 if row is None else int(row[0])


def _unshow_if_last(connection: sqlite3.Connection, cut_id: int, now_ms: int) -> None:
    connection.execute(
        "UPDATE cuts SET unshown_since = ? WHERE id = ? AND NOT EXISTS (SELECT 1 FROM entries WHERE cut_id = cuts.id)",
        (now_ms, cut_id),
    )


def _want_points(connection: sqlite3.Connection, cut_id: int, seq: int) -> None:
    """Want a vector for every chunk of the cut in every serving or building collection that lacks it.

    A point that is about to be deleted is wanted again, under a new number: the deletion's acknowledgement comes late.
    """
    if connection.execute("SELECT 1 FROM collections WHERE state <> 'retired'").fetchone() is None:
        return
    connection.execute(
        "INSERT INTO points (collection_id, chunk_id, state, seq)"
        " SELECT collections.id, chunks.chunk_id, 'pending', ? FROM collections, chunks"
        " WHERE chunks.cut_id = ? AND collections.state <> 'retired'"
        " ON CONFLICT DO UPDATE SET state = 'pending', reason = '', seq = excluded.seq, priority = 0, attempts = 0"
        " WHERE state = 'deleting'",
        (seq, cut_id),
    )


def _forget_verdicts(connection: sqlite3.Connection, place: Place) -> None:
    for table in ("exclusions", "suspects"):
        connection.execute(
            f"DELETE FROM {table} WHERE snapshot_id = ? AND path = ?",  # noqa: S608  (two constants)
            (place.snapshot_id, place.path),
        )


def _stat_values(stat: Stat) -> tuple[int, int, int, int]:
    return stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode
