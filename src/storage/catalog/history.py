"""Which history of the catalog an index belongs to.

Every start of an owner is an *incarnation*. An index carries (catalog uuid, incarnation, how far it followed); what
names an unknown history, or is ahead of the one it names, belongs to a catalog that is no more and is rebuilt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from storage.catalog.files import last_chunk_id
from storage.catalog.garbage import deletions_trimmed, last_deletion

if TYPE_CHECKING:
    import sqlite3


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One owner's time with the catalog."""

    id: int
    uuid: str
    catalog: str
    """uuid of the catalog"""
    stopped_cleanly_before: bool
    """whether the owner before this one stopped cleanly"""
    is_first: bool
    """whether the catalog is new"""


def begin_incarnation(connection: sqlite3.Connection, *, now_ms: int) -> Incarnation:
    """Record that an owner starts."""
    connection.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('catalog_uuid', ?)", (str(uuid4()),))
    previous = connection.execute("SELECT stopped_at FROM incarnations ORDER BY id DESC LIMIT 1").fetchone()
    uuid = str(uuid4())
    (row_id,) = connection.execute(
        "INSERT INTO incarnations (uuid, started_at, first_chunk_id, first_deletion) VALUES (?,?,?,?) RETURNING id",
        (uuid, now_ms, last_chunk_id(connection) + 1, last_deletion(connection) + 1),
    ).fetchone()
    clean = previous is None or previous[0] is not None
    return Incarnation(row_id, uuid, catalog_uuid(connection), clean, is_first=previous is None)


def end_incarnation(connection: sqlite3.Connection, incarnation_id: int, *, now_ms: int) -> None:
    """Record that the owner stopped cleanly."""
    connection.execute("UPDATE incarnations SET stopped_at = ? WHERE id = ?", (now_ms, incarnation_id))


def catalog_uuid(connection: sqlite3.Connection) -> str:
    """Return the uuid of this catalog; empty before its first incarnation."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'catalog_uuid'").fetchone()
    return "" if row is None else str(row[0])


def judge_mark(
    connection: sqlite3.Connection, *, catalog: str, incarnation: str, chunk_id: int, deletion: int
) -> Literal["ours", "foreign", "ahead", "too_old"]:
    """Say what a mark left in an index means: only ``ours`` can be caught up by applying what came after it."""
    row = connection.execute("SELECT id FROM incarnations WHERE uuid = ?", (incarnation,)).fetchone()
    if catalog != catalog_uuid(connection) or row is None:
        return "foreign"
    following = connection.execute(
        "SELECT first_chunk_id, first_deletion FROM incarnations WHERE id > ? ORDER BY id LIMIT 1", row
    ).fetchone()
    chunks_end, deletions_end = following or (last_chunk_id(connection) + 1, last_deletion(connection) + 1)
    if chunk_id >= chunks_end or deletion >= deletions_end:
        return "ahead"
    if deletion < deletions_trimmed(connection):
        return "too_old"
    return "ours"
