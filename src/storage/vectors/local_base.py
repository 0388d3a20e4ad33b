"""An immutable base: the files of one repository's vectors, verified and then mapped or read.

- ``.graph``: an index of usearch (HNSW) over the first rows, in half precision. It begins with the number of rows and
  the bytes of a row, 32 bits each, and then has the rows themselves: they are read there for exact scores.
- ``.flat``: the rows that follow, as a plain float16 matrix.
- ``.rows``: the living ids in ascending order (16 bytes each), the row of each (uint32), then the language of every row
  (uint16). Rows that no id names are dead.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from usearch.compiled import ScalarKind

from storage.errors import VectorStoreDamaged
from storage.vectors.local_delta import LANGUAGE_CODE, codes_of
from storage.vectors.local_files import FileSeal, open_sealed
from storage.vectors.local_graph import new_graph
from storage.vectors.local_manifest import Manifest, read_manifest
from storage.vectors.local_scan import Mask, Places
from storage.vectors.records import ID_BYTES
from storage.vectors.scoring import Ids, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from usearch.index import Index

GRAPH_HEAD_BYTES = 8
"""usearch 2.26, ``index_dense.hpp``, ``save_to_stream``: rows and bytes of a row, before the matrix."""

_READ_BELOW_BYTES = 1 << 20
"""Smaller files are read, not mapped: every mapping keeps a file descriptor."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base in use. Row numbers go through the graph's rows first, then through the flat ones."""

    seq: int
    manifest: Manifest
    ids: Ids
    """(alive,) ascending"""
    row_of: NDArray[np.uint32]
    """(alive,) the row of each id"""
    place_of: NDArray[np.uint32]
    """(rows,) where in ``ids`` the id of a row is; meaningless for dead rows"""
    languages: NDArray[np.uint16]
    """(rows,) code of the language of each row"""
    graph: Index | None
    graph_rows: Rows
    flat_rows: Rows
    graph_bytes: mmap.mmap | bytes
    """what ``graph`` looks at"""

    @property
    def size(self) -> int:
        """All rows, dead ones included."""
        return len(self.languages)

    def living(self) -> Mask:
        """Which rows the files say are alive: (rows,)."""
        alive = np.zeros(self.size, np.bool_)
        alive[self.row_of] = True
        return alive

    def find(self, ids: Ids) -> NDArray[np.int64]:
        """The row of each id, -1 where the files do not have it."""
        if not self.ids.size:
            return np.full(len(ids), -1, np.int64)
        places = np.minimum(np.searchsorted(self.ids, ids), self.ids.size - 1)
        return np.where(self.ids[places] == ids, self.row_of[places].astype(np.int64), -1)

    def take(self, rows: Places) -> Rows:
        """Copies of rows, by number."""
        taken = np.empty((len(rows), self.manifest.dimension), np.float16)
        in_graph = rows < self.manifest.graph_rows
        taken[in_graph] = self.graph_rows[rows[in_graph]]
        taken[~in_graph] = self.flat_rows[rows[~in_graph] - self.manifest.graph_rows]
        return taken

    def codes(self, languages: frozenset[str] | None) -> Mask | None:
        """Which language codes are wanted; None where all are."""
        return codes_of(self.manifest.languages, languages)


def open_base(directory: Path, seq: int, manifest_path: Path, *, collection: str, dimension: int) -> Base:
    """Verify every file of a base, then map it. Raises ``VectorStoreDamaged`` or ``OSError``."""
    manifest = read_manifest(manifest_path, collection=collection, repository=directory.name, dimension=dimension)
    ids, row_of, languages = _read_rows(directory, manifest)
    place_of = np.zeros(len(languages), np.uint32)
    place_of[row_of] = np.arange(len(row_of), dtype=np.uint32)
    row_bytes = dimension * np.dtype(np.float16).itemsize
    flat_bytes = _content(directory, manifest.flat)
    if len(flat_bytes) != manifest.flat_rows * row_bytes:
        raise VectorStoreDamaged(f"{str(directory)!r} has {len(flat_bytes)} bytes of {manifest.flat_rows} flat rows")
    flat_rows = np.frombuffer(flat_bytes, np.float16).reshape(manifest.flat_rows, dimension)
    graph, graph_bytes, graph_rows = None, _content(directory, manifest.graph), flat_rows[:0]
    if manifest.graph is not None:
        graph = new_graph(dimension)
        graph.view(memoryview(graph_bytes))
        # A graph of another dimension loads without a word.
        if graph.ndim != dimension or len(graph) != manifest.graph_rows or graph.dtype != ScalarKind.F16:
            raise VectorStoreDamaged(f"{manifest.graph.name!r} holds {len(graph)} rows of {graph.ndim} dimensions")
        graph_rows = rows_in_graph_file(graph_bytes, manifest.graph_rows, dimension)
    return Base(seq, manifest, ids, row_of, place_of, languages, graph, graph_rows, flat_rows, graph_bytes)


def rows_in_graph_file(content: mmap.mmap | bytes, rows: int, dimension: int) -> Rows:
    """The matrix at the head of a graph's file. Raises ``VectorStoreDamaged`` where it is not there."""
    head = np.frombuffer(content, np.uint32, 2).tolist()
    row_bytes = dimension * np.dtype(np.float16).itemsize
    if head != [rows, row_bytes] or len(content) < GRAPH_HEAD_BYTES + rows * row_bytes:
        raise VectorStoreDamaged(f"a graph's file begins with {head}, not with {[rows, row_bytes]}: another usearch?")
    matrix = np.frombuffer(content, np.float16, rows * dimension, GRAPH_HEAD_BYTES)
    return matrix.reshape(rows, dimension)


def _read_rows(directory: Path, manifest: Manifest) -> tuple[Ids, NDArray[np.uint32], NDArray[np.uint16]]:
    alive, rows = manifest.alive, manifest.graph_rows + manifest.flat_rows
    with open_sealed(directory, manifest.rows) as file:
        content = file.read()
    code_bytes = np.dtype(LANGUAGE_CODE).itemsize
    if len(content) != alive * (ID_BYTES + 4) + rows * code_bytes:
        raise VectorStoreDamaged(f"{manifest.rows.name!r} has {len(content)} bytes for {alive} ids of {rows} rows")
    ids = np.frombuffer(content, f"S{ID_BYTES}", alive)
    row_of = np.frombuffer(content, np.uint32, alive, alive * ID_BYTES)
    languages = np.frombuffer(content, LANGUAGE_CODE, rows, alive * (ID_BYTES + 4))
    if (row_of >= rows).any() or (languages >= len(manifest.languages)).any():
        raise VectorStoreDamaged(f"{manifest.rows.name!r} names rows or languages that are not there")
    return ids, row_of, languages


def _content(directory: Path, file: FileSeal | None) -> mmap.mmap | bytes:
    if file is None:
        return b""
    with open_sealed(directory, file) as opened:
        if file.size < _READ_BELOW_BYTES:
            return opened.read()
        # The descriptor that was verified is the one that is mapped: a file renamed over it in between is not seen.
        return mmap.mmap(opened.fileno(), file.size, access=mmap.ACCESS_READ)
