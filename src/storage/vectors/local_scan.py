"""Exact search through half-precision rows: a fast first pass, then the scores that all stores share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numkong
import numpy as np

from storage.vectors.scoring import Rows, exact_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Mask: TypeAlias = "NDArray[np.bool_]"
Places: TypeAlias = "NDArray[np.intp]"

_FLOAT32_ROUNDING = 2.0**-24
LEAST: Final = float(np.finfo(np.float32).min)
"""Below every score, and above what stands for none."""

SCORE_ROUNDING: Final = 1e-6
"""What two exact scores that were rounded to six digits can have come closer."""

LONGEST_ROW: Final = 1.001
"""Length of a row that had unit length before it was rounded to half precision, at most."""

_GATHER_BELOW = 0.5
"""Share of wanted rows below which copying them together is cheaper than scoring all."""

_MANY = 128
"""Rows that are scored exactly without a closer look at coarse scores before."""

_SAMPLE_ROWS = 8192
"""Scores among which the least that the ``k`` best can have is looked for before all are compared with it."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query of unit length, as the two passes want it."""

    exact: NDArray[np.float64]
    """(dimension,)"""
    half: Rows
    """(1, dimension)"""
    error: float
    """how much a first-pass score can be off"""


@dataclass(frozen=True, slots=True)
class Scanned:
    """First scores of the wanted rows of one matrix."""

    rows: Rows
    scores: NDArray[np.float32]
    """(m,); -inf for a row that is not wanted"""
    places: Places | None
    """(m,) indices into ``rows``; None when all were scored in their order"""
    wanted: int
    """how many rows are"""
    margin: float
    """how much a score can be off, either way"""

    def from_(self, floor: float) -> Places:
        """Which rows can have a score of at least ``floor``."""
        found = np.flatnonzero(self.scores >= max(floor - self.margin, LEAST))
        return found if self.places is None else self.places[found]


def query_of(unit: NDArray[np.float64]) -> Query:
    """Prepare a query that ``unit_query`` returned.

    The first pass rounds the query to half precision, which moves an inner product with a row of unit length by at most
    the length of the difference (Cauchy-Schwarz). Adding up n products in float32 adds n * 2**-24 of the sum of their
    magnitudes, again at most 1 (N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1).
    """
    half = unit.astype(np.float16)
    moved = float(np.linalg.norm(unit - half.astype(np.float64)))
    return Query(unit, half[None, :], LONGEST_ROW * (moved + (unit.size + 2) * _FLOAT32_ROUNDING) + SCORE_ROUNDING)


def scan(rows: Rows, wanted: Mask, query: Query) -> Scanned:
    """Score the wanted rows, or more cheaply all of them where most are wanted."""
    count = int(np.count_nonzero(wanted))
    if not count:
        return Scanned(rows, np.empty(0, np.float32), None, 0, query.error)
    if count < _GATHER_BELOW * len(rows):
        return scan_places(rows, np.flatnonzero(wanted), query)
    scores = first_pass(rows, query)
    if count < len(rows):
        scores[~wanted] = -np.inf
    return Scanned(rows, scores, None, count, query.error)


def scan_places(rows: Rows, places: Places, query: Query) -> Scanned:
    """Score some rows."""
    return Scanned(rows, first_pass(rows[places], query), places, len(places), query.error)


def best(scanned: Sequence[Scanned], k: int, query: Query) -> list[tuple[Places, NDArray[np.float64]]]:
    """For each scanned matrix the places and exact scores of rows that can be among the ``k`` best or tie with them."""
    if k < 1 or not scanned:
        return [(np.empty(0, np.intp), np.empty(0, np.float64)) for _ in scanned]
    floor = _least_of_best(scanned, k)
    near = [each.from_(floor) for each in scanned]
    if sum(map(len, near)) > _MANY and any(each.margin > query.error for each in scanned):
        # Exact scores of so many cost more than a closer look at what was scored coarsely.
        closer = [
            scan_places(each.rows, places, query) if each.margin > query.error else each
            for each, places in zip(scanned, near, strict=True)
        ]
        floor = _least_of_best(closer, k)
        near = [each.from_(floor) for each in closer]
    rows = np.concatenate([each.rows[places] for each, places in zip(scanned, near, strict=True)])
    ends = np.cumsum([len(places) for places in near])
    return list(zip(near, np.split(exact_scores(rows, query.exact), ends[:-1]), strict=True))


def first_pass(rows: Rows, query: Query) -> NDArray[np.float32]:
    """Inner products of shape (n,), each good to ``query.error``."""
    if not len(rows):
        return np.empty(0, np.float32)  # numkong refuses to look at none
    return np.asarray(numkong.cdist(query.half, rows, "dot"), np.float32).reshape(-1)


def _least_of_best(scanned: Sequence[Scanned], k: int) -> float:
    """What the k-th greatest of all scores is at least, once they are exact; -inf where there are not so many."""
    largest = max(scanned, key=lambda each: each.scores.size)
    floor = _kth(largest.scores[:_SAMPLE_ROWS], k) - largest.margin
    # Whatever is left out here is at most ``floor``, and so many are not.
    least = [each.scores[each.scores >= floor + each.margin] - np.float32(each.margin) for each in scanned]
    return max(floor, _kth(np.concatenate(least), k))


def _kth(scores: NDArray[np.float32], k: int) -> float:
    return float(np.partition(scores, scores.size - k)[scores.size - k]) if scores.size >= k else -np.inf
