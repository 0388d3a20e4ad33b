"""Vector collections as the catalog names them: one serves, one may be built beside it, retired ones are dropped.

The functions that change something run inside a transaction of the writer; done twice they change nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from storage.catalog.files import next_seq
from storage.errors import CatalogError

if TYPE_CHECKING:
    import sqlite3

    from storage.catalog.reader import Reader

CollectionState: TypeAlias = Literal["building", "serving", "retired"]


@dataclass(frozen=True, slots=True)
class CollectionRow:
    """All vectors of one model in one store."""

    id: int
    store: str
    fingerprint: str
    """of the model and everything else that decides its vectors"""
    dimension: int
    state: CollectionState
    name: str
    """in the store"""
    model: str
    """how its encoder is opened again, as the one who made the collection wrote it"""


async def collections(reader: Reader) -> list[CollectionRow]:
    """Return all collections, oldest first."""
    return [CollectionRow(*row) for row in await reader.query(_SELECT + " ORDER BY id")]


async def kept_collections(reader: Reader) -> list[CollectionRow]:
    """Return the collections that serve or are built, oldest first."""
    return [row for row in await collections(reader) if row.state != "retired"]


def collections_in(connection: sqlite3.Connection) -> list[CollectionRow]:
    """Return all collections, oldest first, as a transaction sees them."""
    return [CollectionRow(*row) for row in connection.execute(_SELECT + " ORDER BY id")]


def add_collection(
    connection: sqlite3.Connection, *, store: str, fingerprint: str, dimension: int, model: str, name: str
) -> CollectionRow:
    """Return the collection of a model in a store; a new one wants a vector for every chunk that is shown.

    A new one serves if none does, else it is ``building``. One that is retired stays so: another is made beside it.
    Raises ``CatalogError`` where the name is taken, or the collection that is there has another dimension.
    """
    rows = collections_in(connection)
    for row in rows:
        if row.state != "retired" and (row.store, row.fingerprint) == (store, fingerprint):
            if row.dimension != dimension:
                raise CatalogError(
                    f"the vectors of fingerprint {fingerprint!r} have {dimension} dimensions, and those of the "
                    f"collection {row.name!r} {row.dimension}; a change of dimension needs another fingerprint"
                )
            return row
    if any(row.name == name for row in rows):
        raise CatalogError(f"there is a collection {name!r} already; give the new one another name")
    state = "building" if any(row.state == "serving" for row in rows) else "serving"
    (collection_id,) = connection.execute(
        "INSERT INTO collections (store, fingerprint, dimension, state, name, model) VALUES (?,?,?,?,?,?) RETURNING id",
        (store, fingerprint, dimension, state, name, model),
    ).fetchone()
    connection.execute(
        "INSERT INTO points (collection_id, chunk_id, state, seq)"
        " SELECT ?, chunk_id, 'pending', ? FROM chunks JOIN cuts ON cuts.id = cut_id WHERE unshown_since IS NULL"
        " ORDER BY chunk_id",
        (collection_id, next_seq(connection)),
    )
    return _row(connection, collection_id)


def flip(connection: sqlite3.Connection, collection_id: int) -> CollectionRow | None:
    """Let a collection that was built serve; returns the one that served before and is retired now, if there was one.

    Raises ``CatalogError`` for a collection that is retired or gone.
    """
    row = _row(connection, collection_id)
    if row.state == "retired":
        raise CatalogError(f"the collection {row.name!r} is retired and never serves again; build a new one")
    if row.state == "serving":
        return None
    former = connection.execute(
        "UPDATE collections SET state = 'retired' WHERE state = 'serving' RETURNING id"
    ).fetchall()
    connection.execute("UPDATE collections SET state = 'serving' WHERE id = ?", (collection_id,))
    return _row(connection, former[0][0]) if former else None


def retire(connection: sqlite3.Connection, collection_id: int) -> None:
    """Give a collection up, serving or not: it gets no more points, and is dropped from its store at some time.

    Raises ``CatalogError`` for one that is gone.
    """
    _row(connection, collection_id)
    connection.execute("UPDATE collections SET state = 'retired' WHERE id = ?", (collection_id,))


def drop_retired(connection: sqlite3.Connection, collection_id: int) -> None:
    """Forget a collection that its store has dropped, and its points; nothing if that was done before.

    One that was still being built goes as well. Raises ``CatalogError`` for the one that serves.
    """
    row = connection.execute("SELECT state, name FROM collections WHERE id = ?", (collection_id,)).fetchone()
    if row is None:
        return
    if row[0] == "serving":
        raise CatalogError(f"the collection {row[1]!r} serves; let another serve first, or retire it")
    connection.execute("DELETE FROM points WHERE collection_id = ?", (collection_id,))
    connection.execute("DELETE FROM collections WHERE id = ?", (collection_id,))


_SELECT = "SELECT id, store, fingerprint, dimension, state, name, model FROM collections"


def _row(connection: sqlite3.Connection, collection_id: int) -> CollectionRow:
    row = connection.execute(_SELECT + " WHERE id = ?", (collection_id,)).fetchone()
    if row is None:
        raise CatalogError(f"there is no collection {collection_id}; it was dropped")
    return CollectionRow(*row)
