"""What is shown, and where: entries of visible snapshots of allowed repositories, which every search joins with.

A cut is *shown* when an entry of a visible snapshot points at it: of a work tree, or of a commit that was read to its
end. Entries are looked up by themselves, and their few snapshots after that: two more tables joined to each row take
half as long again.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import msgspec

from storage.records import Stat

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Mapping

MAX_PLACES = 64
"""Paths looked at for one cut; a licence text can lie in thousands of places."""


# Hundreds are made for one search: a struct is made four times as fast as a frozen dataclass.
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


class _Snapshot(NamedTuple):
    repository: str
    root: bytes
    name: str
    in_worktree: bool


_Entry: TypeAlias = tuple[int, int, int, bytes, str, str]
"""Cut, entry, snapshot, path, language, flags."""

_IS_VISIBLE: Final = (
    "(snapshots.kind = 'worktree' OR snapshots.complete) AND uuid IN (SELECT value FROM json_each(:repositories))"
)
_ENTRY: Final = "cut_id, entries.id, snapshot_id, entries.path, language, flags"
_PLACES: Final = (
    f"SELECT {_ENTRY} FROM (SELECT value FROM json_each(:cuts)) AS wanted"  # noqa: S608  (no value goes into it)
    " CROSS JOIN entries ON entries.cut_id = wanted.value LIMIT :limit"
)
_FIRST_PLACES: Final = (
    "SELECT cut_id, id, snapshot_id, path, language, flags FROM"  # noqa: S608  (no value goes into it)
    f" (SELECT {_ENTRY}, ROW_NUMBER() OVER (PARTITION BY cut_id"
    " ORDER BY snapshots.kind DESC, uuid, snapshots.name, entries.path) AS number"
    " FROM (SELECT value FROM json_each(:cuts)) AS wanted CROSS JOIN entries ON entries.cut_id = wanted.value"
    " JOIN snapshots ON snapshots.id = snapshot_id JOIN repositories ON repositories.id = repository_id"
    f" WHERE {_IS_VISIBLE}) WHERE number <= :most"
)
_SNAPSHOTS: Final = (
    "SELECT snapshots.id, uuid, root, snapshots.name, snapshots.kind"  # noqa: S608  (no value goes into it)
    " FROM (SELECT value FROM json_each(:snapshots)) AS wanted CROSS JOIN snapshots ON snapshots.id = wanted.value"
    f" JOIN repositories ON repositories.id = repository_id WHERE {_IS_VISIBLE}"
)
_MANY_PLACES: Final = 4_096


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
    cuts = json_list(cut_ids)
    entries: list[_Entry] = connection.execute(_PLACES, {"cuts": cuts, "limit": limit}).fetchall()
    if len(entries) == limit:
        # Somewhere a cut lies in thousands of places: numbering them costs less than fetching them all.
        parameters = {"cuts": cuts, "repositories": json_list(repositories), "most": MAX_PLACES}
        entries = connection.execute(_FIRST_PLACES, parameters).fetchall()
    snapshots = _visible(connection, {entry[2] for entry in entries}, repositories)
    by_cut: dict[int, list[PlaceShown]] = {}
    for cut_id, entry_id, snapshot_id, path, language, flags in entries:
        snapshot = snapshots.get(snapshot_id)
        if snapshot is not None and (accepts is None or accepts(path)):
            repository, root, name, in_worktree = snapshot
            place = PlaceShown(entry_id, repository, root, name, in_worktree, path, language, _flags(flags))
            by_cut.setdefault(cut_id, []).append(place)
    for places in by_cut.values():
        if len(places) > 1:
            places.sort(key=_order)
            del places[MAX_PLACES if accepts is None else len(places) :]
    return {cut_id: tuple(places) for cut_id, places in by_cut.items()}


def stats_of(connection: sqlite3.Connection, cuts: Mapping[int, int]) -> dict[int, Stat]:
    """What the files of entries were on disk when they were read, of ``{entry id: cut id}``.

    Entries that are gone or show another cut by now are absent.
    """
    rows = connection.execute(
        "SELECT id, cut_id, size, mtime_ns, ctime_ns, inode FROM entries WHERE id IN (SELECT value FROM json_each(?))",
        (json_list(cuts),),
    )
    return {entry_id: Stat(*stat) for entry_id, cut_id, *stat in rows if cut_id == cuts[entry_id]}


def shown_entries(
    connection: sqlite3.Connection, entry_ids: Collection[int], repositories: Collection[str]
) -> list[tuple[int, int, str, bytes, str]]:
    """``(entry id, cut id, repository, path, language)`` of those entries that are shown in the repositories."""
    entries: list[_Entry] = connection.execute(
        f"SELECT {_ENTRY} FROM (SELECT value FROM json_each(?)) AS wanted"  # noqa: S608  (no value goes into it)
        " CROSS JOIN entries ON entries.id = wanted.value",
        (json_list(entry_ids),),
    ).fetchall()
    snapshots = _visible(connection, {entry[2] for entry in entries}, repositories)
    return [
        (entry_id, cut_id, snapshots[snapshot_id].repository, path, language)
        for cut_id, entry_id, snapshot_id, path, language, _ in entries
        if snapshot_id in snapshots
    ]


def cut_in_worktree(connection: sqlite3.Connection, repository: str, path: bytes) -> int | None:
    """The cut that a path of a repository's work tree shows; None where nothing is indexed at it."""
    rows = connection.execute(
        "SELECT cut_id FROM repositories JOIN snapshots ON repository_id = repositories.id AND kind = 'worktree'"
        " CROSS JOIN entries ON snapshot_id = snapshots.id WHERE uuid = ? AND path = ? ORDER BY snapshots.name LIMIT 1",
        (repository, path),
    ).fetchall()
    return rows[0][0] if rows else None


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
            "SELECT path, cut_id FROM snapshots JOIN repositories ON repositories.id = repository_id"  # noqa: S608
            f" CROSS JOIN entries ON snapshot_id = snapshots.id WHERE {_IS_VISIBLE} AND path >= :first AND path < :end",
            {"repositories": json_list(repositories), "first": prefix, "end": end},
        ).fetchall()
        found.update(cut_id for path, cut_id in rows if accepts(path))
    return sorted(found)


def json_list(values: Iterable[int] | Iterable[str]) -> str:
    """Values as one parameter of a statement, for ``json_each``."""
    return json.dumps(list(values))


def _visible(
    connection: sqlite3.Connection, snapshot_ids: Collection[int], repositories: Collection[str]
) -> dict[int, _Snapshot]:
    """Which of the snapshots are visible in the repositories, by id."""
    rows = connection.execute(
        _SNAPSHOTS, {"snapshots": json_list(snapshot_ids), "repositories": json_list(repositories)}
    )
    return {number: _Snapshot(uuid, root, name, kind == "worktree") for number, uuid, root, name, kind in rows}


def _order(place: PlaceShown) -> tuple[bool, str, str, bytes]:
    return not place.in_worktree, place.repository, place.snapshot, place.path


@lru_cache(maxsize=1024)
def _flags(joined: str) -> frozenset[str]:
    return frozenset(filter(None, joined.split(",")))
