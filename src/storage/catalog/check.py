"""The full check of a catalog: SQLite's own, and what must hold between its tables."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.catalog.migrations import expected_schema, schema_of, schema_version
from storage.errors import CatalogDamaged
from storage.identity import cut_key, external_id
from storage.outlines import unpack_outline
from storage.texts import expand_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_RULES = {
    "entry shows a cut of another content": (
        "SELECT count(*) FROM entries JOIN cuts ON cuts.id = cut_id JOIN texts ON texts.id = text_id"
        " WHERE texts.blob_id <> entries.blob_id"
    ),
    "entry shows a cut of another repository": (
        "SELECT count(*) FROM entries JOIN cuts ON cuts.id = cut_id JOIN snapshots ON snapshots.id = snapshot_id"
        " WHERE cuts.repository_id <> snapshots.repository_id"
    ),
    "entry shows a cut that is marked as not shown": (
        "SELECT count(*) FROM cuts WHERE unshown_since IS NOT NULL"
        " AND EXISTS (SELECT 1 FROM entries WHERE cut_id = cuts.id)"
    ),
    "cut that nothing shows is not marked so": (
        "SELECT count(*) FROM cuts WHERE unshown_since IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM entries WHERE cut_id = cuts.id)"
    ),
    "text without a cut": ("SELECT count(*) FROM texts WHERE NOT EXISTS (SELECT 1 FROM cuts WHERE text_id = texts.id)"),
    "blob without a text": (
        "SELECT count(*) FROM blobs WHERE NOT EXISTS (SELECT 1 FROM texts WHERE blob_id = blobs.id)"
    ),
    "entry without path words": ("SELECT count(*) FROM entries WHERE id NOT IN (SELECT rowid FROM path_words)"),
    "path words without an entry": ("SELECT count(*) FROM path_words WHERE rowid NOT IN (SELECT id FROM entries)"),
    "chunk that deletions name": "SELECT count(*) FROM chunks JOIN deletions USING (chunk_id)",
    "live chunk without a point": (
        "SELECT count(*) FROM collections CROSS JOIN chunks JOIN cuts ON cuts.id = cut_id"
        " WHERE collections.state <> 'retired' AND unshown_since IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM points WHERE collection_id = collections.id"
        "                 AND points.chunk_id = chunks.chunk_id AND points.state <> 'deleting')"
    ),
    "point without a chunk": (
        "SELECT count(*) FROM points WHERE NOT EXISTS (SELECT 1 FROM chunks WHERE chunks.chunk_id = points.chunk_id)"
    ),
    "sequence behind a number it gave out": (
        "SELECT count(*) FROM (SELECT seq FROM entries UNION ALL SELECT seq FROM points)"
        " WHERE seq > COALESCE((SELECT max(value) FROM sequence), -1)"
    ),
    "sequence is not one row": "SELECT count(*) <> 1 FROM sequence",
    "chunk ids behind one that was given out": (
        "SELECT count(*) FROM (SELECT chunk_id FROM chunks UNION ALL SELECT chunk_id FROM deletions)"
        " WHERE chunk_id > COALESCE((SELECT max(seq) FROM sqlite_sequence WHERE name = 'chunks'), 0)"
    ),
    "batch of a job that does not run": (
        "SELECT count(*) FROM batches JOIN jobs ON jobs.id = job_id"
        " WHERE jobs.state NOT IN ('running', 'paused', 'cancelling')"
    ),
}

# -100 is the priority of a parked point.
_POINT_RULES = {
    "point that nothing shows is not parked": (
        "SELECT count(*) FROM points JOIN chunks USING (chunk_id) JOIN cuts ON cuts.id = cut_id"
        " WHERE state = 'pending' AND priority > -100 AND unshown_since IS NOT NULL"
    ),
    "point of a shown chunk is parked": (
        "SELECT count(*) FROM points JOIN chunks USING (chunk_id) JOIN cuts ON cuts.id = cut_id"
        " WHERE state = 'pending' AND priority <= -100 AND unshown_since IS NULL"
    ),
    "point failed without a reason": "SELECT count(*) FROM points WHERE state = 'failed' AND reason = ''",
}


@dataclass(frozen=True, slots=True)
class CatalogFinding:
    """Something that must not be."""

    rule: str
    detail: str


def check_catalog(connection: sqlite3.Connection) -> Iterator[CatalogFinding]:
    """Yield everything that is wrong; a sound catalog yields nothing.

    Where SQLite itself finds damage, nothing else is looked at: rows may be anything then.
    """
    try:
        damage = list(_check_sqlite(connection))
        yield from damage
        if damage:
            return
        for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
            yield CatalogFinding("foreign key", f"row {row} of {table} lacks its {parent}")
        for rule, query in (_RULES | _POINT_RULES).items():
            (count,) = connection.execute(query).fetchone()
            if count:
                yield CatalogFinding(rule, f"{count} times")
        yield from _check_path_words(connection)
        yield from _check_texts(connection)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter where even SQLite's message is damaged
        yield CatalogFinding("SQLite integrity", str(error))


def _check_sqlite(connection: sqlite3.Connection) -> Iterator[CatalogFinding]:
    """Check what SQLite can say, and that every string of our tables is one."""
    connection.text_factory = bytes  # a verdict may quote what is damaged
    try:
        for (verdict,) in connection.execute("PRAGMA integrity_check(20)").fetchall():
            if verdict != b"ok":
                yield CatalogFinding("SQLite integrity", verdict.decode("utf-8", "backslashreplace"))
    finally:
        connection.text_factory = str
    if schema_of(connection) != expected_schema(schema_version(connection)):
        yield CatalogFinding("schema", "it is not what the migrations make")
        return
    strings = connection.execute(
        "SELECT tables.name, group_concat(columns.name) FROM sqlite_schema AS tables"
        " JOIN pragma_table_info(tables.name) AS columns WHERE tables.type = 'table' AND tables.sql LIKE '%STRICT%'"
        " AND columns.type = 'TEXT' GROUP BY tables.name"
    ).fetchall()
    for table, columns in strings:
        for _ in connection.execute(f"SELECT {columns} FROM {table}"):  # noqa: S608  (names of our own schema)
            pass


def _check_path_words(connection: sqlite3.Connection) -> Iterator[CatalogFinding]:
    """Compare the full-text index with one made anew; FTS5's own check wants a connection that can write."""
    connection.execute("CREATE VIRTUAL TABLE temp.path_words_anew USING fts5 (words)")
    connection.execute("CREATE VIRTUAL TABLE temp.words_are USING fts5vocab (main, path_words, instance)")
    connection.execute("CREATE VIRTUAL TABLE temp.words_should_be USING fts5vocab (temp, path_words_anew, instance)")
    try:
        connection.execute("INSERT INTO temp.path_words_anew (rowid, words) SELECT rowid, words FROM main.path_words")
        (count,) = connection.execute(
            "SELECT count(*) FROM (SELECT term, doc, offset FROM temp.words_are EXCEPT"
            " SELECT term, doc, offset FROM temp.words_should_be)"
        ).fetchone()
        (total,) = connection.execute("SELECT count(*) FROM temp.words_are").fetchone()
        (expected,) = connection.execute("SELECT count(*) FROM temp.words_should_be").fetchone()
    finally:
        for table in ("words_should_be", "words_are", "path_words_anew"):
            connection.execute(f"DROP TABLE temp.{table}")
    if count or total != expected:
        yield CatalogFinding("path words", f"{count} of {total} are wrong, where {expected} should be")


def _check_texts(connection: sqlite3.Connection) -> Iterator[CatalogFinding]:
    """Check that every text decompresses, that chunks cover it exactly, that their ids are right and outlines fit."""
    cuts = connection.execute(
        "SELECT cuts.id, uuid, sha256, extractor, language, cutter, texts.size, body FROM cuts"
        " JOIN texts ON texts.id = text_id JOIN blobs ON blobs.id = blob_id"
        " JOIN repositories ON repositories.id = repository_id"
    )
    for cut_id, uuid, sha256, extractor, language, cutter, size, body in cuts:
        name = f"cut {cut_id} ({language}, {sha256.hex()[:12]})"
        try:
            text = expand_text(body, size)
        except CatalogDamaged as error:
            yield CatalogFinding("text", f"{name}: {error}")
            continue
        key = cut_key(uuid, sha256, extractor, language, cutter)
        position = 0
        chunk_ids: list[int] = []
        for chunk_id, identity, start, end in connection.execute(
            "SELECT chunk_id, external_id, start_byte, end_byte FROM chunks WHERE cut_id = ? ORDER BY chunk_id",
            (cut_id,),
        ):
            chunk_ids.append(chunk_id)
            if start != position or end <= start:
                yield CatalogFinding("chunks cover their text", f"{name}: bytes {start}-{end} after {position}")
                break
            if identity != external_id(key, start, end):
                yield CatalogFinding("external id", f"{name}: bytes {start}-{end}")
            position = end
        # A text of nothing but white space has no chunks.
        if position != size and not (position == 0 and text.isspace()):
            yield CatalogFinding("chunks cover their text", f"{name}: {position} of {size} bytes")
        yield from _check_outline(connection, cut_id, name, chunk_ids)


def _check_outline(
    connection: sqlite3.Connection, cut_id: int, name: str, chunk_ids: list[int]
) -> Iterator[CatalogFinding]:
    row = connection.execute("SELECT first_chunk_id, body FROM outlines WHERE cut_id = ?", (cut_id,)).fetchone()
    if row is None:
        if chunk_ids:
            yield CatalogFinding("outline", f"{name}: there is none")
        return
    try:
        described = len(unpack_outline(row[1]))
    except CatalogDamaged as error:
        yield CatalogFinding("outline", f"{name}: {error}")
        return
    if chunk_ids != list(range(row[0], row[0] + described)):
        yield CatalogFinding("outline", f"{name}: {described} chunks from {row[0]} on, where there are {chunk_ids!r}")
