"""One repository's part of a collection: an immutable base, what has come since, and what has died in it.

Synchronous and for one thread, but for ``Snapshot``s, which a build reads in another.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from storage.errors import VectorStoreDamaged
from storage.faults import reach
from storage.vectors.local_base import Base, open_base
from storage.vectors.local_build import Snapshot
from storage.vectors.local_coarse import CoarseRows
from storage.vectors.local_delta import Delta
from storage.vectors.local_manifest import base_name, manifests
from storage.vectors.local_policy import Shape, Sizes
from storage.vectors.scoring import Ids, Rows, pack_ids, unpack_ids

_NO_ROWS = np.empty(0, np.bool_)
_OPENINGS = 5


class Shard:
    """The vectors of one repository."""

    def __init__(self, directory: Path, collection: str, dimension: int) -> None:
        self.directory = directory
        self.collection = collection
        self.dimension = dimension
        self.base: Base | None = None
        self.base_alive = _NO_ROWS
        """(rows of the base,)"""
        self.coarse: CoarseRows | None = None
        """of the base's flat rows, once it was worth making"""
        self.deltas: list[Delta] = [Delta(dimension)]
        """The last one takes what comes; those before it are being merged, or could not be."""
        self._building: tuple[Delta, ...] | None = None
        self._died_while_building: set[bytes] = set()
        self._unsaved_deaths = 0
        self._seq = 0
        self._sorted_delta: list[bytes] | None = None

    def load(self) -> str | None:
        """Open the newest base, if there is one; returns why it had to be dropped, if so.

        Of several manifests only the newest counts: an older base would bring dead vectors back to life.
        A reader may find that the owner has replaced the base under its hands, and looks again.
        """
        problem = None
        for _ in range(_OPENINGS):
            problem = None
            found = manifests(self.directory, self.collection)
            if not found:
                break
            seq, path = found[0]
            self._seq = max(self._seq, seq)
            try:
                self._take(open_base(self.directory, seq, path, collection=self.collection, dimension=self.dimension))
                break
            except FileNotFoundError as error:
                problem = f"{str(path)!r} was dropped: {error}"
            except (VectorStoreDamaged, RuntimeError, ValueError, TypeError) as error:
                problem = f"{str(path)!r} was dropped: {error}"
                break
        return problem

    def is_current(self) -> bool:
        """Whether the base in use is the newest on disk."""
        found = manifests(self.directory, self.collection) if self.directory.is_dir() else []
        return (found[0][0] if found else 0) == (self.base.seq if self.base else 0)

    def upsert(self, ids: Sequence[bytes], rows: Rows, languages: Sequence[str]) -> None:
        """Put rows in the place of those under the same ids. What is there already stays as it is."""
        changed = [index for index, there in enumerate(self._there(ids, rows, languages)) if not there]
        if not changed:
            return
        if len(changed) < len(ids):
            ids, rows = [ids[index] for index in changed], rows[changed]
            languages = [languages[index] for index in changed]
        self.kill(ids)
        self.deltas[-1].append(ids, rows, languages)
        self._sorted_delta = None

    def kill(self, ids: Sequence[bytes], packed: Ids | None = None) -> None:
        """Remove what is under these ids. Those that are not here are passed over."""
        for delta in self.deltas:
            if not delta.row_of:
                continue
            killed = delta.kill(ids)
            if killed:
                self._sorted_delta = None
            if self._building is not None and delta in self._building:
                self._died_while_building.update(killed)
        if self.base is None:
            return
        packed = pack_ids(ids) if packed is None else packed
        rows = self.base.find(packed)
        here = rows >= 0
        here[here] = self.base_alive[rows[here]]
        if here.any():
            self.base_alive[rows[here]] = False
            self._unsaved_deaths += int(here.sum())
            if self._building is not None:
                self._died_while_building.update(unpack_ids(packed[here]))

    def ids(self, after: bytes | None, limit: int) -> list[bytes]:
        """The first living ids past ``after``, ascending."""
        found = self._delta_ids(after, limit)
        if self.base is not None:
            found = sorted(found + self._base_ids(self.base, after, limit))
        return found[:limit]

    def sizes(self) -> Sizes:
        """How much there is of what."""
        in_graph = self.base.manifest.graph_rows if self.base is not None else 0
        return Sizes(
            graph_rows=in_graph,
            graph_alive=int(self.base_alive[:in_graph].sum()),
            flat_alive=int(self.base_alive[in_graph:].sum()),
            delta_alive=sum(map(len, self.deltas)),
            delta_rows=sum(len(delta.ids) for delta in self.deltas),
            unsaved_deaths=self._unsaved_deaths,
        )

    def begin_build(self, shape: Shape) -> Snapshot:
        """Set what is here aside for a build; what comes from now on goes to a new delta."""
        self._building = tuple(self.deltas)
        self._died_while_building = set()
        self.deltas.append(Delta(self.dimension))
        frozen = []
        for delta in self._building:
            used = len(delta.ids)
            alive = np.concatenate([block.alive for block in delta.blocks] or [_NO_ROWS])[:used]
            frozen.append((delta, used, alive))
        return Snapshot(
            directory=self.directory,
            collection=self.collection,
            dimension=self.dimension,
            seq=self._seq + 1,
            shape=shape,
            base=self.base,
            base_alive=self.base_alive.copy(),
            deltas=tuple(frozen),
        )

    def give_up_build(self) -> None:
        """Go on with what there was."""
        self._building = None
        self._died_while_building = set()

    def finish_build(self, base: Base) -> None:
        """Put the new base in the place of the old one and of the deltas that went into it."""
        built, died = self._building or (), self._died_while_building
        self.give_up_build()
        self._seq = max(self._seq, base.seq)
        self._take(base)
        self.deltas = [delta for delta in self.deltas if delta not in built]
        self._sorted_delta = None
        if died:
            rows = base.find(pack_ids(sorted(died)))
            rows = rows[rows >= 0]
            self.base_alive[rows] = False
            self._unsaved_deaths = len(rows)

    def take_coarse(self, base: Base, coarse: CoarseRows) -> None:
        """Search with the copy of a base's flat rows from now on, unless another base has come."""
        if self.base is base:
            self.coarse = coarse

    def release(self) -> None:
        """Let go of the base; mappings end with the last search that uses them."""
        self.base, self.base_alive, self.coarse = None, _NO_ROWS, None
        self.deltas = [Delta(self.dimension)]
        self._sorted_delta = None

    def _take(self, base: Base) -> None:
        self.base, self.base_alive, self.coarse, self._unsaved_deaths = base, base.living(), None, 0

    def _there(self, ids: Sequence[bytes], rows: Rows, languages: Sequence[str]) -> list[bool]:
        """Which of the rows are here already, bit for bit: replays leave no trace."""
        there = [False] * len(ids)
        if self.base is not None:
            numbers = self.base.find(pack_ids(ids))
            found = np.flatnonzero(numbers >= 0)
            found = found[self.base_alive[numbers[found]]]
            same = (self.base.take(numbers[found]).view(np.uint16) == rows[found].view(np.uint16)).all(axis=1)
            for index in found[same].tolist():
                code = self.base.languages[numbers[index]]
                there[index] = self.base.manifest.languages[code] == languages[index]
        for delta in self.deltas:
            for index, id in enumerate(ids):
                held = delta.get(id)
                if held is not None:
                    there[index] = held[1] == languages[index] and np.array_equal(held[0], rows[index])
        return there

    def _delta_ids(self, after: bytes | None, limit: int) -> list[bytes]:
        if self._sorted_delta is None:
            self._sorted_delta = sorted(id for delta in self.deltas for id in delta.row_of)
        first = bisect_right(self._sorted_delta, after) if after is not None else 0
        return self._sorted_delta[first : first + limit]

    def _base_ids(self, base: Base, after: bytes | None, limit: int) -> list[bytes]:
        first = int(np.searchsorted(base.ids, pack_ids([after]), side="right")[0]) if after is not None else 0
        found: list[bytes] = []
        while first < len(base.ids) and len(found) < limit:
            lot = slice(first, first + limit)
            found += unpack_ids(base.ids[lot][self.base_alive[base.row_of[lot]]])
            first += limit
        return found[:limit]


def remove_others(directory: Path, collection: str, base: Base | None) -> None:
    """Remove files that do not belong to the base in use. Whoever has one mapped keeps it until he lets go."""
    keep = set()
    if base is not None:
        keep = {file.name for file in base.manifest.files}
        keep.add(base_name(collection, base.seq, "json"))
    reach("vectors.remove")
    # Manifests go first: one without its files would be reported as damage after a kill.
    for path in sorted(directory.iterdir(), key=lambda path: path.suffix != ".json"):
        if path.name not in keep:
            path.unlink(missing_ok=True)
