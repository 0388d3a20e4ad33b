"""Writes a new base out of the old one and what has come since. Runs in a thread beside searches and upserts."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from storage.errors import VectorStoreDamaged
from storage.faults import reach
from storage.vectors.local_base import Base, rows_in_graph_file
from storage.vectors.local_child import Abort, build_graph
from storage.vectors.local_delta import LANGUAGE_CODE, Delta
from storage.vectors.local_files import FileSeal, seal, write_sealed
from storage.vectors.local_manifest import FORMAT, Manifest, base_name
from storage.vectors.local_policy import Shape
from storage.vectors.local_scan import Mask
from storage.vectors.records import ID_BYTES
from storage.vectors.scoring import Ids, Rows, pack_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a new base is made of. Rows that die while it is being written must be killed in it afterwards."""

    directory: Path
    collection: str
    dimension: int
    seq: int
    """number of the new base"""
    shape: Shape
    base: Base | None
    base_alive: Mask
    """(rows of the base,), a copy"""
    deltas: tuple[tuple[Delta, int, Mask], ...]
    """each with the number of its rows and, as a copy, which of them are alive"""


@dataclass(frozen=True, slots=True)
class _Lot:
    """Living rows from one source."""

    ids: Ids
    rows: Rows
    codes: NDArray[np.uint16]


class _Languages:
    """Names of languages, numbered as they come up."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def recoded(self, codes: NDArray[np.uint16], names: Sequence[str]) -> NDArray[np.uint16]:
        """The same languages in the new numbers."""
        for name in names:
            if name not in self.names:
                self.names.append(name)
        translation = np.array([self.names.index(name) for name in names], LANGUAGE_CODE)
        return translation[codes] if len(names) else codes


def write_base(snapshot: Snapshot, abort: Abort) -> Path:
    """Write the files of the base that the snapshot describes; returns its manifest.

    Raises ``BuildAborted``, ``VectorStoreError`` and ``OSError``.
    """
    snapshot.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    languages = _Languages()
    kept_graph = snapshot.base if snapshot.shape in ("keep_graph", "extend_graph") else None
    kept_rows = kept_graph.manifest.graph_rows if kept_graph else 0
    kept_codes = (
        languages.recoded(kept_graph.languages[:kept_rows], kept_graph.manifest.languages)
        if kept_graph
        else np.empty(0, LANGUAGE_CODE)
    )
    lots = list(_living(snapshot, kept_rows, languages))
    moved = np.concatenate([lot.rows for lot in lots]) if lots else np.empty((0, snapshot.dimension), np.float16)
    kept_alive = np.flatnonzero(snapshot.base_alive[:kept_rows])
    ids = [lot.ids for lot in lots]
    if kept_graph is not None:
        ids.insert(0, kept_graph.ids[kept_graph.place_of[kept_alive]])
    numbers = np.concatenate([kept_alive, np.arange(kept_rows, kept_rows + len(moved))]).astype(np.uint32)
    codes = np.concatenate([kept_codes, *(lot.codes for lot in lots)])
    graph, flat = _write_matrices(snapshot, kept_graph, moved, abort)
    in_graph = kept_rows + len(moved) if snapshot.shape in ("extend_graph", "new_graph") else kept_rows
    manifest = Manifest(
        format=FORMAT,
        collection=snapshot.collection,
        repository=snapshot.directory.name,
        dimension=snapshot.dimension,
        graph_rows=in_graph,
        flat_rows=len(codes) - in_graph,
        alive=len(numbers),
        languages=tuple(languages.names),
        rows=_write_rows(snapshot, np.concatenate([np.empty(0, f"S{ID_BYTES}"), *ids]), numbers, codes),
        graph=graph,
        flat=flat,
    )
    path = _path(snapshot, "json")
    reach("vectors.manifest")
    write_sealed(path, manifest)
    reach("vectors.written")
    return path


def _living(snapshot: Snapshot, kept_rows: int, languages: _Languages) -> Iterator[_Lot]:
    """The living rows that do not stay where they are: those of the base past its kept graph, then the deltas'."""
    base = snapshot.base
    if base is not None:
        numbers = kept_rows + np.flatnonzero(snapshot.base_alive[kept_rows:])
        codes = languages.recoded(base.languages[numbers], base.manifest.languages)
        yield _Lot(base.ids[base.place_of[numbers]], base.take(numbers), codes)
    for delta, used, alive in snapshot.deltas:
        if used:
            rows = np.concatenate([block.rows for block in delta.blocks])[:used][alive]
            codes = np.concatenate([block.languages for block in delta.blocks])[:used][alive]
            names = tuple(delta.language_names)
            yield _Lot(pack_ids(delta.ids[:used])[alive], rows, languages.recoded(codes, names))


def _write_matrices(
    snapshot: Snapshot, kept: Base | None, moved: Rows, abort: Abort
) -> tuple[FileSeal | None, FileSeal | None]:
    """Put the moved rows into the graph or beside it; returns the graph's file and the flat one."""
    old = kept.manifest.graph if kept is not None else None
    flat = _path(snapshot, "flat")
    if len(moved):
        reach("vectors.flat")
        with flat.open("wb") as opened:
            opened.write(np.ascontiguousarray(moved).data)
    if snapshot.shape not in ("extend_graph", "new_graph"):
        return old, seal(flat) if len(moved) else None
    graph = _path(snapshot, "graph")
    reach("vectors.graph")
    old_path = snapshot.directory / old.name if old is not None else None
    build_graph(abort, rows=moved, rows_file=flat, old=old_path, new=graph)
    flat.unlink()
    _check_layout(graph, moved, kept.manifest.graph_rows if kept is not None else 0)
    return seal(graph), None


def _check_layout(path: Path, moved: Rows, first: int) -> None:
    """Make sure that the rows lie in the file in the order of their keys, which usearch does not promise."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        rows = rows_in_graph_file(content, first + len(moved), moved.shape[1])
        same = np.array_equal(rows[first:].view(np.uint16), moved.view(np.uint16))
        del rows  # a mapping with a view on it cannot be closed
    if not same:
        raise VectorStoreDamaged(f"usearch has written the rows of {str(path)!r} in an order that is not understood")


def _write_rows(snapshot: Snapshot, ids: Ids, numbers: NDArray[np.uint32], codes: NDArray[np.uint16]) -> FileSeal:
    order = np.argsort(ids, kind="stable")
    path = _path(snapshot, "rows")
    reach("vectors.rows")
    with path.open("wb") as file:
        for part in (ids[order], numbers[order], codes):
            file.write(np.ascontiguousarray(part).tobytes())
    return seal(path)


def _path(snapshot: Snapshot, kind: str) -> Path:
    return snapshot.directory / base_name(snapshot.collection, snapshot.seq, kind)
