"""A copy of rows in a byte a number: half as much to read, and enough to say of most rows that they are not wanted.

What rounding took from each row is known, so nothing is lost: rows that may be among the best are looked at again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numkong
import numpy as np

from storage.vectors.local_scan import LEAST, LONGEST_ROW, SCORE_ROUNDING, Mask, Query, Scanned, kth_best, scan
from storage.vectors.scoring import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WANTED_ABOVE = 0.25
"""Share of wanted rows above which scoring all by the copy is cheaper than scoring those alone in half precision."""

_MOST = 127
_BLOCK_ROWS = 4096
_ROUNDED_UP = 1.001
"""Lengths of what rounding took are computed in float32."""

_SUM_ROUNDING = 1e-6
"""Of a sum of integers, and of the two products with steps after it, in float32."""


@dataclass(frozen=True, slots=True)
class CoarseRows:
    """Rows rounded to whole multiples of a step each (symmetric quantization)."""

    numbers: NDArray[np.int8]
    """(n, dimension)"""
    steps: NDArray[np.float32]
    """(n,)"""
    errors: NDArray[np.float32]
    """(n,) at least the length of what rounding took"""


@dataclass(frozen=True, slots=True)
class CoarseScanned:
    """What the copy says of the scores of one matrix."""

    rows: Rows
    least: NDArray[np.float32]
    """(n,) no score is below; -inf for a row that is not wanted"""
    most: NDArray[np.float32]
    """(n,) no score is above; -inf for a row that is not wanted"""


def coarse_bytes(rows: int, dimension: int) -> int:
    """How much memory the copy of so many rows takes."""
    return rows * (dimension + 2 * np.dtype(np.float32).itemsize)


def coarse_rows(rows: Rows) -> CoarseRows:
    """Make the copy: 2 ms for 1,000 rows of 384 dimensions."""
    count, dimension = rows.shape
    made = CoarseRows(np.empty((count, dimension), np.int8), np.empty(count, np.float32), np.empty(count, np.float32))
    for start in range(0, count, _BLOCK_ROWS):
        place = slice(start, start + _BLOCK_ROWS)
        made.numbers[place], made.steps[place], made.errors[place] = _rounded(rows[place].astype(np.float32))
    return made


def coarse_scan(rows: Rows, coarse: CoarseRows, wanted: Mask, query: Query) -> CoarseScanned:
    """Bounds for the scores of the wanted rows.

    With x and r for query and row, y and s for what they were rounded to: x·r - y·s = y·(r - s) + (x - y)·r, which is
    no more than ``|y| |r - s| + |x - y| |r|`` (Cauchy-Schwarz).
    """
    numbers, steps, errors = _rounded(query.exact[None, :].astype(np.float32))
    moved = float(errors[0])
    scores = np.asarray(numkong.cdist(numbers, coarse.numbers, "dot", out_dtype="float32"), np.float32).reshape(-1)
    scores *= coarse.steps
    scores *= steps[0]
    margins = coarse.errors * np.float32(1 + moved)
    margins += np.float32(LONGEST_ROW * moved + SCORE_ROUNDING + _SUM_ROUNDING)
    scanned = CoarseScanned(rows, scores - margins, scores + margins)
    if not wanted.all():
        scanned.least[~wanted] = -np.inf
        scanned.most[~wanted] = -np.inf
    return scanned


def narrowed(coarse: Sequence[CoarseScanned], others: Sequence[Scanned], k: int, query: Query) -> list[Scanned]:
    """First-pass scores of those rows alone that can be among the ``k`` best of all, or tie with them."""
    if k < 1:
        return [scan(each.rows, np.zeros(len(each.rows), np.bool_), query) for each in coarse]
    floor = kth_best([*(each.least for each in coarse), *(each.scores - np.float32(query.error) for each in others)], k)
    return [scan(each.rows, each.most >= max(floor, LEAST), query) for each in coarse]


def _rounded(rows: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]:
    """Rows as whole numbers, the step of each row, and the length of what was taken from each."""
    steps = np.maximum(np.abs(rows).max(axis=1), np.finfo(np.float32).tiny) / _MOST
    whole = np.rint(rows / steps[:, None])
    lost = rows - whole * steps[:, None]
    return whole.astype(np.int8), steps, np.sqrt(np.einsum("ij,ij->i", lost, lost)) * np.float32(_ROUNDED_UP)
