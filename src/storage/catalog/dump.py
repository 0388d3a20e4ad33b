"""The canonical dump: everything the catalog says, without row ids, sequences and times, in one order.

Two catalogs of the same trees under the same repository ids, however they came about, have equal dumps (invariant I6).
Garbage has to be collected first: it is kept for a while and is part of the dump.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from storage.outlines import unpack_outline
from storage.texts import expand_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_QUERIES = {
    "repository": "SELECT uuid, hex(root) FROM repositories",
    "entry": (
        "SELECT uuid, snapshots.kind, snapshots.name, hex(path), hex(sha256), entries.language, cuts.language, cutter,"
        " extractor, flags, words FROM entries JOIN snapshots ON snapshots.id = snapshot_id"
        " JOIN repositories ON repositories.id = snapshots.repository_id JOIN blobs ON blobs.id = entries.blob_id"
        " JOIN cuts ON cuts.id = cut_id JOIN texts ON texts.id = text_id"
        " LEFT JOIN path_words ON path_words.rowid = entries.id"
    ),
    "exclusion": (
        "SELECT uuid, hex(path), reason, exclusions.rules FROM exclusions JOIN snapshots ON snapshots.id = snapshot_id"
        " JOIN repositories ON repositories.id = repository_id"
    ),
    "blob": "SELECT hex(sha256), hex(git_oid), size FROM blobs",
    "text": (
        "SELECT hex(sha256), extractor, encoding, sections, texts.size, body FROM texts"
        " JOIN blobs ON blobs.id = blob_id"
    ),
    "cut": (
        "SELECT uuid, hex(sha256), extractor, language, cutter, imports FROM cuts"
        " JOIN repositories ON repositories.id = repository_id JOIN texts ON texts.id = text_id"
        " JOIN blobs ON blobs.id = blob_id"
    ),
    "chunk": "SELECT hex(external_id), start_byte, end_byte, start_line, end_line, symbol, kind, scope FROM chunks",
    "outline": "SELECT hex(external_id), body FROM outlines JOIN chunks ON chunk_id = first_chunk_id",
    "point": (
        "SELECT fingerprint, hex(external_id), points.state, reason FROM points"
        " JOIN collections ON collections.id = collection_id JOIN chunks USING (chunk_id)"
        " WHERE collections.state <> 'retired'"
    ),
}


def canonical_dump(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the dump's lines, JSON each, sorted within each kind; raises ``CatalogDamaged`` for an unreadable text."""
    for kind, query in _QUERIES.items():
        plain = _PLAIN.get(kind, list)
        yield from sorted(json.dumps([kind, *plain(row)], ensure_ascii=True) for row in connection.execute(query))


def _plain_text(row: tuple[Any, ...]) -> list[object]:
    *rest, size, body = row
    return [*rest, size, sha256(expand_text(body, size)).hexdigest()]


def _plain_outline(row: tuple[Any, ...]) -> list[object]:
    identity, body = row
    chunks = [
        (chunk.signature, chunk.docstring, [msgspec.structs.astuple(symbol) for symbol in chunk.symbols])
        for chunk in unpack_outline(body)
    ]
    return [identity, chunks]


# How well something is compressed is no part of what it says.
_PLAIN: dict[str, Callable[[tuple[Any, ...]], list[object]]] = {"text": _plain_text, "outline": _plain_outline}
