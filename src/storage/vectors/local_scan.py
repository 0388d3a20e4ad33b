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
    """First-pass scores of the wanted rows of one matrix."""

    rows: Rows
    scores: NDArray[np.float32]
    """(m,); -inf for a row that is not wanted"""
    places: Places | None
    """(m,) indices into ``rows``; None when all were scored in their order"""
    wanted: int
    """how many rows are"""


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
        return Scanned(rows, np.empty(0, np.float32), None, 0)
    if count < _GATHER_BELOW * len(rows):
        places = np.flatnonzero(wanted)
        return Scanned(rows, first_pass(rows[places], query), places, count)
    scores = first_pass(rows, query)
    if count < len(rows):
        scores[~wanted] = -np.inf
    return Scanned(rows, scores, None, count)


def best(scanned: Sequence[Scanned], k: int, query: Query) -> list[tuple[Places, NDArray[np.float64]]]:
    """For each scanned matrix the places and exact scores of rows that can be among the ``k`` best or tie with them."""
    nothing = np.empty(0, np.intp), np.empty(0, np.float64)
    if k < 1:
        return [nothing for _ in scanned]
    # Both the k-th best and whatever comes above it may be off.
    floor = kth_best([each.scores for each in scanned], k) - 2 * query.error
    result = []
    for each in scanned:
        if not each.wanted:
            result.append(nothing)
            continue
        found = np.flatnonzero(each.scores >= max(floor, LEAST))
        places = found if each.places is None else each.places[found]
        result.append((places, exact_scores(each.rows[places], query.exact)))
    return result


def first_pass(rows: Rows, query: Query) -> NDArray[np.float32]:
    """Inner products of shape (n,), each good to ``query.error``."""
    if not len(rows):
        return np.empty(0, np.float32)  # numkong refuses to look at none
    return np.asarray(numkong.cdist(query.half, rows, "dot"), np.float32).reshape(-1)


def kth_best(scores: Sequence[NDArray[np.float32]], k: int) -> float:
    """The k-th greatest of all scores; -inf where there are not so many."""
    largest = max(scores, key=len, default=np.empty(0, np.float32))
    floor = _kth(largest[:_SAMPLE_ROWS], k)
    return _kth(np.concatenate([each[each >= floor] for each in scores]), k) if scores else floor


def _kth(scores: NDArray[np.float32], k: int) -> float:
    return float(np.partition(scores, scores.size - k)[scores.size - k]) if scores.size >= k else -np.inf
