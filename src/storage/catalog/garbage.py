"""Forgetting chunks that nothing shows any more, after their grace period (design §3, step 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.catalog.files import next_seq

if TYPE_CHECKING:
    import sqlite3

_TRIMMED = "deletions_trimmed"

_MARKED_FOR_EACH_REMOVED = 16
"""To want the vectors of a cut deleted is cheaper than to remove a cut, and each round passes by all that wait."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What one round of garbage collection removed."""

    chunk_ids: tuple[int, ...]
    last_deletion: int
    """Id of the last row of ``deletions``; what the text index must have followed to be up to date."""
    more: bool


def collect_garbage(connection: sqlite3.Connection, *, older_than_ms: int, most_cuts: int = 256) -> Collected:
    """Remove up to ``most_cuts`` cuts that ceased to be shown at ``older_than_ms`` or before.

    A chunk with points waits until the deletion of its vectors is acknowledged: its points become ``deleting`` here,
    also those that are still pending, as a batch in hand may bring their vectors. Their rows go with the
    acknowledgement, and the chunk with the next call. A retired collection is dropped as a whole and is not waited for.
    """
    has_points = connection.execute("SELECT 1 FROM collections").fetchone() is not None
    most = most_cuts * _MARKED_FOR_EACH_REMOVED if has_points else most_cuts
    cuts = connection.execute(_OVERDUE, (older_than_ms, most)).fetchall()
    removed = 0
    gone: list[int] = []
    for cut_id, text_id in cuts:
        if removed == most_cuts:
            break
        if has_points and _points_remain(connection, cut_id):
            continue
        removed += 1
        chunk_ids = [row[0] for row in connection.execute("SELECT chunk_id FROM chunks WHERE cut_id = ?", (cut_id,))]
        connection.executemany("INSERT INTO deletions (chunk_id) VALUES (?)", [(each,) for each in chunk_ids])
        connection.execute("DELETE FROM outlines WHERE cut_id = ?", (cut_id,))
        connection.execute("DELETE FROM chunks WHERE cut_id = ?", (cut_id,))
        connection.execute("DELETE FROM cuts WHERE id = ?", (cut_id,))
        _drop_text(connection, text_id)
        gone += chunk_ids
    _drop_forgotten_repositories(connection)
    more = len(cuts) == most or removed == most_cuts
    return Collected(tuple(gone), last_deletion(connection), more)


_OVERDUE = (
    "SELECT id, text_id FROM cuts WHERE unshown_since IS NOT NULL AND unshown_since <= ?"
    " AND NOT EXISTS (SELECT 1 FROM entries WHERE cut_id = cuts.id)"
    # Points by primary key: without their collection SQLite reads all of them for every cut.
    " AND NOT EXISTS (SELECT 1 FROM collections CROSS JOIN chunks CROSS JOIN points"
    "                 ON collection_id = collections.id AND points.chunk_id = chunks.chunk_id"
    "                 WHERE collections.state <> 'retired' AND chunks.cut_id = cuts.id AND points.state = 'deleting')"
    # The index's own order: any other has every overdue cut looked at in each round.
    " ORDER BY unshown_since, id LIMIT ?"
)


def last_deletion(connection: sqlite3.Connection) -> int:
    """Return the highest id ever given to a row of ``deletions``."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'deletions'").fetchone()
    return 0 if row is None else int(row[0])


def trim_deletions(connection: sqlite3.Connection, through: int) -> None:
    """Drop the rows of ``deletions`` that the text index has followed, and remember how far."""
    connection.execute("DELETE FROM deletions WHERE id <= ?", (through,))
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
        " WHERE CAST(excluded.value AS INTEGER) > CAST(value AS INTEGER)",
        (_TRIMMED, str(through)),
    )


def deletions_trimmed(connection: sqlite3.Connection) -> int:
    """Return the id through which rows of ``deletions`` have been dropped."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_TRIMMED,)).fetchone()
    return 0 if row is None else int(row[0])


def _points_remain(connection: sqlite3.Connection, cut_id: int) -> bool:
    """Turn the points of a cut to ``deleting``; return whether there are any outside of retired collections."""
    changed = connection.execute(
        "UPDATE points SET state = 'deleting', reason = '', seq = ?"
        " WHERE collection_id IN (SELECT id FROM collections WHERE state <> 'retired')"
        " AND chunk_id IN (SELECT chunk_id FROM chunks WHERE cut_id = ?)",
        (next_seq(connection), cut_id),
    )
    if changed.rowcount > 0:
        return True
    connection.execute(
        "DELETE FROM points WHERE collection_id IN (SELECT id FROM collections)"
        " AND chunk_id IN (SELECT chunk_id FROM chunks WHERE cut_id = ?)",
        (cut_id,),
    )
    return False


def _drop_text(connection: sqlite3.Connection, text_id: int) -> None:
    row = connection.execute(
        "DELETE FROM texts WHERE id = ? AND NOT EXISTS (SELECT 1 FROM cuts WHERE text_id = texts.id) RETURNING blob_id",
        (text_id,),
    ).fetchall()
    for (blob_id,) in row:
        connection.execute(
            "DELETE FROM blobs WHERE id = ? AND NOT EXISTS (SELECT 1 FROM texts WHERE blob_id = blobs.id)"
            " AND NOT EXISTS (SELECT 1 FROM entries WHERE blob_id = blobs.id)",
            (blob_id,),
        )


def _drop_forgotten_repositories(connection: sqlite3.Connection) -> None:
    """Let a forgotten repository go with its last cut."""
    forgotten = connection.execute(
        "SELECT id FROM repositories WHERE root IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM cuts WHERE repository_id = repositories.id)"
    ).fetchall()
    connection.executemany("DELETE FROM snapshots WHERE repository_id = ?", forgotten)
    connection.executemany("DELETE FROM repositories WHERE id = ?", forgotten)
