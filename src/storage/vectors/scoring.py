"""How stores in this process score: half-precision unit rows, one kernel, one order.

Every embedded store keeps rows of unit length rounded to float16 and scores them here, so that a vector has the same
score wherever it lies: in memory, in a file, before and after it moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from storage.errors import DimensionMismatch, VectorsRefused
from storage.vectors.records import ID_BYTES, VectorHit, VectorHits, Vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

Rows: TypeAlias = "NDArray[np.float16]"
"""(n, dimension), unit length but for rounding"""
Ids: TypeAlias = "NDArray[np.bytes_]"
"""(n,) of dtype S16; compares like the bytes, for all have the same length"""

_SCORE_DIGITS = 6
_BLOCK_ROWS = 4096


def unit_rows(vectors: Vectors, dimension: int) -> Rows:
    """Bring rows to unit length and half precision. Raises ``DimensionMismatch`` or ``VectorsRefused``."""
    given = np.asarray(vectors)
    if given.ndim != 2 or given.shape[1] != dimension:
        raise DimensionMismatch(f"vectors of shape {given.shape!r} do not fit a collection of {dimension} dimensions")
    wide = given.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        norms = np.sqrt((wide * wide).sum(axis=1))
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if bad.size:
        raise VectorsRefused(f"row {int(bad[0])!r} of {len(given)} is zero or not finite; leave such vectors out")
    wide /= norms[:, None]
    return wide.astype(np.float16)


def unit_query(vector: Vectors, dimension: int) -> NDArray[np.float64]:
    """Bring a query of shape (dimension,) to unit length. Raises ``DimensionMismatch`` or ``VectorsRefused``."""
    given = np.asarray(vector)
    if given.shape != (dimension,):
        raise DimensionMismatch(f"a query of shape {given.shape!r} does not fit a collection of {dimension} dimensions")
    wide = given.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        norm = float(np.sqrt((wide * wide).sum()))
    if not np.isfinite(norm) or norm == 0:
        raise VectorsRefused("the query is zero or not finite; it has no nearest vectors")
    return wide / norm


def exact_scores(rows: Rows, query: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine similarities to six digits, of shape (n,).

    No matrix product: BLAS sums in an order that depends on a row's place, and equal vectors must tie.
    """
    scores = np.empty(len(rows), np.float64)
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS].astype(np.float64)
        block *= query
        scores[start : start + len(block)] = block.sum(axis=1)
    rounded: NDArray[np.float64] = np.round(scores, _SCORE_DIGITS)
    return rounded


def cut_with_ties(found: Iterable[tuple[bytes, float]], k: int, matching: int) -> VectorHits:
    """The best ``k`` and all that tie with the last of them; ``matching`` is how many pass the filters."""
    ordered = sorted(found, key=lambda each: (-each[1], each[0]))
    if k < 1:
        return VectorHits((), exhausted=matching == 0)
    if len(ordered) > k:
        last = ordered[k - 1][1]
        ordered = [each for each in ordered if each[1] >= last]
    return VectorHits(tuple(VectorHit(id, score) for id, score in ordered), exhausted=len(ordered) == matching)


def pack_ids(ids: Sequence[bytes]) -> Ids:
    """Ids as an array that can be sorted and searched."""
    return np.frombuffer(b"".join(ids), f"S{ID_BYTES}")


def unpack_ids(packed: Ids) -> list[bytes]:
    """The ids in an array. numpy itself strips zero bytes from the end of each."""
    raw = packed.tobytes()
    return [raw[start : start + ID_BYTES] for start in range(0, len(raw), ID_BYTES)]
